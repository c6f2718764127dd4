//! Bad files are refused or contained: a clear cause in time, no packet, no look beside the source, nothing left behind.

use super::decode::decode;
use crate::support::player::{Player, Stream};
use crate::support::samples::corpus;
use crate::support::server::Server;
use rustix::fs::inotify;
use rustix::io::Errno;
use serde_json::Value;
use std::fs;
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Where the samples' network references go.
const CANARY_ADDRESS: &str = "127.0.0.1:18099";
/// What the samples' file references name.
const CANARY_FILES: [&str; 2] = ["/tmp/vod-canary.txt", "/tmp/vod-canary.mp4"];
const LONGEST: Duration = Duration::from_secs(60);

/// Tier: `make test`. "Every file of `media/bad` ends as `media/bad/EXPECT.tsv` says, within 60 s; server alive; nothing on the canary port; no
/// canary file opened; no blob left of a refused one."
///
/// invariant 7: ffmpeg is hostile: it reaches nothing but its source.
/// invariant 5: degrade before failing: what is cut short is published as far as it goes, marked truncated.
/// invariant 4: every job ends: after the last file none waits or runs, and none died.
#[test]
fn every_bad_file_ends_as_expected() {
    let traps = Traps::set();
    let mut server = Server::start();
    let house = House { token: server.admin_token(), url: server.url(), player: Player::new() };
    let mut complaints = Vec::new();
    for (file, expected) in expectations() {
        let begun = Instant::now();
        let answer = publish_within(&server, &file);
        println!("{}: {:.1} s, {answer}", file.display(), begun.elapsed().as_secs_f64());
        if let Err(complaint) = house.judge(&server, &answer, &expected) {
            complaints.push(format!("{}: {complaint}; {answer}", file.display()));
        }
    }
    assert!(complaints.is_empty(), "{}\n{}", complaints.join("\n"), server.log());
    assert!(server.is_alive(), "{}", server.log());
    let jobs = house.ask("/v1/jobs");
    let ends = jobs["jobs"].as_array().expect("jobs").iter().map(|job| job["state"].as_str().expect("a state"));
    assert!(ends.clone().all(|state| matches!(state, "done" | "cancelled")), "{jobs}");
    assert!(ends.count() > 0, "no jobs: {jobs}");
    traps.assert_untouched();
}

/// Each file of `bad` with its line of EXPECT.tsv.
fn expectations() -> Vec<(PathBuf, String)> {
    let files = corpus("bad");
    let table = fs::read_to_string(files[0].with_file_name("EXPECT.tsv")).expect("EXPECT.tsv beside the files");
    let rows: Vec<(&str, &str)> = table.lines().filter_map(|line| line.split_once('\t')).collect();
    let expected = |file: &Path| {
        let name = file.file_name().expect("a name").to_string_lossy();
        let row = rows.iter().find(|(prefix, _)| name.starts_with(&format!("{prefix}_")));
        row.unwrap_or_else(|| panic!("EXPECT.tsv has no line for {name}")).1.to_owned()
    };
    files.into_iter().map(|file| (file.clone(), expected(&file))).collect()
}

/// Publishes a file that must come to its end in time; gives the line of `--json`.
pub fn publish_within(server: &Server, file: &Path) -> Value {
    let mut command = server.command(&["publish", "--json"]);
    let mut child = command.arg(file).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the command line runs");
    let begun = Instant::now();
    while child.try_wait().expect("a child to ask").is_none() {
        if begun.elapsed() > LONGEST {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{} took longer than {LONGEST:?}:\n{}", file.display(), server.log());
        }
        std::thread::sleep(Duration::from_millis(20)); // tidy: polling
    }
    let output = child.wait_with_output().expect("an output");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    let wanted_exit = if answer["state"] == "ready" { 0 } else { 1 };
    assert_eq!(output.status.code(), Some(wanted_exit), "{answer}");
    answer
}

struct House {
    player: Player,
    url: String,
    token: String,
}

impl House {
    fn ask(&self, path: &str) -> Value {
        serde_json::from_slice(&self.player.get(&format!("{}{path}", self.url), Some(&self.token)).body).expect("json")
    }

    fn judge(&self, server: &Server, answer: &Value, expected: &str) -> Result<(), String> {
        let (wanted, why) = expected.split_once('\t').unwrap_or((expected, ""));
        let state = answer["state"].as_str().unwrap_or("none");
        match (wanted, state) {
            ("refused" | "either", "refused") => self.judge_refused(server, answer),
            ("published" | "either", "ready") => self.judge_published(answer, why),
            _ => Err(format!("expected {expected:?}")),
        }
    }

