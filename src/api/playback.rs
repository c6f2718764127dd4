//! Watching: a session for the player, and the keys of its segments.

use super::State;
use super::auth::{SignedIn, now_ms};
use crate::domain::ids::VideoId;
use crate::domain::video::RenditionName;
use crate::domain::{Error, ErrorKind};
use crate::library::Viewer;
use crate::problem::{Problem, RequestId};
use axum::Extension;
use axum::extract::{ConnectInfo, Path, State as Api};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Digits of a key index: more segments than a thousand years have.
const MAX_INDEX_DIGITS: usize = 9;

#[derive(Serialize)]
struct Session {
    playback_url: String,
    expires_at: i64,
    session: crate::domain::ids::SessionId,
}

/// The pieces of a key's path.
#[derive(Deserialize)]
pub(super) struct KeyPath {
    token: String,
    video: String,
    version: String,
    rendition: String,
    index: String,
}

/// `POST /v1/videos/{id}/playback`.
pub(super) async fn watch(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let playback = api.library.watch(&caller, &VideoId::parse(&id)?).await?;
    let playback_url = api.site.playback_url(&playback.token, &playback.video, &playback.version);
    let session = Session { playback_url, expires_at: playback.expires_at, session: playback.session };
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(session)).into_response())
}

/// `GET /t/{token}/v/{video}/{version}/{rendition}/keys/{index}`: 16 bytes, decided on anew each time.
pub(super) async fn key(
    Api(api): Api<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request_id: Option<Extension<RequestId>>,
    Path(path): Path<KeyPath>,
) -> Result<Response, Problem> {
    let pass = api.verifier.verify_for(&path.token, &path.video, &path.version, now_ms())?;
    let rendition = RenditionName::parse(&path.rendition)?;
    let viewer = Viewer {
        pass: &pass,
        address: peer.ip().to_canonical().to_string(),
        request_id: request_id.map(|Extension(id)| id.as_str().to_owned()),
    };
    let key = api.library.release_key(&viewer, &rendition, index(&path.index)?).await?;
    let headers = [(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "application/octet-stream")];
    Ok((headers, key.as_bytes().to_vec()).into_response())
}

fn index(text: &str) -> Result<u32, Error> {
    let fits = text.len() <= MAX_INDEX_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    let unknown = || Error::new(ErrorKind::NotFound, "not-found", "there is no such key");
    fits.then(|| text.parse().ok()).flatten().ok_or_else(unknown)
}
