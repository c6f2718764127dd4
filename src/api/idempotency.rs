//! `Idempotency-Key` on every POST (draft-ietf-httpapi-idempotency-key-header-07): a request that is sent again, because its answer was lost, is
//! carried out once and answered twice.
//!
//! A key belongs to its caller and route. The first success is kept for a day, sealed, and given again to the same request; a refusal had no
//! effect and is decided anew. ADR 0006 says why a crash at any moment leaves no second effect behind.

use super::auth::SignedIn;
use super::{MAX_BODY_BYTES, State};
use crate::audit::Entry;
use crate::catalog::idempotency::{Claim, Ticket, carry_out};
use crate::domain::{Error, ErrorKind};
use crate::library::Caller;
use crate::policy::Decision;
use crate::problem::Problem;
use crate::transaction;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, MatchedPath, Request, State as Api};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tracing::Instrument;

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MAX_KEY_CHARS: usize = 255;
/// A third of the claim's lease.
const EXTEND_EVERY: Duration = Duration::from_secs(5);
/// Routes that may run again when the answer was lost after they had an effect: the second run does what the first did, or makes something that
/// replaces what nobody got to see. All others are not repeated.
const REPEATABLE: [&str; 8] = [
    "/v1/uploads",
    "/v1/uploads/{id}/parts",
    "/v1/uploads/{id}/finish",
    "/v1/videos/{id}/playback",
    "/v1/videos/{id}/downloads",
    "/v1/videos/{id}/embeds",
    "/v1/signed-links",
    "/v1/tokens",
];

/// One request that bears a key.
struct Call {
    scope: String,
    fingerprint: String,
    route: String,
    caller: Caller,
}

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Middleware: see the top of this file. Requests without a key, and those of nobody, pass.
pub(super) async fn once(Api(api): Api<State>, request: Request, next: Next) -> Result<Response, Problem> {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let (Some(route), &Method::POST, Some(key)) = (route, request.method(), key(request.headers())?) else {
        return Ok(next.run(request).await);
    };
    let (mut parts, body) = request.into_parts();
    let Ok(SignedIn { caller, .. }) = SignedIn::from_request_parts(&mut parts, &api).await else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| super::auth::too_large())?;
    let call = Call::new(caller, route, &key, &parts, &body);
    let repeatable = REPEATABLE.contains(&call.route.as_str());
    let catalog = &api.library.catalog;
    match transaction!(catalog, |tx| tx.claim_key(&call.scope, &call.fingerprint, repeatable).await)? {
        Claim::Granted(ticket) => {
            parts.extensions.insert(ticket.clone());
            let request = Request::from_parts(parts, Body::from(body));
            // A task of its own: a caller who hangs up does not stop half-way what they are going to ask about.
            let running = tokio::spawn(run(api, ticket, request, next).instrument(tracing::Span::current()));
            running.await.map_err(|error| Error::internal("the request was cut short", error).into())
        }
        Claim::Answered(answer) => replay(&api, &call, &answer).await,
        Claim::InProgress => Err(in_progress()),
        Claim::Lost => Err(lost()),
        Claim::Reused => Err(reused()),
    }
}

impl Call {
    fn new(caller: Caller, route: String, key: &str, parts: &Parts, body: &Bytes) -> Self {
        // Not the whole URI: HTTP/2 puts scheme and host into it, and sent again by another way it is the same request.
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let actor = &caller.actor;
        let scope = digest(&[&actor.subject, actor.role.as_str(), parts.uri.path(), key].map(str::as_bytes));
        Self { scope, fingerprint: digest(&[target.as_bytes(), body]), route, caller }
    }
}

/// Carries the call out and keeps its answer.
async fn run(api: State, ticket: Ticket, request: Request, next: Next) -> Response {
    let call = carry_out(ticket.clone(), next.run(request));
    tokio::pin!(call);
    let response = loop {
        tokio::select! {
            response = &mut call => break response,
            () = tokio::time::sleep(EXTEND_EVERY) => {
                let extended = transaction!(api.library.catalog, |tx| tx.extend_key(&ticket).await);
                warn_of(extended, "could not extend the claim of an idempotency key");
            }
        }
    };
    let status = response.status();
    if status.is_success() {
        return keep(&api, &ticket, response).await;
    }
    let released = transaction!(api.library.catalog, |tx| tx.release_key(&ticket, status.is_server_error()).await);
    warn_of(released, "could not release an idempotency key");
    response
}

