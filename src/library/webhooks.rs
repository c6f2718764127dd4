//! Where events are sent: endpoints made, changed, looked at and deleted; their secrets; and what they have had. For administrators.

mod url;

use super::Caller;
use crate::audit::{Entry, Log};
use crate::catalog::Catalog;
use crate::catalog::deliveries::Delivery;
use crate::catalog::webhooks::{NewWebhook, Secrets};
use crate::domain::event::Kind;
use crate::domain::ids::{DeliveryId, WebhookId};
use crate::domain::webhook::{Changes, Rules, Webhook, secret_context};
use crate::domain::{Error, Result};
use crate::doorbell::Doorbell;
use crate::kms::Kms;
use crate::policy::{Action, Actor, Decision, decide};
use crate::transaction;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Standard Webhooks 1.0.0, "Signature scheme": between 24 and 64 bytes.
const SECRET_BYTES: usize = 32;
/// What it begins with as text.
const SECRET_MARK: &str = "whsec_";

/// The use cases of webhooks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// The rows.
    pub catalog: Catalog,
    /// Wraps secrets.
    pub kms: Kms,
    /// The audit log.
    pub audit: Arc<Log>,
    /// Tells that there may be something to send.
    pub doorbell: Doorbell,
    /// Which addresses may be called.
    pub rules: Arc<Rules>,
    /// How long messages are signed with the secret before too.
    pub overlap: Duration,
}

/// An endpoint, and its secret if it has just got one.
pub struct Signed {
    /// The endpoint.
    pub webhook: Webhook,
    /// The secret, `whsec_…`, which nothing shows again.
    pub secret: Option<Zeroizing<String>>,
}

impl Webhooks {
    /// Makes an endpoint that gets what happens from now on, of these kinds (empty: all).
    pub async fn create(&self, caller: &Caller, url: &str, kinds: Vec<Kind>) -> Result<Signed> {
        let id = WebhookId::new();
        let decision = self.permit(caller, "webhook-create", None).await?;
        url::check(&self.rules, url)?;
        let (secret, secret_wrapped) = self.draw(&id).await?;
        let created_by = caller.actor.subject.clone();
        let new = NewWebhook { id: id.clone(), url: url.to_owned(), kinds, secret_wrapped, created_by };
        let entry = entry(caller, "webhook-create", decision, &id);
        transaction!(self.catalog, |tx| {
            tx.insert_webhook(&new).await?;
            tx.append_audit(&entry).await
        })?;
        Ok(Signed { webhook: self.catalog.webhook(&id).await?, secret: Some(secret) })
    }

    /// At most `limit` endpoints, newest first, older than `before`.
    pub async fn list(&self, actor: &Actor, before: Option<&WebhookId>, limit: u64) -> Result<Vec<Webhook>> {
        decide(actor, Action::ManageWebhooks).permit()?;
        self.catalog.webhooks(before, limit).await
    }

    /// One endpoint.
    pub async fn show(&self, actor: &Actor, id: &WebhookId) -> Result<Webhook> {
        decide(actor, Action::ManageWebhooks).permit()?;
        self.catalog.webhook(id).await
    }

    /// Changes an endpoint. One that is enabled gets all that waited; with another secret, messages are signed with both for a while.
    pub async fn change(&self, caller: &Caller, id: &WebhookId, changes: &Changes) -> Result<Signed> {
        let decision = self.permit(caller, "webhook-change", Some(id)).await?;
        changes.url.as_deref().map_or(Ok(()), |url| url::check(&self.rules, url))?;
        let drawn = if changes.rotate_secret { Some(self.draw(id).await?) } else { None };
        let overlap_ms = i64::try_from(self.overlap.as_millis()).unwrap_or(i64::MAX);
        let entry = Entry { reason: what(changes), ..entry(caller, "webhook-change", decision, id) };
        transaction!(self.catalog, |tx| {
            tx.change_webhook(id, changes).await?;
            match changes.disabled {
                Some(true) => drop(tx.disable_webhook(id, "asked").await?),
                Some(false) => tx.enable_webhook(id).await?,
                None => {}
            }
            if let Some((_, wrapped)) = &drawn {
                tx.rotate_webhook_secret(id, wrapped, overlap_ms).await?;
            }
            tx.append_audit(&entry).await
        })?;
        self.doorbell.ring_events();
        Ok(Signed { webhook: self.catalog.webhook(id).await?, secret: drawn.map(|(secret, _)| secret) })
    }

