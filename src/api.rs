//! The HTTP API and the page. Each handler is: extract, one use case, view.
//!
//! Public routes, all of them: `/healthz`, `/readyz`, `POST /v1/session`, the page's files, and the key endpoint, which is guarded by
//! its playback token. Everything else asks for an access token (invariant 9).

mod auth;
mod collections;
mod health;
mod jobs;
mod page;
mod path;
mod playback;
mod s3_credentials;
mod session;
mod site;
mod stream;
mod tokens;
mod uploads;
mod videos;

use crate::audit::{Log, Sink};
use crate::doorbell::Doorbell;
use crate::ingest::Ingest;
use crate::library::{Credentials, Library};
use crate::links::access::Issuer;
use crate::links::playback::Verifier;
use crate::problem::{Problem, identify};
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State as Api};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{delete, get, post};
use http::StatusCode;
pub use site::Site;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The largest JSON body: a hundred declared parts fit many times.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// All that the API may touch.
#[derive(Clone, Debug)]
pub struct State {
    /// Uploads.
    pub ingest: Ingest,
    /// Videos.
    pub library: Library,
    /// S3 access keys.
    pub credentials: Credentials,
    /// Access tokens.
    pub issuer: Arc<Issuer>,
    /// Playback tokens, for the key endpoint.
    pub verifier: Arc<Verifier>,
    /// The audit log.
    pub audit: Arc<Log>,
    /// Tells of changes.
    pub doorbell: Doorbell,
    /// Links, origins, headers.
    pub site: Arc<Site>,
    /// The lifetime of an access token unless told otherwise.
    pub token_lifetime: Duration,
    /// Cancelled when the process drains: it is no longer ready, and streams end.
    pub draining: CancellationToken,
}

/// The routes of the API and the page. The server must be made by `into_make_service_with_connect_info::<SocketAddr>()`.
pub fn router(state: State) -> Router {
    let v1 = Router::new()
        .route("/session", post(session::sign_in).get(session::show).delete(session::sign_out))
        .route("/tokens", post(tokens::issue))
        .route("/s3-credentials", get(s3_credentials::list).post(s3_credentials::create))
        .route("/s3-credentials/{access_key_id}", delete(s3_credentials::revoke))
        .route("/uploads", post(uploads::begin))
        .route("/uploads/{id}", get(uploads::show).delete(uploads::abort))
        .route("/uploads/{id}/parts", post(uploads::declare))
        .route("/uploads/{id}/finish", post(uploads::finish))
        .route("/videos", get(videos::list))
        .route("/videos/{id}", get(videos::show).delete(videos::delete))
        .route("/videos/{id}/poster", get(videos::poster))
        .route("/videos/{id}/playback", post(playback::watch))
        .route("/collections", get(collections::list))
        .route("/events", get(stream::events))
        .route("/jobs", get(jobs::list))
        .route("/dead", get(jobs::dead))
        .route("/dead/{id}", get(jobs::dead_letter))
        .route("/dead/{id}/redrive", post(jobs::redrive))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method);
    Router::new()
        .nest("/v1", v1)
        .route("/t/{token}/v/{video}/{version}/{rendition}/keys/{index}", get(playback::key).fallback(playback::wrong_method))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(page::serve)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), count_refusals))
        .layer(from_fn_with_state(state.clone(), site::headers))
        .layer(from_fn(identify))
        .with_state(state)
}

/// Counts every refusal by address and reason, those that look like 404 too (invariant 8).
async fn count_refusals(Api(api): Api<State>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if let Some(reason) = response.extensions().get::<Problem>().and_then(Problem::refusal) {
        api.audit.refused(peer.ip().to_canonical(), reason).await;
    }
    response
}

async fn unknown_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown-route", "the API has no such route")
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this route does not take this method")
}
