//! Embedding: where a video may be, links into its frame, the frame's page and what it plays, and oEmbed.

use super::State;
use super::auth::{Json, SignedIn};
use super::conditional::{Seen, changed};
use super::page;
use super::path::Path;
use super::playback::Session;
use super::query::Query;
use super::schema::{Id, Moment};
use super::site::FrameAncestors;
use crate::catalog::embeddings::Embedding;
use crate::domain::Error;
use crate::domain::ids::VideoId;
use crate::domain::origin::Origin;
use crate::library::{LinkFor, Visitor};
use crate::problem::{Problem, RequestId};
use axum::Extension;
use axum::extract::{ConnectInfo, State as Api};
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

pub(super) mod oembed;

/// Where a video shall be embedded.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEmbedding)]
pub(super) struct Wanted {
    /// Sites such as `https://moodle.example.edu`; none: nowhere.
    #[schema(max_items = 20)]
    origins: Vec<String>,
    /// Whether anyone who knows the video's address may learn its title by oEmbed.
    #[serde(default)]
    oembed: bool,
}

/// Where a video may be embedded.
#[derive(Serialize, ToSchema)]
#[schema(as = Embedding)]
pub(super) struct View {
    #[schema(value_type = Vec<String>)]
    origins: Vec<Origin>,
    /// Whether anyone who knows the video's address may learn its title by oEmbed.
    oembed: bool,
    /// What the operator permits: `*` for any origin by https.
    permitted: Vec<String>,
    /// The frame for a page of such a site.
    html: String,
}

/// What `If-Match` stands for: as much of the [`View`] as its owner says.
#[derive(Deserialize)]
struct Before {
    origins: Vec<String>,
    oembed: bool,
}

/// Whom an embed link is for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEmbedLink)]
pub(super) struct NewLink {
    /// The person, as the site knows them: the audit log's name for them.
    #[schema(min_length = 1, max_length = 128)]
    subject: String,
    /// The site, one of those that the video may be embedded on.
    origin: String,
    /// Absent: five minutes.
    #[schema(minimum = 10)]
    expires_in_s: Option<u64>,
}

/// An embed link.
#[derive(Serialize, ToSchema)]
#[schema(as = EmbedLink)]
pub(super) struct Link {
    /// The frame's address. A secret: whoever has it can watch until it expires.
    embed_url: String,
    #[schema(value_type = Moment)]
    expires_at: i64,
}

/// What an embed link brought.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EmbedExchange)]
pub(super) struct Exchange {
    /// What follows the link's `#`.
    token: String,
}

// Sites add members of their own to addresses, so unknown ones are passed over.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Framed {
    /// The one site that is to hold the frame.
    #[param(required = false)]
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

/// Look at where a video may be embedded.
#[utoipa::path(get, path = "/videos/{id}/embedding", operation_id = "read_embedding", tag = "embedding", params(("id" = Id, Path)),
    responses((status = OK, description = "The sites.", body = View)),
    extensions(("x-problems" = json!(["not-found", "not-allowed"]))))]
pub(super) async fn show(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = VideoId::parse(&id)?;
    let embedding = api.library.embedding(&caller, &id).await?;
    Ok(axum::Json(View::of(&api, &id, embedding)).into_response())
}

/// Say where a video may be embedded.
///
/// Replaces what was said before; with `If-Match` only if nobody said anything else meanwhile. Only sites that the operator permits can be named.
#[utoipa::path(put, path = "/videos/{id}/embedding", operation_id = "set_embedding", tag = "embedding", params(("id" = Id, Path)),
    request_body = Wanted, responses((status = OK, description = "The sites.", body = View)),
    extensions(("x-problems" = json!(["not-found", "not-allowed", "bad-origin", "origin-not-permitted", "too-many-origins"]))))]
pub(super) async fn set(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    seen: Option<Extension<Seen>>,
    Path(id): Path<String>,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    let (id, seen) = (VideoId::parse(&id)?, seen.map(|Extension(seen)| embedding(&seen)).transpose()?);
    let said = api.library.set_embedding(&caller, &id, (&wanted.origins, wanted.oembed), seen.as_ref()).await?;
    let embedding = said.ok_or_else(changed)?;
    Ok(axum::Json(View::of(&api, &id, embedding)).into_response())
}

/// What the caller saw.
fn embedding(Seen(seen): &Seen) -> Result<Embedding, Error> {
    let unreadable = |error| Error::internal("could not read what the caller saw of an embedding", error);
    let Before { origins, oembed } = serde_json::from_slice(seen).map_err(unreadable)?;
    Ok(Embedding { origins: origins.iter().map(|origin| Origin::parse(origin)).collect::<Result<_, _>>()?, oembed })
}

/// Make an embed link.
///
/// For the server of a site: by this link one of its people may watch the video in a frame there.
#[utoipa::path(post, path = "/videos/{id}/embeds", operation_id = "create_embed_link", tag = "embedding", params(("id" = Id, Path)),
    request_body = NewLink, responses((status = CREATED, description = "The link.", body = Link)),
    extensions(("x-problems" = json!(["not-found", "not-allowed", "bad-origin", "origin-not-listed", "bad-subject", "bad-lifetime"]))))]
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

/// Begin to watch in a frame.
///
/// The frame's page exchanges the token of its embed link for a playback session.
#[utoipa::path(post, path = "/videos/{id}/embeds/playback", operation_id = "begin_embedded_playback", tag = "embedding", security(()),
    params(("id" = Id, Path)), request_body = Exchange, responses((status = OK, description = "The session.", body = Session)),
    extensions(("x-problems" = json!(["token-missing", "token-malformed", "token-signature", "token-expired", "token-other-video", "not-found",
        "not-allowed", "not-playable", "origin-not-allowed"]))))]
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

/// Show the frame's page.
///
/// It is the same for every video, there or not; browsers are told which sites may hold it: with `origin` just that one, if the video may be
/// embedded there.
#[utoipa::path(get, path = "/embed/{video}", operation_id = "read_frame", tag = "embedding", security(()), params(("video" = Id, Path), Framed),
    responses((status = OK, description = "The page.", body = String, content_type = "text/html")),
    extensions(("x-problems" = json!(["bad-origin", "page-missing"]))))]
pub(super) async fn framed(
    Api(api): Api<State>,
    Path(id): Path<String>,
    Query(Framed { origin }): Query<Framed>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = VideoId::parse(&id)?;
    let mut origins = api.library.frame_origins(&id).await?;
    if let Some(origin) = origin {
        let named = Origin::parse(&origin)?;
        origins.retain(|origin| *origin == named);
    }
    Ok((Extension(FrameAncestors(origins)), page::embed(&headers)).into_response())
}
