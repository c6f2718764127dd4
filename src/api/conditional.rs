//! Conditional requests (RFC 9110 §13): every JSON answer to a GET has a strong entity tag, `If-None-Match` saves it the way, and `If-Match` lets
//! nobody change or delete what is not what they saw.

use crate::domain::Error;
use crate::problem::{Problem, RequestId};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State as Plain};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::net::SocketAddr;
use tower::ServiceExt;

/// What the caller of a PUT, PATCH or DELETE saw, by `If-Match`: the JSON that GET gives, in the request's extensions. A use case that
/// compares it with the row in its own transaction leaves no moment in between.
#[derive(Clone, Debug)]
pub(super) struct Seen(pub Bytes);

/// Middleware: see the top of this file. `plain` are the same routes without it: a `next` knows the handler of one method only.
pub(super) async fn conditional(Plain(plain): Plain<Router>, mut request: Request, next: Next) -> Result<Response, Problem> {
    match *request.method() {
        Method::GET => {
            let known = list(request.headers(), &IF_NONE_MATCH);
            tagged(next.run(request).await, known.as_deref()).await
        }
        Method::PUT | Method::PATCH | Method::DELETE => {
            if let Some(wanted) = list(request.headers(), &IF_MATCH) {
                let seen = plain.oneshot(reading(&request)).await.unwrap_or_else(|never| match never {});
                match current(seen).await? {
                    // Whatever it is, as long as it is.
                    Current::Is(..) if wanted.trim() == "*" => {}
                    Current::Is(tag, seen) if matches(&wanted, &tag, false) => drop(request.extensions_mut().insert(Seen(seen))),
                    Current::Is(..) => return Err(changed()),
                    Current::Refused(response) => return Ok(response),
                }
            }
            Ok(next.run(request).await)
        }
        _ => Ok(next.run(request).await),
    }
}

/// The no to a change of what is not what its caller saw.
pub(super) fn changed() -> Problem {
    let detail = "it has changed since you read it: read it again, then decide anew";
    Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", detail)
}

enum Current {
    /// The tag and the JSON of what GET gives at the same address.
    Is(String, Bytes),
    /// GET's refusal: whoever may not see a thing learns no more by a condition.
    Refused(Response),
}

/// The GET for what a request is about to change.
fn reading(request: &Request) -> Request {
    let mut get = Request::new(Body::empty());
    *get.uri_mut() = request.uri().clone();
    *get.headers_mut() = request.headers().clone();
    for name in [CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH] {
        get.headers_mut().remove(name);
    }
    // Who asks, and by which id: the rest is of the route that was found for the other method.
    if let Some(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        get.extensions_mut().insert(*peer);
    }
    if let Some(id) = request.extensions().get::<RequestId>() {
        get.extensions_mut().insert(id.clone());
    }
    get
}

async fn current(response: Response) -> Result<Current, Problem> {
    match response.status() {
        StatusCode::OK if is_json(&response) => {
            let (_, body) = read(response).await?;
            Ok(Current::Is(tag(&body), body))
        }
        // Nothing can be read at this address, so it is no state that anyone could have seen.
        StatusCode::OK | StatusCode::METHOD_NOT_ALLOWED => Err(changed()),
        _ => Ok(Current::Refused(response)),
    }
}

/// The answer with its tag; without its body for those who have it.
async fn tagged(response: Response, known: Option<&str>) -> Result<Response, Problem> {
    if response.status() != StatusCode::OK || !is_json(&response) || response.headers().contains_key(ETAG) {
        return Ok(response);
    }
    let (mut parts, body) = read(response).await?;
    let tag = tag(&body);
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(ETAG, value);
    }
    if known.is_some_and(|known| matches(known, &tag, true)) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.remove(CONTENT_TYPE);
        return Ok((parts, Body::empty()).into_response());
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

async fn read(response: Response) -> Result<(http::response::Parts, Bytes), Problem> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|error| Error::internal("an answer broke off", error))?;
    Ok((parts, body))
}

fn is_json(response: &Response) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
}

/// A strong entity tag: 128 bits of SHA-256 over the bytes that are sent.
fn tag(body: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
    format!("\"{}\"", hex::encode(&digest.as_ref()[..16]))
}

/// All values of a condition, joined as RFC 9110 §5.3 says; `None` without the header.
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// Whether one of `tags` is `tag`, by weak or strong comparison (RFC 9110 §8.8.3.2); `*` is any. No tag of ours holds a comma.
fn matches(tags: &str, tag: &str, weakly: bool) -> bool {
    let mut tags = tags.split(',').map(str::trim);
    tags.any(|other| other == "*" || other == tag || (weakly && other.strip_prefix("W/") == Some(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_as_the_condition_wants() {
        let own = tag(b"{}");
        assert!(own.starts_with('"') && own.ends_with('"') && own.len() == 34);
        assert_ne!(own, tag(b"[]"));
        for (tags, strongly, weakly) in [
            (own.clone(), true, true),
            (format!("\"a\", {own}"), true, true),
            (format!("W/{own}"), false, true),
            ("*".to_owned(), true, true),
            ("\"a\"".to_owned(), false, false),
            (String::new(), false, false),
        ] {
            assert_eq!((matches(&tags, &own, false), matches(&tags, &own, true)), (strongly, weakly), "{tags}");
        }
    }
}
