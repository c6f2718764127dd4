//! A PostgreSQL server for tests: made from Debian's binaries in a temporary folder, one for the whole test process, gone with it.
//!
//! Used by the integration tests and, by `#[path]`, by the catalog's conformance suite; so it may use nothing of Theatrum.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(60);

/// Runs the server until its standard input ends, which happens however the test process dies: nothing else holds the other end.
const GUARDIAN: &str = r#"
trap '' INT TERM HUP
bin=$1 folder=$2 port=$3
"$bin/postgres" -D "$folder/data" -k "$folder" -p "$port" -c listen_addresses=127.0.0.1 -c max_connections=500 \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=32MB -c autovacuum=off </dev/null &
server=$!
read -r _
kill -QUIT "$server"
wait "$server"
cd / && rm -rf "$folder"
"#;

struct Server {
    port: u16,
    databases: AtomicU32,
    // Held, never read: the guardian waits for its standard input to end.
    _guardian: Child,
}

/// The URL of a fresh, empty database on the process's server, which the first call starts.
///
/// # Panics
/// When PostgreSQL is not installed or does not start: a test that needs it must not pass without it.
pub async fn fresh_database() -> String {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(start);
    let name = format!("test_{}", server.databases.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&server.url("postgres")).await.expect("the test server accepts connections");
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut connection).await.expect("the test server makes a database");
    connection.close().await.expect("the connection closes");
    server.url(&name)
}

impl Server {
    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}

fn start() -> Server {
    let bin = binaries();
    // Another process may take the free port before PostgreSQL does: then another port is tried.
    (0..5).find_map(|_| try_start(&bin)).expect("one of five free ports stays free until PostgreSQL takes it")
}

fn try_start(bin: &Path) -> Option<Server> {
    let folder = tempfile::Builder::new().prefix("theatrum-postgres-").tempdir().expect("a temporary folder");
    let user = unprivileged_user();
    if let Some((uid, gid)) = user {
        chown(folder.path(), Some(uid), Some(gid)).expect("root may give a folder away");
    }
    let command = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir(folder.path()).env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin");
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command
    };
    let mut initdb = command(&bin.join("initdb"));
    initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata=data"]);
    let output = initdb.output().expect("initdb runs");
    assert!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));

    let port = free_port();
    let log = fs::File::create(folder.path().join("log")).expect("a log file");
    let mut guardian = command(Path::new("/bin/sh"));
    guardian.args([OsStr::new("-c"), OsStr::new(GUARDIAN), OsStr::new("guardian"), bin.as_os_str(), folder.path().as_os_str()]);
    guardian.arg(port.to_string()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
    // In a group of its own it outlives a signal to the test's whole group, and can clean up.
    let mut guardian = guardian.process_group(0).spawn().expect("sh runs");
    // From here on the guardian removes the folder: this process may be killed.
    let folder = folder.keep();
    if ready(bin, &folder, port) {
        return Some(Server { port, databases: AtomicU32::new(0), _guardian: guardian });
    }
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    drop(guardian.stdin.take());
    guardian.wait().expect("the guardian ends");
    assert!(log.contains("Address already in use"), "PostgreSQL did not start:\n{log}");
    None
}

/// Waits until the server in `folder` answers; `false` when it ended instead.
fn ready(bin: &Path, folder: &Path, port: u16) -> bool {
    let begun = Instant::now();
    let port = port.to_string();
    while begun.elapsed() < START_LIMIT {
        let mut question = Command::new(bin.join("pg_isready"));
        question.arg("--quiet").arg("--host").arg(folder).args(["--port", &port]);
        if question.status().expect("pg_isready runs").success() {
            return true;
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        if log.contains("FATAL:  could not") || log.contains("database system is shut down") {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20)); // tidy: polling
    }
    false
}

/// The folder of the newest installed PostgreSQL.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let debian = versions.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let version = |bin: &PathBuf| bin.parent().and_then(Path::file_name).and_then(OsStr::to_str).and_then(|name| name.parse::<u32>().ok());
    let usable = |bin: &PathBuf| ["initdb", "postgres", "pg_isready"].iter().all(|name| bin.join(name).is_file());
    let found = debian.chain(elsewhere).filter(usable).max_by_key(version);
    found.expect("this test needs PostgreSQL's server programs: install them (Debian: apt-get install postgresql), then run it again")
}

/// PostgreSQL refuses to run as root: whom to run it as then, by user and group id.
fn unprivileged_user() -> Option<(u32, u32)> {
    let id = |args: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(args).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    let ids = |user: &str| Some((id(&["-u", user])?, id(&["-g", user])?));
    Some(ids("postgres").or_else(|| ids("nobody")).expect("root needs a user to run PostgreSQL as: make one called postgres"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}
