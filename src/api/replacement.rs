//! Replacements: trim a video, call a replacement off; and their view.

use super::State;
use super::auth::{Json, SignedIn};
use super::path::Path;
use crate::domain::ids::VideoId;
use crate::domain::replacement::{Replacement, Trim};
use crate::domain::video::Refusal;
use crate::problem::Problem;
use axum::extract::State as Api;
use http::StatusCode;
use serde::{Deserialize, Serialize};

/// Two points of a video's source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Points {
    in_ms: u64,
    out_ms: Option<u64>,
}

/// What is being made to replace the version that plays, or how the last attempt ended.
#[derive(Serialize)]
pub(super) struct View {
    kind: &'static str,
    state: &'static str,
    stage: &'static str,
    percent: i64,
    trim: Option<Trim>,
    refusal: Option<Refusal>,
    created_at: i64,
}

/// What of its source a video shows.
#[derive(Serialize)]
pub(super) struct TrimView {
    in_ms: u64,
    out_ms: Option<u64>,
    source_duration_ms: u64,
}

impl From<Replacement> for View {
    fn from(replacement: Replacement) -> Self {
        Self {
            kind: replacement.kind.as_str(),
            state: replacement.state.as_str(),
            stage: replacement.stage.as_str(),
            percent: replacement.percent,
            trim: replacement.trim,
            refusal: replacement.refusal,
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

/// `POST /v1/videos/{id}/trim`: begins a version between two points; the one before plays until it is ready.
pub(super) async fn trim(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    Json(points): Json<Points>,
) -> Result<StatusCode, Problem> {
    api.library.begin_trim(&caller, &VideoId::parse(&id)?, points.in_ms, points.out_ms).await?;
    Ok(StatusCode::ACCEPTED)
}

/// `DELETE /v1/videos/{id}/replacement`: what plays stays.
pub(super) async fn cancel(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.library.cancel_replacement(&caller, &VideoId::parse(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
