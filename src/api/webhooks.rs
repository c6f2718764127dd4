//! Webhooks: where events are sent, and what was.

use super::State;
use super::auth::{Json, SignedIn};
use super::paging::{self, Page};
use super::path::Path;
use super::query::Query;
use super::schema::{DeliveryState, EventKind, Id, Moment};
use crate::catalog::deliveries::Delivery;
use crate::domain::event::Kind;
use crate::domain::ids::{DeliveryId, WebhookId};
use crate::domain::webhook::{Changes, Webhook};
use crate::domain::{Error, Result as DomainResult};
use crate::library::Signed;
use crate::notify::{Answer, Message};
use crate::problem::Problem;
use axum::extract::{OriginalUri, State as Api};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The endpoint that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhook)]
pub(super) struct Wanted {
    /// Where events are posted: `https://…`, on the public internet unless the operator allows more.
    #[schema(max_length = 2000)]
    url: String,
    /// Only these; absent or empty: all.
    #[schema(value_type = Option<Vec<EventKind>>)]
    events: Option<Vec<String>>,
}

/// What is to be changed of an endpoint; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookChanges)]
pub(super) struct Change {
    /// Another address.
    #[schema(max_length = 2000)]
    url: Option<String>,
    /// Other events; empty: all.
    #[schema(value_type = Option<Vec<EventKind>>)]
    events: Option<Vec<String>>,
    /// `true`: nothing is sent any more, and what happens waits; `false`: all that waits is sent.
    disabled: Option<bool>,
    /// `true`: it gets another secret, which the answer shows; for a while, messages are signed with both.
    rotate_secret: Option<bool>,
}

/// An endpoint that events are sent to.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct View {
    #[schema(value_type = Id)]
    webhook: WebhookId,
    url: String,
    /// Only these; empty: all.
    #[schema(value_type = Vec<EventKind>)]
    events: Vec<&'static str>,
    created_by: String,
    #[schema(value_type = Moment)]
    created_at: i64,
    /// Since when nothing is sent to it; null while it is.
    #[schema(value_type = Option<Moment>)]
    disabled_at: Option<i64>,
    /// Why: `asked`, by an administrator; `gone`, it answered 410; `unanswered`, it has not taken an event for days;
    /// `restored`, the house came back from a backup.
    disabled_why: Option<String>,
    /// Since when no attempt has succeeded; null when the last one has.
    #[schema(value_type = Option<Moment>)]
    failing_since: Option<i64>,
    /// Events that it has not had yet.
    pending: u64,
    /// Until when messages are signed with its former secret too.
    #[schema(value_type = Option<Moment>)]
    former_secret_until: Option<i64>,
}

/// An endpoint, with its secret if it has just got one.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedWebhook)]
pub(super) struct SignedView {
    #[serde(flatten)]
    webhook: View,
    /// What messages are signed with, `whsec_…`: a secret, shown this once. Null when it stays as it was.
    secret: Option<String>,
}

/// A page of endpoints, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookPage)]
pub(super) struct List {
    webhooks: Vec<View>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
}

/// One event on its way to one endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct DeliveryView {
    /// Also the `webhook-id` of each attempt.
    #[schema(value_type = Id)]
    delivery: DeliveryId,
    /// The event's kind.
    #[serde(rename = "type")]
    #[schema(value_type = EventKind)]
    kind: String,
    #[schema(value_type = Id)]
    video: String,
    #[schema(value_type = DeliveryState)]
    state: &'static str,
    /// Attempts so far.
    attempts: i64,
    /// When the event happened.
    #[schema(value_type = Moment)]
    happened_at: i64,
    /// When it is tried next, if no earlier event of its video waits; null once it is delivered.
    #[schema(value_type = Option<Moment>)]
    next_attempt_at: Option<i64>,
    #[schema(value_type = Option<Moment>)]
    attempted_at: Option<i64>,
    #[schema(value_type = Option<Moment>)]
    delivered_at: Option<i64>,
    /// The HTTP status of the last attempt; null without an answer.
    status: Option<i64>,
    /// Why the last attempt failed: `timeout`, `unreachable`, `tls-failed`, `broken-off`, `redirected`, `refused-by-endpoint`,
    /// `private-address` or `not-sent`.
    error: Option<String>,
    /// The beginning of the last answer.
    answer: Option<String>,
}

/// A page of deliveries, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryPage)]
pub(super) struct Deliveries {
    deliveries: Vec<DeliveryView>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
}