    /// A stable code and a sentence; the probe is done, not dead; no blob is left.
    fn judge_refused(&self, server: &Server, answer: &Value) -> Result<(), String> {
        let (code, message) = (answer["code"].as_str().unwrap_or(""), answer["message"].as_str().unwrap_or(""));
        if code.is_empty() || !code.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-') {
            return Err(format!("{code:?} is no kebab-case code"));
        }
        if message.split_whitespace().count() < 4 {
            return Err(format!("{message:?} explains nothing"));
        }
        // A file refused before its first byte was sent has no video.
        let Some(video) = answer["video"].as_str() else { return Ok(()) };
        let shown = self.ask(&format!("/v1/videos/{video}"));
        if shown["state"] != "refused" || shown["refusal"]["code"] != code {
            return Err(format!("the API says {shown}"));
        }
        let jobs = self.ask(&format!("/v1/jobs?video={video}"));
        let probe = jobs["jobs"].as_array().into_iter().flatten().find(|job| job["kind"] == "probe");
        if probe.is_none_or(|probe| probe["state"] != "done") {
            return Err(format!("the probe is not done: {jobs}"));
        }
        wait_without_blobs(&server.data().join("blobs"), video)
    }

    /// It plays; what is cut short is said to be.
    fn judge_published(&self, answer: &Value, why: &str) -> Result<(), String> {
        let stream: Stream = self.player.open(answer["playback_url"].as_str().unwrap_or(""));
        let decoded = decode(&stream.top().url);
        let pictures = decoded.picture.map_or(0, |track| track.times.len());
        println!("    {pictures} pictures");
        if pictures == 0 {
            return Err("no picture of it decodes".to_owned());
        }
        let video = self.ask(&format!("/v1/videos/{}", answer["video"].as_str().unwrap_or("")));
        if why.starts_with("truncated") && video["truncated"] != true {
            return Err(format!("not marked truncated: {video}"));
        }
        let promised = why.strip_prefix("truncated, ").and_then(|text| text.split(' ').next()?.parse::<usize>().ok());
        match promised {
            Some(promised) if promised != pictures => Err(format!("{pictures} pictures, not {promised}")),
            _ => Ok(()),
        }
    }
}

/// Waits until no file under `blobs` belongs to `video`.
fn wait_without_blobs(blobs: &Path, video: &str) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let left: Vec<PathBuf> =
            super::secrets::files(blobs).into_iter().filter(|path| path.components().any(|part| part.as_os_str() == video)).collect();
        if left.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > LONGEST {
            return Err(format!("blobs are left: {left:?}"));
        }
        std::thread::sleep(Duration::from_millis(50)); // tidy: polling
    }
}

/// Listens where the samples point. One test run at a time may: the port also guards the canary files, so a second run waits its turn.
fn bind_alone() -> TcpListener {
    let begun = Instant::now();
    loop {
        match TcpListener::bind(CANARY_ADDRESS) {
            Ok(listener) => return listener,
            Err(error) => assert!(begun.elapsed() < 4 * LONGEST, "{CANARY_ADDRESS} is taken: {error}"),
        }
        std::thread::sleep(Duration::from_millis(100)); // tidy: polling
    }
}

/// What a program that follows references would touch.
struct Traps {
    listener: TcpListener,
    watch: OwnedFd,
}

impl Traps {
    fn set() -> Self {
        let listener = bind_alone();
        listener.set_nonblocking(true).expect("a listener that answers at once");
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).expect("inotify");
        for path in CANARY_FILES {
            fs::write(path, format!("canary of {path}\n")).expect("a canary file");
            inotify::add_watch(&watch, path, inotify::WatchFlags::OPEN | inotify::WatchFlags::ACCESS).expect("a watch");
        }
        Self { listener, watch }
    }

    /// Nothing came; and what does come is noticed.
    fn assert_untouched(&self) {
        assert!(!self.was_called(), "something connected to {CANARY_ADDRESS}");
        assert!(!self.was_opened(), "something opened one of {CANARY_FILES:?}");
        let _caller = TcpStream::connect(CANARY_ADDRESS).expect("the canary port answers");
        assert!(self.was_called(), "the listener is deaf");
        for path in CANARY_FILES {
            fs::read(path).expect("a canary file");
            assert!(self.was_opened(), "the watch on {path} is blind");
        }
    }

    fn was_called(&self) -> bool {
        self.listener.accept().is_ok()
    }

    fn was_opened(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 512];
        let mut reader = inotify::Reader::new(&self.watch, &mut buffer);
        let mut seen = false;
        loop {
            match reader.next() {
                Ok(_) => seen = true,
                Err(Errno::AGAIN) => return seen,
                Err(error) => panic!("the watch cannot be read: {error}"),
            }
        }
    }
}

impl Drop for Traps {
    fn drop(&mut self) {
        for path in CANARY_FILES {
            let _ = fs::remove_file(path);
        }
    }
}
