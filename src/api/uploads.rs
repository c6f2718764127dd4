//! Uploads: begin, declare parts, look, finish, abort.

use super::State;
use super::auth::{Json, SignedIn};
use super::path::Path;
use crate::domain::collection;
use crate::domain::ids::UploadId;
use crate::domain::upload::{Part, Request, Upload};
use crate::ingest::{Declared, Finished};
use crate::library::Caller;
use crate::policy::{Action, decide};
use crate::problem::Problem;
use axum::extract::State as Api;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begin {
    filename: String,
    size_bytes: u64,
    title: Option<String>,
    collection: Option<String>,
}

#[derive(Serialize)]
struct Begun<'a> {
    upload: &'a UploadId,
    video: &'a crate::domain::ids::VideoId,
    part_size_bytes: u64,
    parts: u64,
    expires_at: i64,
}

#[derive(Serialize)]
struct View<'a> {
    upload: &'a UploadId,
    video: &'a crate::domain::ids::VideoId,
    filename: &'a str,
    title: &'a str,
    size_bytes: u64,
    part_size_bytes: u64,
    parts: u64,
    state: &'static str,
    received: Vec<Received>,
    expires_at: i64,
}

#[derive(Serialize)]
struct Received {
    number: u64,
    size_bytes: u64,
    sha256: String,
}

#[derive(Serialize)]
struct PartUrl {
    number: u64,
    method: &'static str,
    url: String,
    headers: BTreeMap<String, String>,
    expires_at: i64,
}

/// `POST /v1/uploads`.
pub(super) async fn begin(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Json(body): Json<Begin>) -> Result<Response, Problem> {
    decide(&caller.actor, Action::Upload).permit()?;
    let request = Request::new(&body.filename, body.title.as_deref(), body.size_bytes, api.ingest.limits.max_size_bytes)?;
    let collection = body.collection.as_deref().map(collection::Name::parse).transpose()?;
    let request = request.in_collection(collection);
    let upload = api.ingest.begin(&caller.actor.subject, request).await?;
    let Upload { id, video, part_size_bytes, expires_at, .. } = &upload;
    let begun = Begun { upload: id, video, part_size_bytes: *part_size_bytes, parts: upload.parts(), expires_at: *expires_at };
    Ok((StatusCode::CREATED, axum::Json(begun)).into_response())
}

/// `GET /v1/uploads/{id}`.
pub(super) async fn show(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let (upload, parts) = own(&api, &caller, &id).await?;
    let received = parts.into_iter().filter(|part| part.blob.is_some());
    let received = received.map(|Part { number, size_bytes, sha256, .. }| Received { number, size_bytes, sha256 }).collect();
    let view = View {
        upload: &upload.id,
        video: &upload.video,
        filename: &upload.filename,
        title: &upload.title,
        size_bytes: upload.size_bytes,
        part_size_bytes: upload.part_size_bytes,
        parts: upload.parts(),
        state: upload.state.as_str(),
        received,
        expires_at: upload.expires_at,
    };
    Ok(axum::Json(view).into_response())
}

/// `POST /v1/uploads/{id}/parts`.
pub(super) async fn declare(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    Json(declared): Json<Vec<Declared>>,
) -> Result<Response, Problem> {
    let id = own_row(&api, &caller, &id).await?.id;
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

/// `POST /v1/uploads/{id}/finish`.
pub(super) async fn finish(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = own_row(&api, &caller, &id).await?.id;
    match api.ingest.finish(&id).await? {
        Finished::Done(upload) => Ok(axum::Json(serde_json::json!({"upload": upload.id, "video": upload.video})).into_response()),
        Finished::Missing(numbers) => {
            let detail = "parts are missing: send them, then finish again";
            Err(Problem::new(StatusCode::CONFLICT, "parts-missing", detail).with_member("missing", numbers))
        }
    }
}

/// `DELETE /v1/uploads/{id}`.
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
