//! The embedded S3 endpoint: s3s speaks the protocol over our own disk store. It stores announced parts and does nothing else.

mod backend;
mod body;
mod front;

use super::Ledger;
use crate::blobs::Blobs;
use crate::domain::{Error, Result};
use crate::keys::Keys;
use crate::kms::S3Credentials;
use crate::listen::{self, Limits, Listener};
use backend::Backend;
use body::Lent;
use front::Front;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use s3s::Body;
use s3s::auth::SimpleAuth;
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
    /// Verifies signatures.
    pub credentials: S3Credentials,
    /// Origins whose pages may upload, such as `https://video.example.org`.
    pub allowed_origins: Vec<String>,
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
    let answer = move |_, request| {
        let handler = handler.clone();
        async move { handler.answer(request).await }
    };
    listen::serve(listener, limits, answer, shutdown).await
}

struct Handler {
    front: Front,
    s3: S3Service,
    body_idle: Duration,
}

impl Handler {
    fn new(endpoint: Endpoint) -> Result<Self> {
        let front = Front::new(&endpoint.allowed_origins)?;
        let credentials = endpoint.credentials;
        let mut builder = S3ServiceBuilder::new(Backend::new(endpoint.blobs, endpoint.keys, endpoint.ledger));
        builder.set_auth(SimpleAuth::from_single(credentials.access_key_id, credentials.secret_access_key.as_str()));
        Ok(Self { front, s3: builder.build(), body_idle: endpoint.patience.body_idle })
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if let Some(answer) = self.front.preflight(&request) {
            return answer;
        }
        let origin = request.headers().get(http::header::ORIGIN).cloned();
        let expects_continue = request.headers().contains_key(http::header::EXPECT);
        let (parts, incoming) = request.into_parts();
        let (body, kept) = Lent::new(incoming, self.body_idle);
        let mut answer = match front::check(&parts) {
            Ok(()) => self.speak_s3(Request::from_parts(parts, Body::http_body_unsync(body))).await,
            Err(refusal) => front::refuse(refusal),
        };
        // A client that is still sending reads an answer only if the connection outlives its body; one that asked first does not send.
        if !answer.status().is_success() && !expects_continue {
            kept.discard(REFUSED_BODY_BYTES, REFUSED_BODY_WITHIN).await;
        }
        self.front.allow_origin(origin.as_ref(), answer.headers_mut());
        answer
    }

    async fn speak_s3(&self, request: Request<Body>) -> Response<Body> {
        // s3s logs URLs and the signatures it expects. No setting of ours shall bring them into a log: it speaks to no subscriber.
        let answer = self.s3.call(request).with_subscriber(Dispatch::none()).await;
        answer.unwrap_or_else(|error| {
            tracing::error!(error = ?error, "the s3 endpoint could not answer");
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        })
    }
}

fn bad_origin(origin: &str) -> Error {
    Error::invalid("bad-origin", format!("{origin} is no origin such as https://video.example.org"))
}

#[cfg(test)]
mod tests;
