//! The HTTP server of api and edge: who asks, the access log, what browsers are told of TLS, and an orderly end.

use crate::domain::Result;
use crate::links::redact_path;
use crate::listen::{self, Limits, Listener, Peer, Proxies};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::HeaderValue;
use http::header::{HOST, STRICT_TRANSPORT_SECURITY};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::timeout::{RequestBodyDeadlineLayer, RequestBodyTimeoutLayer};

/// How long the body of a request may take. The largest is some hundred kilobytes: parts go to the S3 endpoint.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For the next bytes.
    idle: Duration,
    /// For all of it: bytes that come one by one hold memory for as long as they come.
    whole: Duration,
}

const PATIENCE: Patience = Patience { idle: Duration::from_secs(30), whole: Duration::from_secs(60) };

/// The application, as connections see it.
#[derive(Clone)]
pub(super) struct Front {
    app: Router,
    proxies: Proxies,
    hsts: Option<HeaderValue>,
}

impl Front {
    /// `app` behind `proxies`. `hsts_max_age` is for a site that is to be asked for over HTTPS only.
    pub(super) fn new(app: Router, proxies: Proxies, hsts_max_age: Option<Duration>) -> Self {
        Self::with(app, proxies, hsts_max_age, PATIENCE)
    }

    fn with(app: Router, proxies: Proxies, hsts_max_age: Option<Duration>, patience: Patience) -> Self {
        // RFC 6797 §6.1.1. Digits are always a value.
        let hsts = hsts_max_age.and_then(|age| HeaderValue::from_str(&format!("max-age={}", age.as_secs())).ok());
        let watched = app.layer(from_fn(log_access)).layer(RequestBodyTimeoutLayer::new(patience.idle));
        Self { app: watched.layer(RequestBodyDeadlineLayer::new(patience.whole)), proxies, hsts }
    }

    async fn answer(self, peer: Peer, request: http::Request<Incoming>) -> Response {
        let mut request = request.map(Body::new);
        let is_https = self.proxies.is_https(&peer, request.headers());
        let client = self.proxies.client(&peer, request.headers());
        // All that follows takes this for the address of the connection, the audit log above all.
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, peer.address.port())));
        name_host(&mut request);
        let Ok(mut response) = self.app.oneshot(request).await;
        // RFC 6797 §7.2: never over plain HTTP, where anyone could have written it.
        if let Some(hsts) = self.hsts.filter(|_| is_https) {
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts);
        }
        response
    }
}

/// HTTP/2 names the host in `:authority` (RFC 9113 §8.3.1); whoever compares origins asks for `Host`.
fn name_host(request: &mut Request) {
    let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(authority) = authority.filter(|_| !request.headers().contains_key(HOST)) {
        request.headers_mut().insert(HOST, authority);
    }
}

/// Serves `front` until `shutdown`, then lets running requests finish for a while.
pub(super) async fn serve(listener: Listener, front: Front, shutdown: CancellationToken) -> Result<()> {
    listen::serve(listener, Limits::default(), move |peer, request| front.clone().answer(peer, request), shutdown).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use axum::routing::post;
    use std::time::Instant;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    const LONG: Duration = Duration::from_secs(10);

    /// One byte after another, each in time, is no way to hold on to a request.
    #[tokio::test]
    async fn a_body_that_drips_is_cut_off() {
        let patience = Patience { idle: LONG, whole: Duration::from_millis(300) };
        let app = Router::new().route("/", post(async |body: Bytes| body.len().to_string()));
        let front = Front::with(app, Proxies::default(), None, patience);
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, shutdown) = (socket.local_addr().expect("bound"), CancellationToken::new());
        let server = tokio::spawn(serve(socket.into(), front, shutdown.clone()));
        let (mut answers, mut asks) = TcpStream::connect(address).await.expect("a connection").into_split();
        asks.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await.expect("sent");
        let begun = Instant::now();
        let dripping = tokio::spawn(async move {
            while begun.elapsed() < LONG && asks.write_all(b"x").await.is_ok() {
                tokio::time::sleep(patience.whole / 10).await; // tidy: polling
            }
        });
        let mut answer = [0; 12];
        tokio::time::timeout(LONG, answers.read_exact(&mut answer)).await.expect("an answer in time").expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 400");
        assert!(begun.elapsed() >= patience.whole);
        dripping.abort();
        shutdown.cancel();
        server.await.expect("no panic").expect("a good end");
    }
}
