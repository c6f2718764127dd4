//! Videos: list, show, poster, delete; and the view of a video that streams share.

use super::State;
use super::auth::SignedIn;
use super::path::Path;
use crate::domain::Result;
use crate::domain::collection;
use crate::domain::ids::VideoId;
use crate::domain::video::{Refusal, Rendition, Video};
use crate::library::{MOST_LISTED, Poster};
use crate::problem::Problem;
use axum::extract::{Query, State as Api};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<u64>,
    cursor: Option<String>,
    collection: Option<String>,
}

#[derive(Serialize)]
struct List {
    videos: Vec<View>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<VideoId>,
}

/// A video as clients see it.
#[derive(Serialize)]
pub(super) struct View {
    video: VideoId,
    title: String,
    owner: String,
    collection: Option<collection::Name>,
    state: &'static str,
    playable: bool,
    stage: &'static str,
    percent: i64,
    created_at: i64,
    playable_at: Option<i64>,
    ready_at: Option<i64>,
    duration_ms: Option<i64>,
    width: Option<i64>,
    height: Option<i64>,
    renditions: Vec<RenditionView>,
    truncated: bool,
    has_poster: bool,
    refusal: Option<Refusal>,
    watch_url: String,
}

#[derive(Serialize)]
struct RenditionView {
    name: String,
    kind: &'static str,
    width: Option<i64>,
    height: Option<i64>,
}

impl View {
    /// The view of a video, with its renditions.
    pub(super) async fn of(api: &State, video: Video) -> Result<Self> {
        let renditions = api.library.renditions(&video).await?.into_iter().map(rendition).collect();
        Ok(Self {
            watch_url: api.site.watch_url(&video.id),
            video: video.id,
            title: video.title,
            owner: video.owner,
            collection: video.collection,
            state: video.state.as_str(),
            playable: video.playable_at.is_some(),
            stage: video.stage.as_str(),
            percent: video.percent,
            created_at: video.created_at,
            playable_at: video.playable_at,
            ready_at: video.ready_at,
            duration_ms: video.duration_ms,
            width: video.width,
            height: video.height,
            renditions,
            truncated: video.truncated,
            has_poster: video.poster_epoch.is_some(),
            refusal: video.refusal,
        })
    }
}

fn rendition(rendition: Rendition) -> RenditionView {
    let (width, height) = rendition.size.unzip();
    RenditionView { name: rendition.name.to_string(), kind: if width.is_some() { "video" } else { "audio" }, width, height }
}

/// `GET /v1/videos?limit=&cursor=&collection=`.
pub(super) async fn list(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    page: std::result::Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> std::result::Result<Response, Problem> {
    let Query(page) = page.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed-query", error.body_text()))?;
    let collection = page.collection.as_deref().map(collection::Name::parse).transpose()?;
    let before = page.cursor.as_deref().map(VideoId::parse).transpose()?;
    let limit = page.limit.unwrap_or(30).clamp(1, MOST_LISTED);
    let listed = api.library.list(&caller.actor, collection, before, limit).await?;
    let full = u64::try_from(listed.len()).is_ok_and(|count| count == limit);
    let next_cursor = listed.last().filter(|_| full).map(|video| video.id.clone());
    let mut videos = Vec::with_capacity(listed.len());
    for video in listed {
        videos.push(View::of(&api, video).await?);
    }
    Ok(axum::Json(List { videos, next_cursor }).into_response())
}

/// `GET /v1/videos/{id}`.
pub(super) async fn show(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
) -> std::result::Result<Response, Problem> {
    let video = api.library.see(&caller.actor, &VideoId::parse(&id)?).await?;
    Ok(axum::Json(View::of(&api, video).await?).into_response())
}

/// `DELETE /v1/videos/{id}`.
pub(super) async fn delete(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
) -> std::result::Result<StatusCode, Problem> {
    api.library.delete(&caller, &VideoId::parse(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/videos/{id}/poster`.
pub(super) async fn poster(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> std::result::Result<Response, Problem> {
    let sent = headers.get(IF_NONE_MATCH).map(HeaderValue::as_bytes);
    let known = |name: &str| sent == Some(quoted(name).as_bytes());
    let Poster { name, picture } = api.library.poster(&caller, &VideoId::parse(&id)?, known).await?;
    let caching = [(CACHE_CONTROL, "private, no-cache".to_owned()), (ETAG, quoted(&name))];
    match picture {
        None => Ok((StatusCode::NOT_MODIFIED, caching).into_response()),
        Some(picture) => Ok((caching, [(CONTENT_TYPE, "image/jpeg")], picture).into_response()),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
