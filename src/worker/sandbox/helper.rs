//! The helper: this very program, started again for one run, which gives up every right it has and then becomes ffmpeg.
//!
//! It is single-threaded and does its work in an order that matters: descriptors, namespaces and the listener (they need rights),
//! identity (rights go), the tie to the worker (a change of identity cuts it), limits, files, system calls, and at last `exec`.

use super::orders::{self, Answer, Orders};
use super::{HELPER, Level, ffi, files, loopback, syscalls};
use rustix::process::{Gid, Resource, Rlimit, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, exit};
use std::{env, fs, io};

/// The id of `nobody`: an identity that owns nothing.
const NOBODY: u32 = 65534;
/// ffmpeg holds a few connections, three pipes and a library or two at a time.
const OPEN_FILES: u64 = 256;
/// The worker stops ffmpeg at its limit of processor time; the kernel, should the worker be stuck, this much later.
const CPU_GRACE_S: u64 = 5;
/// Address space beyond private memory: libraries, and what the allocator reserves for each thread without using it.
const RESERVED_BYTES: u64 = 8 << 30;
/// The kernel's out-of-memory killer shall take ffmpeg, not the server.
const OOM_SCORE_ADJUSTMENT: &str = "800";
/// The exit code of a helper that could not become ffmpeg.
const NOT_STARTED: i32 = 125;

/// Becomes the sandbox helper if the process was started as one, and then never returns. Call it first in `main`, before any thread
/// exists.
pub fn enter_if_asked() {
    let mut args = env::args_os().skip(1);
    if args.next().as_deref() == Some(OsStr::new(HELPER)) {
        let Err(message) = serve(args);
        eprintln!("{message}");
        exit(NOT_STARTED);
    }
}

fn serve(mut args: impl Iterator<Item = OsString>) -> Result<Infallible, String> {
    let worker = take_wire().map_err(|error| format!("{HELPER} is started by theatrum itself, not by hand: {error}"))?;
    let outcome = match (args.next().as_deref().and_then(read_orders), args.next()) {
        (Some(orders), Some(program)) => enclose(&orders, Path::new(&program), args, &worker),
        _ => Err("the sandbox helper does not understand its orders; restart theatrum if its binary was replaced".to_owned()),
    };
    let Err(message) = outcome;
    // Should this fail too, the worker still sees the end of file.
    let _ = orders::send(worker.as_fd(), &Answer::Failed { message: message.clone() }, None);
    Err(message)
}

/// The worker's socket came as standard input, the one descriptor that needs no number. It is moved away from there.
fn take_wire() -> io::Result<OwnedFd> {
    let wire = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::net::sockopt::socket_type(&wire)?;
    rustix::stdio::dup2_stdin(fs::File::open("/dev/null")?)?;
    Ok(wire)
}

fn read_orders(text: &OsStr) -> Option<Orders> {
    serde_json::from_str(text.to_str()?).ok()
}

fn enclose(orders: &Orders, program: &Path, args: impl Iterator<Item = OsString>, worker: &OwnedFd) -> Result<Infallible, String> {
    ffi::close_on_exec_above_stderr().map_err(|error| format!("cannot list open descriptors in /proc/self/fd: {error}; mount /proc"))?;
    // A refusal here costs only the choice of the victim.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJUSTMENT);
    let listener = match orders.level {
        Level::Namespace => Some(new_door(orders.door_port)?),
        Level::Off => None,
    };
    drop_rights().map_err(|error| format!("cannot give up privileges: {error}"))?;
    die_with(orders.worker_pid)?;
    limit(orders).map_err(|error| format!("cannot set resource limits: {error}; the service's own limits are lower: raise them"))?;
    let landlock_abi = restrict(orders, program)?;

    let ready = Answer::Ready { landlock_abi };
    orders::send(worker.as_fd(), &ready, listener.as_ref().map(AsFd::as_fd))
        .map_err(|error| format!("cannot answer the worker: {error}"))?;
    drop(listener);
    let error = Command::new(program).args(args).env_clear().exec();
    Err(format!("cannot execute {}: {error}; it and its libraries must be readable and executable by every user", program.display()))
}

