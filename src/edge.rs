//! The edge: serves playlists and segments to whoever holds a playback token or a signed link, and knows no database.
//!
//! Every request takes the same way, and each step can only refuse: under `/t/` the token is valid and for the video and version in the path,
//! under `/v/` the link is signed for the URL by CloudFront's scheme; the path names something deliverable; the audit log has taken note; then
//! bytes leave.

mod awaited;
mod delivery;
mod origin;
mod playlist;
mod representation;

pub use origin::{Origin, Pieces};

use crate::audit;
use crate::links::cloudfront::Gate;
use crate::links::playback::Verifier;
use crate::problem;
use axum::Router;
use axum::middleware::{from_fn, map_response};
use axum::response::Response;
use axum::routing::get;
use http::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue};
use playlist::Compressor;
use std::fmt;
use std::sync::Arc;

/// Everything below `/t` and `/v`, spelled out for the router, whose wildcards match no empty segment.
///
/// They are wildcards so that no path slips past the checks to a router's fallback. The api's key routes, being more specific, still come
/// first; below `/v` that takes a name for each piece, for a wildcard in the place of one would conflict with theirs.
const PATHS: [&str; 18] = [
    "/t",
    "/t/",
    "/t//{*rest}",
    "/t/{token}",
    "/t/{token}/",
    "/t/{token}/{*rest}",
    "/v",
    "/v/",
    "/v//{*rest}",
    "/v/{video}",
    "/v/{video}/",
    "/v/{video}/{version}",
    "/v/{video}/{version}/",
    "/v/{video}/{version}/{rendition}",
    "/v/{video}/{version}/{rendition}/",
    "/v/{video}/{version}/{rendition}/{file}",
    "/v/{video}/{version}/{rendition}/{file}/",
    "/v/{video}/{version}/{rendition}/{file}/{*rest}",
];

/// Whom an edge trusts.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Who signs playback tokens.
    pub verifier: Arc<Verifier>,
    /// Who signs links.
    pub gate: Arc<Gate>,
    /// Whether a CDN that judges links by itself stands before the edge, and may keep what it gets under `/v/` for all viewers.
    pub shared_caching: bool,
}

/// All that an edge may touch: blobs to read, public keys to verify with, and a log to append to.
#[derive(Clone)]
pub struct State {
    origin: Arc<dyn Origin>,
    trust: Trust,
    audit: Arc<dyn audit::Sink>,
    compressor: Arc<Compressor>,
}

impl State {
    /// An edge that reads from `origin`, trusts the keys of `trust` and reports to `audit`.
    pub fn new(origin: Arc<dyn Origin>, trust: Trust, audit: Arc<dyn audit::Sink>) -> Self {
        Self { origin, trust, audit, compressor: Arc::new(Compressor::default()) }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("edge::State").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// The routes `GET|HEAD /t/{token}/v/{video}/{version}/{path}` and `GET|HEAD /v/{video}/{version}/{path}`, and a refusal for everything else
/// below `/t` and `/v`.
///
/// The server must be made by `into_make_service_with_connect_info::<SocketAddr>()`: refusals and deliveries are logged
/// by the address in there. Headers such as `X-Forwarded-For` are not looked at: `roles::http` has believed them or not.
pub fn router(state: State) -> Router {
    let deliver = get(delivery::deliver).fallback(delivery::wrong_method);
    PATHS
        .into_iter()
        .fold(Router::new(), |router, path| router.route(path, deliver.clone()))
        .layer(map_response(protect))
        .layer(from_fn(problem::identify))
        .with_state(state)
}

/// The secret is in the path or in the query, so neither must become anyone's referrer; and no other site's page may embed what a
/// viewer was given.
async fn protect(mut response: Response) -> Response {
    for (name, value) in [
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
