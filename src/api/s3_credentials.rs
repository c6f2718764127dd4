//! S3 access keys for the inbox.

use super::State;
use super::auth::{Json, SignedIn};
use super::paging::{self, Page};
use super::path::Path;
use super::query::Query;
use super::schema::{self, Moment, RoleWord};
use super::tokens::subject;
use crate::domain::access_key::{AccessKey, AccessKeyId, Prefix};
use crate::domain::role::Role;
use crate::problem::Problem;
use crate::uploads::INBOX;
use axum::extract::{OriginalUri, State as Api};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The access key that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewS3Credential)]
pub(super) struct Wanted {
    /// The only folder of the inbox that it is good for, such as `cardiology/2026/`; absent or empty: all of it.
    #[schema(max_length = 512)]
    prefix: Option<String>,
    /// Whose videos come in by it, for administrators; absent: the caller's. Another's key has the role author.
    #[schema(min_length = 1, max_length = 128)]
    subject: Option<String>,
}

/// An access key of the inbox.
#[derive(Serialize, ToSchema)]
#[schema(as = S3Credential)]
pub(super) struct View {
    #[schema(value_type = schema::AccessKey)]
    access_key_id: AccessKeyId,
    subject: String,
    #[schema(value_type = RoleWord)]
    role: Role,
    /// The folder that it is good for, with a slash at its end; empty: all of the inbox.
    #[schema(value_type = String)]
    prefix: Prefix,
    #[schema(value_type = Moment)]
    created_at: i64,
}

/// A new access key.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeS3Credential)]
pub(super) struct Made {
    #[schema(value_type = schema::AccessKey)]
    access_key_id: AccessKeyId,
    /// A secret: it is shown this once.
    secret_access_key: String,
    subject: String,
    #[schema(value_type = RoleWord)]
    role: Role,
    /// The folder that it is good for, with a slash at its end; empty: all of the inbox.
    #[schema(value_type = String)]
    prefix: Prefix,
    #[schema(value_type = Moment)]
    created_at: i64,
    /// Where the S3 endpoint is.
    endpoint_url: String,
    /// The bucket to put files into.
    #[schema(value_type = String)]
    bucket: &'static str,
}

/// A page of access keys, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = S3CredentialPage)]
pub(super) struct List {
    credentials: Vec<View>,
    /// Asks for the next page; null on the last.
    next_cursor: Option<String>,
    /// Where the S3 endpoint is.
    endpoint_url: String,
    /// The bucket to put files into.
    #[schema(value_type = String)]
    bucket: &'static str,
}

impl From<AccessKey> for View {
    fn from(AccessKey { id, subject, role, prefix, created_at, .. }: AccessKey) -> Self {
        Self { access_key_id: id, subject, role, prefix, created_at }
    }
}

/// Make an access key.
///
/// For authors and administrators. Any S3 client puts files into the bucket `inbox` with it; each becomes a video.
#[utoipa::path(post, path = "/s3-credentials", operation_id = "create_s3_credential", tag = "inbox", request_body = Wanted,
    responses((status = CREATED, description = "The key, with its secret.", body = Made)),
    extensions(("x-problems" = json!(["not-allowed", "bad-prefix", "bad-subject", "inbox-closed"]))))]
pub(super) async fn create(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    let prefix = Prefix::parse(wanted.prefix.as_deref().unwrap_or_default())?;
    let owner = wanted.subject.as_deref().map(subject).transpose()?;
    let made = api.credentials.create(&caller, owner.as_deref(), prefix).await?;
    let AccessKey { id, subject, role, prefix, created_at, .. } = made.key;
    let view = Made {
        access_key_id: id,
        secret_access_key: made.secret.to_string(),
        subject,
        role,
        prefix,
        created_at,
        endpoint_url: api.site.s3_origin().to_owned(),
        bucket: INBOX,
    };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], axum::Json(view)).into_response())
}

/// List access keys.
///
/// Those that were not revoked, without their secrets: the caller's own; everyone's for administrators. Newest first.
#[utoipa::path(get, path = "/s3-credentials", operation_id = "list_s3_credentials", tag = "inbox", params(paging::Wanted),
    responses((status = OK, description = "A page of the keys.", body = List)),
    extensions(("x-problems" = json!(["not-allowed", "bad-limit", "bad-cursor"]))))]
pub(super) async fn list(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Query(wanted): Query<paging::Wanted>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let (limit, before) = wanted.read(AccessKeyId::parse)?;
    let found = api.credentials.list(&caller.actor, before.as_ref(), limit + 1).await?;
    let Page { items, next_cursor } = Page::of(found, limit, |key| key.id.to_string());
    let credentials = items.into_iter().map(View::from).collect();
    let list = List { credentials, next_cursor, endpoint_url: api.site.s3_origin().to_owned(), bucket: INBOX };
    Ok(paging::answer(&uri, &list, list.next_cursor.as_deref()))
}

/// Revoke an access key.
///
/// It opens nothing from then on; what came in by it stays.
#[utoipa::path(delete, path = "/s3-credentials/{access_key_id}", operation_id = "revoke_s3_credential", tag = "inbox",
    params(("access_key_id" = schema::AccessKey, Path)), responses((status = NO_CONTENT, description = "It is revoked.")),
    extensions(("x-problems" = json!(["not-allowed", "not-found", "malformed-access-key"]))))]
pub(super) async fn revoke(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.credentials.revoke(&caller, &AccessKeyId::parse(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
