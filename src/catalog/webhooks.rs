//! Endpoints that events are sent to. Their secrets are wrapped: no row holds a plain one (invariant 6).

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::event::Kind;
use crate::domain::ids::WebhookId;
use crate::domain::webhook::{Changes, Webhook};
use crate::domain::{Error, Result};

/// An endpoint to insert; the catalog adds the times.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Its id.
    pub id: WebhookId,
    /// Where its events are posted.
    pub url: String,
    /// Which of them; empty: all.
    pub kinds: Vec<Kind>,
    /// Its secret, wrapped.
    pub secret_wrapped: String,
    /// Who makes it.
    pub created_by: String,
}

/// The wrapped secrets that messages to an endpoint are signed with.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// Today's.
    pub current: String,
    /// The one before, for as long as it is used too.
    pub former: Option<String>,
}

/// Each endpoint, with the number of its pending deliveries.
macro_rules! WEBHOOKS {
    () => {
        "SELECT webhooks.*, (SELECT COUNT(*) FROM deliveries WHERE deliveries.webhook_id = webhooks.id AND deliveries.state = 'pending') AS pending
        FROM webhooks "
    };
}

fn webhook(row: &Row) -> Result<Webhook> {
    Ok(Webhook {
        id: WebhookId::parse(&row.text("id")?)?,
        url: row.text("url")?,
        kinds: parse_kinds(&row.text("kinds")?)?,
        created_by: row.text("created_by")?,
        created_at: row.int("created_at")?,
        disabled_at: row.opt_int("disabled_at")?,
        disabled_why: row.opt_text("disabled_why")?,
        failing_since: row.opt_int("failing_since")?,
        former_until: row.opt_int("former_until")?,
        pending: row.count("pending")?,
    })
}

pub(super) fn parse_kinds(text: &str) -> Result<Vec<Kind>> {
    text.split_whitespace().map(Kind::parse).collect()
}

fn written(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ")
}

fn unknown(id: &WebhookId) -> Error {
    Error::not_found(format!("there is no webhook {id}"))
}

pub(super) fn secrets(row: &Row, now: i64) -> Result<Secrets> {
    let is_used = row.opt_int("former_until")?.is_some_and(|until| until > now);
    Ok(Secrets { current: row.text("secret_wrapped")?, former: row.opt_text("former_wrapped")?.filter(|_| is_used) })
}

impl Catalog {
    /// One endpoint.
    pub async fn webhook(&self, id: &WebhookId) -> Result<Webhook> {
        let row = self.fetch_optional(concat!(WEBHOOKS!(), "WHERE id = $1"), args![id]).await?;
        row.as_ref().map_or_else(|| Err(unknown(id)), webhook)
    }

    /// At most `limit` endpoints, newest first, older than `before`.
    pub async fn webhooks(&self, before: Option<&WebhookId>, limit: u64) -> Result<Vec<Webhook>> {
        let sql = concat!(WEBHOOKS!(), "WHERE $1 IS NULL OR id < $1 ORDER BY id DESC LIMIT $2");
        self.fetch_all(sql, args![before.map(WebhookId::as_str), limit]).await?.iter().map(webhook).collect()
    }
}

impl Tx {
    /// Inserts an endpoint; it gets what happens from now on.
    pub async fn insert_webhook(&mut self, new: &NewWebhook) -> Result<()> {
        let now = self.now().await?;
        let sql = "INSERT INTO webhooks (id, url, kinds, secret_wrapped, created_by, created_at, seen_seq)
            VALUES ($1, $2, $3, $4, $5, $6, (SELECT COALESCE(MAX(seq), 0) FROM events))";
        self.execute(sql, args![&new.id, &new.url, written(&new.kinds), &new.secret_wrapped, &new.created_by, now]).await.map(drop)
    }

    /// Gives an endpoint another address, or other events: those that happen from now on.
    pub async fn change_webhook(&mut self, id: &WebhookId, changes: &Changes) -> Result<()> {
        let kinds = changes.kinds.as_deref().map(written);
        let sql = "UPDATE webhooks SET url = COALESCE($2, url), kinds = COALESCE($3, kinds) WHERE id = $1";
        if self.execute(sql, args![id, changes.url.clone(), kinds]).await? == 1 { Ok(()) } else { Err(unknown(id)) }
    }

    /// Lets an endpoint have `secret_wrapped`; what it had is used too for `overlap_ms`.
    pub async fn rotate_webhook_secret(&mut self, id: &WebhookId, secret_wrapped: &str, overlap_ms: i64) -> Result<()> {
        let until = self.now().await?.saturating_add(overlap_ms);
        let sql = "UPDATE webhooks SET former_wrapped = secret_wrapped, former_until = $3, secret_wrapped = $2 WHERE id = $1";
        if self.execute(sql, args![id, secret_wrapped, until]).await? == 1 { Ok(()) } else { Err(unknown(id)) }
    }

    /// Forgets secrets that are not used any more.
    pub async fn forget_former_secrets(&mut self) -> Result<u64> {
        let now = self.now().await?;
        self.execute("UPDATE webhooks SET former_wrapped = NULL, former_until = NULL WHERE former_until <= $1", args![now]).await
    }

    /// The wrapped secrets of an endpoint.
    pub async fn webhook_secrets(&mut self, id: &WebhookId) -> Result<Secrets> {
        let now = self.now().await?;
        let row = self.fetch_optional("SELECT * FROM webhooks WHERE id = $1", args![id]).await?;
        row.as_ref().map_or_else(|| Err(unknown(id)), |row| secrets(row, now))
    }

    /// Sends nothing to an endpoint any more, because of `why`; gives whether anything was sent before.
    pub async fn disable_webhook(&mut self, id: &WebhookId, why: &str) -> Result<bool> {
        let now = self.now().await?;
        let sql = "UPDATE webhooks SET disabled_at = $2, disabled_why = $3 WHERE id = $1 AND disabled_at IS NULL";
        Ok(self.execute(sql, args![id, now, why]).await? == 1)
    }

    /// Sends to an endpoint again, beginning with all that waited, each with all its time; nothing if it was not disabled.
    pub async fn enable_webhook(&mut self, id: &WebhookId) -> Result<()> {
        let sql =
            "UPDATE webhooks SET disabled_at = NULL, disabled_why = NULL, failing_since = NULL WHERE id = $1 AND disabled_at IS NOT NULL";
        if self.execute(sql, args![id]).await? == 1 {
            let now = self.now().await?;
            let sql = "UPDATE deliveries SET next_at = $2, attempts = 0, begun_at = NULL WHERE webhook_id = $1 AND state = 'pending'";
            self.execute(sql, args![id, now]).await?;
        }
        Ok(())
    }

    /// Deletes an endpoint with its deliveries; one that is under way is fenced off.
    pub async fn delete_webhook(&mut self, id: &WebhookId) -> Result<()> {
        self.execute("DELETE FROM deliveries WHERE webhook_id = $1", args![id]).await?;
        if self.execute("DELETE FROM webhooks WHERE id = $1", args![id]).await? == 1 { Ok(()) } else { Err(unknown(id)) }
    }
}
