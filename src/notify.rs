//! Webhooks: each event of the outbox is posted to each endpoint that wants it, signed by the Standard Webhooks specification, until the endpoint
//! has taken it.
//!
//! A pass makes deliveries of new events and attempts those that are due: claim → post → settle, as workers do with jobs. What cannot be
//! delivered for days disables its endpoint and waits there, so nothing is lost. The row is the truth: a pass that is cut short anywhere
//! repeats what was under way, under the same `webhook-id`.

mod attempt;
mod courier;
mod message;

use crate::audit::Log;
use crate::catalog::Catalog;
use crate::catalog::deliveries::{Behind, Claimed};
use crate::catalog::outbox::{Audience, Reading};
use crate::domain::Result;
use crate::doorbell::Doorbell;
use crate::transaction;
pub use courier::{Answer, Courier};
pub use message::{Message, moment};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A missed ring delays an event by this much at most (invariant 1).
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Attempts under way at once in this process,
const MOST_AT_ONCE: usize = 32;
/// and to one endpoint: one that is slow takes none of the others' time.
const MOST_AT_ONCE_TO_ONE: i64 = 4;
/// Events for which deliveries are made in one transaction.
const FAN_OUT: u64 = 200;
/// What an attempt may take besides waiting for the answer.
const LEASE_MARGIN: Duration = Duration::from_secs(20);
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// All that deliveries may touch.
#[derive(Clone, Debug)]
pub struct State {
    /// The rows.
    pub catalog: Catalog,
    /// What an operator must hear of is written down.
    pub audit: Arc<Log>,
    /// Woken by it.
    pub doorbell: Doorbell,
    /// Signs and posts.
    pub courier: Courier,
    /// Who holds the leases: `node/life`.
    pub owner: String,
    /// The operator's limits.
    pub limits: Limits,
}

/// The operator's limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest pause after a first failure; it doubles with each further one,
    pub first_pause: Duration,
    /// up to this.
    pub longest_pause: Duration,
    /// How long an endpoint may fail to take an event until it is disabled.
    pub give_up_after: Duration,
    /// How long the log keeps events that every endpoint has had.
    pub keep_events: Duration,
}

/// Delivers until `shutdown`; then begins nothing more, and lets what is under way end.
pub async fn run(state: State, shutdown: CancellationToken) -> Result<()> {
    let mut attempts = JoinSet::new();
    let mut forgotten: Option<Instant> = None;
    while !shutdown.is_cancelled() {
        if let Err(error) = pass(&state, &mut attempts).await {
            tracing::warn!(cause = %error.chain(), "could not look for events to deliver; it is tried again");
        }
        if forgotten.is_none_or(|last| last.elapsed() >= FORGET_EVERY) {
            forgotten = Some(Instant::now());
            if let Err(error) = forget(&state).await {
                tracing::warn!(cause = %error.chain(), "could not forget old events; it is tried again");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            Some(_) = attempts.join_next() => {}
            () = state.doorbell.wait_events(LONGEST_WAIT) => {}
        }
    }
    while attempts.join_next().await.is_some() {}
    Ok(())
}

/// Makes the deliveries that are missing, and begins attempts at those that are due while there is room.
async fn pass(state: &State, attempts: &mut JoinSet<()>) -> Result<()> {
    for behind in state.catalog.webhooks_behind().await? {
        fan_out(state, behind).await?;
    }
    while attempts.try_join_next().is_some() {}
    if !state.catalog.has_pending_deliveries().await? {
        return Ok(());
    }
    while attempts.len() < MOST_AT_ONCE
        && let Some(claimed) = claim(state).await?
    {
        let state = state.clone();
        attempts.spawn(async move { attempt::run(&state, claimed).await });
    }
    Ok(())
}

/// Makes the deliveries of one endpoint, up to the newest event. Who else does so at the same time wins or loses batch by batch.
async fn fan_out(state: &State, mut behind: Behind) -> Result<()> {
    loop {
        let reading = Reading { after: behind.seen, kinds: Vec::new(), audience: Audience::Everyones, limit: FAN_OUT };
        // The log only grows, and in order: what is read here is all there is up to its last.
        let events = state.catalog.read_events(&reading).await?;
        let Some(seen) = events.last().map(|event| event.seq) else { return Ok(()) };
        let is_wanted = |kind: &str| behind.kinds.is_empty() || behind.kinds.iter().any(|wanted| wanted.as_str() == kind);
        let wanted: Vec<_> = events.into_iter().filter(|event| is_wanted(&event.kind)).collect();
        if !transaction!(state.catalog, |tx| tx.insert_deliveries(&behind, &wanted, seen).await)? {
            return Ok(());
        }
        behind.seen = seen;
    }
}

async fn claim(state: &State) -> Result<Option<Claimed>> {
    let lease_ms = milliseconds(state.courier.timeout() + LEASE_MARGIN);
    transaction!(state.catalog, |tx| tx.claim_delivery(&state.owner, lease_ms, MOST_AT_ONCE_TO_ONE).await)
}

/// Forgets events and secrets that are not needed any more.
async fn forget(state: &State) -> Result<()> {
    let keep_ms = milliseconds(state.limits.keep_events);
    let forgotten = transaction!(state.catalog, |tx| {
        let before = tx.now().await?.saturating_sub(keep_ms);
        tx.forget_former_secrets().await?;
        tx.forget_events(before).await
    })?;
    if forgotten > 0 {
        tracing::info!(forgotten, "forgot old events");
    }
    Ok(())
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
