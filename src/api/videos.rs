//! Videos: list, show, poster, delete; and the view of a video that streams share.

use super::State as ApiState;
use super::auth::SignedIn;
use super::conditional::{Seen, changed};
use super::editing::placing;
use super::paging::{self, Page};
use super::path::Path;
use super::query::Query;
use super::replacement::{self, TrimView};
use super::schema::{Id, Moment, VideoStage, VideoState};
use crate::catalog::videos::Filter;
use crate::domain::Result;
use crate::domain::collection;
use crate::domain::ids::VideoId;
use crate::domain::video::{Refusal, Rendition, State, Video};
use crate::library::Poster;
use crate::policy::Actor;
use crate::problem::Problem;
use axum::Extension;
use axum::extract::{OriginalUri, State as Api};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// At most so many; absent: 30.
    #[param(required = false, minimum = 1, maximum = 100)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(required = false)]
    cursor: Option<String>,
    /// Only those in this state.
    #[param(value_type = VideoState, required = false)]
    state: Option<String>,
    /// Only those of this owner.
    #[param(required = false)]
    owner: Option<String>,
    /// Only those in this collection.
    #[param(required = false)]
    collection: Option<String>,
    /// Only those with this in their title, in whatever case.
    #[param(required = false)]
    q: Option<String>,
    /// Only those made at this moment or later.
    #[param(value_type = Moment, required = false)]
    created_after: Option<i64>,
    /// Only those made before this moment.
    #[param(value_type = Moment, required = false)]
    created_before: Option<i64>,
}

impl Wanted {
    fn filter(&self) -> Result<Filter> {
        Ok(Filter {
            state: self.state.as_deref().map(State::parse_asked).transpose()?,
            owner: self.owner.clone(),
            collection: self.collection.as_deref().map(collection::Name::parse).transpose()?,
            title: self.q.clone(),
            created_after: self.created_after,
            created_before: self.created_before,
        })
    }
}

/// A page of videos, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = VideoPage)]
pub(super) struct List {
    videos: Vec<View>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
}

/// A video as clients see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Video)]
pub(super) struct View {
    #[schema(value_type = Id)]
    video: VideoId,
    title: String,
    /// Who uploaded it.
    owner: String,
    /// The collection it is in.
    #[schema(value_type = Option<String>)]
    collection: Option<collection::Name>,
    #[schema(value_type = VideoState)]
    state: &'static str,
    /// Whether it can be played already; it may be so before it is ready.
    playable: bool,
    #[schema(value_type = VideoStage)]
    stage: &'static str,
    /// How much of the processing is done, 0 to 100.
    percent: i64,
    #[schema(value_type = Moment)]
    created_at: i64,
    #[schema(value_type = Option<Moment>)]
    playable_at: Option<i64>,
    #[schema(value_type = Option<Moment>)]
    ready_at: Option<i64>,
    duration_ms: Option<i64>,
    /// Of its largest rendition, pixels.
    width: Option<i64>,
    height: Option<i64>,
    renditions: Vec<RenditionView>,
    /// The source was cut short, or has holes.
    truncated: bool,
    has_poster: bool,
    refusal: Option<RefusalView>,
    /// What is being made to replace what plays, or how the last attempt ended; null for those who may not replace it.
    replacement: Option<replacement::View>,
    /// What of its source it shows; null for those who may not trim it.
    trim: Option<TrimView>,
    /// The page on which it plays.
    watch_url: String,
}

/// One quality level of a video, or its audio.
#[derive(Serialize, ToSchema)]
#[schema(as = Rendition)]
struct RenditionView {
    name: String,
    /// `video` or `audio`.
    kind: &'static str,
    width: Option<i64>,
    height: Option<i64>,
}

/// Why a source cannot become a video.
#[derive(Serialize, ToSchema)]
#[schema(as = Refusal)]
pub(super) struct RefusalView {
    /// Stable, kebab-case.
    code: String,
    /// One sentence for its author.
    message: String,
}

impl From<Refusal> for RefusalView {
    fn from(Refusal { code, message }: Refusal) -> Self {
        Self { code, message }
    }
}

