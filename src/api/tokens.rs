//! Access tokens for people and machines.

use super::State;
use super::auth::{Json, SignedIn, now_ms};
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

const MAX_SUBJECT_CHARS: usize = 128;
const MAX_LIFETIME_S: u64 = 10 * 365 * 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    role: String,
    subject: String,
    expires_in_s: Option<u64>,
}

#[derive(Serialize)]
struct Issued {
    token: String,
    role: Role,
    subject: String,
    expires_at: i64,
}

/// `POST /v1/tokens`: makes an access token; written down before it leaves.
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
