//! Upkeep: what time alone brings about. Leases end, counts are written, videos are purged. Each pass looks at the rows and takes no
//! other input, so a pass that was missed, or cut short, is made good by the next.

use super::ending::mourn;
use crate::audit::Log;
use crate::blobs::{Blobs, Prefix};
use crate::catalog::Catalog;
use crate::domain::ids::VideoId;
use crate::domain::{Error, Result};
use crate::doorbell::Doorbell;
use crate::keys::Keys;
use crate::transaction;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(2);
/// Until a video that could not be purged is tried again; meanwhile others are.
const AFTER_TROUBLE_MS: i64 = 60_000;

/// All that upkeep may touch.
#[derive(Clone, Debug)]
pub struct State {
    /// The rows.
    pub catalog: Catalog,
    /// What is purged.
    pub blobs: Blobs,
    /// Forgets root keys.
    pub keys: Keys,
    /// Writes its counts.
    pub audit: Arc<Log>,
    /// Wakes the purge, and is told of what changed.
    pub doorbell: Doorbell,
}

/// Makes passes until `shutdown`, every two seconds; purges on each ring besides. Leases and counts never wait for a purge, and neither
/// does `shutdown`: a purge is cut short, and goes on in the next life.
pub async fn run(state: State, shutdown: CancellationToken) -> Result<()> {
    let purges = async {
        loop {
            if let Err(error) = purge(&state).await {
                tracing::warn!(cause = %error.chain(), "could not look for videos to purge; it is tried again");
            }
            state.doorbell.wait_upkeep(EVERY).await;
        }
    };
    tokio::join!(keep(&state, &shutdown), shutdown.run_until_cancelled(purges));
    state.audit.flush().await
}

/// What must go on whatever is being purged. Never cut short: a flush has the counts in its hands.
async fn keep(state: &State, shutdown: &CancellationToken) {
    while !shutdown.is_cancelled() {
        if let Err(error) = state.audit.flush().await {
            tracing::warn!(cause = %error.chain(), "could not write the audit counts; it is tried again");
        }
        if let Err(error) = end_leases(state).await {
            tracing::warn!(cause = %error.chain(), "could not end leases; it is tried again");
        }
        if let Err(error) = state.catalog.forget_old_keys().await {
            tracing::warn!(cause = %error.chain(), "could not forget old idempotency keys; it is tried again");
        }
        let _ = shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await;
    }
}

/// Jobs whose worker fell silent go back into the queue, or become dead letters when that happened too often.
async fn end_leases(state: &State) -> Result<()> {
    let requeued = transaction!(state.catalog, |tx| tx.requeue_expired().await)?;
    if requeued > 0 {
        tracing::warn!(requeued, "leases ended without a word; the jobs run again");
        state.doorbell.ring_work();
    }
    let buried = transaction!(state.catalog, |tx| {
        let buried = tx.bury_expired().await?;
        for job in &buried {
            mourn(&mut tx, job).await?;
        }
        Ok::<_, Error>(buried)
    })?;
    for job in &buried {
        tracing::error!(job = %job.id, kind = job.kind.as_str(), video = %job.video, "a job killed every worker that took it");
        state.doorbell.video_changed(&job.video);
    }
    if !buried.is_empty() {
        // What goes on without a dead job may be published now.
        state.doorbell.ring_work();
    }
    Ok(())
}

/// Refused and deleted videos lose their key, then their blobs (invariant 6). One that cannot be purged is put off, so that any number
/// of such stop no other. May be cut short anywhere: a video is due until the last statement.
async fn purge(state: &State) -> Result<()> {
    let now = transaction!(state.catalog, |tx| tx.now().await)?;
    let due = state.catalog.videos_to_purge(now).await?;
    if due.is_empty() {
        return Ok(());
    }
    // All the keys first, and out of the files too: blobs may take long.
    for video in &due {
        transaction!(state.catalog, |tx| tx.shred_root_key(video).await)?;
        state.keys.forget(video);
    }
    let scrubbed = state.catalog.scrub().await;
    let scrubbed = scrubbed.inspect_err(|error| tracing::warn!(cause = %error.chain(), "could not scrub the catalog")).is_ok();
    for video in due {
        if let Err(error) = purge_video(state, &video, scrubbed).await {
            tracing::warn!(%video, cause = %error.chain(), "could not purge a video; it is tried again in a minute");
            transaction!(state.catalog, |tx| tx.postpone_purge(&video, now + AFTER_TROUBLE_MS).await)?;
        }
    }
    Ok(())
}

async fn purge_video(state: &State, video: &VideoId, scrubbed: bool) -> Result<()> {
    let deleted = state.blobs.delete_prefix(&Prefix::Video(video.clone())).await?;
    if !scrubbed {
        return Err(Error::unavailable("the catalog's files may still hold the video's wrapped key", "not scrubbed"));
    }
    transaction!(state.catalog, |tx| tx.purged(video).await)?;
    tracing::info!(%video, deleted, "purged a video");
    state.doorbell.video_changed(video);
    Ok(())
}

#[cfg(test)]
mod tests;
