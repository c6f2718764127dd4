//! The page, built into the binary: its files by name, and `index.html` for every route of the page itself.

use super::State;
use crate::domain::ids::VideoId;
use crate::encoding::accepts_gzip;
use crate::problem::Problem;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Request, State as Api};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};
use std::borrow::Cow;

const INDEX: &str = "index.html";
/// Vite puts a digest into the names under this folder, so that they may be kept for ever.
const HASHED: &str = "assets/";

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Files;

/// The page that sites show in a frame.
const EMBED: &str = "embed.html";

/// The frame's page.
pub(super) fn embed(headers: &HeaderMap) -> Response {
    Files::get(EMBED).map_or_else(missing, |file| answer(EMBED, file, headers))
}

/// The fallback of all routes: a file of the page, the page itself, or 404.
pub(super) async fn serve(Api(api): Api<State>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "the page can only be read")
            .with_header(ALLOW, HeaderValue::from_static("GET, HEAD"))
            .into_response();
    }
    let (name, file) = match Files::get(path).filter(|_| path != EMBED) {
        Some(file) => (path, Some(file)),
        None if is_route(path) => (INDEX, Files::get(INDEX)),
        None => (path, None),
    };
    match file {
        None if name != INDEX && wants_page(request.headers()) => not_found_page(request.headers()),
        Some(mut file) => {
            if let Some(video) = path.strip_prefix("watch/").filter(|_| name == INDEX) {
                announce(&mut file, &api, video);
            }
            answer(name, file, request.headers())
        }
        None if name == INDEX => missing(),
        None => nothing_here(),
    }
}

/// The routes that the page itself knows, with or without a slash at their end.
fn is_route(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    matches!(path, "" | "docs/api" | "inbox" | "signin") || path.strip_prefix("watch/").is_some_and(|id| !id.contains('/'))
}

/// Whether a person's browser asks, not a program.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html"))
}

/// The page says in words and with a way back that there is nothing here.
fn not_found_page(headers: &HeaderMap) -> Response {
    let Some(file) = Files::get(INDEX) else { return nothing_here() };
    let mut response = answer(INDEX, file, headers);
    if response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

/// Names the oEmbed address of the video in its watch page (oEmbed 1.0 §4). It tells nothing that the page's own address does not.
fn announce(page: &mut EmbeddedFile, api: &State, video: &str) {
    let Ok(video) = VideoId::parse(video.strip_suffix('/').unwrap_or(video)) else { return };
    let Ok(text) = std::str::from_utf8(&page.data) else { return };
    let url = api.site.oembed_url(&video).replace('&', "&amp;");
    let link = format!("<link rel=\"alternate\" type=\"application/json+oembed\" href=\"{url}\" /></head>");
    page.data = Cow::Owned(text.replacen("</head>", &link, 1).into_bytes());
}

fn missing() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "page-missing", "this binary was built without the page: run `make build`").into_response()
}

fn nothing_here() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this address").into_response()
}

fn answer(name: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    // Packed once, when the page is built (web/vite.config.ts).
    let packed = Files::get(&format!("{name}.gz"));
    let vary = packed.is_some().then_some([(VARY, "accept-encoding")]);
    let packed = packed.filter(|_| accepts_gzip(headers));
    let coding = packed.is_some().then_some([(CONTENT_ENCODING, "gzip")]);
    let file = packed.unwrap_or(file);
    let etag = format!("\"{}\"", hex::encode(&digest(&SHA256, &file.data).as_ref()[..16]));
    let cache = if name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let caching = [(CACHE_CONTROL, cache.to_owned()), (ETAG, etag.clone())];
    if headers.get(IF_NONE_MATCH).is_some_and(|sent| sent.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, caching, vary, ()).into_response();
    }
    (caching, vary, coding, [(CONTENT_TYPE, content_type(name))], bytes(file.data)).into_response()
}

/// What is built in is sent from where it is: a copy would stay in memory for as long as its reader takes.
fn bytes(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => data.into(),
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_not_copied() {
        static FILE: &[u8] = b"a file";
        assert_eq!(bytes(Cow::Borrowed(FILE)).as_ptr(), FILE.as_ptr());
        assert_eq!(bytes(Cow::Owned(FILE.to_vec())), FILE);
    }
}
