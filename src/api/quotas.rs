//! Quotas: who has how much, and may have.

use super::State;
use super::auth::{Json, SignedIn};
use super::conditional::{Seen, changed};
use super::paging::{self, Page};
use super::path::Path;
use super::query::Query;
use crate::audit::Entry;
use crate::domain::Error;
use crate::domain::quota::{Defaults, Holder, Quota};
use crate::policy::{Action, decide};
use crate::problem::Problem;
use axum::Extension;
use axum::extract::{OriginalUri, State as Api};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The largest limit: more than any disk holds, and still a number in every language.
const MOST_BYTES: u64 = 1 << 53;

/// A page of the quotas that the caller may see.
#[derive(Serialize, ToSchema)]
#[schema(as = QuotaPage)]
pub(super) struct List {
    quotas: Vec<View>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
}

/// What a user or a collection has, and may have.
#[derive(Serialize, ToSchema)]
#[schema(as = Quota)]
pub(super) struct View {
    /// `user` or `collection`.
    kind: &'static str,
    name: String,
    /// The originals of videos that are not deleted, and the whole of each upload that is under way.
    used_bytes: u64,
    /// Absent where there is no limit.
    limit_bytes: Option<u64>,
    /// Whether the limit, or that there is none, is the default of the server's settings.
    is_default: bool,
}

/// The limit that a user or a collection shall have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewQuota)]
pub(super) struct Wanted {
    /// 0: none. Null: the default of the server's settings.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required, maximum = 9_007_199_254_740_992_u64)]
    limit_bytes: Option<u64>,
}

/// As [`View`], of what the caller saw: uploads go on meanwhile, so what is used is no part of it.
#[derive(Deserialize)]
struct Before {
    limit_bytes: Option<u64>,
    is_default: bool,
}

fn view(quota: Quota, defaults: &Defaults) -> View {
    View {
        kind: quota.holder.kind(),
        name: quota.holder.name().to_owned(),
        used_bytes: quota.used_bytes,
        limit_bytes: quota.limit_bytes(defaults),
        is_default: quota.own_limit_bytes.is_none(),
    }
}

/// List quotas.
///
/// Those of every collection, and of every user who has anything or was given a limit, for administrators; the caller's own for everyone else. Users
/// come first, each kind by name.
#[utoipa::path(get, path = "/quotas", operation_id = "list_quotas", tag = "storage", params(paging::Wanted),
    responses((status = OK, description = "A page of the quotas.", body = List)),
    extensions(("x-problems" = json!(["bad-limit", "bad-cursor"]))))]
pub(super) async fn list(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Query(wanted): Query<paging::Wanted>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let (limit, after) = wanted.read(|holder| {
        let (kind, name) = holder.split_once(' ').unwrap_or_default();
        Holder::of_row(kind, name)
    })?;
    let found = api.storage.quotas(&caller.actor).await?;
    let found = found.into_iter().filter(|quota| after.as_ref().is_none_or(|after| quota.holder > *after));
    let Page { items, next_cursor } = Page::of(found.collect(), limit, |quota| format!("{} {}", quota.holder.kind(), quota.holder.name()));
    let quotas = items.into_iter().map(|quota| view(quota, &api.storage.limits.quotas)).collect();
    let list = List { quotas, next_cursor };
    Ok(paging::answer(&uri, &list, list.next_cursor.as_deref()))
}

/// Look at a quota.
///
/// The caller's own is everyone's to see, the others' administrators'. A slash in a collection's name is written `%2F`.
#[utoipa::path(get, path = "/quotas/{kind}/{name}", operation_id = "read_quota", tag = "storage",
    params(("kind" = String, Path, description = "`users` or `collections`."), ("name" = String, Path, description = "Whose quota.")),
    responses((status = OK, description = "The quota.", body = View)),
    extensions(("x-problems" = json!(["not-allowed", "not-found", "bad-subject", "bad-collection"]))))]
pub(super) async fn read(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let quota = api.storage.quota(&caller.actor, &Holder::parse(&kind, &name)?).await?;
    Ok(axum::Json(view(quota, &api.storage.limits.quotas)).into_response())
}

/// Set a quota.
///
/// For administrators. What is there already stays, even above the limit: only new uploads are refused. A slash in a collection's name is
/// written `%2F`. What is used is part of what GET shows, so an upload in between makes `If-Match` fail as well.
#[utoipa::path(put, path = "/quotas/{kind}/{name}", operation_id = "set_quota", tag = "storage", request_body = Wanted,
    params(("kind" = String, Path, description = "`users` or `collections`."), ("name" = String, Path, description = "Whose quota.")),
    responses((status = OK, description = "The quota as it is now.", body = View)),
    extensions(("x-problems" = json!(["not-allowed", "not-found", "bad-subject", "bad-collection", "bad-quota"]))))]
pub(super) async fn set(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path((kind, name)): Path<(String, String)>,
    seen: Option<Extension<Seen>>,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    let decision = decide(&caller.actor, Action::Operate);
    decision.permit()?;
    let holder = Holder::parse(&kind, &name)?;
    if wanted.limit_bytes.is_some_and(|limit| limit > MOST_BYTES) {
        return Err(Error::invalid("bad-quota", format!("a quota is at most {MOST_BYTES} bytes; 0 is none at all")).into());
    }
    let limit = wanted.limit_bytes.map_or_else(|| "default".to_owned(), |limit| limit.to_string());
    let entry = Entry { object: Some(format!("{} {} {limit}", holder.kind(), holder.name())), ..caller.entry("quota-set", decision) };
    let seen = seen.map(|Extension(seen)| limit_seen(&seen)).transpose()?;
    let defaults = &api.storage.limits.quotas;
    let is_seen = |now: &Quota| seen.is_none_or(|seen| seen == (now.limit_bytes(defaults), now.own_limit_bytes.is_none()));
    let quota = api.storage.set_quota(&entry, &holder, wanted.limit_bytes, is_seen).await?.ok_or_else(changed)?;
    Ok(axum::Json(view(quota, defaults)).into_response())
}

/// The limit that the caller saw, and whether it was the default.
fn limit_seen(Seen(seen): &Seen) -> Result<(Option<u64>, bool), Error> {
    let unreadable = |error| Error::internal("could not read what the caller saw of a quota", error);
    let Before { limit_bytes, is_default } = serde_json::from_slice(seen).map_err(unreadable)?;
    Ok((limit_bytes, is_default))
}
