//! Collections: a list; they are made by the uploads that name them.

use super::State;
use super::auth::SignedIn;
use crate::domain::collection::{Collection, Name};
use crate::problem::Problem;
use axum::extract::State as Api;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

#[derive(Serialize)]
struct List {
    collections: Vec<View>,
}

#[derive(Serialize)]
struct View {
    collection: Name,
    videos: u64,
    created_at: i64,
}

/// `GET /v1/collections`: those in which the caller may see a video.
pub(super) async fn list(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn) -> Result<Response, Problem> {
    let collections = api.library.collections(&caller.actor).await?.into_iter();
    let collections = collections.map(|Collection { name, videos, created_at }| View { collection: name, videos, created_at });
    Ok(axum::Json(List { collections: collections.collect() }).into_response())
}
