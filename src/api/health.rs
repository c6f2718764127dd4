//! Whether the process lives, and whether it is ready for work.

use super::State;
use axum::extract::State as Api;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ready`, `draining` or `catalog-unavailable`.
    status: &'static str,
}

/// Whether the process lives.
///
/// It answers as long as it does.
#[utoipa::path(get, path = "/healthz", operation_id = "is_alive", tag = "service", security(()),
    responses((status = OK, description = "It lives.", body = String, content_type = "text/plain")))]
pub(super) async fn alive() -> &'static str {
    "ok"
}

/// Whether the process is ready for work.
///
/// It is when the catalog answers and the process does not drain.
#[utoipa::path(get, path = "/readyz", operation_id = "is_ready", tag = "service", security(()),
    responses((status = OK, description = "It is ready.", body = Readiness),
        (status = SERVICE_UNAVAILABLE, description = "It is not.", body = Readiness)))]
pub(super) async fn ready(Api(api): Api<State>) -> Response {
    let draining = api.draining.is_cancelled();
    if !draining && api.library.catalog.ping().await.is_ok() {
        return axum::Json(Readiness { status: "ready" }).into_response();
    }
    let status = if draining { "draining" } else { "catalog-unavailable" };
    (StatusCode::SERVICE_UNAVAILABLE, axum::Json(Readiness { status })).into_response()
}
