//! Collections: a list; they are made by the uploads that name them.

use super::State;
use super::auth::SignedIn;
use super::paging::{self, Page};
use super::query::Query;
use super::schema::Moment;
use crate::domain::collection::{Collection, Name};
use crate::problem::Problem;
use axum::extract::{OriginalUri, State as Api};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

/// A page of collections, by name.
#[derive(Serialize, ToSchema)]
#[schema(as = CollectionPage)]
pub(super) struct List {
    collections: Vec<View>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
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
#[utoipa::path(get, path = "/collections", operation_id = "list_collections", tag = "videos", params(paging::Wanted),
    responses((status = OK, description = "A page of the collections.", body = List)),
    extensions(("x-problems" = json!(["bad-limit", "bad-cursor"]))))]
pub(super) async fn list(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Query(wanted): Query<paging::Wanted>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let (limit, after) = wanted.read(Name::parse)?;
    let found = api.library.collections(&caller.actor).await?;
    let found = found.into_iter().filter(|collection| after.as_ref().is_none_or(|after| collection.name > *after));
    let Page { items, next_cursor } = Page::of(found.collect(), limit, |collection| collection.name.to_string());
    let view = |Collection { name, videos, created_at }| View { collection: name, videos, created_at };
    let list = List { collections: items.into_iter().map(view).collect(), next_cursor };
    Ok(paging::answer(&uri, &list, list.next_cursor.as_deref()))
}
