//! `theatrum serve` as a child process on a folder of its own, stopped and removed with its owner.

use super::small_disk::SmallDisk;
use serde_json::Value;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_theatrum");
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A server that can be killed and started again on the same data.
pub struct Server {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
    child: Option<Child>,
    /// Its data folder, if that is a file system of its own.
    pub disk: Option<SmallDisk>,
    is_spoiled: AtomicBool,
}

impl Server {
    /// A running server with default settings but a short life of refused sources: none.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A running server with these variables besides.
    pub fn start_with(variables: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare(variables);
        server.restart(&[]);
        server
    }

    /// A folder for a server that does not run yet.
    pub fn prepare(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("theatrum-test-").tempdir().expect("a temporary folder");
        // How much room the machine has that runs the tests is its own affair.
        let own = [("THEATRUM_PROCESSING__KEEP_REFUSED", "0"), ("THEATRUM_STORAGE__RESERVE_BYTES", "0")];
        let mut own: Vec<_> = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        own.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self { folder, variables: own, child: None, disk: None, is_spoiled: AtomicBool::new(false) }
    }

    /// As [`Server::prepare`], with its data on a disk of `size_bytes`.
    pub fn on_small_disk(size_bytes: u64, variables: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare(variables);
        server.disk = Some(SmallDisk::new(&server.place(), size_bytes));
        server
    }