/// A delivery that will be made once more.
#[derive(Serialize, ToSchema)]
#[schema(as = Redelivery)]
pub(super) struct Redelivery {
    #[schema(value_type = Id)]
    delivery: DeliveryId,
    #[schema(value_type = DeliveryState)]
    state: &'static str,
}

/// How an endpoint took a test message.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTest)]
pub(super) struct Tested {
    /// Whether it took it.
    taken: bool,
    /// The HTTP status; null without an answer.
    status: Option<u16>,
    /// Why it does not count as taken, as in a Delivery.
    error: Option<String>,
    /// The beginning of the answer.
    answer: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those in this state.
    #[param(value_type = DeliveryState, required = false)]
    state: Option<String>,
    /// At most so many; absent: 30.
    #[param(required = false, minimum = 1, maximum = 100)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(required = false)]
    cursor: Option<String>,
}

/// The words of a delivery's state.
pub(super) const DELIVERY_STATES: [&str; 2] = ["pending", "delivered"];

fn kinds(words: &[String]) -> DomainResult<Vec<Kind>> {
    words.iter().map(|word| Kind::parse(word)).collect()
}

fn view(webhook: Webhook) -> View {
    View {
        webhook: webhook.id,
        url: webhook.url,
        events: webhook.kinds.into_iter().map(Kind::as_str).collect(),
        created_by: webhook.created_by,
        created_at: webhook.created_at,
        disabled_at: webhook.disabled_at,
        disabled_why: webhook.disabled_why,
        failing_since: webhook.failing_since,
        pending: webhook.pending,
        former_secret_until: webhook.former_until,
    }
}

fn signed(Signed { webhook, secret }: Signed) -> SignedView {
    SignedView { webhook: view(webhook), secret: secret.map(|secret| secret.to_string()) }
}

fn delivery_view(delivery: Delivery) -> DeliveryView {
    DeliveryView {
        delivery: delivery.id,
        kind: delivery.event.kind,
        video: delivery.event.video,
        state: DELIVERY_STATES[usize::from(delivery.is_delivered)],
        attempts: delivery.attempts,
        happened_at: delivery.event.created_at,
        next_attempt_at: (!delivery.is_delivered).then_some(delivery.next_at),
        attempted_at: delivery.attempted_at,
        delivered_at: delivery.delivered_at,
        status: delivery.status,
        error: delivery.error,
        answer: delivery.answer,
    }
}

/// Make a webhook.
///
/// For administrators. From now on, what happens to videos is posted to its URL, signed by the Standard Webhooks specification.
#[utoipa::path(post, path = "/webhooks", operation_id = "create_webhook", tag = "events", request_body = Wanted,
    responses((status = CREATED, description = "The webhook, with its secret.", body = SignedView)),
    extensions(("x-problems" = json!(["not-allowed", "bad-webhook-url", "private-address", "unknown-word"]))))]
pub(super) async fn create(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    let kinds = kinds(&wanted.events.unwrap_or_default())?;
    let made = api.webhooks.create(&caller, &wanted.url, kinds).await?;
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], axum::Json(signed(made))).into_response())
}

/// List webhooks.
///
/// For administrators; newest first.
#[utoipa::path(get, path = "/webhooks", operation_id = "list_webhooks", tag = "events", params(paging::Wanted),
    responses((status = OK, description = "A page of the webhooks.", body = List)),
    extensions(("x-problems" = json!(["not-allowed", "bad-limit", "bad-cursor"]))))]
pub(super) async fn list(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Query(wanted): Query<paging::Wanted>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let (limit, before) = wanted.read(WebhookId::parse)?;
    let found = api.webhooks.list(&caller.actor, before.as_ref(), limit + 1).await?;
    let Page { items, next_cursor } = Page::of(found, limit, |webhook| webhook.id.to_string());
    let list = List { webhooks: items.into_iter().map(view).collect(), next_cursor };
    Ok(paging::answer(&uri, &list, list.next_cursor.as_deref()))
}

/// Look at a webhook.
///
/// For administrators.
#[utoipa::path(get, path = "/webhooks/{id}", operation_id = "read_webhook", tag = "events", params(("id" = Id, Path)),
    responses((status = OK, description = "The webhook.", body = View)),
    extensions(("x-problems" = json!(["not-allowed", "not-found"]))))]
pub(super) async fn show(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let webhook = api.webhooks.show(&caller.actor, &WebhookId::parse(&id)?).await?;
    Ok(axum::Json(view(webhook)).into_response())
}