    /// Deletes an endpoint; what it has not had it will not get.
    pub async fn delete(&self, caller: &Caller, id: &WebhookId) -> Result<()> {
        let decision = self.permit(caller, "webhook-delete", Some(id)).await?;
        let entry = entry(caller, "webhook-delete", decision, id);
        transaction!(self.catalog, |tx| {
            tx.delete_webhook(id).await?;
            tx.append_audit(&entry).await
        })
    }

    /// At most `limit` deliveries to an endpoint, newest first, older than the event `before`; only those it has had, or has not had.
    pub async fn deliveries(
        &self,
        actor: &Actor,
        id: &WebhookId,
        delivered: Option<bool>,
        before: Option<i64>,
        limit: u64,
    ) -> Result<Vec<Delivery>> {
        self.show(actor, id).await?;
        self.catalog.deliveries(id, delivered, before, limit).await
    }

    /// Sends a delivery once more, at once; see [`crate::catalog::Tx::redeliver`].
    pub async fn redeliver(&self, caller: &Caller, id: &WebhookId, delivery: &DeliveryId) -> Result<()> {
        let decision = self.permit(caller, "webhook-redeliver", Some(id)).await?;
        let entry = Entry { object: Some(format!("{id} {delivery}")), ..entry(caller, "webhook-redeliver", decision, id) };
        transaction!(self.catalog, |tx| {
            tx.redeliver(id, delivery).await?;
            tx.append_audit(&entry).await
        })?;
        self.doorbell.ring_events();
        Ok(())
    }

    /// What a test message to an endpoint needs; written down before it is sent.
    pub async fn begin_test(&self, caller: &Caller, id: &WebhookId) -> Result<(Webhook, Secrets)> {
        let decision = self.permit(caller, "webhook-test", Some(id)).await?;
        let webhook = self.catalog.webhook(id).await?;
        let entry = entry(caller, "webhook-test", decision, id);
        let secrets = transaction!(self.catalog, |tx| {
            tx.append_audit(&entry).await?;
            tx.webhook_secrets(id).await
        })?;
        Ok((webhook, secrets))
    }

    /// Lets administrators pass; a refusal is in the audit log before the caller hears of it (invariant 8).
    async fn permit(&self, caller: &Caller, action: &str, id: Option<&WebhookId>) -> Result<Decision> {
        let decision = decide(&caller.actor, Action::ManageWebhooks);
        if decision.permit().is_err() {
            self.audit.append(&Entry { object: id.map(ToString::to_string), ..caller.entry(action, decision) }).await?;
        }
        decision.permit().map(|()| decision)
    }

    /// A new secret, as text and wrapped.
    async fn draw(&self, id: &WebhookId) -> Result<(Zeroizing<String>, String)> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut()).map_err(|error| Error::internal("could not draw a random secret", error))?;
        let wrapped = self.kms.wrap(&secret_context(id), bytes.as_ref()).await?;
        Ok((Zeroizing::new(format!("{SECRET_MARK}{}", STANDARD.encode(bytes.as_ref()))), wrapped))
    }
}

fn entry(caller: &Caller, action: &str, decision: Decision, id: &WebhookId) -> Entry {
    Entry { object: Some(id.to_string()), ..caller.entry(action, decision) }
}

/// What is changed, for the audit log: not to what, for a URL may hold a secret.
fn what(changes: &Changes) -> String {
    let Changes { url, kinds, disabled, rotate_secret } = changes;
    let named = [
        url.as_ref().map(|_| "url"),
        kinds.as_ref().map(|_| "events"),
        disabled.map(|disabled| if disabled { "disable" } else { "enable" }),
        rotate_secret.then_some("secret"),
    ];
    named.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}
