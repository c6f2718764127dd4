//! Starts processes from one thread that lives as long as the sandbox. A process tied to its parent's death is tied to the *thread* that
//! started it (prctl(2), PR_SET_PDEATHSIG), and the runtime's threads come and go.

use super::ffi;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::sync::mpsc;
use std::{fs, io, thread};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

/// The thread, told what to start. It ends, and with it all it started, when this is dropped.
#[derive(Debug)]
pub(super) struct Spawner {
    queue: mpsc::Sender<Start>,
}

struct Start {
    command: Command,
    reply: oneshot::Sender<io::Result<Started>>,
}

/// A new process before its waiting is tied to a runtime; killed when dropped, for instance because nobody waits for the reply.
struct Started {
    child: Option<Child>,
}

impl Spawner {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (queue, orders) = mpsc::channel::<Start>();
        thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            while let Ok(Start { mut command, reply }) = orders.recv() {
                // Dropping the reply kills the process again; dropping the command closes our copy of its end of the wires.
                let _ = reply.send(command.spawn().map(|child| Started { child: Some(child) }));
            }
        })?;
        Ok(Self { queue })
    }

    /// Starts `command`, which must lead a process group of its own.
    pub(super) async fn spawn(&self, command: Command) -> io::Result<Process> {
        let (reply, started) = oneshot::channel();
        let gone = || io::Error::other("the spawner thread is gone");
        self.queue.send(Start { command, reply }).map_err(|_| gone())?;
        Process::watch(started.await.map_err(|_| gone())??)
    }
}

/// A running process and its group; both are killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    started: Started,
    pid: Pid,
    exit: AsyncFd<OwnedFd>,
}

impl Process {
    fn watch(started: Started) -> io::Result<Self> {
        let pid = started.pid().ok_or_else(|| io::Error::other("the process is gone"))?;
        let exit = ffi::watch(pidfd_open(pid, PidfdFlags::NONBLOCK)?)?;
        Ok(Self { started, pid, exit })
    }

    /// Its standard output and error, once.
    pub(crate) fn take_pipes(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        self.started.child.as_mut().map_or((None, None), |child| (child.stdout.take(), child.stderr.take()))
    }

    /// Returns when the process has ended, by itself or not. It is not reaped yet, so that its accounts can still be read.
    pub(crate) async fn exited(&self) -> io::Result<()> {
        self.exit.readable().await.map(drop)
    }

    /// Kills the whole group.
    pub(crate) fn kill(&self) {
        // Both fail only when there is nobody left to kill.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = pidfd_send_signal(self.exit.get_ref(), Signal::KILL);
    }

    /// Processor time of all threads so far, user and system; it stays readable until `reap`.
    pub(crate) fn cpu_ms(&self) -> Option<u64> {
        cpu_ms(&fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_pid())).ok()?)
    }

    /// The most memory that was resident at once, while the process lives.
    pub(crate) fn peak_rss_bytes(&self) -> Option<u64> {
        peak_rss_bytes(&fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_pid())).ok()?)
    }

    /// Takes the exit status of a process that has ended or was killed.
    pub(crate) async fn reap(mut self) -> io::Result<ExitStatus> {
        self.kill();
        self.exited().await?;
        match self.started.child.take() {
            Some(mut child) => child.wait(),
            None => Err(io::Error::other("the process was reaped before")),
        }
    }
}

impl Started {
    fn pid(&self) -> Option<Pid> {
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).and_then(Pid::from_raw)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let pid = self.pid();
        let Some(mut child) = self.child.take() else { return };
        let _ = pid.map(|pid| kill_process_group(pid, Signal::KILL));
        let _ = child.kill();
        // Freeing a gigabyte takes a moment, and a drop may happen on the runtime. Without a thread the zombie stays until we end.
        let _ = thread::Builder::new().name("reaper".to_owned()).spawn(move || child.wait());
    }
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Started").field(&self.pid()).finish()
    }
}

/// Fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms; the name in field 2 may contain anything, so the count starts behind it.
fn cpu_ms(stat: &str) -> Option<u64> {
    const MS_PER_TICK: u64 = 10;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_ascii_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    Some((times.next()? + times.next()?) * MS_PER_TICK)
}

fn peak_rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_whatever_the_process_calls_itself() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 31 0 0 20 0 1 0 5 0 0";
        assert_eq!(cpu_ms(stat), Some(2810));
        assert_eq!(cpu_ms("nonsense"), None);
        assert_eq!(peak_rss_bytes("Name:\tffmpeg\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
    }
}