/// Change a webhook.
///
/// For administrators: its address, its events, whether anything is sent to it, or its secret.
#[utoipa::path(patch, path = "/webhooks/{id}", operation_id = "change_webhook", tag = "events", params(("id" = Id, Path)),
    request_body = Change, responses((status = OK, description = "The webhook as it is now.", body = SignedView)),
    extensions(("x-problems" = json!(["not-allowed", "not-found", "bad-webhook-url", "private-address", "unknown-word"]))))]
pub(super) async fn change(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    Json(wanted): Json<Change>,
) -> Result<Response, Problem> {
    let Change { url, events, disabled, rotate_secret } = wanted;
    let kinds = events.as_deref().map(kinds).transpose()?;
    let changes = Changes { url, kinds, disabled, rotate_secret: rotate_secret.unwrap_or_default() };
    let changed = api.webhooks.change(&caller, &WebhookId::parse(&id)?, &changes).await?;
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(signed(changed))).into_response())
}

/// Delete a webhook.
///
/// For administrators. What it has not had it will not get.
#[utoipa::path(delete, path = "/webhooks/{id}", operation_id = "delete_webhook", tag = "events", params(("id" = Id, Path)),
    responses((status = NO_CONTENT, description = "It is deleted.")),
    extensions(("x-problems" = json!(["not-allowed", "not-found"]))))]
pub(super) async fn delete(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.webhooks.delete(&caller, &WebhookId::parse(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the deliveries of a webhook.
///
/// For administrators: each event that it has had or is to have, newest first.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", operation_id = "list_deliveries", tag = "events", params(("id" = Id, Path), Filter),
    responses((status = OK, description = "A page of the deliveries.", body = Deliveries)),
    extensions(("x-problems" = json!(["not-allowed", "not-found", "unknown-word", "bad-limit", "bad-cursor"]))))]
pub(super) async fn deliveries(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    Query(filter): Query<Filter>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let limit = paging::limit(filter.limit)?;
    let before = paging::after(filter.cursor.as_deref(), super::events::number)?;
    let delivered = filter.state.as_deref().map(is_delivered).transpose()?;
    let found = api.webhooks.deliveries(&caller.actor, &WebhookId::parse(&id)?, delivered, before, limit + 1).await?;
    let Page { items, next_cursor } = Page::of(found, limit, |delivery| delivery.event.seq.to_string());
    let list = Deliveries { deliveries: items.into_iter().map(delivery_view).collect(), next_cursor };
    Ok(paging::answer(&uri, &list, list.next_cursor.as_deref()))
}

fn is_delivered(word: &str) -> DomainResult<bool> {
    let wrong = || Error::invalid("unknown-word", format!("{word:?} is none of: {}", DELIVERY_STATES.join(", ")));
    DELIVERY_STATES.iter().position(|state| *state == word).map(|place| place == 1).ok_or_else(wrong)
}

/// Deliver an event again.
///
/// For administrators: at once, and with the same `webhook-id`, whether the endpoint has had it or not.
#[utoipa::path(post, path = "/webhooks/{id}/deliveries/{delivery}/redeliver", operation_id = "redeliver", tag = "events",
    params(("id" = Id, Path), ("delivery" = Id, Path)),
    responses((status = ACCEPTED, description = "It is on its way.", body = Redelivery)),
    extensions(("x-problems" = json!(["not-allowed", "not-found", "webhook-disabled"]))))]
pub(super) async fn redeliver(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path((id, delivery)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (id, delivery) = (WebhookId::parse(&id)?, DeliveryId::parse(&delivery)?);
    api.webhooks.redeliver(&caller, &id, &delivery).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(Redelivery { delivery, state: DELIVERY_STATES[0] })).into_response())
}

/// Try a webhook.
///
/// For administrators: sends a message of the type `webhook.test` now, once, and tells how the endpoint took it.
#[utoipa::path(post, path = "/webhooks/{id}/test", operation_id = "test_webhook", tag = "events", params(("id" = Id, Path)),
    responses((status = OK, description = "How it took it.", body = Tested)),
    extensions(("x-problems" = json!(["not-allowed", "not-found"]))))]
pub(super) async fn test(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = WebhookId::parse(&id)?;
    let (webhook, secrets) = api.webhooks.begin_test(&caller, &id).await?;
    let message = Message::new(&DeliveryId::new(), "webhook.test", super::auth::now_ms(), serde_json::json!({"webhook": id}));
    let Answer { status, error, text, .. } = api.courier.post(&id, &webhook.url, &secrets, &message).await?;
    let tested = Tested { taken: error.is_none(), status, error: error.map(str::to_owned), answer: text };
    Ok(axum::Json(tested).into_response())
}
