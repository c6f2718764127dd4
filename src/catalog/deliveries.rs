//! Deliveries: each event on its way to each endpoint. Made in the order of the log, leased one by one, fenced by their epoch (invariant 2), and
//! in order per video: of those that an endpoint has not had, only a video's first is ever under way.

use super::outbox::{Event, event};
use super::webhooks::{Secrets, parse_kinds, secrets};
use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::event::Kind;
use crate::domain::ids::{DeliveryId, WebhookId};
use crate::domain::{Error, Result};

/// A delivery's row, with its event.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its id, the `webhook-id` of every attempt.
    pub id: DeliveryId,
    /// To whom.
    pub webhook: WebhookId,
    /// What.
    pub event: Event,
    /// Whether the endpoint has had it.
    pub is_delivered: bool,
    /// Attempts so far, since it was last asked for.
    pub attempts: i64,
    /// When it was made, epoch milliseconds.
    pub created_at: i64,
    /// When it may be tried next, epoch milliseconds, unless an earlier one of its video waits.
    pub next_at: i64,
    /// When it was tried last, epoch milliseconds.
    pub attempted_at: Option<i64>,
    /// When the endpoint took it, epoch milliseconds.
    pub delivered_at: Option<i64>,
    /// The HTTP status of the last attempt; absent without an answer.
    pub status: Option<i64>,
    /// Why the last attempt failed, as a stable code.
    pub error: Option<String>,
    /// The beginning of the endpoint's last answer.
    pub answer: Option<String>,
}

/// Whose lease a call speaks for.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The delivery.
    pub id: DeliveryId,
    /// The epoch that its claim gave.
    pub epoch: i64,
}

/// A delivery that was claimed: all that an attempt needs.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The lease.
    pub lease: Lease,
    /// To whom.
    pub webhook: WebhookId,
    /// Where it is posted.
    pub url: String,
    /// What it is signed with.
    pub secrets: Secrets,
    /// What is told.
    pub event: Event,
    /// This attempt's number, from 1.
    pub attempts: i64,
    /// How long it has been tried, milliseconds.
    pub tried_for_ms: i64,
}

/// How an attempt ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The HTTP status; absent without an answer.
    pub status: Option<i64>,
    /// Why it failed, as a stable code.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub answer: Option<String>,
}

/// An endpoint for which deliveries are to be made.
#[derive(Clone, Debug)]
pub struct Behind {
    /// The endpoint.
    pub webhook: WebhookId,
    /// Which events it gets; empty: all.
    pub kinds: Vec<Kind>,
    /// Up to which event it has deliveries.
    pub seen: i64,
}

fn delivery(row: &Row) -> Result<Delivery> {
    Ok(Delivery {
        id: DeliveryId::parse(&row.text("id")?)?,
        webhook: WebhookId::parse(&row.text("webhook_id")?)?,
        event: Event { created_at: row.int("happened_at")?, ..event(row)? },
        is_delivered: row.text("state")? == "delivered",
        attempts: row.int("attempts")?,
        created_at: row.int("created_at")?,
        next_at: row.int("next_at")?,
        attempted_at: row.opt_int("attempted_at")?,
        delivered_at: row.opt_int("delivered_at")?,
        status: row.opt_int("status")?,
        error: row.opt_text("error")?,
        answer: row.opt_text("answer")?,
    })
}

impl Lease {
    fn stale(&self) -> Error {
        Error::conflict("stale-epoch", format!("delivery {} is no longer leased at epoch {}", self.id, self.epoch))
    }
}

impl Catalog {
    /// At most `limit` deliveries to an endpoint, newest first, older than the event `before`; only those it has had, or has not had.
    pub async fn deliveries(&self, webhook: &WebhookId, delivered: Option<bool>, before: Option<i64>, limit: u64) -> Result<Vec<Delivery>> {
        let sql = "SELECT deliveries.*, events.kind, events.payload, events.created_at AS happened_at
            FROM deliveries JOIN events ON events.seq = deliveries.seq
            WHERE webhook_id = $1 AND ($2 IS NULL OR state = $2) AND ($3 IS NULL OR deliveries.seq < $3) ORDER BY deliveries.seq DESC LIMIT $4";
        let state = delivered.map(|delivered| if delivered { "delivered" } else { "pending" });
        self.fetch_all(sql, args![webhook, state, before, limit]).await?.iter().map(delivery).collect()
    }

