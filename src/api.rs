//! The HTTP API and the page. Each handler is: extract, one use case, view.
//!
//! Public routes, all of them: `/healthz`, `/readyz`, `/v1/openapi.json`, `POST /v1/session`, the page's files, `/embed/{video}` (the
//! frame's page, the same for every video), `/oembed` (about videos whose owners let them be known), and those that are guarded by tokens of
//! their own: the key endpoints and `POST /v1/videos/{id}/embeds/playback` by theirs, and downloads by their signed link. Everything else
//! asks for an access token (invariant 9).

mod auth;
mod changes;
mod collections;
mod conditional;
mod document;
mod downloads;
mod editing;
mod embedding;
mod events;
mod health;
mod idempotency;
mod integrity;
mod jobs;
mod page;
mod paging;
mod path;
mod playback;
mod playback_sessions;
mod problems;
mod query;
mod quotas;
mod replacement;
mod s3_credentials;
mod schema;
mod session;
mod signing_keys;
mod site;
mod storage;
mod tokens;
mod uploads;
mod verifications;
mod videos;
mod webhooks;

use crate::audit::{Log, Sink};
use crate::doorbell::Doorbell;
use crate::ingest::Ingest;
use crate::library::{Credentials, Library, Webhooks};
use crate::links::access::Issuer;
use crate::links::playback::Verifier;
use crate::notify::Courier;
use crate::problem::{Problem, identify};
use crate::storage::Storage;
use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State as Api};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use http::StatusCode;
use http_body_util::Limited;
pub use site::Site;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The largest JSON body: a hundred declared parts fit many times.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// The largest of someone without a valid access token in the request's head: one in the body fits many times.
const MAX_OPEN_BODY_BYTES: usize = 8 * 1024;

/// All that the API may touch.
#[derive(Clone, Debug)]
pub struct State {
    /// Uploads.
    pub ingest: Ingest,
    /// Videos.
    pub library: Library,
    /// S3 access keys.
    pub credentials: Credentials,
    /// Where events are sent.
    pub webhooks: Webhooks,
    /// Sends test messages there.
    pub courier: Courier,
    /// Access tokens.
    pub issuer: Arc<Issuer>,
    /// Playback tokens, for the key endpoint.
    pub verifier: Arc<Verifier>,
    /// The audit log.
    pub audit: Arc<Log>,
    /// Tells of changes.
    pub doorbell: Doorbell,
    /// The disk.
    pub storage: Storage,
    /// Links, origins, headers.
    pub site: Arc<Site>,
    /// The lifetime of an access token unless told otherwise.
    pub token_lifetime: Duration,
    /// Cancelled when the process drains: it is no longer ready, and streams end.
    pub draining: CancellationToken,
}

/// The routes of the API and the page. The server must be made by `into_make_service_with_connect_info::<SocketAddr>()`.
pub fn router(state: State) -> crate::domain::Result<Router> {
    let (routes, annotated) = routes().split_for_parts();
    let document =
        document::complete(&annotated).map_err(|error| crate::domain::Error::internal("could not write the API's document", error))?;
    let plain: Router = routes
        .fallback(page::serve)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(Extension(document::Document::new(&document)))
        .layer(from_fn_with_state(state.clone(), idempotency::once))
        .with_state(state.clone());
    Ok(plain
        .clone()
        .layer(from_fn_with_state(plain, conditional::conditional))
        .layer(from_fn(integrity::check))
        .layer(from_fn_with_state(state.clone(), bound_body))
        .layer(from_fn_with_state(state.clone(), count_refusals))
        .layer(from_fn_with_state(state, site::headers))
        .layer(from_fn(identify))
        .layer(from_fn(integrity::announce)))
}

/// Every route with its annotation. Only `routes!` brings one in, so none is undocumented.
fn routes() -> OpenApiRouter<State> {
    let v1 = OpenApiRouter::new()
        .routes(routes!(document::show))
        .routes(routes!(session::sign_in, session::show, session::sign_out))
        .routes(routes!(tokens::issue))
        .routes(routes!(s3_credentials::list, s3_credentials::create))
        .routes(routes!(s3_credentials::revoke))
        .routes(routes!(uploads::begin))
        .routes(routes!(uploads::show, uploads::abort))
        .routes(routes!(uploads::declare))
        .routes(routes!(uploads::finish))
        .routes(routes!(videos::list))
        .routes(routes!(videos::show, videos::delete, editing::edit))
        .routes(routes!(videos::poster))
        .routes(routes!(playback::watch))
        .routes(routes!(playback_sessions::list))
        .routes(routes!(playback_sessions::revoke))
        .routes(routes!(embedding::show, embedding::set))
        .routes(routes!(embedding::link))
        .routes(routes!(embedding::watch))
        .routes(routes!(replacement::cancel))
        .routes(routes!(replacement::trim))
        .routes(routes!(downloads::create))
        .routes(routes!(collections::list))
        .routes(routes!(changes::follow))
        .merge(tidings())
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::dead))
        .routes(routes!(jobs::dead_letter))
        .routes(routes!(jobs::redrive))
        .routes(routes!(quotas::list))
        .routes(routes!(quotas::read, quotas::set))
        .routes(routes!(storage::show))
        .routes(routes!(storage::reconcile))
        .routes(routes!(verifications::list, verifications::begin))
        .routes(routes!(verifications::show))
        .routes(routes!(signing_keys::create, signing_keys::list))
        .routes(routes!(signing_keys::revoke))
        .routes(routes!(signing_keys::activate))
        .routes(routes!(signing_keys::sign))
        .fallback(unknown_route);
    let mut streams = OpenApiRouter::new();
    for (schemas, paths, key) in [routes!(playback::key), routes!(playback::session_key)] {
        streams = streams.routes((schemas, paths, key.fallback(playback::wrong_method)));
    }
    for (schemas, paths, file) in [routes!(downloads::rendition), routes!(downloads::source)] {
        streams = streams.routes((schemas, paths, file.fallback(downloads::wrong_method)));
    }
    streams
        .nest("/v1", v1)
        .routes(routes!(embedding::framed))
        .routes(routes!(embedding::oembed::oembed))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
}

/// What tells others of events.
fn tidings() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(events::list))
        .routes(routes!(events::follow))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::show, webhooks::change, webhooks::delete))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::redeliver))
        .routes(routes!(webhooks::test))
}

/// Counts every refusal by address and reason, those that look like 404 too (invariant 8).
async fn count_refusals(Api(api): Api<State>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if let Some(reason) = response.extensions().get::<Problem>().and_then(Problem::refusal) {
        api.audit.refused(peer.ip().to_canonical(), reason).await;
    }
    response
}

/// Bounds the bodies that strangers may send.
async fn bound_body(Api(api): Api<State>, request: Request, next: Next) -> Response {
    let is_known = auth::has_token(&api, request.headers());
    next.run(if is_known { request } else { request.map(|body| Body::new(Limited::new(body, MAX_OPEN_BODY_BYTES))) }).await
}

async fn unknown_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown-route", "the API has no such route")
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this route does not take this method")
}