/// Keeps a success before it leaves. If that fails it leaves all the same: what was done is marked in the row.
async fn keep(api: &State, ticket: &Ticket, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Problem::from(Error::internal("an answer broke off", "its body could not be read")).into_response();
    };
    let headers = parts.headers.iter().filter(|(name, _)| **name != CONTENT_LENGTH);
    let headers = headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect();
    let kept = Kept { status: parts.status.as_u16(), headers, body: BASE64_STANDARD.encode(&body) };
    warn_of(write(api, ticket, &kept).await, "could not keep the answer of an idempotency key");
    Response::from_parts(parts, Body::from(body))
}

async fn write(api: &State, ticket: &Ticket, kept: &Kept) -> Result<(), Error> {
    let plain = serde_json::to_vec(kept).map_err(|error| Error::internal("could not write an answer down", error))?;
    let sealed = api.library.keys.seal(&context(&ticket.scope), &plain).await?;
    transaction!(api.library.catalog, |tx| tx.answer_key(ticket, &sealed).await)
}

/// Gives a kept answer again. It may hold a secret, so that it leaves is in the audit log first (invariant 8).
async fn replay(api: &State, call: &Call, sealed: &str) -> Result<Response, Problem> {
    let entry = Entry { object: Some(format!("POST {}", call.route)), ..call.caller.entry("replay", Decision::Allow("idempotency-key")) };
    let unwritten = |error| {
        let message = "the answer cannot be given again: its audit entry cannot be written";
        Error::new(ErrorKind::Unavailable, "audit-unavailable", message).with_source(error)
    };
    api.audit.append(&entry).await.map_err(unwritten)?;
    let plain = api.library.keys.unseal(&context(&call.scope), sealed).await?;
    let unreadable = |error| Error::internal("a kept answer cannot be read", error);
    let kept: Kept = serde_json::from_slice(&plain).map_err(unreadable)?;
    let body = BASE64_STANDARD.decode(kept.body).map_err(|error| Error::internal("a kept answer cannot be read", error))?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let headers =
        kept.headers.iter().filter_map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?)));
    response.headers_mut().extend(headers);
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// The key, with or without the quotes that the draft wants around it.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let fits = (1..=MAX_KEY_CHARS).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    let wrong = || {
        let detail = format!("an idempotency key has 1 to {MAX_KEY_CHARS} visible ASCII characters, such as a UUID");
        Problem::new(StatusCode::BAD_REQUEST, "bad-idempotency-key", detail)
    };
    if fits { Ok(Some(key.to_owned())) } else { Err(wrong()) }
}

fn in_progress() -> Problem {
    let detail = "the first request with this idempotency key is still being carried out: ask again in a second";
    Problem::new(StatusCode::CONFLICT, "idempotency-in-progress", detail).with_header(RETRY_AFTER, HeaderValue::from_static("1"))
}

fn lost() -> Problem {
    let detail =
        "the first request with this idempotency key was carried out, but its answer was lost: look at what is there, then use a new key";
    Problem::new(StatusCode::CONFLICT, "idempotency-answer-lost", detail)
}

fn reused() -> Problem {
    let detail = "this idempotency key was used for another request: use a new key for each request";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", detail)
}

/// SHA-256 over the pieces and their lengths, hexadecimal.
fn digest(pieces: &[&[u8]]) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for piece in pieces {
        context.update(&(piece.len() as u64).to_be_bytes());
        context.update(piece);
    }
    hex::encode(context.finish())
}

/// Binds a sealed answer to its row.
fn context(scope: &str) -> String {
    format!("theatrum|idempotency|answer|{scope}|1")
}

fn warn_of(outcome: Result<(), Error>, what: &'static str) {
    if let Err(error) = outcome {
        tracing::warn!(cause = %error.chain(), "{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static str) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static(value));
        key(&headers)
    }

    #[test]
    fn a_key_is_read_with_and_without_quotes() {
        for value in ["8e03978e-40d5", "\"8e03978e-40d5\""] {
            assert_eq!(read(value).expect("a key").as_deref(), Some("8e03978e-40d5"));
        }
        assert!(key(&HeaderMap::new()).expect("none").is_none());
        for value in ["", "\"\"", "a b", "\"a", "a\\b"] {
            assert_eq!(read(value).expect_err(value).code(), "bad-idempotency-key");
        }
    }

    #[test]
    fn pieces_are_not_run_together() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }
}
