//! Whether the process lives, and whether it is ready for work.

use super::State;
use axum::extract::State as Api;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

/// `GET /healthz`: the process answers.
pub(super) async fn alive() -> &'static str {
    "ok"
}

/// `GET /readyz`: the catalog answers and the process does not drain.
pub(super) async fn ready(Api(api): Api<State>) -> Response {
    let draining = api.draining.is_cancelled();
    if !draining && api.library.catalog.ping().await.is_ok() {
        return axum::Json(json!({"status": "ready"})).into_response();
    }
    let status = if draining { "draining" } else { "catalog-unavailable" };
    (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({ "status": status }))).into_response()
}
