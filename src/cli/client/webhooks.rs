//! Webhooks and the log of events.

use super::events::Log;
use super::{CALL_TIMEOUT, Client, timed_out, with_query};
use crate::cli::failure::Failure;
use crate::domain::ids::{DeliveryId, WebhookId};
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An endpoint that events are sent to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Webhook {
    /// Its id.
    pub webhook: WebhookId,
    /// Where events are posted.
    pub url: String,
    /// Only these; empty: all.
    pub events: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Since when nothing is sent to it.
    pub disabled_at: Option<i64>,
    /// Why.
    pub disabled_why: Option<String>,
    /// Since when no attempt has succeeded.
    pub failing_since: Option<i64>,
    /// Events that it has not had yet.
    pub pending: u64,
    /// Until when messages are signed with its former secret too.
    pub former_secret_until: Option<i64>,
    /// Its secret, just after it got one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// What is to be changed of an endpoint, or made; what is absent stays.
#[derive(Debug, Default, Serialize)]
pub struct WebhookChanges<'a> {
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<&'a str>,
    /// Its events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<&'a str>>,
    /// Whether nothing is sent to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Whether it gets another secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_secret: Option<bool>,
}

/// Endpoints, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Webhooks {
    /// All of them.
    pub webhooks: Vec<Webhook>,
    #[serde(default, skip_serializing)]
    pub(super) next_cursor: Option<String>,
}

/// One event on its way to one endpoint.
#[derive(Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id.
    pub delivery: DeliveryId,
    /// The event's kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its video.
    pub video: String,
    /// `pending` or `delivered`.
    pub state: String,
    /// So far.
    pub attempts: i64,
    /// Epoch milliseconds.
    pub happened_at: i64,
    /// When it is tried next.
    pub next_attempt_at: Option<i64>,
    /// When it was tried last.
    pub attempted_at: Option<i64>,
    /// When the endpoint took it.
    pub delivered_at: Option<i64>,
    /// The HTTP status of the last attempt.
    pub status: Option<i64>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// The beginning of the last answer.
    pub answer: Option<String>,
}

/// Deliveries, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Deliveries {
    /// Those that were asked for.
    pub deliveries: Vec<Delivery>,
    #[serde(default, skip_serializing)]
    pub(super) next_cursor: Option<String>,
}

/// A delivery that is made once more.
#[derive(Debug, Serialize, Deserialize)]
pub struct Redelivery {
    /// Its id.
    pub delivery: DeliveryId,
    /// `pending`.
    pub state: String,
}

/// How an endpoint took a test message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tested {
    /// Whether it took it.
    pub taken: bool,
    /// The HTTP status.
    pub status: Option<u16>,
    /// Why it does not count as taken.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub answer: Option<String>,
}

/// Something that happened.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// Its place in the log.
    pub cursor: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, by RFC 3339.
    pub timestamp: String,
    /// What it tells.
    pub data: Value,
}

/// A page of the log, oldest first.
#[derive(Debug, Deserialize)]
pub struct LogPage {
    /// The events.
    pub events: Vec<LoggedEvent>,
    /// What to ask for next; absent on the last.
    pub next_cursor: Option<String>,
}

impl Client {
    /// Makes an endpoint.
    pub async fn create_webhook(&self, wanted: &WebhookChanges<'_>) -> Result<Webhook, Failure> {
        self.call(self.request(Method::POST, "v1/webhooks")?.json(wanted)).await
    }

    /// One endpoint.
    pub async fn webhook(&self, id: &WebhookId) -> Result<Webhook, Failure> {
        self.call(self.request(Method::GET, &format!("v1/webhooks/{id}"))?).await
    }

    /// Changes an endpoint.
    pub async fn change_webhook(&self, id: &WebhookId, changes: &WebhookChanges<'_>) -> Result<Webhook, Failure> {
        self.call(self.request(Method::PATCH, &format!("v1/webhooks/{id}"))?.json(changes)).await
    }

    /// Deletes an endpoint.
    pub async fn delete_webhook(&self, id: &WebhookId) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, &format!("v1/webhooks/{id}"))?).await.map(drop)
    }

    /// Delivers an event once more.
    pub async fn redeliver(&self, id: &WebhookId, delivery: &DeliveryId) -> Result<Redelivery, Failure> {
        self.call(self.request(Method::POST, &format!("v1/webhooks/{id}/deliveries/{delivery}/redeliver"))?).await
    }

    /// Sends a test message to an endpoint.
    pub async fn test_webhook(&self, id: &WebhookId) -> Result<Tested, Failure> {
        self.call(self.request(Method::POST, &format!("v1/webhooks/{id}/test"))?).await
    }

    /// A page of the log after a cursor, of these kinds (separated by commas).
    pub async fn log_page(&self, after: Option<&str>, types: Option<&str>) -> Result<LogPage, Failure> {
        let query = [after.map(|after| ("after", after.to_owned())), types.map(|types| ("types", types.to_owned()))];
        let query: Vec<_> = query.into_iter().flatten().chain([("limit", super::PAGE.to_string())]).collect();
        self.call(self.request(Method::GET, &with_query("v1/events", &query))?).await
    }

    /// Follows the log from a cursor, or from now on.
    pub async fn follow_log(&self, after: Option<&str>, types: Option<&str>) -> Result<Log, Failure> {
        let query = [after.map(|after| ("after", after.to_owned())), types.map(|types| ("types", types.to_owned()))];
        let query: Vec<_> = query.into_iter().flatten().collect();
        let request = self.request(Method::GET, &with_query("v1/events/stream", &query))?.header(ACCEPT, "text/event-stream");
        let opened = tokio::time::timeout(CALL_TIMEOUT, self.send_unlimited(request)).await;
        opened.unwrap_or_else(|_| Err(timed_out())).map(Log::new)
    }
}
