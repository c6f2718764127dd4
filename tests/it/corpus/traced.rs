//! The hostile corpus with every system call looked at: what the sandboxed programs of all jobs ask the kernel for, by strace(1).

use super::bad::publish_within;
use crate::support::clips::clip;
use crate::support::player::Player;
use crate::support::samples::corpus;
use crate::support::server::Server;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the loader and the C library read; nothing of it is the job's, or anybody's data.
const READABLE: [&str; 10] = [
    "/lib/",
    "/lib64/",
    "/usr/lib/",
    "/usr/lib64/",
    "/usr/local/lib/",
    "/etc/ld.so.cache",
    "/dev/null",
    "/dev/urandom",
    "/sys/devices/system/cpu",
    "/nix/store/",
];
/// The door, as strace writes it: port 80 of a network in which there is nothing else.
const DOOR: &str = "sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")";
/// System calls that change a file system, by the beginnings of their names.
const CHANGES: [&str; 12] =
    ["creat", "mkdir", "rmdir", "unlink", "rename", "link", "symlink", "mknod", "truncate", "chmod", "chown", "mount"];
const LONGEST: Duration = Duration::from_secs(60);

/// Tier: `make test-all`. "The hostile corpus again under strace: zero connections, zero opens outside the job's folder, every job ends." A program in
/// the sandbox connects to the door and to nothing else, opens what [`READABLE`] lists and nothing else, and changes nothing.
///
/// invariant 7: ffmpeg is hostile: what it is led to by its input, it does not even ask for.
#[test]
#[ignore = "each system call is stopped at: make test-all"]
fn no_job_reaches_for_anything_but_its_door() {
    let server = Server::start();
    let folder = server.scratch().join("trace");
    fs::create_dir(&folder).expect("a folder");
    let mut files = corpus("bad");
    files.extend(made(server.scratch()));
    files.push(clip(server.scratch(), "good.mp4"));
    let tracer = Tracer::attach(&server, &folder);
    for file in &files {
        let answer = publish_within(&server, file);
        println!("{}: {} {}", file.display(), answer["state"], answer["code"]);
    }
    assert_all_ended(&server);
    let calls = tracer.detach();
    let programs: BTreeSet<&str> = calls.iter().map(|call| call.program.as_str()).collect();
    println!("{} calls of {} processes", calls.len(), calls.iter().map(|call| call.pid).collect::<BTreeSet<_>>().len());
    assert_eq!(programs, BTreeSet::from(["ffmpeg", "ffprobe"]), "both were traced");
    assert!(calls.iter().filter(|call| call.name == "connect").count() >= files.len(), "the trace is blind to connections");
    assert!(calls.iter().any(|call| call.name.starts_with("open") && call.succeeded()), "the trace is blind to opens");
    let holes: Vec<String> = calls.iter().filter_map(Call::hole).collect();
    assert!(holes.is_empty(), "{}", holes.join("\n"));
}

