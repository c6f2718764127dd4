//! One request: from its path to its bytes, or to a refusal that is counted.

use super::State;
use super::representation::{Representation, Reuse};
use crate::audit::{Delivery, Kind, Receiver};
use crate::blobs::Key;
use crate::domain::ids::{VersionId, VideoId};
use crate::domain::{Error, ErrorKind, Result};
use crate::links::cloudfront::Scope;
use crate::links::playback::token_of_cookies;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::{ConnectInfo, State as Edge};
use axum::response::Response;
use futures_util::TryStreamExt;
use http::header::ALLOW;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

/// `GET|HEAD /t/{token}/v/{video}/{version}/{path}`, `GET|HEAD /v/{video}/{version}/{path}`.
pub(super) async fn deliver(
    Edge(edge): Edge<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // An IPv4 client of a dual-stack socket is the same client.
    let request = Request { uri: &uri, headers: &headers, address: peer.ip().to_canonical() };
    let asked = Asked::parse(uri.path());
    let (access, representation) = match edge.open(&asked, &request).await {
        Ok(opened) => opened,
        Err(error) => {
            edge.audit.refused(request.address, error.code()).await;
            return Err(error.into());
        }
    };
    let answer = representation.answer(&method, &headers);
    let bytes = if method == Method::HEAD { 0..0 } else { answer.bytes(representation.size_bytes) };
    edge.note(&access, asked.object, request.address, bytes.end - bytes.start).await?;
    let body = edge.body(&access.key, &representation, bytes);
    Ok(answer.respond(representation.size_bytes, representation.describe(), body))
}

/// Any other method: whoever may not read here learns no more than that.
pub(super) async fn wrong_method(
    Edge(edge): Edge<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Problem, Problem> {
    let request = Request { uri: &uri, headers: &headers, address: peer.ip().to_canonical() };
    if let Err(error) = edge.admit(&Asked::parse(uri.path()), &request) {
        edge.audit.refused(request.address, error.code()).await;
        return Err(error.into());
    }
    let detail = "videos can only be read here: use GET or HEAD";
    Ok(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail).with_header(ALLOW, HeaderValue::from_static("GET, HEAD")))
}

/// What the checks look at.
struct Request<'a> {
    uri: &'a Uri,
    headers: &'a HeaderMap,
    address: IpAddr,
}

/// Who was let through, and how far.
struct Admitted {
    receiver: Receiver,
    video: VideoId,
    version: VersionId,
    /// Only for a link that opens a single URL.
    is_for_one: bool,
}

/// Someone who was let through, and the key they are about to be served.
struct Access {
    admitted: Admitted,
    key: Key,
}

impl State {
    /// The checks, in their order; the first that fails is the reason for the refusal.
    async fn open(&self, asked: &Asked<'_>, request: &Request<'_>) -> Result<(Access, Representation)> {
        let admitted = self.admit(asked, request)?;
        let key = Key::delivery(&admitted.video, &admitted.version, asked.object)
            .ok_or_else(|| Error::not_found("the video has no such playlist or segment"))?;
        if admitted.is_for_one && key.is_playlist() {
            return Err(canned_playlist());
        }
        let representation = Representation::choose(self, &key, asked.reuse(self.trust.shared_caching), request.headers).await?;
        Ok((Access { admitted, key }, representation))
    }

    fn admit(&self, asked: &Asked<'_>, request: &Request<'_>) -> Result<Admitted> {
        match asked.door {
            Door::Token(token) => {
                let pass = self.trust.verifier.verify_for(token, asked.video, asked.version, now_ms())?;
                let (receiver, video, version) = (Receiver::Session(pass.session.clone()), pass.video.clone(), pass.version.clone());
                Ok(Admitted { receiver, video, version, is_for_one: false })
            }
            Door::Link => self.admit_by_link(asked, request),
        }
    }

    fn admit_by_link(&self, asked: &Asked<'_>, request: &Request<'_>) -> Result<Admitted> {
        let now_ms = now_ms();
        let admission = self.trust.gate.admit(request.uri, request.headers, request.address, now_ms)?;
        let nothing = |_| Error::not_found("there is no such video");
        let (video, version) = (VideoId::parse(asked.video).map_err(nothing)?, VersionId::parse(asked.version).map_err(nothing)?);
        // The session beside the signed cookies opens nothing here, but it tells viewers apart.
        let session = self.trust.verifier.verify_for(token_of_cookies(request.headers), asked.video, asked.version, now_ms);
        let receiver = match session {
            Ok(pass) => Receiver::Session(pass.session.clone()),
            Err(_) => Receiver::Link { key_pair_id: admission.key_pair_id, resource: admission.resource },
        };
        Ok(Admitted { receiver, video, version, is_for_one: admission.scope == Scope::One })
    }

