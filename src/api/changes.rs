//! Server-sent events: a video's view whenever it changes (WHATWG HTML §9.2).

use super::State;
use super::auth::{SignedIn, now_ms};
use super::query::Query;
use super::schema::Id;
use super::videos::View;
use crate::domain::ErrorKind;
use crate::domain::ids::VideoId;
use crate::policy::{Action, Actor, decide};
use crate::problem::Problem;
use axum::extract::State as Api;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;
use utoipa::IntoParams;

/// With nothing else to tell, the stream says so often that it is there.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only this video; its state comes first.
    #[param(value_type = Id, required = false)]
    video: Option<String>,
}

struct Listener {
    api: State,
    actor: Actor,
    only: Option<VideoId>,
    first: Option<VideoId>,
    /// When the token ends that opened the stream.
    end: Instant,
    changes: Receiver<VideoId>,
}

/// Follow changes.
///
/// Server-sent events: `video` with a Video whenever one changes that the caller may see, `removed` with `{video}` when one is gone. Nothing
/// is replayed: load the list after connecting. The stream ends with the token, and when changes were missed: connect again, load again.
/// `alive` comes whenever there was nothing to tell for 15 seconds: a stream that says nothing for longer has broken unnoticed.
#[utoipa::path(get, path = "/changes", operation_id = "follow_changes", tag = "videos", params(Filter),
    responses((status = OK, description = "The stream.", body = String, content_type = "text/event-stream")),
    extensions(("x-problems" = json!(["malformed-id", "not-found"]))))]
pub(super) async fn follow(
    Api(api): Api<State>,
    SignedIn { caller, access }: SignedIn,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    let only = filter.video.as_deref().map(VideoId::parse).transpose()?;
    let changes = api.doorbell.changes();
    if let Some(video) = &only {
        api.library.see(&caller.actor, video).await?;
    }
    let left_ms = u64::try_from(access.expires_at_ms - now_ms()).unwrap_or_default();
    let end = Instant::now() + Duration::from_millis(left_ms);
    let listener = Listener { api, actor: caller.actor, first: only.clone(), only, end, changes };
    // An event rather than a comment, which no script in a browser hears of; and one without data is not heard of either.
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).event(Event::default().event("alive").data("{}"));
    Ok(Sse::new(stream_of(listener)).keep_alive(heartbeat).into_response())
}

fn stream_of(listener: Listener) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    })
}

impl Listener {
    /// The next event; `None` ends the stream: the process drains, the token has expired, or changes were missed and the client must load
    /// the list again.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let video = match self.first.take() {
                Some(video) => video,
                None => self.change().await?,
            };
            if self.only.as_ref().is_none_or(|only| *only == video)
                && let Some(event) = self.event(video).await
            {
                return Some(event);
            }
        }
    }

    async fn change(&mut self) -> Option<VideoId> {
        tokio::select! {
            biased;
            () = self.api.draining.cancelled() => None,
            () = tokio::time::sleep_until(self.end) => None,
            change = self.changes.recv() => change.ok(),
        }
    }

    async fn event(&self, id: VideoId) -> Option<Event> {
        let video = match self.api.library.catalog.video(&id).await {
            Ok(video) => video,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.removed(&id).await,
            Err(_) => return None,
        };
        decide(&self.actor, Action::See(&video)).permit().ok()?;
        let view = View::of(&self.api, &self.actor, video).await.ok()?;
        Event::default().event("video").json_data(view).ok()
    }

    /// For those who could see the video: that it is gone. Nobody else learns that it was there.
    async fn removed(&self, id: &VideoId) -> Option<Event> {
        if !self.api.library.could_see(&self.actor, id).await.ok()? {
            return None;
        }
        Event::default().event("removed").json_data(json!({"video": id})).ok()
    }
}