/// A network with nothing in it but a listener, which the worker will serve.
fn new_door(port: u16) -> Result<TcpListener, String> {
    new_namespaces().map_err(|error| format!("cannot make namespaces: {error}; {}", mend_namespaces()))?;
    loopback::up().map_err(|error| format!("cannot bring up the new network's loopback: {error}; {}", mend_namespaces()))?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| format!("cannot listen in the new network: {error}"))
}

/// Root needs no user namespace, and in a chroot may not have one; everybody else needs one to be allowed the others.
fn new_namespaces() -> io::Result<()> {
    let others = UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if rustix::process::geteuid().is_root() && ffi::unshare(others).is_ok() {
        return Ok(());
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    ffi::unshare(others | UnshareFlags::NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{NOBODY} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{NOBODY} {gid} 1"))
}

/// Says which switch of this kernel forbids user namespaces.
fn mend_namespaces() -> &'static str {
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "this kernel forbids them: sysctl kernel.unprivileged_userns_clone=1"
    } else if is("/proc/sys/user/max_user_namespaces", "0") {
        "this kernel allows none: sysctl user.max_user_namespaces=15000"
    } else if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "AppArmor forbids them: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give theatrum a profile with `userns,`"
    } else {
        "in a container, allow unshare in its seccomp profile or grant CAP_SYS_ADMIN"
    }
}

/// Becomes nobody without a single capability. A user namespace that maps no other id keeps its own, which means nothing outside.
fn drop_rights() -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        let (nobody, nogroup) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        match rustix::thread::set_thread_groups(&[]) {
            Ok(()) => {
                rustix::thread::set_thread_res_gid(nogroup, nogroup, nogroup)?;
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody)?;
            }
            Err(rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let none = CapabilitySets { effective: CapabilitySet::empty(), permitted: CapabilitySet::empty(), inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, none)?;
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// SIGKILL when the worker's thread ends, and at once if it is gone already.
fn die_with(worker_pid: i32) -> Result<(), String> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("cannot tie ffmpeg to the worker: {error}"))?;
    match rustix::process::getppid() {
        Some(parent) if parent.as_raw_pid() == worker_pid => Ok(()),
        _ => Err("the worker ended before its sandbox was ready".to_owned()),
    }
}

fn limit(orders: &Orders) -> io::Result<()> {
    let hard = |resource, value: u64| rustix::process::setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) });
    hard(Resource::Core, 0)?;
    hard(Resource::Fsize, 0)?;
    hard(Resource::Nofile, OPEN_FILES)?;
    hard(Resource::Data, orders.memory_bytes)?;
    hard(Resource::As, orders.memory_bytes.saturating_add(RESERVED_BYTES))?;
    Ok(hard(Resource::Cpu, orders.cpu_s.saturating_add(CPU_GRACE_S))?)
}

/// Landlock, then seccomp. At level `off` whatever this kernel cannot do is gone without.
fn restrict(orders: &Orders, program: &Path) -> Result<u32, String> {
    const MEND: &str = "Theatrum needs Linux 5.13 or newer with `landlock` in the kernel's lsm= list";
    let landlock_abi = files::confine(program, orders.door_port).map_err(|error| format!("cannot confine files: {error}; {MEND}"));
    let seccomp = syscalls::restrict().map_err(|error| format!("cannot filter system calls: {error}; the kernel needs seccomp"));
    match orders.level {
        Level::Off => Ok(landlock_abi.unwrap_or(0)),
        Level::Namespace => match (landlock_abi?, seccomp?) {
            (0, ()) => Err(format!("this kernel has no Landlock: {MEND}")),
            (abi, ()) => Ok(abi),
        },
    }
}
