//! The disk: how full it is, and what lies on it that nobody needs.

use super::State;
use super::auth::{Json, SignedIn};
use super::schema::Moment;
use crate::audit::Entry;
use crate::policy::{Action, decide};
use crate::problem::Problem;
use crate::storage::{Progress, Report, Room, Tally};
use axum::extract::State as Api;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// The disk, and what was found on it.
#[derive(Serialize, ToSchema)]
#[schema(as = Storage)]
pub(super) struct View {
    /// Absent for a store that has no end.
    room: Option<RoomView>,
    reconciling: Option<Reconciling>,
    /// The last reconciliation that only looked.
    looked: Option<ReportView>,
    /// The last reconciliation that swept.
    swept: Option<ReportView>,
}

/// How full the disk is, and is going to be.
#[derive(Serialize, ToSchema)]
#[schema(as = Room)]
struct RoomView {
    total_bytes: u64,
    free_bytes: u64,
    /// What new uploads leave free.
    reserve_bytes: u64,
    /// What open uploads and running versions will yet write.
    promised_bytes: u64,
    /// The largest upload that may begin now.
    largest_upload_bytes: u64,
}

/// How far a reconciliation has come.
#[derive(Serialize, ToSchema)]
pub(super) struct Reconciling {
    /// Its id, as in its report.
    id: String,
    /// Whether it sweeps.
    applies: bool,
    /// Videos examined,
    done: u64,
    /// of so many.
    of: u64,
}

/// What a reconciliation found.
#[derive(Serialize, ToSchema)]
#[schema(as = Reconciliation)]
struct ReportView {
    /// The id that its beginning was answered with.
    id: String,
    #[schema(value_type = Moment)]
    began_at: i64,
    #[schema(value_type = Moment)]
    ended_at: i64,
    videos: u64,
    blobs: u64,
    /// Blobs that no row points at, and none ever will.
    orphans: TallyView,
    /// Writes that were begun, and given up.
    unfinished: TallyView,
    /// Folders with nothing in them.
    empty_folders: TallyView,
    /// Files that are none of the server's: never swept.
    foreign: TallyView,
    /// Blobs that a row points at and that are not there: a loss.
    missing: TallyView,
    /// Of what was to be swept, what could not be.
    failed: u64,
}

/// How many there are of something, and a few of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Tally)]
struct TallyView {
    count: u64,
    bytes: u64,
    /// The paths of the first twenty.
    paths: Vec<String>,
}

/// What a reconciliation is to do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewReconciliation)]
pub(super) struct Wanted {
    /// Whether to sweep what is found; else it only looks.
    apply: bool,
}

impl From<Room> for RoomView {
    fn from(room: Room) -> Self {
        Self {
            total_bytes: room.space.total_bytes,
            free_bytes: room.space.free_bytes,
            reserve_bytes: room.reserve_bytes,
            promised_bytes: room.promised_bytes(),
            largest_upload_bytes: room.largest_upload_bytes(),
        }
    }
}

impl From<Progress> for Reconciling {
    fn from(Progress { id, applies, done, of }: Progress) -> Self {
        Self { id: id.to_string(), applies, done, of }
    }
}

impl From<Tally> for TallyView {
    fn from(Tally { count, bytes, paths }: Tally) -> Self {
        Self { count, bytes, paths }
    }
}

fn report((ended_at, report): (i64, Report)) -> ReportView {
    ReportView {
        id: report.id.to_string(),
        began_at: report.began_at,
        ended_at,
        videos: report.videos,
        blobs: report.blobs,
        orphans: report.orphans.into(),
        unfinished: report.unfinished.into(),
        empty_folders: report.empty_folders.into(),
        foreign: report.foreign.into(),
        missing: report.missing.into(),
        failed: report.failed,
    }
}

/// Read the disk.
///
/// How full it is, what is promised, and what the last reconciliations found. For administrators.
#[utoipa::path(get, path = "/storage", operation_id = "read_storage", tag = "storage",
    responses((status = OK, description = "The disk.", body = View)), extensions(("x-problems" = json!(["not-allowed"]))))]
pub(super) async fn show(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn) -> Result<Response, Problem> {
    decide(&caller.actor, Action::Operate).permit()?;
    // First: what has ended by now has its report below.
    let reconciling = api.storage.reconciling().map(Reconciling::from);
    let (looked, swept) = (api.storage.last_report(false).await?, api.storage.last_report(true).await?);
    let view =
        View { room: api.storage.room().await?.map(RoomView::from), reconciling, looked: looked.map(report), swept: swept.map(report) };
    Ok(axum::Json(view).into_response())
}

/// Reconcile blobs and rows.
///
/// Begins to look for blobs that no row points at, and for rows whose blob is missing; `GET /v1/storage` says how far it has come and what it
/// found. With `apply` it sweeps the former; never the latter, and nothing that is not the server's. For administrators.
#[utoipa::path(post, path = "/reconcile", operation_id = "reconcile", tag = "storage", request_body = Wanted,
    responses((status = ACCEPTED, description = "It runs.", body = Reconciling)),
    extensions(("x-problems" = json!(["not-allowed", "reconciling"]))))]
pub(super) async fn reconcile(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    let decision = decide(&caller.actor, Action::Operate);
    decision.permit()?;
    let object = if wanted.apply { "apply" } else { "look" };
    let entry = Entry { object: Some(object.to_owned()), ..caller.entry("reconcile", decision) };
    let reconciliation = api.storage.reconcile(wanted.apply)?;
    let begun = Reconciling { id: reconciliation.id().to_string(), applies: wanted.apply, done: 0, of: 0 };
    tokio::spawn(async move {
        if let Some(Err(error)) = api.draining.run_until_cancelled(reconciliation.run(&entry, Duration::ZERO)).await {
            tracing::error!(cause = %error.chain(), "a reconciliation did not come to its end");
        }
    });
    Ok((StatusCode::ACCEPTED, axum::Json(begun)).into_response())
}
