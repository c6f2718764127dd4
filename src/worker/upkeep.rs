//! Upkeep: what time alone brings about. Leases end, counts are written, videos are purged. Each pass looks at the rows and takes no
//! other input, so a pass that was missed, or cut short, is made good by the next.

mod superseded;

use super::ending::mourn;
use crate::audit::{Entry, Log};
use crate::blobs::{Blobs, Prefix};
use crate::catalog::Catalog;
use crate::depot::{Depot, Name, Place};
use crate::domain::ids::VideoId;
use crate::domain::{Error, Result};
use crate::doorbell::Doorbell;
use crate::keys::Keys;
use crate::storage::Storage;
use crate::transaction;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(2);
/// How often it is asked whether a reconciliation is due.
const RECONCILE_LOOK: Duration = Duration::from_secs(60);
/// For each blob: ten thousand in ten seconds.
const RECONCILE_PAUSE: Duration = Duration::from_millis(1);
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
    /// Where backups lie, if anywhere: deletions are noted there, so that no restore undoes them.
    pub depot: Option<Place>,
    /// Is reconciled now and then,
    pub storage: Storage,
    /// so often, if at all.
    pub reconcile_every: Option<Duration>,
}

/// Makes passes until `shutdown`, every two seconds; purges on each ring besides. Leases and counts never wait for a purge, and neither
/// does `shutdown`: a purge is cut short, and goes on in the next life.
pub async fn run(state: State, shutdown: CancellationToken) -> Result<()> {
    let purges = async {
        loop {
            if let Err(error) = purge(&state).await {
                tracing::warn!(cause = %error.chain(), "could not look for videos to purge; it is tried again");
            }
            if let Err(error) = superseded::purge(&state).await {
                tracing::warn!(cause = %error.chain(), "could not look for versions to purge; it is tried again");
            }
            state.doorbell.wait_upkeep(EVERY).await;
        }
    };
    let background = async { tokio::join!(purges, reconciliations(&state)) };
    tokio::join!(keep(&state, &shutdown), shutdown.run_until_cancelled(background));
    state.audit.flush().await
}

/// Sweeps what is nobody's whenever the last time is long enough ago. Slowly: those who watch come first.
async fn reconciliations(state: &State) {
    let Some(every) = state.reconcile_every else { return };
    loop {
        tokio::time::sleep(RECONCILE_LOOK).await;
        if let Err(error) = reconcile_if_due(state, every).await {
            tracing::warn!(cause = %error.chain(), "could not reconcile the blobs; it is tried again");
        }
    }
}

async fn reconcile_if_due(state: &State, every: Duration) -> Result<()> {
    let now = transaction!(state.catalog, |tx| tx.now().await)?;
    let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
    let last = state.storage.last_report(true).await?.map(|(ended_at, _)| ended_at);
    if last.is_some_and(|last| now < last.saturating_add(every_ms)) {
        return Ok(());
    }
    let (actor, role, action) = ("theatrum".to_owned(), "worker".to_owned(), "reconcile".to_owned());
    let entry = Entry { actor, role, action, decision: "allow", reason: "due".to_owned(), ..Entry::default() };
    state.storage.reconcile(true)?.run(&entry, RECONCILE_PAUSE).await.map(drop)
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

/// Refused and deleted videos lose their key, then their blobs, then their key in the backups (invariant 6). One that cannot be purged is put off, so that any number
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
    let graveyard = graveyard(state).await;
    for video in due {
        if let Err(error) = purge_video(state, &video, scrubbed, &graveyard).await {
            tracing::warn!(%video, cause = %error.chain(), "could not purge a video; it is tried again in a minute");
            transaction!(state.catalog, |tx| tx.postpone_purge(&video, now + AFTER_TROUBLE_MS).await)?;
        }
    }
    Ok(())
}

/// The depot in which deletions are to be noted: none without a backup there, which could bring anything back. Asked once a pass, since one
/// that does not answer takes its time.
async fn graveyard(state: &State) -> Result<Option<Depot>> {
    let Some(place) = &state.depot else { return Ok(None) };
    let depot = Depot::look(place)?;
    let is_used = !depot.folders(Name::SNAPSHOTS).await?.is_empty();
    Ok(is_used.then_some(depot))
}

async fn purge_video(state: &State, video: &VideoId, scrubbed: bool, graveyard: &Result<Option<Depot>>) -> Result<()> {
    let deleted = state.blobs.delete_prefix(&Prefix::Video(video.clone())).await?;
    if !scrubbed {
        return Err(Error::unavailable("the catalog's files may still hold the video's wrapped key", "not scrubbed"));
    }
    match graveyard {
        Ok(Some(depot)) => depot.bury(video).await?,
        Ok(None) => {}
        Err(error) => return Err(Error::unavailable("the deletion cannot be noted among the backups", error.chain())),
    }
    transaction!(state.catalog, |tx| tx.purged(video).await)?;
    tracing::info!(%video, deleted, "purged a video");
    state.doorbell.video_changed(video);
    Ok(())
}

#[cfg(test)]
mod tests;
