//! ffmpeg and ffprobe, run in the sandbox: what goes in, what comes out, and how it ended.
//!
//! A [`Finished`] run tells what the *program* made of its *input*, well or not. An `Err` of [`Sandbox::run`] is ours: the sandbox, the
//! source's storage, a reader that went away, or a cancelled job.

mod accounts;
mod progress;
mod talk;
mod tools;

pub use progress::{Progress, follow};
pub use tools::{Description, Tools};

use super::door::{Activity, Door, Output, Source, Trouble, Written};
use super::sandbox::{Launched, Process, Sandbox};
use crate::domain::{Error, ErrorKind, Result};
use accounts::Accounts;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use talk::Talk;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Which of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Transcodes.
    Ffmpeg,
    /// Describes.
    Ffprobe,
}

/// One run.
pub struct Run {
    /// What to run.
    pub program: Program,
    /// Its arguments, exactly. The source is [`super::door::SOURCE_URL`], an output `-method PUT` and [`super::door::output_url`].
    pub args: Vec<String>,
    /// What is behind the source's address.
    pub source: Arc<dyn Source>,
    /// What it may write. A run is a success only if each was written to its end.
    pub outputs: Vec<Output>,
    /// Takes the lines of its standard output, in batches; while it is full the program waits. `None` throws them away.
    pub stdout: Option<mpsc::Sender<Vec<String>>>,
    /// When to stop it.
    pub limits: Limits,
}

/// When a run is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From its start to its end.
    pub wall: Duration,
    /// Without a byte read, written or printed, unless it was we who kept it waiting.
    pub stall: Duration,
    /// Private writable memory.
    pub memory_bytes: u64,
    /// Processor time of all its threads together.
    pub cpu_s: u64,
    /// All outputs together.
    pub output_bytes: u64,
}

impl Default for Limits {
    /// Ten minutes, one of them idle; 4 GiB of memory; an hour of processor time; 64 GiB of output.
    fn default() -> Self {
        Self { wall: Duration::from_secs(600), stall: Duration::from_secs(60), memory_bytes: 4 << 30, cpu_s: 3600, output_bytes: 64 << 30 }
    }
}

/// Which limit stopped a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::wall`].
    Wall,
    /// [`Limits::stall`].
    Stall,
    /// [`Limits::cpu_s`].
    Cpu,
    /// [`Limits::output_bytes`] or the [`Output::max_bytes`] of the output named.
    Output(String),
}

/// A run that came to an end, good or bad.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit code 0, no limit, and every declared output complete.
    pub success: bool,
    /// How it ended, in words.
    pub exit: String,
    /// The host failed it, so that it told nothing of its input: it could not be loaded, or was killed, though not by us.
    pub host_failed: bool,
    /// The limit that stopped it. Memory is not among them: ffmpeg then says "Cannot allocate memory", and may even exit with 0.
    pub limit: Option<Limit>,
    /// The end of what it had to say, at most 4 KiB, without control characters other than line feeds. May quote the source's metadata.
    pub stderr_tail: String,
    /// Bytes of the source it was given.
    pub door_bytes_read: u64,
    /// What became of each output, in the order declared.
    pub outputs: Vec<Written>,
    /// The most memory seen resident, sampled; `None` if it ended before the first sample.
    pub peak_rss_bytes: Option<u64>,
    /// Processor time of all its threads.
    pub cpu_ms: u64,
    /// What of it was taken after the run was last seen to get on.
    pub idle_cpu_ms: u64,
    /// The Landlock version in force, 0 for none.
    pub landlock_abi: u32,
}

impl Finished {
    /// Whether it failed for want of memory or threads: of the host's, or because its input asks for too much; nobody can tell.
    pub fn lacked_memory(&self) -> bool {
        let complaints = ["Cannot allocate memory", "Resource temporarily unavailable"];
        !self.success && complaints.iter().any(|text| self.stderr_tail.contains(text))
    }
}

