//! The embedded S3 endpoint: s3s speaks the protocol over our own disk store. Bucket `uploads` stores announced parts, bucket `inbox` makes
//! videos of whatever comes in; there is nothing else.

mod access;
mod answer;
mod backend;
mod body;
mod chunks;
mod front;
mod inbox;
mod parts;

use super::{Gate, Inbox, Ledger};
use crate::blobs::Blobs;
use crate::domain::{Error, Result};
use crate::keys::Keys;
use crate::kms::S3Credentials;
use crate::listen::{self, Limits, Listener, Proxies};
use access::{Guard, Peer};
use backend::Backend;
use body::Lent;
use chunks::{Chunked, Chunking};
use front::Front;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use inbox::Door;
use parts::Parts;
use s3s::Body;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

const MAX_CONNECTIONS: usize = 1024;
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
const REFUSED_BODY_BYTES: u64 = 64 * 1024 * 1024;
const REFUSED_BODY_WITHIN: Duration = Duration::from_secs(30);

/// Everything the endpoint may touch.
pub struct Endpoint {
    /// Where parts go.
    pub blobs: Blobs,
    /// Opens the root key a part is encrypted under.
    pub keys: Keys,
    /// What may arrive, and what has.
    pub ledger: Arc<dyn Ledger>,
    /// Verifies the signatures of parts.
    pub credentials: S3Credentials,
    /// Verifies people's signatures, and counts refusals.
    pub gate: Arc<dyn Gate>,
    /// The rows of the inbox; absent when it is closed.
    pub inbox: Option<Arc<dyn Inbox>>,
    /// Origins whose pages may upload, such as `https://video.example.org`.
    pub allowed_origins: Vec<String>,
    /// Whose word is believed about who asks.
    pub proxies: Proxies,
    /// How patient the endpoint is.
    pub patience: Patience,
}

/// How long the endpoint waits for clients.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the next bytes of a body.
    pub body_idle: Duration,
    /// For running requests, once shutting down.
    pub drain: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { body_idle: Duration::from_secs(60), drain: Duration::from_secs(5) }
    }
}

/// Serves `listener` until `shutdown`, then lets running requests finish for a while. A request cut off then leaves nothing behind
/// and can be sent again.
pub async fn serve(listener: impl Into<Listener>, endpoint: Endpoint, shutdown: CancellationToken) -> Result<()> {
    let drain = endpoint.patience.drain;
    let limits = Limits { connections: MAX_CONNECTIONS, head: HEADERS_WITHIN, drain, ..Limits::default() };
    let handler = Arc::new(Handler::new(endpoint)?);
    let answer = move |peer: listen::Peer, request: Request<Incoming>| {
        let handler = handler.clone();
        let client = Peer(handler.proxies.client(&peer, request.headers()));
        async move { handler.answer(request, client).await }
    };
    listen::serve(listener, limits, answer, shutdown).await
}

struct Handler {
    front: Front,
    s3: S3Service,
    gate: Arc<dyn Gate>,
    proxies: Proxies,
    body_idle: Duration,
}

impl Handler {
    fn new(endpoint: Endpoint) -> Result<Self> {
        let front = Front::new(&endpoint.allowed_origins)?;
        let Endpoint { blobs, keys, ledger, credentials, gate, inbox, proxies, patience, .. } = endpoint;
        let log = tracing::dispatcher::get_default(Dispatch::clone);
        let guard = Guard::new(credentials, gate.clone(), inbox.is_some(), log.clone());
        let inbox = inbox.map(|rows| Door::new(blobs.clone(), keys.clone(), rows));
        let mut builder = S3ServiceBuilder::new(Backend { parts: Parts::new(blobs, keys, ledger), inbox, log });
        builder.set_auth(guard.clone());
        builder.set_access(guard);
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(without_forms()))));
        Ok(Self { front, s3: builder.build(), gate, proxies, body_idle: patience.body_idle })
    }

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        if let Some(answer) = self.front.preflight(&request) {
            return answer;
        }
        let origin = request.headers().get(http::header::ORIGIN).cloned();
        let expects_continue = request.headers().contains_key(http::header::EXPECT);
        let (mut parts, incoming) = request.into_parts();
        parts.extensions.insert(peer);
        let (body, kept) = Lent::new(incoming, self.body_idle);
        let body = Chunked::new(body, Chunking::of(&parts.headers));
        let mut answer = match (front::wrong_region(&parts), front::check(&parts)) {
            (Some(answer), _) => answer,
            (None, Ok(())) => self.speak_s3(Request::from_parts(parts, Body::http_body_unsync(body))).await,
            (None, Err(refusal)) => front::refuse(refusal),
        };
        if let Some(reason) = refusal(&answer) {
            self.gate.refused(peer.0, reason).await;
        }
        // A client that is still sending reads an answer only if the connection outlives its body; one that asked first does not send.
        if !answer.status().is_success() && !expects_continue {
            kept.discard(REFUSED_BODY_BYTES, REFUSED_BODY_WITHIN).await;
        }
        self.front.allow_origin(origin.as_ref(), answer.headers_mut());
        answer
    }

    async fn speak_s3(&self, request: Request<Body>) -> Response<Body> {
        // s3s logs URLs and the signatures it expects. No setting of ours shall bring them into a log: it speaks to no subscriber. Guard and
        // backend, which it calls, speak to ours.
        let answer = self.s3.call(request).with_subscriber(Dispatch::none()).await;
        answer.unwrap_or_else(|error| {
            tracing::error!(error = ?error, "the s3 endpoint could not answer");
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        })
    }
}

/// The front refuses forms before s3s sees them; should it ever miss one, nothing of it is kept in memory.
fn without_forms() -> S3Config {
    let mut config = S3Config::default();
    config.post_object_max_file_size = 0;
    config.form_max_field_size = 0;
    config.form_max_fields_size = 0;
    config.form_max_parts = 0;
    config
}

/// Why someone was refused, by the code in the answer (invariant 8).
fn refusal(answer: &Response<Body>) -> Option<&'static str> {
    if !answer.status().is_client_error() {
        return None;
    }
    let text = answer.body().bytes()?;
    let (_, rest) = std::str::from_utf8(&text).ok()?.split_once("<Code>")?;
    access::refusal(rest.split_once("</Code>")?.0)
}

fn bad_origin(origin: &str) -> Error {
    Error::invalid("bad-origin", format!("{origin} is no origin such as https://video.example.org"))
}

#[cfg(test)]
mod tests;