    /// Whether any delivery waits or is under way: whoever wants to claim one asks this first, which keeps no writer waiting.
    pub async fn has_pending_deliveries(&self) -> Result<bool> {
        Ok(self.fetch_optional("SELECT 1 AS one FROM deliveries WHERE state = 'pending' LIMIT 1", Vec::new()).await?.is_some())
    }

    /// The endpoints that lack deliveries of the newest events.
    pub async fn webhooks_behind(&self) -> Result<Vec<Behind>> {
        let sql = "SELECT id, kinds, seen_seq FROM webhooks WHERE seen_seq < (SELECT MAX(seq) FROM events) ORDER BY id";
        let behind = |row: &Row| {
            let webhook = WebhookId::parse(&row.text("id")?)?;
            Ok(Behind { webhook, kinds: parse_kinds(&row.text("kinds")?)?, seen: row.int("seen_seq")? })
        };
        self.fetch_all(sql, Vec::new()).await?.iter().map(behind).collect()
    }
}

impl Tx {
    /// Makes deliveries of `events` to an endpoint, which are those after `behind.seen` up to `seen`; gives whether it was first to.
    pub async fn insert_deliveries(&mut self, behind: &Behind, events: &[Event], seen: i64) -> Result<bool> {
        let sql = "UPDATE webhooks SET seen_seq = $3 WHERE id = $1 AND seen_seq = $2";
        if self.execute(sql, args![&behind.webhook, behind.seen, seen]).await? != 1 {
            return Ok(false);
        }
        let now = self.now().await?;
        for event in events {
            let sql = "INSERT INTO deliveries (id, webhook_id, seq, video_id, state, created_at, next_at) VALUES ($1, $2, $3, $4, 'pending', $5, $5)";
            self.execute(sql, args![&DeliveryId::new(), &behind.webhook, event.seq, &event.video, now]).await?;
        }
        Ok(true)
    }