    /// Tells the audit log; what it can't note does not leave (invariant 8).
    async fn note(&self, access: &Access, object: &str, address: IpAddr, bytes: u64) -> Result<()> {
        let delivery = Delivery {
            receiver: &access.admitted.receiver,
            video: &access.admitted.video,
            version: &access.admitted.version,
            object,
            kind: kind(&access.key),
            address,
            bytes,
        };
        self.audit.delivered(&delivery).await.map_err(|error| {
            let message = "the audit log can't be written, and nothing is delivered without it; try again later";
            Error::new(ErrorKind::Unavailable, "audit-unavailable", message).with_source(error)
        })
    }

    fn body(&self, key: &Key, representation: &Representation, bytes: Range<u64>) -> Body {
        if bytes.is_empty() {
            return Body::empty();
        }
        match &representation.content {
            // In memory, so its size was a `usize`.
            Some(content) => Body::from(content.slice(bytes.start as usize..bytes.end as usize)),
            None => {
                // The status has left by then: all that remains is to log, and to break the connection off.
                let failed = |error: &Error| tracing::error!(cause = %error.chain(), "delivery broke off");
                Body::from_stream(self.origin.stream(key, bytes).inspect_err(failed))
            }
        }
    }
}

/// The playlist would come, and nothing that it names.
fn canned_playlist() -> Error {
    let message = "a canned policy opens this one URL, and the playlist's segments are others: use signed cookies, or a custom policy whose \
                   resource ends with a wildcard, and repeat its parameters on every request";
    Error::new(ErrorKind::Forbidden, "canned-policy-playlist", message)
}

/// How someone wants to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door<'a> {
    /// By the playback token in the path.
    Token(&'a str),
    /// By CloudFront's scheme.
    Link,
}

/// A path below `/t/` or `/v/`, taken apart but not believed. What is absent is empty, and neither token nor link is for an empty id.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    door: Door<'a>,
    video: &'a str,
    version: &'a str,
    object: &'a str,
}

impl<'a> Asked<'a> {
    /// Takes the path as it was sent: tokens, ids and object names need no percent-encoding, so none is undone.
    fn parse(path: &'a str) -> Self {
        let (door, rest) = match path.strip_prefix("/t/") {
            Some(rest) => {
                let (token, rest) = rest.split_once('/').unwrap_or((rest, ""));
                (Door::Token(token), rest)
            }
            None if path == "/v" || path.starts_with("/v/") => (Door::Link, path.trim_start_matches('/')),
            None => (Door::Token(""), ""),
        };
        let mut pieces = rest.splitn(4, '/');
        match (pieces.next(), pieces.next(), pieces.next(), pieces.next()) {
            (Some("v"), Some(video), Some(version), Some(object)) => Self { door, video, version, object },
            _ => Self { door, video: "", version: "", object: "" },
        }
    }

    /// Who may keep the answer.
    fn reuse(&self, shared_caching: bool) -> Reuse {
        if self.door == Door::Link && shared_caching { Reuse::Shared } else { Reuse::Private }
    }
}

fn kind(key: &Key) -> Kind {
    match key {
        Key::Init { .. } => Kind::Init,
        key if key.is_playlist() => Kind::Playlist,
        _ => Kind::Segment,
    }
}

/// The edge's own clock, in epoch milliseconds. If it can't be right, every token has expired.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 9, deny by default: a path of any other form names no video, and so no token fits it.
    #[test]
    fn only_a_path_of_the_right_form_names_a_video() {
        let door = Door::Token("T");
        let full = Asked { door, video: "V", version: "W", object: "720p/playlist.m3u8" };
        assert_eq!(Asked::parse("/t/T/v/V/W/720p/playlist.m3u8"), full);
        assert_eq!(Asked::parse("/v/V/W/720p/playlist.m3u8"), Asked { door: Door::Link, ..full });
        for (path, door) in [
            ("/t", Door::Token("")),
            ("/t/", Door::Token("")),
            ("/t//x/V/W/master.m3u8", Door::Token("")),
            ("/t/T", Door::Token("T")),
            ("/t/T/", Door::Token("T")),
            ("/t/T/v/V/W", Door::Token("T")),
            ("/t/T/V/W/master.m3u8", Door::Token("T")),
            ("/t/T//v/V/W/master.m3u8", Door::Token("T")),
            ("/t/T/x/V/W/master.m3u8", Door::Token("T")),
            ("/v", Door::Link),
            ("/v/", Door::Link),
            ("/v/V/W", Door::Link),
        ] {
            let asked = Asked::parse(path);
            assert_eq!((asked.door, asked.object), (door, ""), "{path}");
            assert_eq!((asked.video, asked.version), ("", ""), "{path}");
        }
    }
}
