//! What a program in the sandbox cannot do.

use super::*;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;
use theatrum::worker::door::SOURCE_URL;
use theatrum::worker::sandbox::Level;

/// Every line with POSSIBLE in it is a hole.
const ATTACKS: &str = r#"
import os, socket, sys, ctypes
host_port, unix_path, writable, worker = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
def attempt(name, deed):
    try:
        deed()
        print("POSSIBLE", name, flush=True)
    except BaseException as error:
        print("refused", name, type(error).__name__, flush=True)
def tcp(address, port):
    socket.create_connection((address, port), timeout=2)
def raw(number, *args):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *args) == -1:
        raise OSError(ctypes.get_errno(), "syscall")
def unix(path):
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect(path)
attempt("the host's listener", lambda: tcp("127.0.0.1", host_port))
attempt("the internet", lambda: tcp("1.1.1.1", 53))
attempt("a unix socket", lambda: unix(unix_path))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
attempt("ipv6", lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
attempt("a socket pair", lambda: socket.socketpair())
attempt("listening", lambda: socket.socket().bind(("127.0.0.1", 8080)))
attempt("/etc/passwd", lambda: open("/etc/passwd").read())
attempt("/proc", lambda: os.listdir("/proc"))
attempt("the worker's environment", lambda: open(f"/proc/{worker}/environ").read())
attempt("the root folder", lambda: os.listdir("/"))
attempt("writing a file", lambda: open(writable + "/file", "w").write("x"))
attempt("making a folder", lambda: os.mkdir(writable + "/folder"))
attempt("removing a file", lambda: os.unlink(writable + "/keep"))
attempt("changing a mode", lambda: os.chmod(writable + "/keep", 0o777))
attempt("a fork", lambda: os.fork())
attempt("a shell", lambda: os.execv("/bin/sh", ["sh", "-c", "echo POSSIBLE shell"]))
attempt("killing the worker", lambda: os.kill(worker, 0))
attempt("the worker's limits", lambda: __import__("resource").prlimit(worker, 7))
attempt("becoming root", lambda: os.setuid(0))
attempt("an environment", lambda: dict(os.environ)["PATH"])
attempt("more memory for itself", lambda: __import__("resource").setrlimit(2, (1 << 50, 1 << 50)))
# The numbers below are those of x86_64; elsewhere they mean something else.
if os.uname().machine != "x86_64": attempt = lambda name, deed: None
attempt("a user namespace", lambda: raw(272, 0x10000000))
attempt("ptrace", lambda: raw(101, 16, worker, 0, 0))
attempt("io_uring", lambda: raw(425, 1, 0))
attempt("keyctl", lambda: raw(250, 0, -3, 0))
attempt("bpf", lambda: raw(321, 0, 0, 0))
attempt("perf", lambda: raw(298, 0, 0, -1, -1, 0))
attempt("userfaultfd", lambda: raw(323, 0))
attempt("a mount", lambda: raw(165, 0, 0, 0, 0, 0))
print("done", flush=True)
"#;

fn assert_nothing_possible(lines: &[String]) {
    let possible: Vec<&String> = lines.iter().filter(|line| line.starts_with("POSSIBLE")).collect();
    assert!(possible.is_empty(), "{possible:?}");
    assert_eq!(lines.last().map(String::as_str), Some("done"), "{lines:?}");
}

/// A sandbox whose ffprobe is Python.
async fn taken_over(setting: Setting) -> Sandbox {
    let python = std::fs::canonicalize("/usr/bin/python3").expect("python is installed where Theatrum is built");
    sandbox_with(setting, Tools { ffprobe: python, ..tools() }).await
}

async fn attack(sandbox: &Sandbox) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("keep"), "x").expect("a file");
    let unix = folder.path().join("socket");
    let (tcp, _unix) = (TcpListener::bind("127.0.0.1:0").expect("a port"), UnixListener::bind(&unix).expect("a socket"));
    let port = tcp.local_addr().expect("an address").port();
    let mut run = run(Program::Ffprobe, "-I -S -c", Memory(Bytes::new()));
    let (unix, folder) = (unix.display().to_string(), folder.path().display().to_string());
    run.args.extend([ATTACKS.to_owned(), port.to_string(), unix, folder, std::process::id().to_string()]);
    let (finished, lines) = lines(sandbox, run).await;
    assert!(finished.success, "{}: {}", finished.exit, finished.stderr_tail);
    tcp.set_nonblocking(true).expect("a mode");
    assert!(tcp.accept().is_err(), "somebody knocked");
    lines
}