impl View {
    /// The view that `actor` has of a video, with its renditions.
    pub(super) async fn of(api: &ApiState, actor: &Actor, video: Video) -> Result<Self> {
        let renditions = api.library.renditions(&video).await?.into_iter().map(rendition).collect();
        let replacement = api.library.replacement(actor, &video).await?.map(replacement::View::from);
        let trim = api.library.trim(actor, &video).await?.map(TrimView::from);
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
            refusal: video.refusal.map(RefusalView::from),
            replacement,
            trim,
        })
    }
}

fn rendition(rendition: Rendition) -> RenditionView {
    let (width, height) = rendition.size.unzip();
    RenditionView { name: rendition.name.to_string(), kind: if width.is_some() { "video" } else { "audio" }, width, height }
}

/// List videos.
///
/// Those that the caller may see, newest first.
#[utoipa::path(get, path = "/videos", operation_id = "list_videos", tag = "videos", params(Wanted),
    responses((status = OK, description = "A page of the list.", body = List)),
    extensions(("x-problems" = json!(["bad-limit", "bad-cursor", "unknown-word", "bad-collection", "nul-in-text"]))))]
pub(super) async fn list(
    Api(api): Api<ApiState>,
    SignedIn { caller, .. }: SignedIn,
    Query(wanted): Query<Wanted>,
    OriginalUri(uri): OriginalUri,
) -> std::result::Result<Response, Problem> {
    let (limit, before) = (paging::limit(wanted.limit)?, paging::after(wanted.cursor.as_deref(), VideoId::parse)?);
    let found = api.library.list(&caller.actor, wanted.filter()?, before, limit + 1).await?;
    let Page { items, next_cursor } = Page::of(found, limit, |video| video.id.to_string());
    let mut videos = Vec::with_capacity(items.len());
    for video in items {
        videos.push(View::of(&api, &caller.actor, video).await?);
    }
    let list = List { videos, next_cursor };
    Ok(paging::answer(&uri, &list, list.next_cursor.as_deref()))
}

/// Look at a video.
#[utoipa::path(get, path = "/videos/{id}", operation_id = "read_video", tag = "videos", params(("id" = Id, Path)),
    responses((status = OK, description = "The video.", body = View)),
    extensions(("x-problems" = json!(["not-found"]))))]
pub(super) async fn show(
    Api(api): Api<ApiState>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
) -> std::result::Result<Response, Problem> {
    let video = api.library.see(&caller.actor, &VideoId::parse(&id)?).await?;
    Ok(axum::Json(View::of(&api, &caller.actor, video).await?).into_response())
}

/// Delete a video.
///
/// Its key goes at once, its files soon after: nothing brings it back. With `If-Match` only if nobody changed it meanwhile.
#[utoipa::path(delete, path = "/videos/{id}", operation_id = "delete_video", tag = "videos", params(("id" = Id, Path)),
    responses((status = NO_CONTENT, description = "It is deleted.")),
    extensions(("x-problems" = json!(["not-found", "not-allowed"]))))]
pub(super) async fn delete(
    Api(api): Api<ApiState>,
    SignedIn { caller, .. }: SignedIn,
    seen: Option<Extension<Seen>>,
    Path(id): Path<String>,
) -> std::result::Result<StatusCode, Problem> {
    let is_deleted = api.library.delete(&caller, &VideoId::parse(&id)?, placing(seen)?.as_ref()).await?;
    if is_deleted { Ok(StatusCode::NO_CONTENT) } else { Err(changed()) }
}

/// Get a video's poster.
#[utoipa::path(get, path = "/videos/{id}/poster", operation_id = "read_poster", tag = "videos", params(("id" = Id, Path)),
    responses((status = OK, description = "A picture.", body = Vec<u8>, content_type = "image/jpeg"),
        (status = NOT_MODIFIED, description = "It is the one that `If-None-Match` names.")),
    extensions(("x-problems" = json!(["not-found", "audit-unavailable"]))))]
pub(super) async fn poster(
    Api(api): Api<ApiState>,
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
