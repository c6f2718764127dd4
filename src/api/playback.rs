//! Watching: a session for the player, and the keys of its segments.

use super::State;
use super::auth::{SignedIn, now_ms};
use super::path::Path;
use super::schema::{Id, Moment};
use crate::domain::ids::VideoId;
use crate::domain::video::RenditionName;
use crate::domain::{Error, ErrorKind};
use crate::library::Viewer;
use crate::links::playback::Pass;
use crate::problem::{Problem, RequestId};
use axum::Extension;
use axum::extract::{ConnectInfo, State as Api};
use axum::response::{IntoResponse, Response};
use http::Uri;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use utoipa::ToSchema;

/// Digits of a key index: more segments than a thousand years have.
const MAX_INDEX_DIGITS: usize = 9;

/// A session of one viewer with one version of a video.
#[derive(Serialize, ToSchema)]
#[schema(as = Playback)]
pub(super) struct Session {
    /// The master playlist. A secret: whoever has it can watch until it expires.
    playback_url: String,
    #[schema(value_type = Moment)]
    expires_at: i64,
    #[schema(value_type = Id)]
    session: crate::domain::ids::SessionId,
}

/// The pieces of a key's path, as they were sent: none of them needs percent-encoding, so none is undone, and the token is judged first
/// whatever the others are.
struct KeyPath<'a> {
    token: &'a str,
    video: &'a str,
    version: &'a str,
    rendition: &'a str,
    index: &'a str,
}

impl<'a> KeyPath<'a> {
    /// Takes a path of the key route apart.
    fn of(uri: &'a Uri) -> Self {
        let mut pieces = uri.path().split('/').skip(2);
        let mut piece = || pieces.next().unwrap_or_default();
        let (token, _, video, version, rendition, _, index) = (piece(), piece(), piece(), piece(), piece(), piece(), piece());
        Self { token, video, version, rendition, index }
    }

    /// What the token says, if it is for this path.
    fn pass(&self, api: &State) -> Result<Arc<Pass>, Error> {
        api.verifier.verify_for(self.token, self.video, self.version, now_ms())
    }
}

/// Begin to watch.
///
/// Decides whether the caller may watch, writes that down, and opens a session. Any HLS player plays its URL, without cookies or headers.
#[utoipa::path(post, path = "/videos/{id}/playback", operation_id = "begin_playback", tag = "videos", params(("id" = Id, Path)),
    responses((status = OK, description = "The session.", body = Session)),
    extensions(("x-problems" = json!(["not-found", "not-allowed", "not-playable", "refused"]))))]
pub(super) async fn watch(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let playback = api.library.watch(&caller, &VideoId::parse(&id)?).await?;
    let playback_url = api.site.playback_url(&playback.token, &playback.video, &playback.version);
    let session = Session { playback_url, expires_at: playback.expires_at, session: playback.session };
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(session)).into_response())
}

/// Get the key of a run of segments.
///
/// For players, which find this address in their playlists. Whether the viewer may still watch is decided anew each time.
#[utoipa::path(get, path = "/t/{token}/v/{video}/{version}/{rendition}/keys/{index}", operation_id = "read_key", tag = "playback", security(()),
    params(("token" = String, Path, description = "The session's playback token."), ("video" = Id, Path), ("version" = Id, Path),
        ("rendition" = String, Path), ("index" = u32, Path)),
    responses((status = OK, description = "16 bytes.", body = Vec<u8>, content_type = "application/octet-stream")),
    extensions(("x-problems" = json!(["token-missing", "token-malformed", "token-signature", "token-expired", "token-other-video",
        "malformed-rendition", "not-found", "not-allowed", "audit-unavailable"]))))]
pub(super) async fn key(
    Api(api): Api<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request_id: Option<Extension<RequestId>>,
    uri: Uri,
) -> Result<Response, Problem> {
    let path = KeyPath::of(&uri);
    let pass = path.pass(&api)?;
    let rendition = RenditionName::parse(path.rendition)?;
    let viewer = Viewer {
        pass: &pass,
        address: peer.ip().to_canonical().to_string(),
        request_id: request_id.map(|Extension(id)| id.as_str().to_owned()),
    };
    let key = api.library.release_key(&viewer, &rendition, index(path.index)?).await?;
    let headers = [(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "application/octet-stream")];
    Ok((headers, key.as_bytes().to_vec()).into_response())
}

/// Any other method on a key's path: whoever has no token for it learns no more than that.
pub(super) async fn wrong_method(Api(api): Api<State>, uri: Uri) -> Result<Problem, Problem> {
    KeyPath::of(&uri).pass(&api)?;
    Ok(super::wrong_method().await)
}

fn index(text: &str) -> Result<u32, Error> {
    let fits = text.len() <= MAX_INDEX_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    let unknown = || Error::new(ErrorKind::NotFound, "not-found", "there is no such key");
    fits.then(|| text.parse().ok()).flatten().ok_or_else(unknown)
}
