//! Plain HTTP beside TLS: everyone is sent to HTTPS, but for the questions of an ACME server.

use crate::domain::Result;
use crate::listen::{self, Limits};
use crate::tls::{Certificates, Challenges};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Response, StatusCode, Uri};
use http_body_util::Full;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// RFC 8555 §8.3.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// Sends everyone who asks on `socket` to `public_url` until `shutdown`.
pub(super) async fn serve(
    socket: TcpListener,
    public_url: String,
    certificates: Arc<Certificates>,
    shutdown: CancellationToken,
) -> Result<()> {
    let answer = move |_, request: http::Request<hyper::body::Incoming>| {
        std::future::ready(answer(&public_url, certificates.challenges(), request.uri()))
    };
    listen::serve(socket, Limits::default(), answer, shutdown).await
}

fn answer(public_url: &str, challenges: &Challenges, uri: &Uri) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if let Some(token) = uri.path().strip_prefix(CHALLENGES) {
        match challenges.text(token) {
            Some(text) => *response.body_mut() = text.into(),
            None => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        // RFC 8555 §8.3 has it so.
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        return response;
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // `OPTIONS *` has no path to keep.
    let path = if path.starts_with('/') { path } else { "/" };
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(location) = HeaderValue::from_str(&format!("{public_url}{path}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_address_is_kept() {
        for (asked, location) in [
            ("/", "https://v.example/"),
            ("/watch/1?t=5&x=%20", "https://v.example/watch/1?t=5&x=%20"),
            ("http://other.example:80/a?b", "https://v.example/a?b"),
            ("//evil.example/", "https://v.example//evil.example/"),
            ("*", "https://v.example/"),
            ("/.well-known/acme", "https://v.example/.well-known/acme"),
        ] {
            let response = answer("https://v.example", &Challenges::default(), &asked.parse().expect("a uri"));
            assert_eq!((response.status().as_u16(), response.headers()[LOCATION].to_str().expect("ascii")), (308, location), "{asked}");
        }
    }

    #[test]
    fn a_challenge_that_no_order_has_is_not_found() {
        let asked = "/.well-known/acme-challenge/x".parse().expect("a uri");
        let response = answer("https://v.example", &Challenges::default(), &asked);
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(!response.headers().contains_key(LOCATION));
    }
}
