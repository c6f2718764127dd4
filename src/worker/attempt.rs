//! One attempt at a job: its lease, its heartbeat, its work.

use super::ending::{self, Ending};
pub(super) use super::ending::{count_down, segments_left};
use super::ffmpeg::Finished;
use super::{State, audio, copy, encode, probe, publish, repair, stills};
use crate::audit::Entry;
use crate::blobs::Key;
use crate::catalog::jobs::Lease;
use crate::domain::ids::VersionId;
use crate::domain::job::{Job, Kind};
use crate::domain::video::Refusal;
use crate::domain::{Error, Result};
use crate::transaction;
use futures_util::FutureExt;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const BEAT: Duration = Duration::from_secs(2);

/// Why an attempt did not settle its job.
#[derive(Debug)]
pub(super) enum Failed {
    /// The source is at fault: never tried again.
    Refused(Refusal),
    /// The system is at fault, or may be: tried again.
    Trouble {
        /// What happened.
        error: Error,
        /// The end of ffmpeg's standard error.
        stderr_tail: Option<String>,
    },
}

impl Failed {
    /// A run that says nothing of its source, because the host failed it.
    pub fn by_host(finished: &Finished) -> Self {
        let error = Error::unavailable(format!("ffmpeg could not run here ({})", finished.exit), "the host failed it");
        Self::Trouble { error, stderr_tail: Some(finished.stderr_tail.clone()) }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Trouble { error, stderr_tail: None }
    }
}

impl From<theatrum_media::probe::Refusal> for Failed {
    fn from(refusal: theatrum_media::probe::Refusal) -> Self {
        Self::Refused(Refusal { code: refusal.code.as_str().to_owned(), message: refusal.message })
    }
}

/// A running job.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub state: &'a State,
    pub job: Job,
    pub lease: Lease,
    pub cancel: CancellationToken,
    percent: AtomicI64,
    written: Mutex<Vec<Key>>,
}

enum End {
    Worked(Result<(), Failed>),
    LeaseLost,
    Drained,
}

/// Runs a claimed job to its end, whatever that is, and says so in the catalog.
pub(super) async fn run(state: &State, job: Job, shutdown: &CancellationToken) {
    let lease = Lease::of(&job);
    let attempt = Attempt { state, job, lease, cancel: CancellationToken::new(), percent: AtomicI64::new(0), written: Mutex::default() };
    let kind = attempt.job.kind.as_str();
    tracing::info!(job = %attempt.job.id, kind, epoch = attempt.job.epoch, video = %attempt.job.video, "job begins");
    let end = tokio::select! {
        biased;
        ended = outlive(attempt.work()) => End::Worked(ended),
        () = attempt.beat() => End::LeaseLost,
        () = shutdown.cancelled() => End::Drained,
    };
    attempt.cancel.cancel();
    let said = match end {
        End::Worked(Ok(())) => Ok(()),
        End::Worked(Err(Failed::Refused(refusal))) if attempt.is_repair() => attempt.ending().give_up(&refusal).await,
        End::Worked(Err(Failed::Refused(refusal))) => {
            // The source may be due to go at once.
            attempt.ending().refuse(&refusal).await.inspect(|()| state.doorbell.ring_upkeep())
        }
        End::Worked(Err(Failed::Trouble { error, stderr_tail })) => attempt.ending().fail(&error, stderr_tail).await,
        End::LeaseLost => Err(ending::lease_lost("it was not extended in time")),
        End::Drained => attempt.ending().hand_back().await,
    };
    match said {
        Ok(()) => tracing::info!(job = %attempt.job.id, kind, "job ends"),
        // Whoever holds the lease now goes on; nothing of this attempt counts (invariant 2).
        Err(error) => tracing::warn!(job = %attempt.job.id, kind, cause = %error.chain(), "job was left"),
    }
    state.doorbell.video_changed(&attempt.job.video);
    state.doorbell.ring_work();
}

/// Runs `work`; a panic in it is a failed attempt like any other, and takes nothing else with it.
async fn outlive(work: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    // What the work shared is the state, whose locks outlive panics by themselves; all else goes with it.
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it said nothing".to_owned());
        Err(Error::internal("the job panicked", text).into())
    })
}

impl Attempt<'_> {
    /// The version this job works for; a job of such a kind always has one.
    pub fn version(&self) -> Result<&VersionId> {
        self.job.version.as_ref().ok_or_else(|| Error::internal("a job lacks its version", self.job.id.to_string()))
    }

    /// Whether it does again what another job has done, for the sake of what was damaged since.
    pub fn is_repair(&self) -> bool {
        self.job.kind == Kind::Repair
    }

    /// Notes progress for the next heartbeat.
    pub fn progress(&self, percent: i64) {
        self.percent.store(percent.clamp(0, 99), Ordering::Relaxed);
    }

    /// What was noted last.
    pub fn percent(&self) -> i64 {
        self.percent.load(Ordering::Relaxed)
    }

    /// What was written so far has its rows: see [`Self::or_discard`].
    pub fn keep(&self) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Notes that a blob is about to be written: see [`Self::or_discard`].
    pub fn writes(&self, key: &Key) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(key.clone());
    }

    /// Gives what `writing` gives; if it fails, the blobs that it has written go. No row points at them yet, and on a disk that is full each
    /// attempt would take room from the next.
    pub async fn or_discard<T>(&self, writing: impl Future<Output = Result<T>>) -> Result<T> {
        let written = writing.await;
        if written.is_err() {
            let keys = mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner));
            for key in &keys {
                if let Err(error) = self.state.blobs.delete(key).await {
                    tracing::warn!(job = %self.job.id, cause = %error.chain(), "could not delete what a failed attempt wrote");
                }
            }
        }
        written
    }

    async fn work(&self) -> Result<(), Failed> {
        match self.job.kind {
            Kind::Probe => probe::run(self).await,
            Kind::Encode => encode::run(self).await,
            Kind::Copy => copy::run(self).await,
            Kind::Audio => audio::run(self).await,
            Kind::Stills => stills::run(self).await,
            Kind::Publish => publish::run(self).await,
            Kind::Repair => repair::run(self).await,
        }
    }

    /// Beats until the lease is lost: someone else's, or not extended in time.
    async fn beat(&self) {
        let mut extended = Instant::now();
        loop {
            tokio::time::sleep(BEAT).await;
            match self.extend().await {
                Ok(true) => extended = Instant::now(),
                Ok(false) => return,
                Err(error) => tracing::warn!(job = %self.job.id, cause = %error.chain(), "heartbeat failed"),
            }
            if extended.elapsed() >= self.state.limits.lease {
                return;
            }
            self.state.doorbell.video_changed(&self.job.video);
        }
    }

    async fn extend(&self) -> Result<bool> {
        let percent = self.percent();
        transaction!(self.state.catalog, |tx| {
            let held = tx.heartbeat(&self.lease, self.state.limits.lease_ms(), percent).await?;
            if let (true, Some(version)) = (held, &self.job.version) {
                tx.raise_percent(&self.job.video, version).await?;
            }
            Ok(held)
        })
    }

    fn ending(&self) -> Ending<'_> {
        let limits = &self.state.limits;
        Ending { catalog: &self.state.catalog, job: &self.job, keep_refused: limits.keep_refused }
    }

    /// An audit entry of the house itself.
    pub fn entry(&self, action: &str, reason: &str) -> Entry {
        ending::entry(&self.job, action, reason)
    }
}
