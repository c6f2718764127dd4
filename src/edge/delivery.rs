//! One request: from its path to its bytes, or to a refusal that is counted.

use super::State;
use super::representation::{Answer, Representation};
use crate::audit::{Delivery, Kind};
use crate::blobs::Key;
use crate::domain::{Error, ErrorKind, Result};
use crate::links::playback::Pass;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::{ConnectInfo, State as Edge};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// `GET|HEAD /t/{token}/v/{video}/{version}/{path}`.
pub(super) async fn deliver(
    Edge(edge): Edge<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // An IPv4 client of a dual-stack socket is the same client.
    let address = peer.ip().to_canonical();
    let asked = Asked::parse(uri.path());
    let (access, representation) = match edge.open(&asked, &headers).await {
        Ok(opened) => opened,
        Err(error) => {
            edge.audit.refused(address, error.code()).await;
            return Err(error.into());
        }
    };
    let answer = representation.answer(&method, &headers);
    let bytes = if method == Method::HEAD { 0..0 } else { answer.bytes(&representation) };
    edge.note(&access, asked.object, address, bytes.end - bytes.start).await?;
    let body = edge.body(&access.key, &representation, bytes);
    Ok(respond(answer, &representation, body))
}

/// Any other method: whoever has no valid token learns no more than that.
pub(super) async fn wrong_method(
    Edge(edge): Edge<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
) -> Result<Problem, Problem> {
    let asked = Asked::parse(uri.path());
    if let Err(error) = edge.verifier.verify_for(asked.token, asked.video, asked.version, now_ms()) {
        edge.audit.refused(peer.ip().to_canonical(), error.code()).await;
        return Err(error.into());
    }
    let detail = "videos can only be read here: use GET or HEAD";
    Ok(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail).with_header(ALLOW, HeaderValue::from_static("GET, HEAD")))
}

/// A valid token and the key it opens.
struct Access {
    pass: Arc<Pass>,
    key: Key,
}

impl State {
    /// The checks, in their order; the first that fails is the reason for the refusal.
    async fn open(&self, asked: &Asked<'_>, headers: &HeaderMap) -> Result<(Access, Representation)> {
        let pass = self.verifier.verify_for(asked.token, asked.video, asked.version, now_ms())?;
        let key = Key::delivery(&pass.video, &pass.version, asked.object)
            .ok_or_else(|| Error::not_found("the video has no such playlist or segment"))?;
        let representation = Representation::choose(self, &key, headers).await?;
        Ok((Access { pass, key }, representation))
    }

    /// Tells the audit log; what it can't note does not leave (invariant 8).
    async fn note(&self, access: &Access, object: &str, address: IpAddr, bytes: u64) -> Result<()> {
        let delivery = Delivery {
            session: &access.pass.session,
            video: &access.pass.video,
            version: &access.pass.version,
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

/// A path below `/t/`, taken apart but not believed. What is absent is empty, and no token is for an empty id.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked<'a> {
    token: &'a str,
    video: &'a str,
    version: &'a str,
    object: &'a str,
}

impl<'a> Asked<'a> {
    /// Takes the path as it was sent: tokens, ids and object names need no percent-encoding, so none is undone.
    fn parse(path: &'a str) -> Self {
        let rest = path.strip_prefix("/t/").unwrap_or("");
        let (token, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let mut pieces = rest.splitn(4, '/');
        match (pieces.next(), pieces.next(), pieces.next(), pieces.next()) {
            (Some("v"), Some(video), Some(version), Some(object)) => Self { token, video, version, object },
            _ => Self { token, ..Self::default() },
        }
    }
}

impl Answer {
    /// The bytes of the representation that a GET gets with it.
    fn bytes(&self, representation: &Representation) -> Range<u64> {
        match self {
            Self::Whole => 0..representation.size_bytes,
            Self::Part(range) => range.clone(),
            Self::NotModified | Self::PreconditionFailed | Self::Unsatisfiable => 0..0,
        }
    }
}

fn respond(answer: Answer, representation: &Representation, body: Body) -> Response {
    let size = representation.size_bytes;
    let (status, length, content_range) = match answer {
        Answer::Whole => (StatusCode::OK, size, None),
        Answer::Part(range) => {
            let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            (StatusCode::PARTIAL_CONTENT, range.end - range.start, Some(content_range))
        }
        Answer::NotModified => {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            representation.describe(response.headers_mut());
            return response;
        }
        Answer::PreconditionFailed => return precondition_failed().into_response(),
        Answer::Unsatisfiable => return unsatisfiable(size).into_response(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    representation.describe(headers);
    representation.describe_content(headers);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    if let Some(content_range) = content_range {
        headers.insert(CONTENT_RANGE, ascii(&content_range));
    }
    response
}

fn precondition_failed() -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", "this is not the state you know; ask without the condition")
}

fn unsatisfiable(size: u64) -> Problem {
    let detail = format!("the range begins beyond the end of {size} bytes");
    Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable", detail)
        .with_header(CONTENT_RANGE, ascii(&format!("bytes */{size}")))
}

fn ascii(content_range: &str) -> HeaderValue {
    HeaderValue::from_str(content_range).expect("a content range has digits and a few signs")
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
        let full = Asked { token: "T", video: "V", version: "W", object: "720p/playlist.m3u8" };
        assert_eq!(Asked::parse("/t/T/v/V/W/720p/playlist.m3u8"), full);
        for (path, token) in [
            ("/t", ""),
            ("/t/", ""),
            ("/t//x/V/W/master.m3u8", ""),
            ("/t/T", "T"),
            ("/t/T/", "T"),
            ("/t/T/v/V/W", "T"),
            ("/t/T/V/W/master.m3u8", "T"),
            ("/t/T//v/V/W/master.m3u8", "T"),
            ("/t/T/x/V/W/master.m3u8", "T"),
        ] {
            let asked = Asked::parse(path);
            assert_eq!((asked.token, asked.object), (token, ""), "{path}");
            assert_eq!((asked.video, asked.version), ("", ""), "{path}");
        }
    }
}
