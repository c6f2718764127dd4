//! Content-Digest (RFC 9530): what was damaged on its way is noticed here, and not believed.

use super::root_cause;
use crate::cli::failure::Failure;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Body, Request, Response};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Announces the digest of a request's body, if that is in memory.
pub(super) fn announce(request: &mut Request) {
    let field = request.body().and_then(Body::as_bytes).and_then(|bytes| HeaderValue::from_str(&field(bytes)).ok());
    request.headers_mut().extend(field.map(|field| (CONTENT_DIGEST, field)));
}

/// The body of an answer as it was sent; a retryable failure when it broke off, or is not what the server announced.
pub(super) async fn whole(response: Response) -> Result<Bytes, Failure> {
    let announced = response.headers().get(CONTENT_DIGEST).cloned();
    let broke_off = |error| Failure::new("unreachable", format!("the answer broke off ({})", root_cause(&error))).with_retryable(true);
    let bytes = response.bytes().await.map_err(broke_off)?;
    if announced.is_some_and(|announced| announced.as_bytes() != field(&bytes).as_bytes()) {
        return Err(Failure::new("damaged", "the server's answer was damaged on its way").with_retryable(true));
    }
    Ok(bytes)
}

fn field(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(digest(&SHA256, bytes)))
}