    /// Leases the next delivery that is due to `owner` for `lease_ms`: of an endpoint that is not disabled and has fewer than `most_at_once` under way,
    /// and the first of its video that the endpoint has not had.
    pub async fn claim_delivery(&mut self, owner: &str, lease_ms: i64, most_at_once: i64) -> Result<Option<Claimed>> {
        let now = self.now().await?;
        let sql = "UPDATE deliveries SET lease_owner = $2, lease_until = $3, epoch = epoch + 1, attempts = attempts + 1, attempted_at = $1,
                begun_at = COALESCE(begun_at, $1)
            WHERE id = (SELECT d.id FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id
                WHERE d.state = 'pending' AND d.next_at <= $1 AND d.lease_until <= $1 AND w.disabled_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM deliveries e
                    WHERE e.webhook_id = d.webhook_id AND e.video_id = d.video_id AND e.seq < d.seq AND e.state = 'pending')
                AND (SELECT COUNT(*) FROM deliveries u WHERE u.webhook_id = d.webhook_id AND u.state = 'pending' AND u.lease_until > $1) < $4
                ORDER BY d.next_at, d.seq LIMIT 1)
            RETURNING *";
        match self.fetch_optional(sql, args![now, owner, now + lease_ms, most_at_once]).await? {
            Some(row) => self.claimed(&row, now).await.map(Some),
            None => Ok(None),
        }
    }

    async fn claimed(&mut self, row: &Row, now: i64) -> Result<Claimed> {
        let gone = || Error::internal("a delivery lacks its event or endpoint", "no row");
        let webhook = WebhookId::parse(&row.text("webhook_id")?)?;
        let to = self.fetch_optional("SELECT * FROM webhooks WHERE id = $1", args![&webhook]).await?.ok_or_else(gone)?;
        let told = self.fetch_optional("SELECT * FROM events WHERE seq = $1", args![row.int("seq")?]).await?.ok_or_else(gone)?;
        Ok(Claimed {
            lease: Lease { id: DeliveryId::parse(&row.text("id")?)?, epoch: row.int("epoch")? },
            webhook,
            url: to.text("url")?,
            secrets: secrets(&to, now)?,
            event: event(&told)?,
            attempts: row.int("attempts")?,
            tried_for_ms: now - row.opt_int("begun_at")?.unwrap_or(now),
        })
    }

    /// The endpoint has taken it. If the endpoint had been failing, all that waits for its next try is due at once. A stale epoch is `Conflict`.
    pub async fn settle_delivery(&mut self, claimed: &Claimed, outcome: &Outcome) -> Result<()> {
        let (now, lease) = (self.now().await?, &claimed.lease);
        let sql =
            "UPDATE deliveries SET state = 'delivered', delivered_at = $3, lease_owner = NULL, lease_until = 0, status = $4, error = NULL,
            answer = $5 WHERE id = $1 AND epoch = $2 AND state = 'pending'";
        if self.execute(sql, args![&lease.id, lease.epoch, now, outcome.status, outcome.answer.clone()]).await? != 1 {
            return Err(lease.stale());
        }
        let sql = "UPDATE webhooks SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL";
        if self.execute(sql, args![&claimed.webhook]).await? == 1 {
            let sql = "UPDATE deliveries SET next_at = $2 WHERE webhook_id = $1 AND state = 'pending' AND next_at > $2";
            self.execute(sql, args![&claimed.webhook, now]).await?;
        }
        Ok(())
    }

    /// The attempt failed: it may be tried again after `pause_ms`. A stale epoch is `Conflict`.
    pub async fn retry_delivery(&mut self, claimed: &Claimed, outcome: &Outcome, pause_ms: i64) -> Result<()> {
        let (now, lease) = (self.now().await?, &claimed.lease);
        let sql = "UPDATE deliveries SET next_at = $3, lease_owner = NULL, lease_until = 0, status = $4, error = $5, answer = $6
            WHERE id = $1 AND epoch = $2 AND state = 'pending'";
        let (next_at, error) = (now.saturating_add(pause_ms), outcome.error.clone());
        if self.execute(sql, args![&lease.id, lease.epoch, next_at, outcome.status, error, outcome.answer.clone()]).await? != 1 {
            return Err(lease.stale());
        }
        let sql = "UPDATE webhooks SET failing_since = $2 WHERE id = $1 AND failing_since IS NULL";
        self.execute(sql, args![&claimed.webhook, now]).await.map(drop)
    }

    /// Lets a delivery be made once more, with all its time, whether the endpoint has had it or not. `NotFound` when there is none to this
    /// endpoint, `Conflict` (`webhook-disabled`) when nothing is sent to it.
    pub async fn redeliver(&mut self, webhook: &WebhookId, id: &DeliveryId) -> Result<()> {
        let now = self.now().await?;
        let sql = "SELECT disabled_at FROM webhooks WHERE id = $1 AND EXISTS (SELECT 1 FROM deliveries WHERE id = $2 AND webhook_id = $1)";
        let row = self.fetch_optional(sql, args![webhook, id]).await?;
        let row = row.ok_or_else(|| Error::not_found(format!("webhook {webhook} has no delivery {id}")))?;
        if row.opt_int("disabled_at")?.is_some() {
            let message = format!("webhook {webhook} is disabled: enable it, and all that it has not had is sent");
            return Err(Error::conflict("webhook-disabled", message));
        }
        let sql = "UPDATE deliveries SET state = 'pending', next_at = $2, attempts = 0, begun_at = NULL, delivered_at = NULL WHERE id = $1";
        self.execute(sql, args![id, now]).await.map(drop)
    }

    /// Ends at once the leases that an earlier life of this node held: its data folder is locked, so that life is over.
    pub async fn forget_former_deliveries(&mut self, node: &str, owner: &str) -> Result<u64> {
        let sql = "UPDATE deliveries SET lease_until = 0
            WHERE state = 'pending' AND SUBSTR(lease_owner, 1, LENGTH($1)) = $1 AND lease_owner <> $2";
        self.execute(sql, args![format!("{node}/"), owner]).await
    }
}
