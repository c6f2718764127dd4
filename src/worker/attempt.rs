//! One attempt at a job: its lease, its heartbeat, its end.

use super::ffmpeg::Finished;
use super::{State, audio, encode, probe, publish, stills};
use crate::audit::Entry;
use crate::catalog::jobs::{Failure, Lease};
use crate::domain::event::Kind as EventKind;
use crate::domain::ids::VersionId;
use crate::domain::job::{Job, Kind, MAX_FAILURES, backoff_ceiling_ms};
use crate::domain::video::Refusal;
use crate::domain::{Error, Result};
use crate::transaction;
use std::sync::atomic::{AtomicI64, Ordering};
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
}

enum End {
    Worked(Result<(), Failed>),
    LeaseLost,
    Drained,
}

/// Runs a claimed job to its end, whatever that is, and says so in the catalog.
pub(super) async fn run(state: &State, job: Job, shutdown: &CancellationToken) {
    let lease = Lease { job: job.id.clone(), epoch: job.epoch };
    let attempt = Attempt { state, job, lease, cancel: CancellationToken::new(), percent: AtomicI64::new(0) };
    let kind = attempt.job.kind.as_str();
    tracing::info!(job = %attempt.job.id, kind, epoch = attempt.job.epoch, video = %attempt.job.video, "job begins");
    let end = tokio::select! {
        biased;
        ended = attempt.work() => End::Worked(ended),
        () = attempt.beat() => End::LeaseLost,
        () = shutdown.cancelled() => End::Drained,
    };
    attempt.cancel.cancel();
    let said = match end {
        End::Worked(Ok(())) => Ok(()),
        End::Worked(Err(Failed::Refused(refusal))) => attempt.refuse(&refusal).await,
        End::Worked(Err(Failed::Trouble { error, stderr_tail })) => attempt.fail(&error, stderr_tail).await,
        End::LeaseLost => Err(Error::conflict("lease-lost", "the lease was lost")),
        End::Drained => attempt.hand_back().await,
    };
    match said {
        Ok(()) => tracing::info!(job = %attempt.job.id, kind, "job ends"),
        // Whoever holds the lease now goes on; nothing of this attempt counts (invariant 2).
        Err(error) => tracing::warn!(job = %attempt.job.id, kind, cause = %error.chain(), "job was left"),
    }
    state.doorbell.video_changed(&attempt.job.video);
    state.doorbell.ring_work();
}

impl Attempt<'_> {
    /// The version this job works for; a job of such a kind always has one.
    pub fn version(&self) -> Result<&VersionId> {
        self.job.version.as_ref().ok_or_else(|| Error::internal("a job lacks its version", self.job.id.to_string()))
    }

    /// Notes progress for the next heartbeat.
    pub fn progress(&self, percent: i64) {
        self.percent.store(percent.clamp(0, 99), Ordering::Relaxed);
    }

    async fn work(&self) -> Result<(), Failed> {
        match self.job.kind {
            Kind::Probe => probe::run(self).await,
            Kind::Encode => encode::run(self).await,
            Kind::Audio => audio::run(self).await,
            Kind::Stills => stills::run(self).await,
            Kind::Publish => publish::run(self).await,
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
        let percent = self.percent.load(Ordering::Relaxed);
        transaction!(self.state.catalog, |tx| {
            let held = tx.heartbeat(&self.lease, self.state.limits.lease_ms(), percent).await?;
            if let (true, Some(version)) = (held, &self.job.version) {
                tx.raise_percent(&self.job.video, version).await?;
            }
            Ok(held)
        })
    }

    /// The source cannot become a video: the job is done, the video refused, its other jobs cancelled.
    async fn refuse(&self, refusal: &Refusal) -> Result<()> {
        let video = &self.job.video;
        let keep_ms = i64::try_from(self.state.limits.keep_refused.as_millis()).unwrap_or(i64::MAX);
        let payload = serde_json::json!({"code": refusal.code, "message": refusal.message}).to_string();
        transaction!(self.state.catalog, |tx| {
            let purge_at = tx.now().await?.saturating_add(keep_ms);
            tx.settle(&self.lease).await?;
            tx.refuse_video(video, refusal, purge_at).await?;
            tx.abandon_versions(video).await?;
            tx.cancel_jobs(video).await?;
            tx.append_event(EventKind::VideoRefused, video, &payload).await?;
            tx.append_audit(&self.entry("refuse", &refusal.code)).await
        })?;
        self.state.doorbell.ring_upkeep();
        Ok(())
    }

    /// The attempt failed: the job waits and is tried again, or becomes a dead letter.
    async fn fail(&self, error: &Error, stderr_tail: Option<String>) -> Result<()> {
        if matches!(error.code(), "stale-epoch" | "cancelled") {
            return Err(Error::conflict("lease-lost", error.chain()));
        }
        tracing::warn!(job = %self.job.id, cause = %error.chain(), "attempt failed");
        let failure = Failure { error: error.chain(), stderr_tail };
        if self.job.failures + 1 >= MAX_FAILURES {
            return self.bury(&failure).await;
        }
        let pause_ms = rand::random_range(0..=backoff_ceiling_ms(self.job.failures + 1));
        transaction!(self.state.catalog, |tx| {
            let run_at = tx.now().await? + pause_ms;
            tx.retry(&self.lease, &failure, run_at).await
        })
    }

    async fn bury(&self, failure: &Failure) -> Result<()> {
        let payload = serde_json::json!({"job": self.job.id, "kind": self.job.kind}).to_string();
        transaction!(self.state.catalog, |tx| {
            tx.bury(&self.lease, failure).await?;
            tx.append_event(EventKind::JobDead, &self.job.video, &payload).await?;
            match &self.job.version {
                // A video without a poster is a video: degrade before failing (invariant 5).
                Some(version) if self.job.kind.is_optional() => segments_left(&mut tx, &self.job, version).await,
                _ => tx.set_failed(&self.job.video, true).await,
            }
        })
    }

    async fn hand_back(&self) -> Result<()> {
        transaction!(self.state.catalog, |tx| tx.hand_back(&self.lease).await)
    }

    /// An audit entry of the house itself.
    pub fn entry(&self, action: &str, reason: &str) -> Entry {
        Entry {
            actor: "theatrum".to_owned(),
            role: "worker".to_owned(),
            action: action.to_owned(),
            video: Some(self.job.video.to_string()),
            version: self.job.version.as_ref().map(ToString::to_string),
            object: Some(self.job.id.to_string()),
            decision: "allow",
            reason: reason.to_owned(),
            ..Entry::default()
        }
    }
}

/// Counts a job of `version` as over and, if it was the last, calls for publication.
pub(super) async fn segments_left(tx: &mut crate::catalog::Tx, job: &Job, version: &VersionId) -> Result<()> {
    count_down(tx, job, version, 0).await
}

/// As [`segments_left`], with the pictures the job brought. The publish job is inserted by whoever counts to zero (invariants 1 and 3).
pub(super) async fn count_down(tx: &mut crate::catalog::Tx, job: &Job, version: &VersionId, pictures: u64) -> Result<()> {
    if tx.count_down(version, pictures).await? == 0 {
        tx.insert_job(&publish::job(&job.video, version)).await?;
        tx.set_stage(&job.video, crate::domain::video::Stage::Publishing).await?;
    }
    tx.raise_percent(&job.video, version).await
}
