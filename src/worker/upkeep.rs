//! Upkeep: what time alone brings about. Leases end, videos are purged. Each pass looks at the rows and takes no other input, so a pass
//! that was missed is made good by the next.

use super::State;
use crate::blobs::Prefix;
use crate::domain::event::Kind as EventKind;
use crate::domain::ids::VideoId;
use crate::domain::{Error, Result};
use crate::transaction;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(2);

/// Makes passes until `shutdown`, every two seconds and on each ring.
pub async fn run(state: State, shutdown: CancellationToken) -> Result<()> {
    while !shutdown.is_cancelled() {
        if let Err(error) = pass(&state).await {
            tracing::warn!(cause = %error.chain(), "upkeep failed; it tries again");
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = state.doorbell.wait_upkeep(EVERY) => {}
        }
    }
    state.audit.flush().await
}

async fn pass(state: &State) -> Result<()> {
    state.audit.flush().await?;
    end_leases(state).await?;
    purge(state).await
}

/// Jobs whose worker fell silent go back into the queue, or become dead letters when that happened too often.
async fn end_leases(state: &State) -> Result<()> {
    let (requeued, buried) = transaction!(state.catalog, |tx| {
        let requeued = tx.requeue_expired().await?;
        let buried = tx.bury_expired().await?;
        for job in &buried {
            tx.set_failed(&job.video, true).await?;
            tx.append_event(EventKind::JobDead, &job.video, "{}").await?;
        }
        Ok::<_, Error>((requeued, buried))
    })?;
    if requeued > 0 {
        tracing::warn!(requeued, "leases ended without a word; the jobs run again");
        state.doorbell.ring_work();
    }
    for job in &buried {
        state.doorbell.video_changed(&job.video);
    }
    Ok(())
}

/// Refused and deleted videos lose their key, then their blobs (invariant 6).
async fn purge(state: &State) -> Result<()> {
    let now = transaction!(state.catalog, |tx| tx.now().await)?;
    for video in state.catalog.videos_to_purge(now).await? {
        // A cancelled job that still runs somewhere could write one more blob.
        if !state.catalog.has_live_leases(&video, now).await? {
            purge_video(state, &video).await?;
        }
    }
    Ok(())
}

async fn purge_video(state: &State, video: &VideoId) -> Result<()> {
    transaction!(state.catalog, |tx| tx.shred_root_key(video).await)?;
    state.keys.forget(video);
    let deleted = state.blobs.delete_prefix(&Prefix::Video(video.clone())).await?;
    transaction!(state.catalog, |tx| tx.purged(video).await)?;
    tracing::info!(%video, deleted, "purged a video");
    state.doorbell.video_changed(video);
    Ok(())
}
