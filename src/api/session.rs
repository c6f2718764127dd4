//! The page's session: an access token in a cookie that scripts cannot read.

use super::State;
use super::auth::{COOKIE_NAME, Json, SignedIn, now_ms};
use super::schema::{Moment, RoleWord};
use crate::audit::Entry;
use crate::domain::role::Role;
use crate::problem::{Problem, RequestId};
use axum::Extension;
use axum::extract::{ConnectInfo, State as Api};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use utoipa::ToSchema;

/// How someone signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    /// An access token.
    token: String,
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// The person or machine.
    subject: String,
    #[schema(value_type = RoleWord)]
    role: Role,
    /// When the token ends.
    #[schema(value_type = Moment)]
    expires_at: i64,
    /// Where parts of uploads are sent.
    s3_origin: String,
    /// Whether whoever may watch a ready video may download its renditions.
    viewers_may_download: bool,
}

/// Sign in.
///
/// Checks an access token, writes the sign-in down, and gives the token back as a cookie that scripts cannot read. Programs need no session:
/// they send the token itself.
#[utoipa::path(post, path = "/session", operation_id = "sign_in", tag = "session", security(()), request_body = SignIn,
    responses((status = NO_CONTENT, description = "Signed in; the cookie is set.")),
    extensions(("x-problems" = json!(["token-missing", "token-malformed", "token-signature", "token-expired"]))))]
pub(super) async fn sign_in(
    Api(api): Api<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request_id: Option<Extension<RequestId>>,
    Json(body): Json<SignIn>,
) -> Result<Response, Problem> {
    let token = body.token.trim();
    let access = api.issuer.verify(token, now_ms())?;
    let entry = Entry {
        actor: access.subject.clone(),
        role: access.role.to_string(),
        address: Some(peer.ip().to_canonical().to_string()),
        action: "sign-in".to_owned(),
        object: Some(access.token_id.clone()),
        decision: "allow",
        reason: "valid-token".to_owned(),
        request_id: request_id.map(|Extension(id)| id.as_str().to_owned()),
        ..Entry::default()
    };
    api.audit.append(&entry).await?;
    let lifetime_s = (access.expires_at_ms - now_ms()).max(0) / 1000;
    Ok(with_cookie(&api, token, lifetime_s))
}

/// Who is signed in.
#[utoipa::path(get, path = "/session", operation_id = "read_session", tag = "session",
    responses((status = OK, description = "Who calls.", body = Session)))]
pub(super) async fn show(Api(api): Api<State>, SignedIn { access, .. }: SignedIn) -> Response {
    let session = Session {
        subject: access.subject,
        role: access.role,
        expires_at: access.expires_at_ms,
        s3_origin: api.site.s3_origin().to_owned(),
        viewers_may_download: api.library.links.viewers_may_download,
    };
    ([(CACHE_CONTROL, "no-store")], axum::Json(session)).into_response()
}

/// Sign out.
///
/// Takes the cookie back. The token itself stays valid until it expires.
#[utoipa::path(delete, path = "/session", operation_id = "sign_out", tag = "session",
    responses((status = NO_CONTENT, description = "Signed out.")))]
pub(super) async fn sign_out(Api(api): Api<State>, _: SignedIn) -> Response {
    with_cookie(&api, "", 0)
}

fn with_cookie(api: &State, token: &str, lifetime_s: i64) -> Response {
    let secure = if api.site.is_secure() { "; Secure" } else { "" };
    let cookie = format!("{COOKIE_NAME}={token}; Path=/v1; HttpOnly; SameSite=Strict; Max-Age={lifetime_s}{secure}");
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie), (CACHE_CONTROL, "no-store".to_owned())]).into_response()
}