/// Why the waiting for a run was over.
enum End {
    Itself,
    Limit(Limit),
    Trouble(Error),
}

impl Sandbox {
    /// Runs one program to its end. Cancelling, or dropping the future, kills it with its whole process group.
    ///
    /// Errors: the source's own, with its own kind; `Unavailable` (`sandbox-unavailable`) if the program could not be started; `Conflict`
    /// (`cancelled`); `Internal` (`reader-gone`) if nobody took an output or the standard output any more.
    pub async fn run(&self, run: Run, cancel: CancellationToken) -> Result<Finished> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::conflict("cancelled", "the run was cancelled")),
            finished = self.run_to_end(run) => finished,
        }
    }

    async fn run_to_end(&self, run: Run) -> Result<Finished> {
        let Run { program, args, source, outputs, stdout, limits } = run;
        let launched = self.launch(self.tools().path(program), &args, &limits).await?;
        let Launched { mut process, listener, prefix, landlock_abi } = launched;
        let activity = Arc::new(Activity::new());
        let door = Door::open(listener, prefix, source, outputs, limits.output_bytes, Arc::clone(&activity)).map_err(lost)?;
        let mut talk = Talk::listen(&mut process, stdout, &activity).map_err(lost)?;
        let mut accounts = Accounts::default();

        let end = tokio::select! {
            biased;
            trouble = door.troubled() => trouble.into(),
            limit = accounts.watch(&process, &activity, &limits) => End::Limit(limit),
            ended = ended(&process, &door, &mut talk) => ended.map_or_else(End::Trouble, |()| End::Itself),
        };
        process.kill();
        process.exited().await.map_err(lost)?;
        accounts.close(&process);
        let status = process.reap().await.map_err(lost)?;
        let limit = match end {
            End::Trouble(error) => return Err(error),
            End::Limit(limit) => Some(limit),
            End::Itself => None,
        };
        let outputs = door.written();
        Ok(Finished {
            success: status.success() && limit.is_none() && outputs.iter().all(|output| output.complete),
            exit: in_words(status, limit.as_ref()),
            host_failed: limit.is_none() && host_failed(status),
            limit,
            stderr_tail: talk.tail(),
            door_bytes_read: activity.read_bytes(),
            outputs,
            peak_rss_bytes: accounts.peak_rss_bytes,
            cpu_ms: accounts.cpu_ms,
            idle_cpu_ms: accounts.cpu_ms.saturating_sub(accounts.cpu_ms_at_last_move),
            landlock_abi,
        })
    }
}

/// Waits for the program, then for everything it left on its way to us.
async fn ended(process: &Process, door: &Door, talk: &mut Talk) -> Result<()> {
    process.exited().await.map_err(lost)?;
    door.drain().await;
    talk.end().await
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Source(error) => Self::Trouble(error),
            Trouble::Unread(name) => Self::Trouble(reader_gone(&name)),
            Trouble::Overflow(name) => Self::Limit(Limit::Output(name)),
        }
    }
}

fn lost(error: io::Error) -> Error {
    Error::unavailable("lost touch with the sandboxed program", error)
}

fn reader_gone(what: &str) -> Error {
    Error::new(ErrorKind::Internal, "reader-gone", format!("nobody takes the output {what} any more"))
}

/// 127 is the dynamic loader's; ffmpeg and ffprobe have no such code. SIGKILL is the kernel's when memory runs out.
fn host_failed(status: ExitStatus) -> bool {
    status.code() == Some(127) || status.signal() == Some(libc::SIGKILL)
}

fn in_words(status: ExitStatus, limit: Option<&Limit>) -> String {
    match limit {
        Some(limit) => format!("stopped: {limit}"),
        None => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => status.to_string(),
        },
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wall => f.write_str("it took too long"),
            Self::Stall => f.write_str("it made no progress"),
            Self::Cpu => f.write_str("it used too much processor time"),
            Self::Output(name) => write!(f, "its output {name} grew too large"),
        }
    }
}
