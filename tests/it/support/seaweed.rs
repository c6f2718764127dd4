//! SeaweedFS for tests: a real S3 server in a temporary folder, one for the whole test process, gone with it.

use super::ports::free_ports;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(60);
const KEY: &str = "AKIDTHEATRUM";
const SECRET: &str = "a-secret-for-tests-only";

/// Runs the server until its standard input ends, which happens however the test process dies: nothing else holds the other end.
const GUARDIAN: &str = r#"
trap '' INT TERM HUP
folder=$1
shift
"$@" >"$folder/log" 2>&1 </dev/null &
server=$!
read -r _
kill -KILL "$server"
wait "$server"
cd / && rm -rf "$folder"
"#;

struct Server {
    endpoint: String,
    master: String,
    buckets: AtomicU32,
    // Held, never read: the guardian waits for its standard input to end.
    _guardian: Child,
}

/// A fresh bucket.
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Where the S3 is.
    pub endpoint: String,
}

impl Bucket {
    /// What AWS's clients take from the environment.
    pub fn credentials() -> [(&'static str, &'static str); 3] {
        [("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_REGION", "us-east-1")]
    }
}

/// A fresh, empty bucket on the process's server, which the first call starts.
///
/// # Panics
/// When SeaweedFS is not installed (`scripts/setup test` does that) or does not start: a test that needs it must not pass without it.
pub fn fresh_bucket() -> Bucket {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(start);
    let name = format!("house-{}", server.buckets.fetch_add(1, Ordering::Relaxed));
    let mut shell = Command::new("weed");
    shell.args(["shell", &format!("-master={}", server.master)]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut shell = shell.spawn().expect("weed runs");
    let mut stdin = shell.stdin.take().expect("piped");
    writeln!(stdin, "s3.bucket.create -name {name}").expect("written");
    drop(stdin);
    let begun = Instant::now();
    while shell.try_wait().expect("a child to ask").is_none() {
        assert!(begun.elapsed() < START_LIMIT || shell.kill().is_err(), "SeaweedFS made no bucket");
        std::thread::sleep(Duration::from_millis(20)); // tidy: polling
    }
    Bucket { name, endpoint: server.endpoint.clone() }
}

fn start() -> Server {
    let folder = tempfile::Builder::new().prefix("theatrum-seaweed-").tempdir().expect("a temporary folder").keep();
    let identity = format!(
        r#"{{"identities":[{{"name":"test","credentials":[{{"accessKey":"{KEY}","secretKey":"{SECRET}"}}],"actions":["Admin","Read","Write","List"]}}]}}"#
    );
    fs::write(folder.join("s3.json"), identity).expect("written");
    let [master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc] = free_ports();
    let mut guardian = Command::new("/bin/sh");
    guardian.args(["-c", GUARDIAN, "guardian"]).arg(&folder).args(["weed", "-logtostderr=true", "server", "-ip=127.0.0.1"]);
    guardian.arg(format!("-dir={}", folder.display())).arg(format!("-s3.config={}", folder.join("s3.json").display()));
    guardian.args(["-s3", "-volume.max=100", "-master.volumeSizeLimitMB=64"]);
    // What has a fixed port of its own, or speaks to the world, stays off.
    guardian.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]);
    for (name, port) in [("master", master), ("volume", volume), ("filer", filer), ("s3", s3)] {
        guardian.arg(format!("-{name}.port={port}"));
    }
    for (name, port) in [("master", master_grpc), ("volume", volume_grpc), ("filer", filer_grpc), ("s3", s3_grpc)] {
        guardian.arg(format!("-{name}.port.grpc={port}"));
    }
    // In a group of its own it outlives a signal to the test's whole group, and can clean up.
    let guardian = guardian.stdin(Stdio::piped()).process_group(0).spawn().expect("sh runs");
    wait_until_it_answers(s3, &folder);
    let (endpoint, master) = (format!("http://127.0.0.1:{s3}"), format!("127.0.0.1:{master}.{master_grpc}"));
    Server { endpoint, master, buckets: AtomicU32::new(0), _guardian: guardian }
}

fn wait_until_it_answers(port: u16, folder: &Path) {
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(begun.elapsed() < START_LIMIT, "SeaweedFS did not start (is it installed? scripts/setup test):\n{log}");
        std::thread::sleep(Duration::from_millis(50)); // tidy: polling
    }
}
