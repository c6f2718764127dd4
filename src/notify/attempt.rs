//! One attempt at one delivery, and what follows from it.

use super::courier::Answer;
use super::message::Message;
use super::{Limits, State, milliseconds};
use crate::audit::Entry;
use crate::catalog::deliveries::{Claimed, Outcome};
use crate::domain::{Error, Result};
use crate::transaction;

/// Posts a claimed delivery and writes down how it ended. If that fails, the lease ends by itself and it is tried again.
pub(super) async fn run(state: &State, claimed: Claimed) {
    let (delivery, webhook) = (&claimed.lease.id, &claimed.webhook);
    let answer = post(state, &claimed).await.unwrap_or_else(|error| {
        tracing::error!(%webhook, %delivery, cause = %error.chain(), "could not send an event");
        Answer { error: Some("not-sent"), ..Answer::default() }
    });
    match conclude(state, &claimed, &answer).await {
        Err(error) if error.code() == "stale-epoch" => tracing::warn!(%webhook, %delivery, "somebody else delivers this by now"),
        Err(error) => tracing::warn!(%webhook, %delivery, cause = %error.chain(), "could not write down how a delivery ended"),
        Ok(()) => {}
    }
}

async fn post(state: &State, claimed: &Claimed) -> Result<Answer> {
    let message = Message::of(&claimed.lease.id, &claimed.event)?;
    state.courier.post(&claimed.webhook, &claimed.url, &claimed.secrets, &message).await
}

async fn conclude(state: &State, claimed: &Claimed, answer: &Answer) -> Result<()> {
    let status = answer.status.map(i64::from);
    let outcome = Outcome { status, error: answer.error.map(str::to_owned), answer: answer.text.clone() };
    let Some(reason) = answer.error else {
        return transaction!(state.catalog, |tx| tx.settle_delivery(claimed, &outcome).await);
    };
    tracing::warn!(webhook = %claimed.webhook, delivery = %claimed.lease.id, attempt = claimed.attempts, reason, status, "an event was not taken");
    let pause_ms = pause_ms(&state.limits, claimed.attempts).max(answer.retry_after.map_or(0, milliseconds));
    let why = why_to_stop(&state.limits, claimed, answer);
    let disabled = transaction!(state.catalog, |tx| {
        tx.retry_delivery(claimed, &outcome, pause_ms).await?;
        let Some(why) = why else { return Ok::<_, Error>(false) };
        let disabled = tx.disable_webhook(&claimed.webhook, why).await?;
        if disabled {
            tx.append_audit(&alert(claimed, why)).await?;
        }
        Ok(disabled)
    })?;
    if disabled {
        let why = why.unwrap_or_default();
        tracing::error!(webhook = %claimed.webhook, why, "a webhook was disabled; what happens waits until somebody enables it again");
    }
    Ok(())
}

/// Full jitter: anything up to a ceiling that doubles with each failure.
fn pause_ms(limits: &Limits, attempts: i64) -> i64 {
    rand::random_range(0..=ceiling_ms(limits, attempts))
}

fn ceiling_ms(limits: &Limits, attempts: i64) -> i64 {
    let doublings = u32::try_from(attempts.clamp(1, 40) - 1).unwrap_or_default();
    milliseconds(limits.first_pause).saturating_mul(1_i64 << doublings).min(milliseconds(limits.longest_pause))
}

/// Why nothing more is sent to the endpoint; `None` while it is worth trying.
fn why_to_stop(limits: &Limits, claimed: &Claimed, answer: &Answer) -> Option<&'static str> {
    if answer.is_gone() {
        return Some("gone");
    }
    (claimed.tried_for_ms >= milliseconds(limits.give_up_after)).then_some("unanswered")
}

/// What the audit log says of an endpoint that was disabled.
fn alert(claimed: &Claimed, why: &str) -> Entry {
    Entry {
        actor: "theatrum".to_owned(),
        role: "worker".to_owned(),
        action: "webhook-disable".to_owned(),
        video: Some(claimed.event.video.clone()),
        object: Some(claimed.webhook.to_string()),
        decision: "allow",
        reason: why.to_owned(),
        ..Entry::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let limits =
            Limits { first_pause: Duration::from_secs(5), longest_pause: hours(4), give_up_after: hours(72), keep_events: hours(720) };
        let ceilings: Vec<i64> = [0, 1, 2, 3, 11, 12, 13, 1_000_000].into_iter().map(|attempts| ceiling_ms(&limits, attempts)).collect();
        assert_eq!(ceilings, [5_000, 5_000, 10_000, 20_000, 5_120_000, 10_240_000, 14_400_000, 14_400_000]);
        assert!((0..100).all(|_| (0..=10_000).contains(&pause_ms(&limits, 2))));
    }
}
