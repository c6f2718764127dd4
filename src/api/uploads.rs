//! Uploads: begin, declare parts, look, finish, abort.

use super::State;
use super::auth::{Json, SignedIn};
use super::path::Path;
use super::schema::{Id, Moment, Sha256, UploadState};
use crate::catalog::idempotency::Ticket;
use crate::domain::collection;
use crate::domain::ids::{UploadId, VideoId};
use crate::domain::upload::{Part, Request, Upload};
use crate::ingest::{Declared, Finished};
use crate::library::Caller;
use crate::policy::{Action, decide};
use crate::problem::Problem;
use axum::Extension;
use axum::extract::State as Api;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A file that is to come.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUpload)]
pub(super) struct Begin {
    /// Shown to people, never used as a path.
    #[schema(min_length = 1, max_length = 255)]
    filename: String,
    /// The whole file.
    #[schema(minimum = 1)]
    size_bytes: u64,
    /// The video's title; absent: the file's name without its ending.
    #[schema(max_length = 200)]
    title: Option<String>,
    /// The collection it belongs to, such as `Cardiology/2026`; made with the first video that names it.
    #[schema(min_length = 1, max_length = 200)]
    collection: Option<String>,
}

/// An upload that has begun.
#[derive(Serialize, ToSchema)]
#[schema(as = BegunUpload)]
pub(super) struct Begun {
    #[schema(value_type = Id)]
    upload: UploadId,
    /// The video that it will become.
    #[schema(value_type = Id)]
    video: VideoId,
    /// The length of every part but the last.
    part_size_bytes: u64,
    /// How many parts the file has.
    parts: u64,
    /// When it is dropped unless finished.
    #[schema(value_type = Moment)]
    expires_at: i64,
}

/// An upload and what has arrived of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Upload)]
pub(super) struct View {
    #[schema(value_type = Id)]
    upload: UploadId,
    #[schema(value_type = Id)]
    video: VideoId,
    filename: String,
    title: String,
    size_bytes: u64,
    part_size_bytes: u64,
    parts: u64,
    #[schema(value_type = UploadState)]
    state: &'static str,
    received: Vec<Received>,
    #[schema(value_type = Moment)]
    expires_at: i64,
}

/// A part that has arrived.
#[derive(Serialize, ToSchema)]
#[schema(as = ReceivedPart)]
struct Received {
    number: u64,
    size_bytes: u64,
    #[schema(value_type = Sha256)]
    sha256: String,
}

/// A part that is about to be sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeclaredPart)]
pub(super) struct PartToCome {
    /// From 1.
    #[schema(minimum = 1)]
    number: u64,
    size_bytes: u64,
    #[schema(value_type = Sha256)]
    sha256: String,
}

/// How to send one part.
#[derive(Serialize, ToSchema)]
pub(super) struct PartUrl {
    number: u64,
    method: &'static str,
    /// A secret until it expires.
    url: String,
    /// To be sent exactly as they are.
    headers: BTreeMap<String, String>,
    #[schema(value_type = Moment)]
    expires_at: i64,
}

/// An upload that has become a video.
#[derive(Serialize, ToSchema)]
#[schema(as = FinishedUpload)]
pub(super) struct Became {
    #[schema(value_type = Id)]
    upload: UploadId,
    #[schema(value_type = Id)]
    video: VideoId,
}

/// Begin an upload.
///
/// Cut the file into parts of `part_size_bytes`, declare them, send each to its URL, then finish.
#[utoipa::path(post, path = "/uploads", operation_id = "begin_upload", tag = "uploads", request_body = Begin,
    responses((status = CREATED, description = "The upload.", body = Begun)),
    extensions(("x-problems" = json!(["not-allowed", "bad-filename", "bad-title", "bad-collection", "empty-file", "file-too-large", "insufficient-storage",
        "quota-exceeded"]))))]
pub(super) async fn begin(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    ticket: Option<Extension<Ticket>>,
    Json(body): Json<Begin>,
) -> Result<Response, Problem> {
    decide(&caller.actor, Action::Upload).permit()?;
    let request = Request::new(&body.filename, body.title.as_deref(), body.size_bytes, api.ingest.limits.max_size_bytes)?;
    let collection = body.collection.as_deref().map(collection::Name::parse).transpose()?;
    let request = request.in_collection(collection).named(ticket.map(|Extension(ticket)| ticket.ids()));
    let upload = api.ingest.begin(&caller.actor.subject, request).await?;
    let parts = upload.parts();
    let Upload { id, video, part_size_bytes, expires_at, .. } = upload;
    let begun = Begun { upload: id, video, part_size_bytes, parts, expires_at };
    Ok((StatusCode::CREATED, axum::Json(begun)).into_response())
}

