//! Replacements: trim a video, call a replacement off; and their view.

use super::State;
use super::auth::{Json, SignedIn};
use super::path::Path;
use super::schema::{Id, Moment, ReplacementKind, ReplacementState, VideoStage};
use super::videos::RefusalView;
use crate::domain::ids::VideoId;
use crate::domain::replacement::{Replacement, Trim};
use crate::problem::Problem;
use axum::extract::State as Api;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Two points of a video's source, in milliseconds from its beginning, whatever was trimmed before.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTrim)]
pub(super) struct Points {
    /// The first moment shown.
    in_ms: u64,
    /// The first moment not shown any more; absent or null: the source's end.
    out_ms: Option<u64>,
}

/// What is being made to replace the version that plays, or how the last attempt ended.
#[derive(Serialize, ToSchema)]
#[schema(as = Replacement)]
pub(super) struct View {
    #[schema(value_type = ReplacementKind)]
    kind: &'static str,
    #[schema(value_type = ReplacementState)]
    state: &'static str,
    #[schema(value_type = VideoStage)]
    stage: &'static str,
    /// How much of the processing is done, 0 to 99.
    percent: i64,
    refusal: Option<RefusalView>,
    #[schema(value_type = Moment)]
    created_at: i64,
}

/// What of its source a video shows.
#[derive(Serialize, ToSchema)]
#[schema(as = Trim)]
pub(super) struct TrimView {
    in_ms: u64,
    /// Null: to the source's end.
    out_ms: Option<u64>,
    /// The length of the whole source.
    source_duration_ms: u64,
}

impl From<Replacement> for View {
    fn from(replacement: Replacement) -> Self {
        Self {
            kind: replacement.kind.as_str(),
            state: replacement.state.as_str(),
            stage: replacement.stage.as_str(),
            percent: replacement.percent,
            refusal: replacement.refusal.map(RefusalView::from),
            created_at: replacement.created_at,
        }
    }
}

impl From<(Option<Trim>, u64)> for TrimView {
    fn from((trim, source_duration_ms): (Option<Trim>, u64)) -> Self {
        let Trim { in_ms, out_ms } = trim.unwrap_or(Trim { in_ms: 0, out_ms: None });
        Self { in_ms, out_ms, source_duration_ms }
    }
}

/// Trim a video.
///
/// Begins a version of the video's own source between two points; the one before plays until it is ready.
#[utoipa::path(post, path = "/videos/{id}/trim", operation_id = "trim_video", tag = "videos", params(("id" = Id, Path)), request_body = Points,
    responses((status = ACCEPTED, description = "The version is being made.")),
    extensions(("x-problems" = json!(["not-found", "not-allowed", "not-ready", "replacement-in-progress", "version-gone", "trim-out-of-range",
        "trim-order", "trim-too-short", "trim-unchanged"]))))]
pub(super) async fn trim(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    Json(points): Json<Points>,
) -> Result<StatusCode, Problem> {
    api.library.begin_trim(&caller, &VideoId::parse(&id)?, points.in_ms, points.out_ms).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Call a replacement off.
///
/// Ends what is being made to replace a video, from a new source or by a trim; what plays stays.
#[utoipa::path(delete, path = "/videos/{id}/replacement", operation_id = "cancel_replacement", tag = "videos", params(("id" = Id, Path)),
    responses((status = NO_CONTENT, description = "It is called off.")),
    extensions(("x-problems" = json!(["not-found", "not-allowed"]))))]
pub(super) async fn cancel(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.library.cancel_replacement(&caller, &VideoId::parse(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