#[tokio::test]
async fn a_program_that_was_taken_over_can_do_nothing() {
    assert_nothing_possible(&attack(&taken_over(Setting::Auto).await).await);
}

/// Without namespaces it is Landlock that keeps it from other ports, from its fourth version (Linux 6.7) on.
#[tokio::test]
async fn without_namespaces_files_and_system_calls_stay_closed() {
    let sandbox = taken_over(Setting::Off).await;
    if sandbox.landlock_abi() >= 4 {
        assert_nothing_possible(&attack(&sandbox).await);
    }
}

#[tokio::test]
async fn ffmpeg_reaches_no_listener_and_no_file_of_the_host() {
    let sandbox = sandbox().await;
    assert_eq!(sandbox.level(), Level::Namespace);
    assert!(sandbox.landlock_abi() >= 1);
    let host = TcpListener::bind("127.0.0.1:0").expect("a port");
    host.set_nonblocking(true).expect("a mode");
    let folder = tempfile::tempdir().expect("a folder");
    let written = folder.path().join("out.wav");
    let port = host.local_addr().expect("an address").port();
    for (input, output, told) in [
        (format!("http://127.0.0.1:{port}/"), "-f null -".to_owned(), "Permission denied"),
        ("/etc/passwd".to_owned(), "-f null -".to_owned(), "Permission denied"),
        (SOURCE_URL.to_owned(), written.display().to_string(), "Permission denied"),
        ("http://example.com/".to_owned(), "-f null -".to_owned(), "Failed to resolve hostname"),
    ] {
        let run = ffmpeg(&format!("-f u8 -ar 8000 -ac 1 -i {input} {output}"), Memory(Bytes::from(vec![0; 800])));
        let finished = finish(&sandbox, run).await.expect("a run");
        assert!(!finished.success, "{input}");
        assert!(finished.stderr_tail.contains(told), "{input}: {}", finished.stderr_tail);
    }
    assert!(host.accept().is_err(), "somebody knocked");
    assert!(!written.exists());
}

#[tokio::test]
async fn ffmpeg_inherits_three_pipes_and_no_more() {
    let sandbox = sandbox().await;
    // What a make jobserver or a shell would leave open, without close-on-exec.
    let leaked = std::fs::File::open("/proc/self/status").expect("a file");
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).expect("a flag");
    let (asked, mut reads) = mpsc::unbounded_channel();
    let marker = &marked("inherited-descriptors");
    let running = tokio::spawn({
        let (sandbox, run) = (sandbox.clone(), ffmpeg(&format!("-i {SOURCE_URL} -f null {marker}"), Stuck(asked)));
        async move { finish(&sandbox, run).await }
    });
    reads.recv().await.expect("ffmpeg reads its source");

    let process = process_marked(marker).expect("it runs");
    let mut open: Vec<String> = std::fs::read_dir(process.join("fd"))
        .expect("descriptors")
        .map(|entry| std::fs::read_link(entry.expect("a descriptor").path()).expect("its name").display().to_string())
        .map(|name| name.split(':').next().unwrap_or_default().to_owned())
        .collect();
    open.sort();
    assert_eq!(open, ["/dev/null", "pipe", "pipe", "socket"]);
    assert_eq!(std::fs::read(process.join("environ")).expect("an environment"), b"");
    assert_ne!(std::fs::read_link(process.join("ns/net")).unwrap(), std::fs::read_link("/proc/self/ns/net").unwrap());

    let status = std::fs::read_to_string(process.join("status")).expect("a status");
    for line in ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    assert!(!status.contains("Uid:\t0"), "{status}");
    running.abort();
    until(|| process_marked(marker).is_none()).await;
}

/// All of the above as somebody without privileges; the rest of the suite may run as root.
#[tokio::test]
async fn an_unprivileged_user_has_the_same_sandbox() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir().expect("a folder");
    let copy = |from: &Path, name: &str| {
        let to = folder.path().join(name);
        std::fs::copy(from, &to).expect("room for a copy");
        to
    };
    let (helper, tests) = (copy(&helper(), "theatrum"), copy(&std::env::current_exe().expect("a path"), "it"));
    for test in ["a_program_that_was_taken_over_can_do_nothing", "ffmpeg_inherits_three_pipes_and_no_more"] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&tests);
        command.args(["--exact", &format!("sandbox::confinement::{test}")]).env(HELPER_VARIABLE, &helper).current_dir("/");
        let told = command.output().expect("setpriv is part of util-linux");
        let text = String::from_utf8_lossy(&told.stdout);
        assert!(told.status.success() && text.contains("1 passed"), "{text}");
    }
}
