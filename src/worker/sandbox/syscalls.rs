//! The system calls the program may make (seccomp): a list of what ffmpeg needs, everything else answers "no such call", which C
//! libraries take in their stride. No new process, no socket but TCP over IPv4, no hand on other processes.

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

const MEMORY: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munmap,
];
const THREADS: &[i64] = &[
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_membarrier,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
];
const SIGNALS: &[i64] = &[
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
];
const TIME: &[i64] = &[
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_times,
];
/// Which files may be opened is Landlock's matter.
const FILES: &[i64] = &[
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_pselect6,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_write,
    libc::SYS_writev,
];
/// The door's side of TCP, and the helper's last packet to the worker.
const CONNECTIONS: &[i64] = &[
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
];
const ITSELF: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];
/// Older spellings that only this architecture has.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

/// What a terminal or a socket is asked: size, kind, non-blocking, bytes waiting.
#[allow(clippy::unnecessary_cast, reason = "these are not 64 bits wide in every C library")]
const IOCTLS: [u64; 4] = [libc::TCGETS as u64, libc::TIOCGWINSZ as u64, libc::FIONBIO as u64, libc::FIONREAD as u64];
/// A thread may name itself and its memory, no more.
const PRCTLS: [i32; 3] = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];
/// The kind of a socket, without the flags that share its argument.
const SOCKET_KIND: u64 = 0xf;

/// Restricts this process, and what it executes, for good. Sets `no_new_privs` on the way.
pub(super) fn restrict() -> Result<(), seccompiler::Error> {
    let filter = SeccompFilter::new(
        allowed(rustix::process::getpid().as_raw_pid())?,
        SeccompAction::Errno(libc::ENOSYS as u32),
        SeccompAction::Allow,
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)
}

fn allowed(own_pid: i32) -> Result<Rules, BackendError> {
    let always = [MEMORY, THREADS, SIGNALS, TIME, FILES, CONNECTIONS, ITSELF, OLDER];
    let mut rules: Rules = always.into_iter().flatten().map(|number| (*number, Vec::new())).collect();
    let stream = SeccompCmpOp::MaskedEq(SOCKET_KIND);
    rules.insert(
        libc::SYS_socket,
        vec![SeccompRule::new(vec![equals(0, libc::AF_INET as u64)?, argument(1, stream, libc::SOCK_STREAM as u64)?])?],
    );
    // A thread, never a process. `clone3` hides its flags from filters: it answers ENOSYS and the C library falls back to `clone`.
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![argument(0, SeccompCmpOp::MaskedEq(thread), thread)?])?]);
    rules.insert(libc::SYS_tgkill, one_of(0, [own_pid as u64])?);
    rules.insert(libc::SYS_prlimit64, one_of(0, [0])?);
    rules.insert(libc::SYS_ioctl, one_of(1, IOCTLS)?);
    rules.insert(libc::SYS_prctl, one_of(0, PRCTLS.map(|option| option as u64))?);
    Ok(rules)
}

fn one_of(index: u8, values: impl IntoIterator<Item = u64>) -> Result<Vec<SeccompRule>, BackendError> {
    values.into_iter().map(|value| SeccompRule::new(vec![equals(index, value)?])).collect()
}

fn equals(index: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    argument(index, SeccompCmpOp::Eq, value)
}

fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_compiles_and_leaves_out_every_way_to_others() {
        let rules = allowed(42).expect("valid conditions");
        for forbidden in [
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_kill,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_mount,
            libc::SYS_bpf,
            libc::SYS_keyctl,
            libc::SYS_io_uring_setup,
            libc::SYS_userfaultfd,
            libc::SYS_perf_event_open,
            libc::SYS_clone3,
            libc::SYS_socketpair,
            libc::SYS_bind,
            libc::SYS_unlinkat,
        ] {
            assert!(!rules.contains_key(&forbidden), "system call {forbidden}");
        }
        for conditional in [libc::SYS_socket, libc::SYS_clone, libc::SYS_tgkill, libc::SYS_ioctl, libc::SYS_prctl, libc::SYS_prlimit64] {
            assert!(!rules[&conditional].is_empty(), "system call {conditional} is unconditional");
        }
        let arch = TargetArch::try_from(std::env::consts::ARCH).expect("a known architecture");
        let filter = SeccompFilter::new(rules, SeccompAction::Errno(1), SeccompAction::Allow, arch).expect("a filter");
        assert!(BpfProgram::try_from(filter).is_ok());
    }
}
