//! The HTTP server of api and edge: the access log, and an orderly end.

use crate::domain::{Error, Result};
use crate::links::redact_path;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Requests that still run when the process drains get this long.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves `app` until `shutdown`, then lets running requests finish for a while.
pub(super) async fn serve(listener: TcpListener, app: Router, shutdown: CancellationToken) -> Result<()> {
    let app = app.layer(from_fn(log_access)).into_make_service_with_connect_info::<SocketAddr>();
    let drain = shutdown.clone();
    let server = axum::serve(listener, app).with_graceful_shutdown(drain.cancelled_owned());
    let cut_off = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = server.into_future() => ended.map_err(|error| Error::internal("the HTTP server failed", error)),
        () = cut_off => Ok(()),
    }
}

/// One line a request. Tokens in paths are hidden.
async fn log_access(request: Request, next: Next) -> Response {
    let (method, path, begun) = (request.method().clone(), redact_path(request.uri().path()), Instant::now());
    let response = next.run(request).await;
    let elapsed_ms = begun.elapsed().as_millis();
    tracing::debug!(%method, path, status = response.status().as_u16(), elapsed_ms, "request");
    response
}

/// The origins under which our own page may be open: a loopback address is also known as `localhost`.
pub(super) fn own_origins(public_url: &str) -> Vec<String> {
    let mut origins = vec![public_url.to_owned()];
    if public_url.contains("://127.0.0.1") {
        origins.push(public_url.replacen("127.0.0.1", "localhost", 1));
    }
    origins
}
