//! The worker: claims jobs, keeps their leases, runs them with a sandboxed ffmpeg, and settles each in one transaction.
//!
//! A slot is claim → heartbeat → run → settle. Encodes may take as many slots as the machine has cores; one more slot takes everything
//! but encodes, so that short finishing steps never wait behind a long one.

mod attempt;
mod audio;
mod copy;
pub mod door;
mod encode;
mod ending;
pub mod ffmpeg;
#[cfg(test)]
mod fixture;
mod growth;
mod playlists;
mod probe;
mod publish;
mod runs;
pub mod sandbox;
mod segments;
mod source;
mod stills;
pub mod upkeep;

use crate::audit::Log;
use crate::blobs::Blobs;
use crate::catalog::Catalog;
use crate::domain::job::Job;
use crate::domain::{Error, Result};
use crate::doorbell::Doorbell;
use crate::keys::Keys;
use crate::transaction;
use sandbox::Sandbox;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A missed ring delays a job by this much at most (invariant 1).
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const AFTER_TROUBLE: Duration = Duration::from_secs(1);
/// Less than any job writes, but for posters and playlists; whether it is enough shows when it is written.
const LEAST_ROOM_BYTES: u64 = 256 << 10;

/// All that a worker may touch.
#[derive(Clone, Debug)]
pub struct State {
    /// The rows.
    pub catalog: Catalog,
    /// Sources in, segments out.
    pub blobs: Blobs,
    /// Opens root keys.
    pub keys: Keys,
    /// Publications and refusals are written down.
    pub audit: Arc<Log>,
    /// Woken by it, and tells of progress.
    pub doorbell: Doorbell,
    /// Where ffmpeg runs.
    pub sandbox: Sandbox,
    /// Who holds the leases: `node/life`.
    pub owner: String,
    /// The operator's limits.
    pub limits: Limits,
}

/// The operator's limits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Encodes at once.
    pub slots: usize,
    /// Silence after which a job goes to another worker.
    pub lease: Duration,
    /// How long a refused source is kept.
    pub keep_refused: Duration,
    /// How long at least a version is kept that was replaced.
    pub keep_superseded: Duration,
    /// Private memory of one ffmpeg.
    pub memory_bytes: u64,
    /// No progress for so long means stuck.
    pub stall: Duration,
}

impl Limits {
    fn lease_ms(&self) -> i64 {
        i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Runs jobs until `shutdown`; then claims no more, stops what runs, and hands its leases back.
pub async fn run(state: State, shutdown: CancellationToken) -> Result<()> {
    let mut slots = JoinSet::new();
    for _ in 0..state.limits.slots {
        slots.spawn(slot(state.clone(), false, shutdown.clone()));
    }
    slots.spawn(slot(state, true, shutdown));
    while let Some(ended) = slots.join_next().await {
        ended.map_err(|panic| Error::internal("a worker's slot panicked", panic))?;
    }
    Ok(())
}

async fn slot(state: State, light_only: bool, shutdown: CancellationToken) {
    let mut told = false;
    while !shutdown.is_cancelled() {
        match next(&state, light_only).await {
            Err(error) if error.is_disk_full() => {
                // It may last for days.
                if !std::mem::replace(&mut told, true) {
                    tracing::error!(cause = %error.chain(), "no job begins before there is room");
                }
                let _ = shutdown.run_until_cancelled(tokio::time::sleep(AFTER_TROUBLE)).await;
            }
            Ok(Some(job)) => {
                told = false;
                attempt::run(&state, job, &shutdown).await;
            }
            Ok(None) => tokio::select! {
                () = shutdown.cancelled() => {}
                () = state.doorbell.wait_work(LONGEST_WAIT) => {}
            },
            Err(error) => {
                tracing::error!(cause = %error.chain(), "could not look for work");
                tokio::time::sleep(AFTER_TROUBLE).await;
            }
        }
    }
}

/// Claims the next job, unless the disk is full: what a job makes could not be kept, and whoever cannot say so burns its claims.
async fn next(state: &State, light_only: bool) -> Result<Option<Job>> {
    match state.blobs.space().await? {
        Some(space) if space.free_bytes < LEAST_ROOM_BYTES => Err(Error::disk_full("the disk is full")),
        _ => claim(state, light_only).await,
    }
}

async fn claim(state: &State, light_only: bool) -> Result<Option<Job>> {
    transaction!(state.catalog, |tx| tx.claim(&state.owner, state.limits.lease_ms(), light_only).await)
}
