//! Watching: a session for the player, and the keys of its segments.

use super::State;
use super::auth::{Json, SignedIn, now_ms};
use super::path::Path;
use super::schema::{DeliveryWord, Id, Moment};
use crate::domain::ids::VideoId;
use crate::domain::video::RenditionName;
use crate::domain::{Error, ErrorKind};
use crate::library::{Playback, Viewer};
use crate::links::cloudfront::Cookies;
use crate::links::playback::{self, Pass, token_of_cookies};
use crate::problem::{Problem, RequestId};
use axum::Extension;
use axum::extract::{ConnectInfo, State as Api};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Uri};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use utoipa::ToSchema;

/// Digits of a key index: more segments than a thousand years have.
const MAX_INDEX_DIGITS: usize = 9;

/// A session of one viewer with one version of a video.
#[derive(Serialize, ToSchema)]
#[schema(as = Playback)]
pub(super) struct Session {
    /// The master playlist. A secret, unless cookies open it: whoever has it can watch until it expires.
    playback_url: String,
    #[schema(value_type = Moment)]
    expires_at: i64,
    #[schema(value_type = Id)]
    session: crate::domain::ids::SessionId,
}

impl Session {
    /// With the token in the path.
    pub(super) fn of(api: &State, playback: &Playback) -> Self {
        Self::at(api.site.playback_url(&playback.token, &playback.video, &playback.version), playback)
    }

    fn at(playback_url: String, playback: &Playback) -> Self {
        Self { playback_url, expires_at: playback.expires_at, session: playback.session.clone() }
    }
}

/// How the player wants to get at the stream.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPlayback)]
pub(super) struct Wanted {
    /// `token`, in the path, for any player (the default); `cookies`: signed by CloudFront's scheme, for streams behind CloudFront.
    #[schema(value_type = Option<DeliveryWord>)]
    delivery: Option<String>,
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
    /// Takes a path of the key routes apart; below `/v/` the token is in a cookie.
    fn of(uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        let mut pieces = uri.path().split('/').skip(1);
        let mut piece = || pieces.next().unwrap_or_default();
        let token = if piece() == "t" {
            let token = piece();
            piece();
            token
        } else {
            token_of_cookies(headers)
        };
        let (video, version, rendition, _, index) = (piece(), piece(), piece(), piece(), piece());
        Self { token, video, version, rendition, index }
    }

    /// What the token says, if it is for this path.
    fn pass(&self, api: &State) -> Result<Arc<Pass>, Error> {
        api.verifier.verify_for(self.token, self.video, self.version, now_ms())
    }
}

/// Begin to watch.
///
/// Decides whether the caller may watch, writes that down, and opens a session. Any HLS player plays its URL, without cookies or headers. With
/// `{"delivery": "cookies"}` the URL holds no secret; the answer sets the cookies that open it, for browsers on this site.
#[utoipa::path(post, path = "/videos/{id}/playback", operation_id = "begin_playback", tag = "videos", params(("id" = Id, Path)),
    request_body = Option<Wanted>, responses((status = OK, description = "The session.", body = Session)),
    extensions(("x-problems" = json!(["not-found", "not-allowed", "not-playable", "refused", "bad-delivery", "cookies-need-tls"]))))]
pub(super) async fn watch(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    wanted: Option<Json<Wanted>>,
) -> Result<Response, Problem> {
    let by_cookies = wanted.unwrap_or_default().0.by_cookies(&api)?;
    let playback = api.library.watch(&caller, &VideoId::parse(&id)?).await?;
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let session = if by_cookies {
        for cookie in cookies(&playback, api.library.stream_cookies(&playback).await?)? {
            headers.append(SET_COOKIE, cookie);
        }
        Session::at(api.site.stream_url(&playback.video, &playback.version), &playback)
    } else {
        Session::of(&api, &playback)
    };
    Ok((headers, axum::Json(session)).into_response())
}

