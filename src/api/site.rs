//! What the public URLs decide: links, origins, and the headers of every answer.

use super::State;
use crate::domain::ids::{VersionId, VideoId};
use crate::domain::origin::Origin;
use crate::links::Token;
use axum::extract::{Request, State as Api};
use axum::middleware::Next;
use axum::response::Response;
use http::header::InvalidHeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderName, HeaderValue};

const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// Where the page and the S3 endpoint are, as browsers see them.
#[derive(Clone, Debug)]
pub struct Site {
    public_url: String,
    s3_origin: String,
    policy: HeaderValue,
}

/// On an answer that sites may show in a frame: which ones. No other answer may be in any.
#[derive(Clone, Debug)]
pub(super) struct FrameAncestors(pub Vec<Origin>);

impl Site {
    /// A site at `public_url` whose uploads go to `s3_public_url`; both are origins without a slash at their end.
    pub fn new(public_url: String, s3_public_url: String) -> crate::domain::Result<Self> {
        let policy = policy(&format!("'self' {s3_public_url}"), "'none'")
            .map_err(|error| crate::domain::Error::internal("the S3 URL does not fit into a header", error))?;
        Ok(Self { public_url, s3_origin: s3_public_url, policy })
    }

    /// The page's origin.
    pub fn origin(&self) -> &str {
        &self.public_url
    }

    /// The S3 endpoint's origin.
    pub fn s3_origin(&self) -> &str {
        &self.s3_origin
    }

    /// Whether browsers reach the page by TLS.
    pub fn is_secure(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// Whether browsers keep cookies that are marked Secure: by TLS, and from the machine itself, which they trust.
    pub fn keeps_secure_cookies(&self) -> bool {
        let host = self.public_url.strip_prefix("http://").unwrap_or_default();
        self.is_secure()
            || ["localhost", "127.0.0.1", "[::1]"]
                .iter()
                .any(|own| host.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')))
    }

    /// The page on which a video plays.
    pub fn watch_url(&self, video: &VideoId) -> String {
        format!("{}/watch/{video}", self.public_url)
    }

    /// The frame's page of a video.
    pub fn embed_url(&self, video: &VideoId) -> String {
        format!("{}/embed/{video}", self.public_url)
    }

    /// The frame's page for one person on one site. A secret: it holds the token, in the fragment, which browsers send nowhere.
    pub fn embed_link(&self, video: &VideoId, origin: &Origin, token: &Token) -> String {
        // An origin needs no percent-encoding in a query (RFC 3986 §3.4).
        format!("{}?origin={origin}#{}", self.embed_url(video), token.as_str())
    }

    /// Where oEmbed tells of a video.
    pub fn oembed_url(&self, video: &VideoId) -> String {
        format!("{}/oembed?url={}&format=json", self.public_url, self.watch_url(video))
    }

    /// The video whose watch page or frame is at `url`; none elsewhere.
    pub fn video_of(&self, url: &str) -> Option<VideoId> {
        let path = url.strip_prefix(&self.public_url)?;
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let id = path.strip_prefix("/watch/").or_else(|| path.strip_prefix("/embed/"))?;
        VideoId::parse(id.strip_suffix('/').unwrap_or(id)).ok()
    }

    /// The master playlist of a session. A secret: it holds the token.
    pub fn playback_url(&self, token: &Token, video: &VideoId, version: &VersionId) -> String {
        format!("{}/t/{}/v/{video}/{version}/master.m3u8", self.public_url, token.as_str())
    }

    /// The master playlist of a version, for those who hold signed cookies.
    pub fn stream_url(&self, video: &VideoId, version: &VersionId) -> String {
        format!("{}/v/{video}/{version}/master.m3u8", self.public_url)
    }
}

impl FrameAncestors {
    /// The policy of a page that these sites may hold; none if there is no such site.
    fn policy(&self) -> Option<HeaderValue> {
        let origins = self.0.iter().map(Origin::as_str).collect::<Vec<_>>().join(" ");
        if origins.is_empty() { None } else { policy("'self'", &origins).ok() }
    }
}

/// The content security policy of a page that connects to `connect` and may be in a frame of `ancestors` (CSP3).
fn policy(connect: &str, ancestors: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    HeaderValue::from_str(&format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; \
         connect-src {connect}; media-src 'self' blob:; worker-src 'self' blob:; manifest-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
    ))
}

/// Middleware: the headers that every answer of this role carries. What the API says is about one caller and one moment: no cache keeps it
/// unless its handler says so.
pub(super) async fn headers(Api(api): Api<State>, request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/v1");
    let mut response = next.run(request).await;
    let framed = response.extensions().get::<FrameAncestors>().and_then(FrameAncestors::policy);
    let headers = response.headers_mut();
    if is_api && !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    // X-Frame-Options knows no list: where there is one, only the policy speaks (CSP3 §6.4.2.2).
    match framed {
        Some(policy) => drop(headers.insert(CONTENT_SECURITY_POLICY, policy)),
        None => {
            headers.insert(CONTENT_SECURITY_POLICY, api.site.policy.clone());
            headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
    }
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
        (PERMISSIONS_POLICY, "camera=(), microphone=(), geolocation=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
