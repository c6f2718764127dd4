//! Problem documents (RFC 9457): the one form in which every HTTP role says no.
//!
//! A document carries a stable code and a public sentence. What really went wrong goes to the log only, under the
//! request id that the document names.

use crate::domain::{Error, ErrorKind};
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use tracing::Instrument;

/// The response header that names the request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, in its extensions once [`identify`] has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    fn new() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string())
    }

    /// 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A refusal or failure, as the client sees it.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    members: Map<String, Value>,
    headers: Box<HeaderMap>,
    request_id: Option<RequestId>,
    hides: bool,
}

/// The reason under which a refusal is counted that its caller is not told of.
const HIDDEN: &str = "hidden";

impl Problem {
    /// A problem with its HTTP status, its stable kebab-case code and one public sentence.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), members: Map::new(), headers: Box::default(), request_id: None, hides: false }
    }

    /// The same problem with an extension member (RFC 9457 §3.2), such as the numbers of missing parts.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The same problem with a header of its own, such as `Allow` beside 405.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Why someone was refused, for the audit log: the code of a 401 or 403, or that the thing was hidden from them by a 404 (invariant 8).
    pub fn refusal(&self) -> Option<&'static str> {
        let refuses = matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if refuses { Some(self.code) } else { self.hides.then_some(HIDDEN) }
    }

    fn document(&self) -> Value {
        let mut document = self.members.clone();
        document.insert("type".to_owned(), json!("about:blank"));
        document.insert("title".to_owned(), json!(self.status.canonical_reason().unwrap_or("Error")));
        document.insert("status".to_owned(), json!(self.status.as_u16()));
        document.insert("code".to_owned(), json!(self.code));
        document.insert("detail".to_owned(), json!(self.detail));
        if let Some(id) = &self.request_id {
            document.insert("request_id".to_owned(), json!(id.as_str()));
        }
        Value::Object(document)
    }
}

impl From<Error> for Problem {
    /// Maps the kind to a status. The causes of an error are logged here and nowhere shown.
    fn from(error: Error) -> Self {
        let status = status_of(error.kind());
        if error.kind() == ErrorKind::OutOfSpace {
            tracing::warn!(code = error.code(), cause = %error.chain(), "no room for something new");
        } else if status.is_server_error() {
            tracing::error!(code = error.code(), cause = %error.chain(), "request failed");
        } else {
            tracing::debug!(code = error.code(), cause = %error.chain(), "request refused");
        }
        let problem = Self { hides: error.hides_a_refusal(), ..Self::new(status, error.code(), error.message()) };
        // Room comes back when people make some, not in the next instant.
        if error.is_disk_full() { problem.with_header(RETRY_AFTER, HeaderValue::from_static("10")) } else { problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.document().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §15.5.2: a 401 names the scheme that would help.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        headers.extend((*self.headers).clone());
        // Left behind for `identify`, which alone knows the request's id.
        response.extensions_mut().insert(self);
        response
    }
}

fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::OutOfSpace => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Middleware (`axum::middleware::from_fn`): gives the request an id, and its log lines, its response header and its
/// problem document the same one. Ids that clients send are not believed: they could be anyone's. It may be layered
/// twice; the outermost id stays.
pub async fn identify(mut request: Request, next: Next) -> Response {
    let id = match request.extensions().get::<RequestId>() {
        Some(id) => id.clone(),
        None => RequestId::new(),
    };
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", request_id = id.as_str());
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => name_request(response, problem, id),
        None => response,
    }
}

/// Writes the document anew with the request's id, keeping the headers that others added meanwhile.
fn name_request(response: Response, mut problem: Problem, id: RequestId) -> Response {
    problem.request_id = Some(id);
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let body = Body::from(problem.document().to_string());
    parts.extensions.insert(problem);
    Response::from_parts(parts, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    async fn ask(app: Router) -> (http::response::Parts, Value) {
        let response = app.oneshot(Request::new(Body::empty())).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("body").to_bytes();
        (parts, serde_json::from_slice(&bytes).expect("json"))
    }

    async fn broken() -> Problem {
        Error::internal("could not read the video", std::io::Error::other("secret path /srv/x")).into()
    }

    #[tokio::test]
    async fn a_document_names_code_and_request_and_hides_the_cause() {
        let app = Router::new().route("/", get(broken)).layer(from_fn(identify)).layer(from_fn(identify));
        let (parts, document) = ask(app).await;
        assert_eq!(parts.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(parts.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(parts.headers[CACHE_CONTROL], "no-store");
        assert_eq!(document["type"], "about:blank");
        assert_eq!(document["title"], "Internal Server Error");
        assert_eq!(document["status"], 500);
        assert_eq!(document["code"], "internal");
        assert_eq!(document["detail"], "could not read the video");
        assert_eq!(document["request_id"], parts.headers[X_REQUEST_ID].to_str().expect("ascii"));
        assert!(!document.to_string().contains("secret"));
    }

    #[tokio::test]
    async fn members_and_headers_of_a_problem_reach_the_client() {
        let missing = || async {
            Problem::new(StatusCode::UNAUTHORIZED, "parts-missing", "two parts are missing")
                .with_member("missing", vec![3, 7])
                .with_header(http::header::ALLOW, HeaderValue::from_static("GET"))
        };
        let (parts, document) = ask(Router::new().route("/", get(missing)).layer(from_fn(identify))).await;
        assert_eq!(document["missing"], json!([3, 7]));
        assert_eq!(parts.headers[http::header::ALLOW], "GET");
        assert_eq!(parts.headers[WWW_AUTHENTICATE], "Bearer");
    }

    /// invariant 8: a refusal is counted even where the caller must not learn that it was one.
    #[test]
    fn a_hidden_refusal_is_one_to_the_log_only() {
        let hidden = Problem::from(Error::hidden("there is no video 1"));
        let absent = Problem::from(Error::not_found("there is no video 1"));
        assert_eq!(hidden.document(), absent.document());
        assert_eq!((hidden.refusal(), absent.refusal()), (Some("hidden"), None));
        let denied = Problem::from(Error::new(ErrorKind::Forbidden, "not-allowed", "no"));
        assert_eq!(denied.refusal(), Some("not-allowed"));
    }

    #[test]
    fn every_kind_has_its_status() {
        for (kind, status) in [
            (ErrorKind::Invalid, 400),
            (ErrorKind::Unauthorized, 401),
            (ErrorKind::Forbidden, 403),
            (ErrorKind::NotFound, 404),
            (ErrorKind::Conflict, 409),
            (ErrorKind::TooLarge, 413),
            (ErrorKind::Internal, 500),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::Timeout, 504),
            (ErrorKind::OutOfSpace, 507),
        ] {
            assert_eq!(Problem::from(Error::new(kind, "code", "text")).status().as_u16(), status, "{kind:?}");
        }
    }
}
