//! Who calls: the access token from the header or the page's cookie.

use super::State;
use crate::domain::{Error, ErrorKind, Result};
use crate::library::Caller;
use crate::links::access::Access;
use crate::links::cookies::cookies;
use crate::policy::Actor;
use crate::problem::{Problem, RequestId};
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, OptionalFromRequest, Request};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// The page's cookie.
pub(super) const COOKIE_NAME: &str = "theatrum_session";

/// Extractor: someone with a valid access token. Everyone else gets 401.
#[derive(Debug)]
pub(super) struct SignedIn {
    pub caller: Caller,
    pub access: Access,
}

impl FromRequestParts<State> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> std::result::Result<Self, Problem> {
        let token = match bearer(&parts.headers) {
            Some(token) => token,
            None => {
                let token = cookie(&parts.headers).ok_or_else(missing)?;
                same_origin(&parts.method, &parts.headers, state.site.origin())?;
                token
            }
        };
        let access = state.issuer.verify(token, now_ms())?;
        let caller = Caller {
            actor: Actor { subject: access.subject.clone(), role: access.role },
            address: address(parts),
            request_id: parts.extensions.get::<RequestId>().map(|id| id.as_str().to_owned()),
        };
        Ok(Self { caller, access })
    }
}

/// Extractor: a JSON body; one that cannot be read becomes a problem document. Optional where a request may come without a body.
#[derive(Debug, Default)]
pub(super) struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<State> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &State) -> std::result::Result<Self, Problem> {
        match <axum::Json<T> as FromRequest<State>>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "send Content-Type: application/json"))
            }
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
            Err(rejection) => Err(Problem::new(StatusCode::BAD_REQUEST, "malformed-body", rejection.body_text())),
        }
    }
}

impl<T: DeserializeOwned> OptionalFromRequest<State> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &State) -> std::result::Result<Option<Self>, Problem> {
        // Read to see whether there is one: layers that watch a body do not say of one that is empty that it has ended.
        let (parts, body) = request.into_parts();
        match Bytes::from_request(Request::from_parts(parts.clone(), body), state).await {
            Ok(bytes) if bytes.is_empty() => Ok(None),
            Ok(bytes) => <Self as FromRequest<State>>::from_request(Request::from_parts(parts, bytes.into()), state).await.map(Some),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
            Err(rejection) => Err(Problem::new(StatusCode::BAD_REQUEST, "malformed-body", rejection.body_text())),
        }
    }
}

/// The no to a body beyond the API's limit.
pub(super) fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "the body is larger than the API takes: send less at once")
}

/// The client's address: that of the connection, or what a proxy of the settings says of it (`roles::http`).
pub(super) fn address(parts: &Parts) -> String {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(peer)| peer.ip().to_canonical().to_string()).unwrap_or_default()
}

/// The clock that tokens are judged by, epoch milliseconds.
pub(super) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// Whether there is a valid access token in the head of a request. What it may be used for is asked elsewhere.
pub(super) fn has_token(state: &State, headers: &HeaderMap) -> bool {
    bearer(headers).or_else(|| cookie(headers)).is_some_and(|token| state.issuer.verify(token, now_ms()).is_ok())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    cookies(headers).find_map(|(name, token)| (name == COOKIE_NAME).then_some(token))
}

fn missing() -> Error {
    Error::new(ErrorKind::Unauthorized, "token-missing", "sign in first, or send an access token as `Authorization: Bearer …`")
}

/// A cookie travels by itself, so a request that changes something must come from our own page.
fn same_origin(method: &Method, headers: &HeaderMap, origin: &str) -> Result<()> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok()).unwrap_or_default();
    let (sent, host) = (text(ORIGIN), text(HOST));
    let own = sent == origin || (!host.is_empty() && sent.split_once("://").is_some_and(|(_, authority)| authority == host));
    if own { Ok(()) } else { Err(Error::new(ErrorKind::Forbidden, "cross-origin", "this request does not come from Theatrum's own page")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::COOKIE;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("ascii"))).collect()
    }

    #[test]
    fn the_token_is_found_among_other_cookies() {
        assert_eq!(cookie(&headers(&[(COOKIE, "a=b; theatrum_session=x.y.z; c=d")])), Some("x.y.z"));
        assert_eq!(cookie(&headers(&[(COOKIE, "theatrum_session_old=x")])), None);
        assert_eq!(bearer(&headers(&[(AUTHORIZATION, "bearer x")])), Some("x"));
        assert_eq!(bearer(&headers(&[(AUTHORIZATION, "Basic x")])), None);
    }

    #[test]
    fn a_cookie_changes_nothing_from_another_origin() {
        let site = "https://video.example.org";
        let check = |method, pairs: &[(http::HeaderName, &str)]| same_origin(&method, &headers(pairs), site).is_ok();
        assert!(check(Method::GET, &[]));
        assert!(check(Method::POST, &[(ORIGIN, site)]));
        assert!(check(Method::POST, &[(ORIGIN, "http://127.0.0.1:8080"), (HOST, "127.0.0.1:8080")]));
        assert!(!check(Method::POST, &[]));
        assert!(!check(Method::POST, &[(ORIGIN, "null"), (HOST, "127.0.0.1:8080")]));
        assert!(!check(Method::DELETE, &[(ORIGIN, "http://127.0.0.1:8081"), (HOST, "127.0.0.1:8080")]));
    }
}
