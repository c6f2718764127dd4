//! Playback sessions: who watches a video, and the end of one of them.

use super::State;
use super::auth::SignedIn;
use super::paging::{self, Page};
use super::path::Path;
use super::query::Query;
use super::schema::{Id, Moment, RoleWord};
use crate::catalog::playback::Session;
use crate::domain::ids::{SessionId, VersionId, VideoId};
use crate::problem::Problem;
use axum::extract::{OriginalUri, State as Api};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// A session of one viewer with one version of a video. The audit log names it with every key.
#[derive(Serialize, ToSchema)]
#[schema(as = PlaybackSession)]
struct View {
    #[schema(value_type = Id)]
    session: SessionId,
    #[schema(value_type = Id)]
    video: VideoId,
    #[schema(value_type = Id)]
    version: VersionId,
    /// Who watches.
    subject: String,
    /// Their role when the session began.
    #[schema(value_type = RoleWord)]
    role: String,
    #[schema(value_type = Moment)]
    created_at: i64,
    #[schema(value_type = Moment)]
    expires_at: i64,
    /// Since when it gets no key.
    #[schema(value_type = Option<Moment>)]
    revoked_at: Option<i64>,
}

/// A page of sessions, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = PlaybackSessionPage)]
pub(super) struct Sessions {
    sessions: Vec<View>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
}

impl From<Session> for View {
    fn from(Session { id, video, version, subject, role, created_at, expires_at, revoked_at }: Session) -> Self {
        Self { session: id, video, version, subject, role, created_at, expires_at, revoked_at }
    }
}

/// List who watches.
///
/// For the video's owner and administrators: its playback sessions that have not expired, newest first.
#[utoipa::path(get, path = "/videos/{id}/playback-sessions", operation_id = "list_playback_sessions", tag = "videos",
    params(("id" = Id, Path), paging::Wanted), responses((status = OK, description = "A page of the list.", body = Sessions)),
    extensions(("x-problems" = json!(["not-found", "not-allowed", "bad-limit", "bad-cursor"]))))]
pub(super) async fn list(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    Query(wanted): Query<paging::Wanted>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let (limit, before) = wanted.read(SessionId::parse)?;
    let found = api.library.sessions(&caller, &VideoId::parse(&id)?, before.as_ref(), limit + 1).await?;
    let Page { items, next_cursor } = Page::of(found, limit, |session| session.id.to_string());
    let list = Sessions { sessions: items.into_iter().map(View::from).collect(), next_cursor };
    Ok(paging::answer(&uri, &list, list.next_cursor.as_deref()))
}

/// Revoke a playback session.
///
/// For the video's owner and administrators. It gets no key from then on: playback ends with the keys that the player has. To keep somebody from
/// beginning another, take away what lets them watch.
#[utoipa::path(delete, path = "/playback-sessions/{id}", operation_id = "revoke_playback_session", tag = "videos", params(("id" = Id, Path)),
    responses((status = NO_CONTENT, description = "It is revoked.")),
    extensions(("x-problems" = json!(["not-found", "not-allowed"]))))]
pub(super) async fn revoke(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.library.revoke_session(&caller, &SessionId::parse(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
