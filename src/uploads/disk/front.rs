//! What is decided before s3s sees a request: cross-origin rules, and refusals that s3s 0.14 does not make itself.

use super::bad_origin;
use crate::domain::Result;
use crate::uploads::{CHECKSUM_HEADER, MAX_EXPIRY_S, REGION};
use axum::extract::Query;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use s3s::region::Region;
use s3s::{Body, S3Error, S3ErrorCode, s3_error};

const METHODS: HeaderValue = HeaderValue::from_static("PUT");
const HEADERS: HeaderValue = HeaderValue::from_static("content-length, content-md5, content-type, x-amz-checksum-sha256");
const EXPOSED: HeaderValue = HeaderValue::from_static("etag, x-amz-checksum-sha256");
const INBOX_PATH: &str = "/inbox/";
/// S3's own words: clients that know both signatures try the other one when they read them.
const OLD_SIGNATURE: &str = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
const REMEMBER_S: HeaderValue = HeaderValue::from_static("3600");

/// The cross-origin rules (Fetch standard, CORS protocol).
pub(super) struct Front {
    origins: Vec<HeaderValue>,
}

impl Front {
    /// Rules that let pages of `origins` upload; `Invalid` for a text that is no origin.
    pub(super) fn new(origins: &[String]) -> Result<Self> {
        let read = |origin: &String| match origin.split_once("://") {
            Some((_, host)) if !host.is_empty() && !host.contains('/') => HeaderValue::from_str(origin).map_err(|_| bad_origin(origin)),
            _ => Err(bad_origin(origin)),
        };
        Ok(Self { origins: origins.iter().map(read).collect::<Result<_>>()? })
    }

    /// The answer to a preflight request, which carries no signature; `None` for any other request.
    pub(super) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        if request.method() != Method::OPTIONS {
            return None;
        }
        let origin = request.headers().get(ORIGIN).filter(|origin| self.origins.contains(origin));
        if origin.is_none() || !request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return Some(refuse(s3_error!(AccessDenied, "pages of this origin may not upload here")));
        }
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, REMEMBER_S);
        self.allow_origin(origin, headers);
        Some(answer)
    }

    /// Lets a page of an allowed `origin` read the answer with these `headers`.
    pub(super) fn allow_origin(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin.filter(|origin| self.origins.contains(origin)) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

/// Refuses what no signature can make acceptable: old signatures, URLs that live too long, form uploads, parts whose checksum is not
/// part of what was signed.
pub(super) fn check(request: &Parts) -> Result<(), S3Error> {
    let Ok(Query(query)) = Query::<Vec<(String, String)>>::try_from_uri(&request.uri) else {
        return Err(s3_error!(InvalidURI, "the query cannot be read"));
    };
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let header = |name| request.headers.get(name).map_or(&[][..], HeaderValue::as_bytes);
    if value("AWSAccessKeyId").is_some() || value("Signature").is_some() || header(AUTHORIZATION).starts_with(b"AWS ") {
        return Err(s3_error!(InvalidRequest, "{OLD_SIGNATURE}"));
    }
    if request.method == Method::POST && request.headers.get_all(CONTENT_TYPE).iter().any(is_form) {
        return Err(s3_error!(NotImplemented, "form uploads are not supported; use PUT"));
    }
    let presigned = value("X-Amz-Signature").is_some();
    let expires_s = value("X-Amz-Expires").and_then(|text| text.parse::<u64>().ok());
    if presigned && !expires_s.is_some_and(|expires_s| (1..=MAX_EXPIRY_S).contains(&expires_s)) {
        return Err(s3_error!(AuthorizationQueryParametersError, "X-Amz-Expires must be between 1 second and a week"));
    }
    // By the path as it is written: an inbox that is spelled in another way is none.
    let is_part = request.method == Method::PUT && value("uploadId").is_some() && !request.uri.path().starts_with(INBOX_PATH);
    let signs_checksum = value("X-Amz-SignedHeaders").is_some_and(|names| names.split(';').any(|name| name == CHECKSUM_HEADER));
    let sent_checksums = request.headers.get_all(CHECKSUM_HEADER).iter().count();
    if is_part && !(presigned && signs_checksum && sent_checksums == 1) {
        return Err(s3_error!(AccessDenied, "parts need a presigned url that signs x-amz-checksum-sha256, and that header"));
    }
    Ok(())
}

/// Whether it is the type of a form with files (RFC 9110, section 8.3.1: in whatever case). s3s holds such a body in memory before it asks who sent it.
fn is_form(content_type: &HeaderValue) -> bool {
    const FORMS: &[u8] = b"multipart/";
    content_type.as_bytes().trim_ascii_start().get(..FORMS.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORMS))
}

/// The answer to a signature for what cannot be a region: some clients sign for `US` until they hear better, from this very answer.
pub(super) fn wrong_region(request: &Parts) -> Option<Response<Body>> {
    let scope = request.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once("Credential=")?.1;
    let region = scope.split(',').next()?.split('/').nth(2)?;
    if Region::new(region.into()).is_ok() {
        return None;
    }
    let message = format!("The authorization header is malformed; the region is wrong; expecting '{REGION}'");
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AuthorizationHeaderMalformed</Code><Message>{message}</Message><Region>{REGION}</Region></Error>"
    );
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Some(answer)
}

/// The answer to a request that is refused with `error`.
pub(super) fn refuse(error: S3Error) -> Response<Body> {
    let code = error.code().clone();
    error.to_http_response().unwrap_or_else(|_| {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = S3ErrorCode::status_code(&code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        answer
    })
}
