//! Downloads: a link for those who may have one, and the file for whoever comes with such a link.

use super::State;
use super::auth::{Json, SignedIn, now_ms};
use super::path::Path;
use super::schema::{Id, Moment};
use crate::domain::ids::VideoId;
use crate::library::{Bearer, Download, Item, Place};
use crate::problem::{Problem, RequestId};
use crate::representation::{Answer, Description};
use axum::Extension;
use axum::body::Body;
use axum::extract::{ConnectInfo, State as Api};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::net::SocketAddr;
use utoipa::ToSchema;

const PREFIX: &str = "/d/";
/// The parameter of our own links that says for whom one was made.
const LINK: &str = "link=";

/// What is wanted of a video.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDownload)]
pub(super) struct Wanted {
    /// `source` for the original file, or the name of a rendition, for an MP4 with its pictures and the sound.
    rendition: String,
}

/// A link to a file.
#[derive(Serialize, ToSchema)]
#[schema(as = Download)]
pub(super) struct Link {
    /// A secret: whoever has it can download the file until it expires. A download that has begun goes on.
    url: String,
    #[schema(value_type = Moment)]
    expires_at: i64,
    /// What the file will be called.
    filename: String,
}

/// Get a link to a download.
///
/// Owners and administrators may download renditions and the source; viewers, where the operator allows it, renditions. The link is signed by
/// CloudFront's scheme, with a canned policy, and good for a short time.
#[utoipa::path(post, path = "/videos/{id}/downloads", operation_id = "create_download", tag = "videos", params(("id" = Id, Path)),
    request_body = Wanted, responses((status = CREATED, description = "The link.", body = Link)),
    extensions(("x-problems" = json!(["not-found", "not-allowed", "not-ready", "malformed-rendition"]))))]
pub(super) async fn create(
    Api(api): Api<State>,
    SignedIn { caller, .. }: SignedIn,
    Path(id): Path<String>,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    let link = api.library.link_download(&caller, &VideoId::parse(&id)?, Item::parse(&wanted.rendition)?).await?;
    let view = Link { url: link.url, expires_at: link.expires_at, filename: link.filename };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], axum::Json(view)).into_response())
}

/// Download a rendition.
///
/// Pictures and sound as one MP4, for whoever comes with a signed link. Ranges are honoured.
#[utoipa::path(get, path = "/d/{video}/{version}/{file}", operation_id = "download_rendition", tag = "playback", security(()),
    params(("video" = Id, Path), ("version" = Id, Path), ("file" = String, Path, description = "The rendition's name and `.mp4`.")),
    responses((status = OK, description = "The file.", body = Vec<u8>, content_type = "video/mp4")),
    extensions(("x-problems" = json!(["signature-missing", "signature-malformed", "signature-hash", "signature-weak-hash", "signature-key",
        "signature-mismatch", "policy-malformed", "policy-resource", "policy-expired", "policy-not-yet", "policy-address", "link-unknown",
        "link-other-object", "not-allowed", "not-found", "precondition-failed", "range-not-satisfiable", "audit-unavailable"]))))]
pub(super) async fn rendition(
    api: Api<State>,
    peer: ConnectInfo<SocketAddr>,
    request_id: Option<Extension<RequestId>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    serve(api, peer, request_id, method, uri, headers).await
}

/// Download the original file.
///
/// Byte for byte as it was uploaded, for whoever comes with a signed link. Ranges are honoured.
#[utoipa::path(get, path = "/d/{video}/source", operation_id = "download_source", tag = "playback", security(()), params(("video" = Id, Path)),
    responses((status = OK, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream")),
    extensions(("x-problems" = json!(["signature-missing", "signature-malformed", "signature-hash", "signature-weak-hash", "signature-key",
        "signature-mismatch", "policy-malformed", "policy-resource", "policy-expired", "policy-not-yet", "policy-address", "link-unknown",
        "link-other-object", "not-allowed", "not-found", "precondition-failed", "range-not-satisfiable", "audit-unavailable"]))))]
pub(super) async fn source(
    api: Api<State>,
    peer: ConnectInfo<SocketAddr>,
    request_id: Option<Extension<RequestId>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    serve(api, peer, request_id, method, uri, headers).await
}

/// Any other method on a download's path: whoever has no link to it learns no more than that.
pub(super) async fn wrong_method(
    Api(api): Api<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Problem, Problem> {
    api.library.signing.gate().admit(&uri, &headers, peer.ip().to_canonical(), now_ms())?;
    Ok(super::wrong_method().await)
}

async fn serve(
    Api(api): Api<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request_id: Option<Extension<RequestId>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let address = peer.ip().to_canonical();
    let admission = api.library.signing.gate().admit(&uri, &headers, address, now_ms())?;
    let place = Place::parse(uri.path().strip_prefix(PREFIX).unwrap_or_default())?;
    let link = uri.query().and_then(|query| query.split('&').find_map(|piece| piece.strip_prefix(LINK)));
    let bearer = Bearer {
        key_pair_id: admission.key_pair_id,
        link: link.map(str::to_owned),
        address: address.to_string(),
        request_id: request_id.map(|Extension(id)| id.as_str().to_owned()),
    };
    let download = api.library.open_download(&bearer, &place).await?;
    let answer = Answer::of(&download.validators, download.size_bytes(), &method, &headers);
    let bytes = if method == Method::HEAD { 0..0 } else { answer.bytes(download.size_bytes()) };
    // The status has left by the time a read fails: all that remains is to log, and to break the connection off.
    let failed = |error: &crate::domain::Error| tracing::error!(cause = %error.chain(), "a download broke off");
    let body = Body::from_stream(download.read(bytes).inspect_err(failed));
    Ok(answer.respond(download.size_bytes(), describe(&download), body))
}

fn describe(download: &Download) -> Description {
    let mut description = Description::default();
    let text = |text: &str| HeaderValue::from_str(text).expect("tags, dates and encoded names are visible ascii");
    for (name, value) in [
        (ETAG, text(&download.validators.etag)),
        (LAST_MODIFIED, text(&download.validators.last_modified())),
        // Each access is written down, so none may be answered from a cache.
        (CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
        (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
    ] {
        description.always.insert(name, value);
    }
    description.content.insert(CONTENT_TYPE, HeaderValue::from_static(download.content_type));
    description.content.insert(CONTENT_DISPOSITION, text(&attachment(&download.filename)));
    description
}

/// RFC 6266 §4.3, RFC 8187: the name for those who read it in ASCII only, and the name itself.
fn attachment(filename: &str) -> String {
    let plain: String =
        filename.chars().map(|c| if c.is_ascii() && !matches!(c, '"' | '\\' | '%') && !c.is_control() { c } else { '_' }).collect();
    let mut encoded = String::new();
    for byte in filename.bytes() {
        let stays = byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
        let written = if stays { encoded.write_char(byte.into()) } else { write!(encoded, "%{byte:02X}") };
        written.expect("a string takes all");
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_reach_every_browser() {
        assert_eq!(attachment("a b.mp4"), "attachment; filename=\"a b.mp4\"; filename*=UTF-8''a%20b.mp4");
        assert_eq!(
            attachment("Öl 50% \"x\".mp4"),
            "attachment; filename=\"_l 50_ _x_.mp4\"; filename*=UTF-8''%C3%96l%2050%25%20%22x%22.mp4"
        );
        assert!(HeaderValue::from_str(&attachment("a\r\nX: 1\u{7f}")).is_ok());
    }
}