    /// The disk of [`Server::on_small_disk`].
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("a server on a disk of its own")
    }

    /// Starts the server (again) and waits until it is ready; `once` are variables of this life only.
    pub fn restart(&mut self, once: &[(&str, &str)]) {
        self.spawn(once);
        self.wait_ready();
    }

    /// Starts the server (again) with variables that it keeps in its later lives.
    pub fn restart_always(&mut self, variables: &[(&str, &str)]) {
        self.variables.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.restart(&[]);
    }

    /// The variables it is given in each life.
    pub fn variables(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }

    /// Starts the server (again) without waiting.
    pub fn spawn(&mut self, once: &[(&str, &str)]) {
        self.kill();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log file");
        let mut command = self.program();
        command.args(["serve", "--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0", "--data"]).arg(self.place());
        command.envs(self.variables.iter().cloned()).envs(once.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("the server starts"));
    }

    fn wait_ready(&mut self) {
        assert!(self.wait_ready_or_killed(), "the server was killed at start:\n{}", self.log());
    }

    /// Waits until it is ready, or is killed as a failpoint does; whether it lives.
    pub fn wait_ready_or_killed(&mut self) -> bool {
        let begun = Instant::now();
        loop {
            if self.announcement().is_some_and(|found| found["pid"] == self.pid() && found["url"].as_str().is_some_and(ready)) {
                return true;
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child to ask"));
            if ended.is_some_and(|status| status.signal() == Some(libc::SIGKILL)) {
                self.child = None;
                return false;
            }
            assert!(ended.is_none(), "the server ended at start ({ended:?}):\n{}", self.log());
            assert!(begun.elapsed() < READY_WITHIN, "the server did not become ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20)); // tidy: polling
        }
    }

    /// Its data folder, as the test sees it.
    pub fn data(&self) -> PathBuf {
        self.disk.as_ref().map_or_else(|| self.place(), SmallDisk::inside)
    }

    /// Its data folder, as the server sees it.
    fn place(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A place for the test's own files, removed with the server.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// What it logged in all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Says that the test damages what is published; else [`super::checklist`] is gone through when the server goes.
    pub fn spoiled(&self) {
        self.is_spoiled.store(true, Relaxed);
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// Whether the process lives.
    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("a child to ask").is_none())
    }

    /// Kills it as `kill -9` does, if it lives.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits for it to end by itself, for `longest` at most; gives its exit code, `None` after a signal.
    pub fn wait_end(&mut self, longest: Duration) -> Option<i32> {
        self.wait_status(longest).code()
    }

    /// Waits until a failpoint kills it as `kill -9` does.
    pub fn wait_killed(&mut self, longest: Duration) {
        assert_eq!(self.wait_status(longest).signal(), Some(libc::SIGKILL), "{}", self.log());
    }

    fn wait_status(&mut self, longest: Duration) -> ExitStatus {
        let begun = Instant::now();
        let child = self.child.as_mut().expect("a running server");
        loop {
            if let Some(status) = child.try_wait().expect("a child to ask") {
                self.child = None;
                return status;
            }
            assert!(begun.elapsed() < longest, "the server did not end within {longest:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20)); // tidy: polling
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }

    /// What the newest server said of itself; one that was killed left it behind.
    fn announcement(&self) -> Option<Value> {
        serde_json::from_str(&fs::read_to_string(self.data().join("server.json")).ok()?).ok()
    }

    /// Where its page and API are.
    pub fn url(&self) -> String {
        self.announced("url")
    }

    /// Where its S3 endpoint is.
    pub fn s3_url(&self) -> String {
        self.announced("s3_url")
    }

    /// What it announces of itself in server.json.
    pub fn announced(&self, field: &str) -> String {
        let found = self.announcement().expect("a running server announces itself");
        found[field].as_str().expect("a text").to_owned()
    }

    /// The administrator's access token.
    pub fn admin_token(&self) -> String {
        fs::read_to_string(self.data().join("admin.token")).expect("an admin token").trim().to_owned()
    }

    /// The command line, aimed at this server, with a state folder of its own.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program();
        command.args(args).env("THEATRUM_DATA", self.place()).env("XDG_STATE_HOME", self.scratch().join("state"));
        command.env_remove("THEATRUM_URL").env_remove("THEATRUM_TOKEN").env_remove("THEATRUM_CA_FILE").stdin(Stdio::null());
        command
    }

    /// The program where its data is seen.
    fn program(&self) -> Command {
        self.disk.as_ref().map_or_else(|| Command::new(PROGRAM), |disk| disk.command(PROGRAM))
    }

    /// Runs the command line to its end.
    pub fn cli(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the command line runs")
    }

    /// An access token made by the command line.
    pub fn token(&self, role: &str, subject: &str) -> String {
        let output = self.cli(&["token", "issue", "--role", role, "--subject", subject]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").lines().last().expect("a token").to_owned()
    }

    /// Publishes a file to its end; gives the line of `--json`, whatever it says.
    pub fn publish(&self, file: &Path) -> Value {
        let output = self.command(&["publish", "--json"]).arg(file).output().expect("the command line runs");
        let line = String::from_utf8(output.stdout).expect("text");
        serde_json::from_str(line.trim())
            .unwrap_or_else(|error| panic!("{error}: {line:?}\n{}\n{}", String::from_utf8_lossy(&output.stderr), self.log()))
    }

    /// Publishes a file that must become ready; gives its playback URL.
    pub fn publish_ready(&self, file: &Path) -> String {
        let answer = self.publish(file);
        assert_eq!(answer["state"], "ready", "{}: {answer}\n{}", file.display(), self.log());
        answer["playback_url"].as_str().expect("a playback url").to_owned()
    }

    /// Asks the API as the administrator; panics unless it answers with JSON.
    pub async fn get(&self, path: &str) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client.get(format!("{}{path}", self.url())).bearer_auth(self.admin_token()).send().await.expect("an answer");
        answer.json().await.expect("json")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server before its disk.
        self.kill();
        if !self.is_spoiled.load(Relaxed) && !std::thread::panicking() {
            super::checklist::assert_published(&self.data());
        }
    }
}

fn ready(url: &str) -> bool {
    use std::io::{Read, Write};
    if url.starts_with("https://") {
        // Whoever asks only whether someone is there need not know whom.
        let mut curl = Command::new("curl");
        curl.args(["--fail", "--silent", "--insecure", "--noproxy", "*", "--output", "/dev/null"]).arg(format!("{url}/readyz"));
        return curl.status().is_ok_and(|status| status.success());
    }
    let Some(address) = url.strip_prefix("http://") else { return false };
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let asked = stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes());
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}
