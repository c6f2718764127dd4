//! Access tokens for people and machines.

use super::State;
use super::auth::{Json, SignedIn, now_ms};
use super::schema::{Moment, RoleWord};
use crate::audit::Entry;
use crate::domain::Error;
use crate::domain::role::Role;
use crate::policy::{Action, decide};
use crate::problem::Problem;
use axum::extract::State as Api;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

const MAX_SUBJECT_CHARS: usize = 128;
const MAX_LIFETIME_S: u64 = 10 * 365 * 86_400;

/// The token that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
pub(super) struct Wanted {
    #[schema(value_type = RoleWord)]
    role: String,
    /// The person or machine that it is for.
    #[schema(min_length = 1, max_length = 128)]
    subject: String,
    /// Its lifetime in seconds; absent: as the operator has set it.
    #[schema(minimum = 1, maximum = 315_360_000)]
    expires_in_s: Option<u64>,
}

/// A new access token.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedToken)]
pub(super) struct Issued {
    /// A secret: it is shown this once.
    token: String,
    #[schema(value_type = RoleWord)]
    role: Role,
    subject: String,
    #[schema(value_type = Moment)]
    expires_at: i64,
}

/// Issue an access token.
///
/// For administrators. It is written down before it leaves.
#[utoipa::path(post, path = "/tokens", operation_id = "issue_token", tag = "session", request_body = Wanted,
    responses((status = CREATED, description = "The token.", body = Issued)),
    extensions(("x-problems" = json!(["not-allowed", "bad-role", "bad-subject", "bad-lifetime"]))))]
pub(super) async fn issue(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    let decision = decide(&caller.actor, Action::IssueToken);
    if decision.permit().is_err() {
        api.audit.append(&caller.entry("token-issue", decision)).await?;
    }
    decision.permit()?;
    let role = Role::parse(&wanted.role)?;
    let subject = subject(&wanted.subject)?;
    let lifetime = lifetime(wanted.expires_in_s, api.token_lifetime)?;
    let issued = api.issuer.issue(&subject, role, lifetime, now_ms())?;
    let object = format!("{role} {subject} {}", issued.token_id);
    api.audit.append(&Entry { object: Some(object), ..caller.entry("token-issue", decision) }).await?;
    let view = Issued { token: issued.token.as_str().to_owned(), role, subject, expires_at: issued.expires_at_ms };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], axum::Json(view)).into_response())
}

/// Reads whom something is for.
pub(super) fn subject(text: &str) -> Result<String, Error> {
    let text = text.trim();
    let fits = (1..=MAX_SUBJECT_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    let wrong = || Error::invalid("bad-subject", format!("a subject has 1 to {MAX_SUBJECT_CHARS} characters and no control characters"));
    fits.then(|| text.to_owned()).ok_or_else(wrong)
}

fn lifetime(wanted_s: Option<u64>, default: Duration) -> Result<Duration, Error> {
    match wanted_s {
        None => Ok(default),
        Some(seconds) if (1..=MAX_LIFETIME_S).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(Error::invalid("bad-lifetime", "expires_in_s must be between 1 and 315360000 (ten years)")),
    }
}
