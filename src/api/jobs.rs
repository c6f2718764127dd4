//! Jobs and dead letters, for those who run the house.

use super::State;
use super::auth::SignedIn;
use super::paging::{self, Page};
use super::path::Path;
use super::query::Query;
use super::schema::{Id, JobKind, JobState as StateWord, Moment};
use crate::catalog::jobs::Listing;
use crate::domain::ids::{JobId, VersionId, VideoId};
use crate::domain::job::{Job, Kind, State as JobState};
use crate::problem::Problem;
use axum::extract::{OriginalUri, State as Api};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those in this state.
    #[param(value_type = StateWord, required = false)]
    state: Option<String>,
    /// Only those of this video.
    #[param(value_type = Id, required = false)]
    video: Option<String>,
    /// Only those that do this.
    #[param(value_type = JobKind, required = false)]
    kind: Option<String>,
    /// At most so many; absent: 30.
    #[param(required = false, minimum = 1, maximum = 100)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(required = false)]
    cursor: Option<String>,
}

/// A durable unit of work.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
struct View {
    #[schema(value_type = Id)]
    job: JobId,
    #[schema(value_type = JobKind)]
    kind: Kind,
    #[schema(value_type = Id)]
    video: VideoId,
    #[schema(value_type = Option<Id>)]
    version: Option<VersionId>,
    #[schema(value_type = StateWord)]
    state: JobState,
    /// Failures so far.
    attempts: i64,
    /// Raised whenever a worker takes it.
    epoch: i64,
    progress_percent: i64,
    /// When it may run.
    #[schema(value_type = Moment)]
    run_at: i64,
    /// Until when a worker has it.
    #[schema(value_type = Option<Moment>)]
    lease_until: Option<i64>,
    #[schema(value_type = Moment)]
    created_at: i64,
    #[schema(value_type = Option<Moment>)]
    finished_at: Option<i64>,
    /// What went wrong last; its causes are for operators.
    last_error: Option<String>,
}

/// A page of jobs, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = JobPage)]
pub(super) struct Jobs {
    jobs: Vec<View>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
}

/// A job that used up its attempts, or failed for good.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
struct DeadView {
    #[schema(value_type = Id)]
    job: JobId,
    #[schema(value_type = JobKind)]
    kind: Kind,
    #[schema(value_type = Id)]
    video: VideoId,
    #[schema(value_type = Option<Moment>)]
    died_at: Option<i64>,
    attempts: i64,
    reason: Option<String>,
}

/// A page of dead letters, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterPage)]
pub(super) struct DeadLetters {
    dead: Vec<DeadView>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
}

/// A dead letter with its cause.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedDeadLetter)]
pub(super) struct Opened {
    #[serde(flatten)]
    letter: DeadView,
    /// What happened, with all causes.
    cause: Option<String>,
    /// The end of what ffmpeg said.
    stderr_tail: Option<String>,
    /// What the job was to do.
    payload: Value,
}

/// A job that was queued again.
#[derive(Serialize, ToSchema)]
#[schema(as = RedrivenJob)]
pub(super) struct Redriven {
    #[schema(value_type = Id)]
    job: JobId,
    #[schema(value_type = StateWord)]
    state: JobState,
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

/// List jobs.
///
/// Administrators see all, authors those of their own videos; newest first.
#[utoipa::path(get, path = "/jobs", operation_id = "list_jobs", tag = "operation", params(Filter),
    responses((status = OK, description = "The jobs.", body = Jobs)),
    extensions(("x-problems" = json!(["not-allowed", "malformed-id", "unknown-word", "bad-limit", "bad-cursor"]))))]
pub(super) async fn list(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Query(filter): Query<Filter>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let limit = paging::limit(filter.limit)?;
    let listing = Listing {
        state: filter.state.as_deref().map(JobState::parse).transpose()?,
        video: filter.video.as_deref().map(VideoId::parse).transpose()?,
        kind: filter.kind.as_deref().map(Kind::parse).transpose()?,
        before: paging::after(filter.cursor.as_deref(), JobId::parse)?,
        limit: Some(limit + 1),
        owner: None,
    };
    let found = api.library.jobs(&caller.actor, listing).await?;
    let Page { items, next_cursor } = Page::of(found, limit, |job| job.id.to_string());
    let list = Jobs { jobs: items.into_iter().map(view).collect(), next_cursor };
    Ok(paging::answer(&uri, &list, list.next_cursor.as_deref()))
}

/// List dead letters.
///
/// For administrators; newest first.
#[utoipa::path(get, path = "/dead", operation_id = "list_dead_letters", tag = "operation", params(paging::Wanted),
    responses((status = OK, description = "A page of the dead letters.", body = DeadLetters)),
    extensions(("x-problems" = json!(["not-allowed", "bad-limit", "bad-cursor"]))))]
pub(super) async fn dead(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Query(wanted): Query<paging::Wanted>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let (limit, before) = wanted.read(JobId::parse)?;
    let found = api.library.dead(&caller.actor, before, limit + 1).await?;
    let Page { items, next_cursor } = Page::of(found, limit, |job| job.id.to_string());
    let list = DeadLetters { dead: items.iter().map(dead_view).collect(), next_cursor };
    Ok(paging::answer(&uri, &list, list.next_cursor.as_deref()))
}

/// Look at a dead letter.
///
/// For administrators: with its cause.
#[utoipa::path(get, path = "/dead/{id}", operation_id = "read_dead_letter", tag = "operation", params(("id" = Id, Path)),
    responses((status = OK, description = "The dead letter.", body = Opened)),
    extensions(("x-problems" = json!(["not-allowed", "not-found"]))))]
pub(super) async fn dead_letter(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let job = api.library.dead_letter(&caller.actor, &JobId::parse(&id)?).await?;
    let payload = serde_json::from_str(&job.payload).unwrap_or(Value::Null);
    let opened = Opened { letter: dead_view(&job), cause: job.last_error, stderr_tail: job.stderr_tail, payload };
    Ok(axum::Json(opened).into_response())
}

/// Run a dead job again.
///
/// For administrators. It has all its attempts again.
#[utoipa::path(post, path = "/dead/{id}/redrive", operation_id = "redrive_dead_letter", tag = "operation", params(("id" = Id, Path)),
    responses((status = OK, description = "It is queued.", body = Redriven)),
    extensions(("x-problems" = json!(["not-allowed", "not-found", "not-dead"]))))]
pub(super) async fn redrive(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = JobId::parse(&id)?;
    api.library.redrive(&caller, &id).await?;
    Ok(axum::Json(Redriven { job: id, state: JobState::Queued }).into_response())
}
