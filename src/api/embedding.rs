//! Embedding: where a video may be, links into its frame, the frame's page and what it plays, and oEmbed.

use super::State;
use super::auth::{Json, SignedIn};
use super::page;
use super::path::Path;
use super::playback::Session;
use super::site::FrameAncestors;
use crate::catalog::embeddings::Embedding;
use crate::domain::ids::VideoId;
use crate::domain::origin::Origin;
use crate::library::{LinkFor, Visitor};
use crate::problem::{Problem, RequestId};
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State as Api};
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

mod oembed;

pub(super) use oembed::oembed;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    origins: Vec<String>,
    #[serde(default)]
    oembed: bool,
}

#[derive(Serialize)]
struct View {
    origins: Vec<Origin>,
    oembed: bool,
    /// What the operator permits: `*` for any origin by https.
    permitted: Vec<String>,
    /// The frame for a page of such a site.
    html: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLink {
    subject: String,
    origin: String,
    expires_in_s: Option<u64>,
}

#[derive(Serialize)]
struct Link {
    embed_url: String,
    expires_at: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    token: String,
}

#[derive(Deserialize)]
pub(super) struct Framed {
    origin: Option<String>,
}

impl View {
    fn of(api: &State, id: &VideoId, embedding: Embedding) -> Self {
        let permitted = &api.library.embeds.permitted;
        let any = permitted.any_secure.then(|| "*".to_owned());
        Self {
            origins: embedding.origins,
            oembed: embedding.oembed,
            permitted: any.into_iter().chain(permitted.listed.iter().map(ToString::to_string)).collect(),
            html: oembed::frame(&api.site.embed_url(id), "", 640, 360),
        }
    }
}

/// `GET /v1/videos/{id}/embedding`.
pub(super) async fn show(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = VideoId::parse(&id)?;
    let embedding = api.library.embedding(&caller, &id).await?;
    Ok(axum::Json(View::of(&api, &id, embedding)).into_response())
}

/// `PUT /v1/videos/{id}/embedding`.
pub(super) async fn set(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    let id = VideoId::parse(&id)?;
    let embedding = api.library.set_embedding(&caller, &id, &wanted.origins, wanted.oembed).await?;
    Ok(axum::Json(View::of(&api, &id, embedding)).into_response())
}

/// `POST /v1/videos/{id}/embeds`: a link for one person on one site. A secret: it holds a token.
pub(super) async fn link(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    Json(wanted): Json<NewLink>,
) -> Result<Response, Problem> {
    let lifetime = wanted.expires_in_s.map(Duration::from_secs);
    let link = LinkFor { subject: &wanted.subject, origin: &wanted.origin, lifetime };
    let (grant, minted) = api.library.embed_link(&caller, &VideoId::parse(&id)?, &link).await?;
    let embed_url = api.site.embed_link(&grant.video, &grant.origin, &minted.token);
    Ok((StatusCode::CREATED, axum::Json(Link { embed_url, expires_at: minted.expires_at_ms })).into_response())
}

/// `POST /v1/videos/{id}/embeds/playback`: the frame's page exchanges its token for a playback session.
pub(super) async fn watch(
    Api(api): Api<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request_id: Option<Extension<RequestId>>,
    Path(id): Path<String>,
    Json(exchange): Json<Exchange>,
) -> Result<Response, Problem> {
    let request_id = request_id.map(|Extension(id)| id.as_str().to_owned());
    let visitor = Visitor { address: peer.ip().to_canonical().to_string(), request_id };
    let playback = api.library.watch_embedded(visitor, &VideoId::parse(&id)?, &exchange.token).await?;
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(Session::of(&api, &playback))).into_response())
}

/// `GET /embed/{video}`: the frame's page. It is the same for every video, there or not; browsers are told which sites may hold it: with
/// `?origin=` just that one, if the video may be embedded there.
pub(super) async fn framed(
    Api(api): Api<State>,
    Path(id): Path<String>,
    framed: Result<Query<Framed>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = VideoId::parse(&id)?;
    let Query(Framed { origin }) = framed.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed-query", error.body_text()))?;
    let mut origins = api.library.frame_origins(&id).await?;
    if let Some(origin) = origin {
        let named = Origin::parse(&origin)?;
        origins.retain(|origin| *origin == named);
    }
    Ok((Extension(FrameAncestors(origins)), page::embed(&headers)).into_response())
}
