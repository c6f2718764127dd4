//! Content-Digest (RFC 9530): JSON carries its SHA-256 both ways, for clients on a line that flips bits and has no TLS to notice. Whoever
//! sends none is not asked for one.

use crate::problem::Problem;
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::Body as _;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Refuses a body that is not the one its sender announced.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let Some(announced) = announced(request.headers()) else { return next.run(request).await };
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, super::MAX_BODY_BYTES).await else {
        return Problem::new(StatusCode::BAD_REQUEST, "digest-mismatch", "the body broke off, or is too long; send it again")
            .into_response();
    };
    if announced != field(&bytes) {
        let detail = "the body is not the one that its Content-Digest announces: it was damaged on its way; send it again";
        return Problem::new(StatusCode::BAD_REQUEST, "digest-mismatch", detail).into_response();
    }
    next.run(Request::from_parts(parts, Body::from(bytes))).await
}

/// Announces what an answer's JSON is. The outermost layer: what it announces is what leaves.
pub(super) async fn announce(request: Request, next: Next) -> Response {
    let is_head = request.method() == Method::HEAD;
    let (mut parts, body) = next.run(request).await.into_parts();
    // Answers of a known length are in memory already. One without a body, to HEAD or of 304, may speak of another that is not here.
    let is_here = |size_bytes: &u64| *size_bytes > 0 && !is_head && is_json(&parts.headers);
    let Some(size_bytes) = body.size_hint().exact().filter(is_here) else {
        return Response::from_parts(parts, body);
    };
    match to_bytes(body, size_bytes as usize).await {
        Ok(bytes) => {
            parts.headers.extend(HeaderValue::from_str(&field(&bytes)).map(|value| (CONTENT_DIGEST, value)));
            Response::from_parts(parts, Body::from(bytes))
        }
        Err(error) => Problem::from(crate::domain::Error::internal("an answer could not be read back", error)).into_response(),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.starts_with("application/json") || content_type.starts_with("application/problem+json")
}

/// The announced SHA-256 as [`field`] writes it, if there is one; other digests are not understood, and so ignored (RFC 9530 §2).
fn announced(headers: &HeaderMap) -> Option<String> {
    let fields = headers.get_all(CONTENT_DIGEST).into_iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|field| field.split(',')).map(str::trim).find(|member| member.starts_with("sha-256=")).map(str::to_owned)
}

fn field(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(digest(&SHA256, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_written_as_the_rfc_writes_it() {
        // RFC 9530, appendix B.1, with its SHA-256 in place of its SHA-512.
        assert_eq!(field(br#"{"hello": "world"}"#), "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:");
    }

    #[test]
    fn a_sha_256_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(announced(&headers), None);
        headers.append(CONTENT_DIGEST, HeaderValue::from_static("sha-512=:AA==:, sha-256=:BB==:"));
        assert_eq!(announced(&headers).as_deref(), Some("sha-256=:BB==:"));
        headers.insert(CONTENT_DIGEST, HeaderValue::from_static("md5=:AA==:"));
        assert_eq!(announced(&headers), None);
    }
}
