//! Calls that bear an idempotency key (draft-ietf-httpapi-idempotency-key-header): claimed before they run, marked by what they change,
//! answered once.
//!
//! The row of a key is leased like a job: a claim raises its epoch, and whoever comes with a stale one changes nothing. While the call runs, its
//! [`Ticket`] rides with its task, and every transaction of it that writes marks the row too, in the same commit ([`Tx::commit`]). So the row knows
//! whether the call had an effect, whatever moment the process dies at, and a call whose row was taken over can commit nothing more.

use super::{Catalog, Tx};
use crate::args;
use crate::domain::ids::{UploadId, VideoId};
use crate::domain::{Error, Result};
use aws_lc_rs::digest::{SHA256, digest};
use std::future::Future;

/// How long a claim lasts unless it is extended.
const LEASE_MS: i64 = 15_000;
/// How long a key is remembered.
const KEPT_MS: i64 = 24 * 3_600_000;

tokio::task_local! {
    // No use case has to hand it on, and so none can forget to: the same reason for which tracing's span rides with the task.
    static TICKET: Ticket;
}

/// The right to carry a call out.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Names the caller, the route and the key, digested.
    pub scope: String,
    /// Raised by every claim.
    pub epoch: i64,
    /// When the key was first seen, epoch milliseconds: the same for every claim of it.
    pub created_at: i64,
}

impl Ticket {
    /// The ids of the upload that this call begins, and of its video: the same whichever of the key's claims comes so far.
    pub fn ids(&self) -> (UploadId, VideoId) {
        (UploadId::derived(self.created_at, &self.seed("upload")), VideoId::derived(self.created_at, &self.seed("video")))
    }

    fn seed(&self, what: &str) -> [u8; 10] {
        let digest = digest(&SHA256, format!("{what}|{}", self.scope).as_bytes());
        let mut seed = [0; 10];
        seed.copy_from_slice(&digest.as_ref()[..10]);
        seed
    }
}

/// What the row of a key says to one who comes with it.
#[derive(Clone, Debug)]
pub enum Claim {
    /// Carry the call out.
    Granted(Ticket),
    /// It was carried out; here is its sealed answer.
    Answered(String),
    /// It is being carried out.
    InProgress,
    /// It was carried out, but its answer was lost, and it must not be repeated.
    Lost,
    /// The key was used for another request.
    Reused,
}

/// Runs `call` under `ticket`: what its transactions write is marked in the row of its key.
pub async fn carry_out<F: Future>(ticket: Ticket, call: F) -> F::Output {
    TICKET.scope(ticket, call).await
}

/// The ticket of the call that runs in this task.
pub(super) fn current() -> Option<Ticket> {
    TICKET.try_with(Clone::clone).ok()
}

impl Tx {
    /// Claims the key of `scope` for the request of `fingerprint`. One that was begun and never ended is granted anew when its lease is over,
    /// unless it left a mark and is not `repeatable`.
    pub async fn claim_key(&mut self, scope: &str, fingerprint: &str, repeatable: bool) -> Result<Claim> {
        let now = self.now().await?;
        self.execute("DELETE FROM idempotency WHERE scope = $1 AND created_at <= $2", args![scope, now - KEPT_MS]).await?;
        let sql =
            "INSERT INTO idempotency (scope, fingerprint, lease_until, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (scope) DO NOTHING";
        let is_new = self.execute(sql, args![scope, fingerprint, now + LEASE_MS, now]).await? == 1;
        let row = self.fetch_optional("SELECT * FROM idempotency WHERE scope = $1", args![scope]).await?;
        let row = row.ok_or_else(|| Error::internal("the row of an idempotency key is not there", "no row"))?;
        let ticket = Ticket { scope: scope.to_owned(), epoch: row.int("epoch")?, created_at: row.int("created_at")? };
        match row.opt_text("answer")? {
            _ if is_new => Ok(Claim::Granted(ticket)),
            _ if row.text("fingerprint")? != fingerprint => Ok(Claim::Reused),
            Some(answer) => Ok(Claim::Answered(answer)),
            None if row.int("lease_until")? > now => Ok(Claim::InProgress),
            None if row.int("carried_out")? == 1 && !repeatable => Ok(Claim::Lost),
            None => {
                let sql = "UPDATE idempotency SET epoch = epoch + 1, lease_until = $2 WHERE scope = $1";
                self.execute(sql, args![scope, now + LEASE_MS]).await?;
                Ok(Claim::Granted(Ticket { epoch: ticket.epoch + 1, ..ticket }))
            }
        }
    }

    /// Extends the claim of a call that still runs.
    pub async fn extend_key(&mut self, ticket: &Ticket) -> Result<()> {
        let now = self.now().await?;
        let sql = "UPDATE idempotency SET lease_until = $3 WHERE scope = $1 AND epoch = $2 AND answer IS NULL";
        self.execute(sql, args![&ticket.scope, ticket.epoch, now + LEASE_MS]).await.map(drop)
    }

    /// Keeps the sealed answer of a call that was carried out.
    pub async fn answer_key(&mut self, ticket: &Ticket, answer: &str) -> Result<()> {
        let sql = "UPDATE idempotency SET answer = $3, carried_out = 1 WHERE scope = $1 AND epoch = $2 AND answer IS NULL";
        self.execute(sql, args![&ticket.scope, ticket.epoch, answer]).await.map(drop)
    }

    /// Forgets the key of a call that was refused, so that it is decided anew next time. With `unless_marked`, for a call that failed: one that
    /// had an effect stays, and its claim is over at once.
    pub async fn release_key(&mut self, ticket: &Ticket, unless_marked: bool) -> Result<()> {
        let sql = "DELETE FROM idempotency WHERE scope = $1 AND epoch = $2 AND answer IS NULL AND (carried_out = 0 OR $3 = 0)";
        self.execute(sql, args![&ticket.scope, ticket.epoch, unless_marked]).await?;
        let sql = "UPDATE idempotency SET lease_until = 0 WHERE scope = $1 AND epoch = $2 AND answer IS NULL";
        self.execute(sql, args![&ticket.scope, ticket.epoch]).await.map(drop)
    }

    /// Notes, in the transaction that changes something for a call, that it did. `Conflict` when the call was taken over meanwhile: then the
    /// change must not be.
    pub(super) async fn mark_key(&mut self, ticket: &Ticket) -> Result<()> {
        let sql = "UPDATE idempotency SET carried_out = 1 WHERE scope = $1 AND epoch = $2 AND answer IS NULL";
        let changed = self.execute(sql, args![&ticket.scope, ticket.epoch]).await?;
        if changed == 1 {
            Ok(())
        } else {
            Err(Error::conflict("idempotency-in-progress", "another try of this request took over: ask again"))
        }
    }
}

impl Catalog {
    /// Forgets the keys that are older than a day; gives how many.
    pub async fn forget_old_keys(&self) -> Result<u64> {
        crate::transaction!(self, |tx| {
            let now = tx.now().await?;
            tx.execute("DELETE FROM idempotency WHERE created_at <= $1", args![now - KEPT_MS]).await
        })
    }
}