/// Files that lead readers astray, beside those of the corpus.
fn made(folder: &Path) -> Vec<PathBuf> {
    let film = fs::read(clip(folder, "whole.mp4")).expect("a clip");
    // A data reference that says the media are in another file (ISO/IEC 14496-12 §8.7.2).
    let mut elsewhere = film.clone();
    let at = film.windows(8).position(|window| window == b"url \0\0\0\x01").expect("a data reference");
    elsewhere[at + 7] = 0;
    let hls =
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI=\"file:///etc/shadow\"\n#EXTINF:4,\nrtsp://127.0.0.1:18099/a\n";
    let boxed = [&(hls.len() as u32 + 8).to_be_bytes(), b"free".as_slice(), hls.as_bytes()].concat();
    let texts: [(&str, Vec<u8>); 9] = [
        ("playlist.mp4", hls.into()),
        ("playlist-behind-a-box.mp4", [b"\0\0\0\x08ftyp", hls.as_bytes()].concat()),
        ("playlist-in-a-box.mp4", [boxed, film].concat()),
        ("concat.mp4", b"ffconcat version 1.0\nfile file:///etc/passwd\nfile http://127.0.0.1:18099/a.mp4\n".to_vec()),
        ("session.mp4", b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 18099 RTP/AVP 96\r\n".to_vec()),
        ("redirect.mp4", b"[Reference]\r\nRef1=rtsp://127.0.0.1:18099/a\r\nRef2=file:///etc/passwd\r\n".to_vec()),
        ("redirect.asx", b"<asx version=\"3.0\"><entry><ref href=\"mms://127.0.0.1:18099/a\"/></entry></asx>".to_vec()),
        ("subtitles.mkv", b"\x1a\x45\xdf\xa3\x84\x42\x82\x81m subfile,,start,0,end,9,,:/etc/passwd".to_vec()),
        ("elsewhere.mp4", elsewhere),
    ];
    texts
        .map(|(name, content)| {
            let path = folder.join(name);
            fs::write(&path, content).expect("a file");
            path
        })
        .into()
}

/// invariant 4: every job ends.
fn assert_all_ended(server: &Server) {
    let (player, begun) = (Player::new(), Instant::now());
    loop {
        let answer = player.get(&format!("{}/v1/jobs", server.url()), Some(&server.admin_token()));
        let jobs: Value = serde_json::from_slice(&answer.body).expect("json");
        let jobs = jobs["jobs"].as_array().expect("jobs");
        assert!(!jobs.is_empty());
        if jobs.iter().all(|job| matches!(job["state"].as_str(), Some("done" | "cancelled"))) {
            return;
        }
        assert!(begun.elapsed() < LONGEST, "{jobs:?}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(50)); // tidy: polling
    }
}

/// strace, attached to a server and to everything it starts.
struct Tracer<'a> {
    strace: Child,
    folder: &'a Path,
}

/// A system call of a program in the sandbox.
struct Call {
    pid: u32,
    program: String,
    name: String,
    line: String,
}

impl<'a> Tracer<'a> {
    fn attach(server: &Server, folder: &'a Path) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-ff", "-qq", "-s", "256", "-e", "trace=%file,%network,%process", "-e", "signal=none", "-o"]);
        command.arg(folder.join("calls")).args(["-p", &server.pid().to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
        let strace = command.spawn().expect("strace is installed by scripts/setup test");
        let begun = Instant::now();
        while !is_traced(server.pid()) {
            assert!(begun.elapsed() < LONGEST, "strace does not attach: may this user trace its own processes?");
            std::thread::sleep(Duration::from_millis(10)); // tidy: polling
        }
        Self { strace, folder }
    }

    /// Every call that was seen since then.
    fn detach(mut self) -> Vec<Call> {
        let strace = rustix::process::Pid::from_child(&self.strace);
        rustix::process::kill_process(strace, rustix::process::Signal::INT).expect("strace runs");
        self.strace.wait().expect("its end");
        let traces = fs::read_dir(self.folder).expect("a folder").flatten().filter_map(|entry| {
            let pid = entry.path().extension()?.to_str()?.parse().ok()?;
            Some((pid, String::from_utf8_lossy(&fs::read(entry.path()).ok()?).into_owned()))
        });
        calls(&traces.collect())
    }
}

impl Drop for Tracer<'_> {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

/// Whether each of its threads has a tracer.
fn is_traced(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    tasks.into_iter().all(|task| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
    })
}

/// What the traces say of ffmpeg and ffprobe, from their execution on, and of the threads that they started.
fn calls(traces: &BTreeMap<u32, String>) -> Vec<Call> {
    let mut calls = Vec::new();
    for (&pid, trace) in traces {
        let Some((program, lines)) = sandboxed(trace) else { continue };
        follow(traces, pid, &program, lines, &mut calls);
    }
    calls
}

/// The program that a process became, and what it called from then on.
fn sandboxed(trace: &str) -> Option<(String, Vec<&str>)> {
    let lines: Vec<&str> = trace.lines().collect();
    let becomes = |line: &str| {
        let path = line.strip_prefix("execve(\"").filter(|_| line.ends_with("= 0"))?.split('"').next()?;
        path.rsplit('/').next().filter(|name| name.starts_with("ff")).map(str::to_owned)
    };
    let (at, program) = lines.iter().enumerate().find_map(|(at, line)| Some((at, becomes(line)?)))?;
    Some((program, lines[at + 1..].to_vec()))
}

fn follow(traces: &BTreeMap<u32, String>, pid: u32, program: &str, lines: Vec<&str>, calls: &mut Vec<Call>) {
    for line in lines {
        let Some((name, _)) =
            line.split_once('(').filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        else {
            continue;
        };
        calls.push(Call { pid, program: program.to_owned(), name: name.to_owned(), line: line.to_owned() });
        let child = name.starts_with("clone").then(|| line.rsplit("= ").next()?.trim().parse::<u32>().ok()).flatten();
        if let Some(trace) = child.and_then(|child| traces.get(&child)) {
            follow(traces, child.unwrap_or(pid), program, trace.lines().collect(), calls);
        }
    }
}

impl Call {
    fn succeeded(&self) -> bool {
        !self.line.contains(") = -1 ")
    }

    /// What is wrong with it, if anything.
    fn hole(&self) -> Option<String> {
        let is_wrong = match self.name.as_str() {
            // Not even an attempt, at the door's address apart.
            "connect" => !self.line.contains(DOOR),
            "sendto" | "sendmsg" => self.line.contains("sa_family"),
            "bind" | "listen" | "accept" | "accept4" | "socketpair" | "execve" | "execveat" | "fork" | "vfork" => self.succeeded(),
            "socket" => self.succeeded() && !self.line.starts_with("socket(AF_INET, SOCK_STREAM"),
            name if name.starts_with("open") => self.succeeded() && !self.is_harmless_open(),
            name if CHANGES.iter().any(|change| name.trim_start_matches(['l', 'f']).starts_with(change)) => self.succeeded(),
            _ => false,
        };
        is_wrong.then(|| format!("{} {}: {}", self.program, self.pid, self.line))
    }

    fn is_harmless_open(&self) -> bool {
        let path = self.line.split('"').nth(1).unwrap_or_default();
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| self.line.contains(flag)) && path != "/dev/null";
        !writes && !path.contains("..") && READABLE.iter().any(|prefix| path.starts_with(prefix))
    }
}

#[test]
fn what_would_be_a_hole_is_seen_as_one() {
    let call = |line: &str| Call {
        pid: 1,
        program: "ffmpeg".to_owned(),
        name: line.split('(').next().expect("a name").to_owned(),
        line: line.to_owned(),
    };
    for line in [
        "connect(4, {sa_family=AF_INET, sin_port=htons(18099), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = -1 EACCES (Permission denied)",
        "connect(4, {sa_family=AF_UNIX, sun_path=\"/var/run/nscd/socket\"}, 110) = -1 ENOENT (No such file or directory)",
        "openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY) = 5",
        "openat(AT_FDCWD, \"/usr/lib/x\", O_RDWR) = 5",
        "openat(AT_FDCWD, \"/usr/lib/../../etc/passwd\", O_RDONLY) = 5",
        "unlink(\"/tmp/x\") = 0",
        "fchmod(3, 0777) = 0",
        "socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP) = 3",
        "execve(\"/bin/sh\", [\"sh\"], 0x0) = 0",
        "sendto(4, \"x\", 1, 0, {sa_family=AF_INET, sin_port=htons(53)}, 16) = 1",
    ] {
        assert!(call(line).hole().is_some(), "{line}");
    }
    for line in [
        "connect(4, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = -1 EINPROGRESS (Operation now in progress)",
        "openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY) = -1 EACCES (Permission denied)",
        "openat(AT_FDCWD, \"/lib/x86_64-linux-gnu/libc.so.6\", O_RDONLY|O_CLOEXEC) = 3",
        "socket(AF_UNIX, SOCK_STREAM, 0) = -1 EPERM (Operation not permitted)",
        "sendto(4, \"GET / HTTP/1.1\", 99, MSG_NOSIGNAL, NULL, 0) = 99",
    ] {
        assert_eq!(call(line).hole(), None, "{line}");
    }
}