/// Look at an upload.
///
/// Says which parts have arrived; after a broken connection only the others are sent again.
#[utoipa::path(get, path = "/uploads/{id}", operation_id = "read_upload", tag = "uploads", params(("id" = Id, Path)),
    responses((status = OK, description = "The upload.", body = View)),
    extensions(("x-problems" = json!(["not-found"]))))]
pub(super) async fn show(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let (upload, parts) = own(&api, &caller, &id).await?;
    let received = parts.into_iter().filter(|part| part.blob.is_some());
    let received = received.map(|Part { number, size_bytes, sha256, .. }| Received { number, size_bytes, sha256 }).collect();
    let view = View {
        parts: upload.parts(),
        upload: upload.id,
        video: upload.video,
        filename: upload.filename,
        title: upload.title,
        size_bytes: upload.size_bytes,
        part_size_bytes: upload.part_size_bytes,
        state: upload.state.as_str(),
        received,
        expires_at: upload.expires_at,
    };
    Ok(axum::Json(view).into_response())
}

/// Declare parts.
///
/// Gives a URL for each, as often as wanted: ask again when one has expired. The URL takes only bytes of the declared digest and length.
#[utoipa::path(post, path = "/uploads/{id}/parts", operation_id = "declare_parts", tag = "uploads", params(("id" = Id, Path)),
    request_body = Vec<PartToCome>, responses((status = OK, description = "A URL for each part.", body = Vec<PartUrl>)),
    extensions(("x-problems" = json!(["not-found", "part-count", "part-number", "part-size", "part-digest", "upload-finished", "upload-ended"]))))]
pub(super) async fn declare(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    Json(parts): Json<Vec<PartToCome>>,
) -> Result<Response, Problem> {
    let id = own_row(&api, &caller, &id).await?.id;
    let declared = parts.into_iter().map(|PartToCome { number, size_bytes, sha256 }| Declared { number, size_bytes, sha256 });
    let declared: Vec<Declared> = declared.collect();
    let presigned = api.ingest.declare(&id, &declared).await?;
    let urls = presigned.into_iter().map(|(number, part)| PartUrl {
        number,
        method: part.method,
        url: part.url,
        headers: part.headers,
        expires_at: part.expires_at_ms,
    });
    Ok(axum::Json(urls.collect::<Vec<_>>()).into_response())
}

/// Finish an upload.
///
/// It becomes a video, which is processed next. A second call answers as the first did.
#[utoipa::path(post, path = "/uploads/{id}/finish", operation_id = "finish_upload", tag = "uploads", params(("id" = Id, Path)),
    responses((status = OK, description = "The video.", body = Became)),
    extensions(("x-problems" = json!(["not-found", "parts-missing", "upload-ended"]))))]
pub(super) async fn finish(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = own_row(&api, &caller, &id).await?.id;
    match api.ingest.finish(&id).await? {
        Finished::Done(upload) => Ok(axum::Json(Became { upload: upload.id, video: upload.video }).into_response()),
        Finished::Missing(numbers) => {
            let detail = "parts are missing: send them, then finish again";
            Err(Problem::new(StatusCode::CONFLICT, "parts-missing", detail).with_member("missing", numbers))
        }
    }
}

/// Give an upload up.
///
/// Its parts go at once. Giving up twice is fine.
#[utoipa::path(delete, path = "/uploads/{id}", operation_id = "abort_upload", tag = "uploads", params(("id" = Id, Path)),
    responses((status = NO_CONTENT, description = "It is given up.")),
    extensions(("x-problems" = json!(["not-found", "upload-finished"]))))]
pub(super) async fn abort(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id = own_row(&api, &caller, &id).await?.id;
    api.ingest.abort(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn own(api: &State, caller: &Caller, id: &str) -> Result<(Upload, Vec<Part>), Problem> {
    let upload = own_row(api, caller, id).await?;
    let parts = api.ingest.catalog.upload_parts(&upload.id).await?;
    Ok((upload, parts))
}

/// An upload that the caller may use. Another's is 404, as if it were not there.
async fn own_row(api: &State, caller: &Caller, id: &str) -> Result<Upload, Problem> {
    let upload = api.ingest.catalog.upload(&UploadId::parse(id)?).await?;
    match decide(&caller.actor, Action::UseUpload(&upload.owner)).permit() {
        Ok(()) => Ok(upload),
        Err(_) => Err(crate::domain::Error::hidden(format!("there is no upload {id}")).into()),
    }
}
