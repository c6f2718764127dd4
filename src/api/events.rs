//! The log of events: in pages, and as a stream that goes on where it broke off (WHATWG HTML §9.2).

use super::State;
use super::auth::{SignedIn, now_ms};
use super::changes::HEARTBEAT;
use super::paging;
use super::query::Query;
use super::schema::{EventKind, Id};
use crate::catalog::outbox::Event;
use crate::domain::event::Kind;
use crate::domain::{Error, Result as DomainResult};
use crate::notify::moment;
use crate::policy::Actor;
use crate::problem::Problem;
use axum::extract::{OriginalUri, State as Api};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

/// Where the caller has read up to (WHATWG HTML §9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";
/// A stream whose doorbell was not rung, because another server wrote the event, looks again by itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Events that a stream reads at once.
const BATCH: u64 = 100;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The `cursor` of an event: those after it. Absent: from the oldest that is kept.
    #[param(required = false)]
    after: Option<String>,
    /// Only these kinds, separated by commas.
    #[param(required = false, example = "video.ready,video.refused")]
    types: Option<String>,
    /// At most so many; absent: 30.
    #[param(required = false, minimum = 1, maximum = 100)]
    limit: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Streamed {
    /// The `cursor` of an event: those after it; `Last-Event-ID` goes before. Absent: what happens from now on.
    #[param(required = false)]
    after: Option<String>,
    /// Only these kinds, separated by commas.
    #[param(required = false, example = "video.ready,video.refused")]
    types: Option<String>,
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct View {
    /// Its place in the log: `after` this come the next.
    cursor: String,
    #[serde(rename = "type")]
    #[schema(value_type = EventKind)]
    kind: String,
    /// When it happened, by RFC 3339.
    #[schema(format = "date-time")]
    timestamp: String,
    data: Data,
}

/// What an event tells; docs/events.md says which kinds have which members.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = EventData)]
struct Data {
    #[schema(value_type = Id)]
    video: String,
    /// The state of the video just after it happened.
    state: Option<String>,
    /// The version that plays, or that it is about.
    #[schema(value_type = Option<Id>)]
    version: Option<String>,
    /// What else there is to tell: a code, a job, renditions.
    #[serde(flatten)]
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    more: serde_json::Map<String, Value>,
}

/// A page of the log, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = EventPage)]
pub(super) struct Log {
    events: Vec<View>,
    /// What to ask `after` for the next page; null on the last. To go on from there later, ask after the last event's `cursor`.
    next_cursor: Option<String>,
}

/// Reads an event's number out of a cursor.
pub(super) fn number(text: &str) -> DomainResult<i64> {
    text.parse().ok().filter(|number| *number >= 0).ok_or_else(|| Error::invalid("bad-cursor", "this is no event of ours"))
}

fn kinds(types: Option<&str>) -> DomainResult<Vec<Kind>> {
    types.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty()).map(Kind::parse).collect()
}

fn view(event: Event) -> DomainResult<View> {
    let data = serde_json::from_str(&event.payload).or_else(|_| older(&event));
    let data = data.map_err(|error| Error::internal("an event's payload cannot be read", error))?;
    Ok(View { cursor: paging::cursor(&event.seq.to_string()), kind: event.kind, timestamp: moment(event.created_at), data })
}

/// An event written before events told which video they are about.
fn older(event: &Event) -> serde_json::Result<Data> {
    let more = serde_json::from_str(&event.payload)?;
    Ok(Data { video: event.video.clone(), state: None, version: None, more })
}

/// Read the log of events.
///
/// Oldest first: administrators read all, owners those of their videos, everyone what is for viewers of videos that they may see.
#[utoipa::path(get, path = "/events", operation_id = "list_events", tag = "events", params(Wanted),
    responses((status = OK, description = "A page of the log.", body = Log)),
    extensions(("x-problems" = json!(["unknown-word", "bad-limit", "bad-cursor"]))))]
pub(super) async fn list(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Query(wanted): Query<Wanted>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let limit = paging::limit(wanted.limit)?;
    let after = paging::after(wanted.after.as_deref(), number)?.unwrap_or_default();
    let found = api.library.events(&caller.actor, after, &kinds(wanted.types.as_deref())?, limit + 1).await?;
    let paging::Page { items, next_cursor } = paging::Page::of(found, limit, |event| event.seq.to_string());
    let log = Log { events: items.into_iter().map(view).collect::<DomainResult<_>>()?, next_cursor };
    Ok(paging::answer_by(&uri, &log, "after", log.next_cursor.as_deref()))
}

/// Follow the log of events.
///
/// Server-sent events: each has its kind as `event`, an Event as `data`, and its cursor as `id`, so that `Last-Event-ID` goes on where a stream broke
/// off and nothing is missed or comes twice. `alive` comes, without an id, whenever there was nothing to tell for 15 seconds. The stream ends with the token.
#[utoipa::path(get, path = "/events/stream", operation_id = "stream_events", tag = "events", params(Streamed,
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` that came last: those after it.")),
    responses((status = OK, description = "The stream.", body = String, content_type = "text/event-stream")),
    extensions(("x-problems" = json!(["unknown-word", "bad-cursor"]))))]
pub(super) async fn follow(
    Api(api): Api<State>,
    SignedIn { caller, access }: SignedIn,
    Query(wanted): Query<Streamed>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let kinds = kinds(wanted.types.as_deref())?;
    let after = match paging::after(last.or(wanted.after.as_deref()), number)? {
        Some(after) => after,
        None => api.library.catalog.newest_event().await?,
    };
    let left_ms = u64::try_from(access.expires_at_ms - now_ms()).unwrap_or_default();
    let end = Instant::now() + Duration::from_millis(left_ms);
    let changes = api.doorbell.changes();
    let follower = Follower { api, actor: caller.actor, kinds, after, end, changes, read: VecDeque::new() };
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).event(sse::Event::default().event("alive").data("{}"));
    Ok(Sse::new(stream_of(follower)).keep_alive(heartbeat).into_response())
}

/// Whoever follows the log.
struct Follower {
    api: State,
    actor: Actor,
    kinds: Vec<Kind>,
    after: i64,
    /// When the token ends that opened the stream.
    end: Instant,
    changes: Receiver<crate::domain::ids::VideoId>,
    read: VecDeque<Event>,
}

fn stream_of(follower: Follower) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })
}

impl Follower {
    /// The next event; `None` ends the stream: the process drains, the token has expired, or the log cannot be read. The client asks again.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.read.pop_front() {
                self.after = event.seq;
                let view = view(event).ok()?;
                let (id, kind) = (view.cursor.clone(), view.kind.clone());
                return sse::Event::default().id(id).event(kind).json_data(view).ok();
            }
            let newest = self.api.library.catalog.newest_event().await.ok()?;
            self.read = self.api.library.events(&self.actor, self.after, &self.kinds, BATCH).await.ok()?.into();
            if self.read.is_empty() {
                // What is there by now was for others: it need not be looked at again.
                self.after = self.after.max(newest);
                self.wait().await?;
            }
        }
    }

    /// Waits until there may be more.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            biased;
            () = self.api.draining.cancelled() => None,
            () = tokio::time::sleep_until(self.end) => None,
            _ = self.changes.recv() => Some(()),
            () = tokio::time::sleep(LOOK_EVERY) => Some(()),
        }
    }
}
