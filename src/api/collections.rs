//! Collections: a list; they are made by the uploads that name them.

use super::State;
use super::auth::SignedIn;
use super::schema::Moment;
use crate::domain::collection::{Collection, Name};
use crate::problem::Problem;
use axum::extract::State as Api;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Collections, by name.
#[derive(Serialize, ToSchema)]
#[schema(as = CollectionList)]
pub(super) struct List {
    collections: Vec<View>,
}

/// A course, a department or a series.
#[derive(Serialize, ToSchema)]
#[schema(as = Collection)]
struct View {
    /// Its name.
    #[schema(value_type = String)]
    collection: Name,
    /// How many of its videos the caller may see.
    videos: u64,
    #[schema(value_type = Moment)]
    created_at: i64,
}

/// List collections.
///
/// Those in which the caller may see a video, by name.
#[utoipa::path(get, path = "/collections", operation_id = "list_collections", tag = "videos",
    responses((status = OK, description = "The collections.", body = List)))]
pub(super) async fn list(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn) -> Result<Response, Problem> {
    let collections = api.library.collections(&caller.actor).await?.into_iter();
    let collections = collections.map(|Collection { name, videos, created_at }| View { collection: name, videos, created_at });
    Ok(axum::Json(List { collections: collections.collect() }).into_response())
}