impl Wanted {
    fn by_cookies(&self, api: &State) -> Result<bool, Error> {
        match self.delivery.as_deref() {
            None | Some("token") => Ok(false),
            Some("cookies") if api.site.keeps_secure_cookies() => Ok(true),
            Some("cookies") => {
                let message =
                    "signed cookies travel by https only: set server.public_url to the https address of this site, or use the token";
                Err(Error::conflict("cookies-need-tls", message))
            }
            Some(_) => Err(Error::invalid("bad-delivery", "there is no such delivery: choose token or cookies")),
        }
    }
}

/// `Set-Cookie` for a stream: CloudFront's four, and the session that the key endpoint asks for. They are for one version's paths, so that
/// those of two videos never meet.
fn cookies(playback: &Playback, signed: Cookies) -> Result<Vec<HeaderValue>, Error> {
    let lifetime_s = (playback.expires_at - now_ms()).max(0) / 1000;
    let attributes = format!("Path=/v/{}/{}/; Secure; HttpOnly; SameSite=Strict; Max-Age={lifetime_s}", playback.video, playback.version);
    let session = (playback::COOKIE.to_owned(), playback.token.as_str().to_owned());
    let line = |(name, value): (String, String)| HeaderValue::from_str(&format!("{name}={value}; {attributes}"));
    let lines = signed.into_iter().chain([session]).map(line).collect::<Result<_, _>>();
    lines.map_err(|error| Error::internal("a cookie does not fit into a header", error))
}

/// Get the key of a run of segments.
///
/// For players, which find this address in their playlists. Whether the viewer may still watch is decided anew each time.
#[utoipa::path(get, path = "/t/{token}/v/{video}/{version}/{rendition}/keys/{index}", operation_id = "read_key", tag = "playback", security(()),
    params(("token" = String, Path, description = "The session's playback token."), ("video" = Id, Path), ("version" = Id, Path),
        ("rendition" = String, Path), ("index" = u32, Path)),
    responses((status = OK, description = "16 bytes.", body = Vec<u8>, content_type = "application/octet-stream")),
    extensions(("x-problems" = json!(["403 token-missing", "403 token-malformed", "403 token-signature", "403 token-expired", "token-other-video",
        "malformed-rendition", "not-found", "not-allowed", "session-ended", "audit-unavailable"]))))]
pub(super) async fn key(
    api: Api<State>,
    peer: ConnectInfo<SocketAddr>,
    request_id: Option<Extension<RequestId>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    release(api, peer, request_id, uri, headers).await
}

/// Get the key of a run of segments, by cookie.
///
/// For players whose playback was begun with `{"delivery": "cookies"}`: the session's token is in a cookie. Whether the viewer may still watch
/// is decided anew each time; CloudFront's own cookies open no key.
#[utoipa::path(get, path = "/v/{video}/{version}/{rendition}/keys/{index}", operation_id = "read_key_by_cookie", tag = "playback", security(()),
    params(("video" = Id, Path), ("version" = Id, Path), ("rendition" = String, Path), ("index" = u32, Path)),
    responses((status = OK, description = "16 bytes.", body = Vec<u8>, content_type = "application/octet-stream")),
    extensions(("x-problems" = json!(["403 token-missing", "403 token-malformed", "403 token-signature", "403 token-expired", "token-other-video",
        "malformed-rendition", "not-found", "not-allowed", "session-ended", "audit-unavailable"]))))]
pub(super) async fn session_key(
    api: Api<State>,
    peer: ConnectInfo<SocketAddr>,
    request_id: Option<Extension<RequestId>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    release(api, peer, request_id, uri, headers).await
}

async fn release(
    Api(api): Api<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request_id: Option<Extension<RequestId>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = KeyPath::of(&uri, &headers);
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
pub(super) async fn wrong_method(Api(api): Api<State>, uri: Uri, headers: HeaderMap) -> Result<Problem, Problem> {
    KeyPath::of(&uri, &headers).pass(&api)?;
    Ok(super::wrong_method().await)
}

fn index(text: &str) -> Result<u32, Error> {
    let fits = text.len() <= MAX_INDEX_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    let unknown = || Error::new(ErrorKind::NotFound, "not-found", "there is no such key");
    fits.then(|| text.parse().ok()).flatten().ok_or_else(unknown)
}
