//! Verifications: blobs read again and compared with their digests.

use super::State;
use super::auth::{Json, SignedIn};
use super::paging::{self, Page};
use super::path::Path;
use super::query::Query;
use super::schema::{FindingOutcome, FindingPiece, FindingProblem, Id, Moment, VerificationState};
use crate::domain::ids::{VerificationId, VideoId};
use crate::domain::verification::{Finding, Skipped, Verification};
use crate::problem::Problem;
use axum::extract::{OriginalUri, State as Api};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is to be verified.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewVerification)]
pub(super) struct Wanted {
    /// One video; absent or null: all.
    #[serde(default)]
    #[schema(value_type = Option<Id>)]
    video: Option<String>,
    /// Whether to make again what is damaged and can be made again from its source.
    repair: bool,
}

/// A reading of blobs against their digests.
#[derive(Serialize, ToSchema)]
#[schema(as = Verification)]
pub(super) struct View {
    #[schema(value_type = Id)]
    verification: String,
    /// Who asked for it.
    actor: String,
    /// The one video that it reads; null: all.
    #[schema(value_type = Option<Id>)]
    video: Option<VideoId>,
    repair: bool,
    #[schema(value_type = VerificationState)]
    state: &'static str,
    percent: i64,
    #[schema(value_type = Moment)]
    created_at: i64,
    #[schema(value_type = Option<Moment>)]
    ended_at: Option<i64>,
    /// Videos read so far,
    videos: u64,
    /// of so many.
    of: u64,
    /// Blobs read so far; what was repaired is read twice.
    blobs: u64,
    bytes: u64,
    /// How many things were not as they should be.
    found: u64,
    /// How many of them were made again.
    repaired: u64,
    /// The first thousand.
    findings: Vec<FindingView>,
    /// How many videos were not read, because there is nothing published to read.
    skipped: u64,
    /// The first thousand of those.
    skipped_videos: Vec<SkippedView>,
}

/// One thing that is not as it should be.
#[derive(Serialize, ToSchema)]
#[schema(as = Finding)]
struct FindingView {
    #[schema(value_type = Id)]
    video: VideoId,
    #[schema(value_type = FindingPiece)]
    piece: &'static str,
    /// Where the blob lies in the store.
    path: String,
    /// Null for what belongs to none.
    rendition: Option<String>,
    /// Of a segment from 0, of a part of the original from 1.
    number: Option<u64>,
    /// When in the video a segment begins.
    from_ms: Option<u64>,
    /// When in the video a segment ends.
    until_ms: Option<u64>,
    #[schema(value_type = FindingProblem)]
    problem: &'static str,
    /// What it means for those who watch.
    means: String,
    #[schema(value_type = FindingOutcome)]
    outcome: &'static str,
    /// What to do; null when nothing is left to do.
    mend: Option<String>,
}

/// A video that was not read.
#[derive(Serialize, ToSchema)]
#[schema(as = SkippedVideo)]
struct SkippedView {
    #[schema(value_type = Id)]
    video: VideoId,
    why: String,
}

/// A page of verifications, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = VerificationPage)]
pub(super) struct Verifications {
    verifications: Vec<View>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
}

fn view(verification: Verification) -> View {
    let report = verification.report;
    View {
        verification: verification.id.to_string(),
        actor: verification.actor,
        video: verification.video,
        repair: verification.repairs,
        state: verification.state.as_str(),
        percent: verification.percent,
        created_at: verification.created_at,
        ended_at: verification.ended_at,
        videos: report.videos,
        of: report.of,
        blobs: report.blobs,
        bytes: report.bytes,
        found: report.found,
        repaired: report.repaired,
        findings: report.findings.into_iter().map(finding).collect(),
        skipped: report.skipped,
        skipped_videos: report.skipped_videos.into_iter().map(|Skipped { video, why }| SkippedView { video, why }).collect(),
    }
}

fn finding(finding: Finding) -> FindingView {
    FindingView {
        video: finding.video,
        piece: finding.piece.as_str(),
        path: finding.path,
        rendition: finding.rendition.map(|rendition| rendition.to_string()),
        number: finding.number,
        from_ms: finding.from_ms,
        until_ms: finding.until_ms,
        problem: finding.problem.as_str(),
        means: finding.means,
        outcome: finding.outcome.as_str(),
        mend: finding.mend,
    }
}

/// Verify blobs.
///
/// Begins to read every blob of a video, or of all, again, and to compare it with its digests and rows; `GET /v1/verifications/{id}` says how far it
/// has come and what it found. With `repair` it makes again, from the original, what is damaged: those who watch are not disturbed. One video for its
/// owner, all for administrators.
#[utoipa::path(post, path = "/verifications", operation_id = "begin_verification", tag = "storage", request_body = Wanted,
    responses((status = ACCEPTED, description = "It is on its way.", body = View)),
    extensions(("x-problems" = json!(["not-allowed", "not-found", "malformed-id", "verifying"]))))]
pub(super) async fn begin(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    let video = wanted.video.as_deref().map(VideoId::parse).transpose()?;
    let begun = api.library.begin_verification(&caller, video.as_ref(), wanted.repair).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(view(begun))).into_response())
}

/// Look at a verification.
///
/// For administrators, and for whoever asked for it.
#[utoipa::path(get, path = "/verifications/{id}", operation_id = "read_verification", tag = "storage", params(("id" = Id, Path)),
    responses((status = OK, description = "The verification.", body = View)),
    extensions(("x-problems" = json!(["not-found", "malformed-id"]))))]
pub(super) async fn show(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let verification = api.library.verification(&caller.actor, &VerificationId::parse(&id)?).await?;
    Ok(axum::Json(view(verification)).into_response())
}

/// List verifications.
///
/// Administrators see all, authors those that they asked for; newest first.
#[utoipa::path(get, path = "/verifications", operation_id = "list_verifications", tag = "storage", params(paging::Wanted),
    responses((status = OK, description = "A page of the verifications.", body = Verifications)),
    extensions(("x-problems" = json!(["not-allowed", "bad-limit", "bad-cursor"]))))]
pub(super) async fn list(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Query(wanted): Query<paging::Wanted>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let (limit, before) = wanted.read(VerificationId::parse)?;
    let found = api.library.verifications(&caller.actor, before.as_ref(), limit + 1).await?;
    let Page { items, next_cursor } = Page::of(found, limit, |verification| verification.id.to_string());
    let list = Verifications { verifications: items.into_iter().map(view).collect(), next_cursor };
    Ok(paging::answer(&uri, &list, list.next_cursor.as_deref()))
}
