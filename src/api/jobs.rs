//! Jobs and dead letters, for those who run the house.

use super::State;
use super::auth::SignedIn;
use super::path::Path;
use crate::domain::ids::{JobId, VideoId};
use crate::domain::job::{Job, Kind, State as JobState};
use crate::problem::Problem;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Api};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    state: Option<String>,
    video: Option<String>,
}

#[derive(Serialize)]
struct View {
    job: JobId,
    kind: Kind,
    video: VideoId,
    version: Option<crate::domain::ids::VersionId>,
    state: JobState,
    attempts: i64,
    epoch: i64,
    progress_percent: i64,
    run_at: i64,
    lease_until: Option<i64>,
    created_at: i64,
    finished_at: Option<i64>,
    last_error: Option<String>,
}

#[derive(Serialize)]
struct DeadView {
    job: JobId,
    kind: Kind,
    video: VideoId,
    died_at: Option<i64>,
    attempts: i64,
    reason: Option<String>,
}

fn view(job: Job) -> View {
    View {
        job: job.id,
        kind: job.kind,
        video: job.video,
        version: job.version,
        state: job.state,
        attempts: job.failures,
        epoch: job.epoch,
        progress_percent: job.progress_percent,
        run_at: job.run_at,
        lease_until: job.lease_until,
        created_at: job.created_at,
        finished_at: job.finished_at,
        last_error: job.last_error,
    }
}

fn dead_view(job: &Job) -> DeadView {
    DeadView {
        job: job.id.clone(),
        kind: job.kind,
        video: job.video.clone(),
        died_at: job.finished_at,
        attempts: job.failures,
        reason: job.last_error.clone(),
    }
}

/// `GET /v1/jobs?state=&video=`.
pub(super) async fn list(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(filter) = filter.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed-query", error.body_text()))?;
    let state = filter.state.as_deref().map(JobState::parse).transpose()?;
    let video = filter.video.as_deref().map(VideoId::parse).transpose()?;
    let jobs: Vec<View> = api.library.jobs(&caller.actor, state, video).await?.into_iter().map(view).collect();
    Ok(axum::Json(json!({ "jobs": jobs })).into_response())
}

/// `GET /v1/dead`.
pub(super) async fn dead(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn) -> Result<Response, Problem> {
    let dead: Vec<DeadView> = api.library.dead(&caller.actor).await?.iter().map(dead_view).collect();
    Ok(axum::Json(json!({ "dead": dead })).into_response())
}

/// `GET /v1/dead/{job}`.
pub(super) async fn dead_letter(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let job = api.library.dead_letter(&caller.actor, &JobId::parse(&id)?).await?;
    let mut letter =
        serde_json::to_value(dead_view(&job)).map_err(|error| crate::domain::Error::internal("could not write a dead letter", error))?;
    letter["cause"] = json!(job.last_error);
    letter["stderr_tail"] = json!(job.stderr_tail);
    letter["payload"] = serde_json::from_str(&job.payload).unwrap_or(Value::Null);
    Ok(axum::Json(letter).into_response())
}

/// `POST /v1/dead/{job}/redrive`.
pub(super) async fn redrive(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = JobId::parse(&id)?;
    api.library.redrive(&caller, &id).await?;
    Ok(axum::Json(json!({"job": id, "state": JobState::Queued})).into_response())
}
