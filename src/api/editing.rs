//! Editing a video: its title and its collection.

use super::State;
use super::auth::{Json, SignedIn};
use super::conditional::{Seen, changed};
use super::path::Path;
use super::schema::Id;
use super::videos::View;
use crate::domain::collection::Name;
use crate::domain::ids::VideoId;
use crate::domain::upload::title;
use crate::domain::video::Placing;
use crate::domain::{Error, Result};
use crate::library::Changes;
use crate::problem::Problem;
use axum::Extension;
use axum::extract::State as Api;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

/// What is to change of a video; what is absent stays (RFC 7396).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VideoChanges)]
pub(super) struct Body {
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
    /// Null takes it out of its collection.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 200)]
    collection: Option<Option<String>>,
}

/// What `If-Match` stands for: as much of the video's JSON as people change.
#[derive(Deserialize)]
struct Before {
    title: String,
    collection: Option<Name>,
}

/// Edit a video.
///
/// Changes its title, its collection, or both. With `If-Match` only if nobody changed it meanwhile.
#[utoipa::path(patch, path = "/videos/{id}", operation_id = "edit_video", tag = "videos", params(("id" = Id, Path)), request_body = Body,
    responses((status = OK, description = "The video as it is now.", body = View)),
    extensions(("x-problems" = json!(["not-found", "not-allowed", "bad-title", "bad-collection", "quota-exceeded"]))))]
pub(super) async fn edit(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    seen: Option<Extension<Seen>>,
    Path(id): Path<String>,
    Json(body): Json<Body>,
) -> std::result::Result<Response, Problem> {
    let id = VideoId::parse(&id)?;
    let changes = Changes {
        title: body.title.as_deref().map(title).transpose()?,
        collection: body.collection.map(|name| name.as_deref().map(Name::parse).transpose()).transpose()?,
    };
    let seen = placing(seen)?;
    if !api.library.edit(&caller, &id, &changes, seen.as_ref()).await? {
        return Err(changed());
    }
    let video = api.library.see(&caller.actor, &id).await?;
    Ok(axum::Json(View::of(&api, &caller.actor, video).await?).into_response())
}

/// What the caller saw of a video, if they said so.
pub(super) fn placing(seen: Option<Extension<Seen>>) -> Result<Option<Placing>> {
    let Some(Extension(Seen(video))) = seen else { return Ok(None) };
    let Before { title, collection } =
        serde_json::from_slice(&video).map_err(|error| Error::internal("could not read what the caller saw of a video", error))?;
    Ok(Some(Placing { title, collection }))
}

/// Tells a member that is null from one that is absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
