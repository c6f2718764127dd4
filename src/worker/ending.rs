//! How an attempt ends that did not settle its job: the source is refused, the job is tried again, becomes a dead letter, or is handed
//! back. And what the end of a job means to its version.

use super::publish;
use crate::audit::Entry;
use crate::catalog::jobs::{Failure, Lease};
use crate::catalog::{Catalog, Tx};
use crate::domain::event::Kind as EventKind;
use crate::domain::ids::VersionId;
use crate::domain::job::{Job, MAX_FAILURES, backoff_ceiling_ms};
use crate::domain::video::{Refusal, Stage};
use crate::domain::{Error, Result};
use crate::transaction;
use std::time::Duration;

/// Until a job that found the disk full looks again.
const ROOM_PAUSE_MS: std::ops::Range<i64> = 2_000..8_000;

/// A claimed job and the rows that are to hear of its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending<'a> {
    pub catalog: &'a Catalog,
    pub job: &'a Job,
    /// How long a refused source is kept.
    pub keep_refused: Duration,
}

impl Ending<'_> {
    /// The source cannot become a video: the job is done, the video refused (or its replacement: the version before plays on), its other
    /// jobs cancelled. If that cannot be said, the job is tried again.
    pub async fn refuse(&self, refusal: &Refusal) -> Result<()> {
        match self.try_refuse(refusal).await {
            Err(error) => self.fail(&error, None).await,
            Ok(()) => Ok(()),
        }
    }

    async fn try_refuse(&self, refusal: &Refusal) -> Result<()> {
        let (lease, video) = (Lease::of(self.job), &self.job.video);
        let keep_ms = i64::try_from(self.keep_refused.as_millis()).unwrap_or(i64::MAX);
        let payload = serde_json::json!({"code": refusal.code}).to_string();
        transaction!(self.catalog, |tx| {
            let purge_at = tx.now().await?.saturating_add(keep_ms);
            tx.settle(&lease).await?;
            let event = if tx.refuse_replacement(video, self.job.version.as_ref(), refusal, purge_at).await? {
                EventKind::ReplacementRefused
            } else {
                tx.refuse_video(video, refusal, purge_at).await?;
                tx.abandon_versions(video).await?;
                tx.cancel_jobs(video).await?;
                EventKind::VideoRefused
            };
            tx.append_event(event, video, &payload).await?;
            tx.append_audit(&entry(self.job, "refuse", &refusal.code)).await
        })
    }

    /// The attempt failed: the job waits and is tried again, or becomes a dead letter.
    pub async fn fail(&self, error: &Error, stderr_tail: Option<String>) -> Result<()> {
        if is_lost(error) {
            return Err(lease_lost(error.chain()));
        }
        tracing::warn!(job = %self.job.id, cause = %error.chain(), "attempt failed");
        let failure = Failure { error: error.chain(), stderr_tail };
        if error.is_disk_full() {
            return self.wait_for_room(&failure).await;
        }
        if self.job.failures + 1 >= MAX_FAILURES {
            match self.bury(&failure).await {
                // Its death can be told later.
                Err(error) if !is_lost(&error) => tracing::warn!(job = %self.job.id, cause = %error.chain(), "could not bury a job"),
                said => return said,
            }
        }
        let pause_ms = rand::random_range(0..=backoff_ceiling_ms(self.job.failures + 1));
        transaction!(self.catalog, |tx| {
            let run_at = tx.now().await? + pause_ms;
            tx.retry(&Lease::of(self.job), &failure, run_at).await
        })
    }

    /// Nothing is wrong with the job, and another try is no use before there is room: it is put back with all its attempts (invariant 4).
    pub async fn wait_for_room(&self, failure: &Failure) -> Result<()> {
        let pause_ms = rand::random_range(ROOM_PAUSE_MS);
        transaction!(self.catalog, |tx| {
            let run_at = tx.now().await? + pause_ms;
            tx.put_off(&Lease::of(self.job), failure, run_at).await
        })
    }

    /// The source does not give what is to be made again of it: trying again is no use, and its video plays on as it is.
    pub async fn give_up(&self, refusal: &Refusal) -> Result<()> {
        self.bury(&Failure { error: refusal.message.clone(), stderr_tail: None }).await
    }

    async fn bury(&self, failure: &Failure) -> Result<()> {
        transaction!(self.catalog, |tx| {
            tx.bury(&Lease::of(self.job), failure).await?;
            mourn(&mut tx, self.job).await
        })
    }

    /// The worker drains: the job is as if it had not been claimed.
    pub async fn hand_back(&self) -> Result<()> {
        transaction!(self.catalog, |tx| tx.hand_back(&Lease::of(self.job)).await)
    }
}

/// What follows from the death of a job, in the transaction that buries it: its video has failed, or goes on without it.
pub(super) async fn mourn(tx: &mut Tx, job: &Job) -> Result<()> {
    let payload = serde_json::json!({"job": job.id, "kind": job.kind}).to_string();
    tx.append_event(EventKind::JobDead, &job.video, &payload).await?;
    match &job.version {
        // A video without a poster is a video: degrade before failing (invariant 5).
        Some(version) if job.kind.is_optional() => segments_left(tx, job, version).await,
        version => tx.set_failed(&job.video, version.as_ref(), true).await,
    }
}

/// Counts a job of `version` as over and, if it was the last, calls for publication.
pub(super) async fn segments_left(tx: &mut Tx, job: &Job, version: &VersionId) -> Result<()> {
    count_down(tx, job, version, 0).await
}

/// As [`segments_left`], with the pictures the job brought. The publish job is inserted by whoever counts to zero (invariants 1 and 3).
pub(super) async fn count_down(tx: &mut Tx, job: &Job, version: &VersionId, pictures: u64) -> Result<()> {
    if tx.count_down(version, pictures).await? == 0 {
        tx.insert_job(&publish::job(&job.video, version)).await?;
        tx.set_stage(&job.video, Some(version), Stage::Publishing).await?;
    }
    tx.raise_percent(&job.video, version).await
}

/// An audit entry of the house itself.
pub(super) fn entry(job: &Job, action: &str, reason: &str) -> Entry {
    Entry {
        actor: "theatrum".to_owned(),
        role: "worker".to_owned(),
        action: action.to_owned(),
        video: Some(job.video.to_string()),
        version: job.version.as_ref().map(ToString::to_string),
        object: Some(job.id.to_string()),
        decision: "allow",
        reason: reason.to_owned(),
        ..Entry::default()
    }
}

/// Someone else holds the job now, or nobody wants it: nothing of this attempt counts (invariant 2).
pub(super) fn lease_lost(why: impl Into<String>) -> Error {
    Error::conflict("lease-lost", why)
}

fn is_lost(error: &Error) -> bool {
    matches!(error.code(), "stale-epoch" | "cancelled")
}

#[cfg(test)]
mod tests;
