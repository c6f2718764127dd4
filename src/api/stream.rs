//! Server-sent events: a video's view whenever it changes (WHATWG HTML §9.2).

use super::State;
use super::auth::SignedIn;
use super::videos::View;
use crate::domain::ErrorKind;
use crate::domain::ids::VideoId;
use crate::policy::{Action, Actor, decide};
use crate::problem::Problem;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Api};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;

const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    video: Option<String>,
}

struct Listener {
    api: State,
    actor: Actor,
    only: Option<VideoId>,
    first: Option<VideoId>,
    changes: Receiver<VideoId>,
}

/// `GET /v1/events`, `GET /v1/events?video=ID`.
pub(super) async fn events(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(filter) = filter.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed-query", error.body_text()))?;
    let only = filter.video.as_deref().map(VideoId::parse).transpose()?;
    let changes = api.doorbell.changes();
    if let Some(video) = &only {
        api.library.see(&caller.actor, video).await?;
    }
    let listener = Listener { api, actor: caller.actor, first: only.clone(), only, changes };
    Ok(Sse::new(stream_of(listener)).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

fn stream_of(listener: Listener) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    })
}

impl Listener {
    /// The next event; `None` ends the stream: the process drains, or changes were missed and the client must load the list again.
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
            () = self.api.draining.cancelled() => None,
            change = self.changes.recv() => change.ok(),
        }
    }

    async fn event(&self, id: VideoId) -> Option<Event> {
        let video = match self.api.library.catalog.video(&id).await {
            Ok(video) => video,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Event::default().event("removed").json_data(json!({"video": id})).ok();
            }
            Err(_) => return None,
        };
        decide(&self.actor, Action::See(&video)).permit().ok()?;
        let view = View::of(&self.api, video).await.ok()?;
        Event::default().event("video").json_data(view).ok()
    }
}
