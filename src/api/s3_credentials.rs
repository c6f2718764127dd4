//! S3 access keys for the inbox.

use super::State;
use super::auth::{Json, SignedIn};
use super::path::Path;
use super::tokens::subject;
use crate::domain::access_key::{AccessKey, AccessKeyId, Prefix};
use crate::domain::role::Role;
use crate::problem::Problem;
use crate::uploads::INBOX;
use axum::extract::State as Api;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    prefix: Option<String>,
    subject: Option<String>,
}

#[derive(Serialize)]
struct View {
    access_key_id: AccessKeyId,
    subject: String,
    role: Role,
    prefix: Prefix,
    created_at: i64,
}

#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    key: View,
    secret_access_key: String,
    endpoint_url: String,
    bucket: &'static str,
}

#[derive(Serialize)]
struct List {
    credentials: Vec<View>,
    endpoint_url: String,
    bucket: &'static str,
}

impl From<AccessKey> for View {
    fn from(AccessKey { id, subject, role, prefix, created_at, .. }: AccessKey) -> Self {
        Self { access_key_id: id, subject, role, prefix, created_at }
    }
}

/// `POST /v1/s3-credentials`: makes an access key. Its secret is in this answer and nowhere else.
pub(super) async fn create(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    let prefix = Prefix::parse(wanted.prefix.as_deref().unwrap_or_default())?;
    let owner = wanted.subject.as_deref().map(subject).transpose()?;
    let made = api.credentials.create(&caller, owner.as_deref(), prefix).await?;
    let view = Made {
        key: made.key.into(),
        secret_access_key: made.secret.to_string(),
        endpoint_url: api.site.s3_origin().to_owned(),
        bucket: INBOX,
    };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], axum::Json(view)).into_response())
}

/// `GET /v1/s3-credentials`.
pub(super) async fn list(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn) -> Result<Response, Problem> {
    let keys = api.credentials.list(&caller.actor).await?;
    let credentials = keys.into_iter().map(View::from).collect();
    Ok(axum::Json(List { credentials, endpoint_url: api.site.s3_origin().to_owned(), bucket: INBOX }).into_response())
}

/// `DELETE /v1/s3-credentials/{access_key_id}`.
pub(super) async fn revoke(Api(api): Api<State>, SignedIn { caller, .. }: SignedIn, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.credentials.revoke(&caller, &AccessKeyId::parse(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
