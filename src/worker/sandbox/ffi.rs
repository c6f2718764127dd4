//! The only unsafe code of the house: three calls whose safety rests on what the compiler cannot see.
#![allow(unsafe_code, reason = "no safe wrapper exists for these three")]

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// Moves this process into new namespaces. `flags` must not contain `FILES`.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    assert!(!flags.contains(UnshareFlags::FILES), "a descriptor table is never unshared");
    // SAFETY: the call is unsound only with `FILES`, which makes descriptors of other threads dangle; it is excluded above.
    unsafe { unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// Marks every descriptor above standard error as close-on-exec: what this process inherited (a make jobserver, a shell's
/// redirection) must not reach the next program.
pub(super) fn close_on_exec_above_stderr() -> io::Result<()> {
    let mut inherited = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        inherited.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for number in inherited.into_iter().filter(|number| *number > 2) {
        // SAFETY: the borrow lives for one call that only sets a flag; the process is single-threaded, so that nothing closes the
        // descriptor meanwhile. The one that listed the folder is closed already and answers EBADF, which is no matter.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        match fcntl_setfd(descriptor, FdFlags::CLOEXEC) {
            Ok(()) | Err(rustix::io::Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Lets the runtime wait for `descriptor`. Must be called within a runtime.
pub(super) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the `AsyncFd` owns the descriptor, and an `OwnedFd` keeps it open and the same until it is dropped.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}
