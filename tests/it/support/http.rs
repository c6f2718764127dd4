//! Asking over HTTP, and what every refusal looks like.

use super::server::Server;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use theatrum::domain::ids::VideoId;

/// A client of the API with a token, or with none.
pub struct Client {
    /// The connection pool, for requests of another kind.
    pub http: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl Server {
    /// A client that sends `token`.
    pub fn client(&self, token: &str) -> Client {
        Client { token: Some(token.to_owned()), ..self.anonymous() }
    }

    /// A client without credentials.
    pub fn anonymous(&self) -> Client {
        Client { http: reqwest::Client::builder().no_proxy().build().expect("a client"), url: self.url(), token: None }
    }

    /// A playback URL of a video, made anew for the administrator.
    pub async fn playback_url(&self, video: &VideoId) -> String {
        let playback = self.client(&self.admin_token()).post(&format!("/v1/videos/{video}/playback"), &Value::Null).await;
        playback["playback_url"].as_str().expect("a url").to_owned()
    }
}

impl Client {
    /// A request, with `body` as JSON unless it is null.
    pub fn request(&self, method: Method, path: &str, body: &Value) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        request
    }

    /// Sends such a request.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Response {
        self.request(method, path, body).send().await.expect("an answer")
    }

    /// Reads what must be there.
    pub async fn get(&self, path: &str) -> Value {
        ok(self.send(Method::GET, path, &Value::Null).await).await
    }

    /// Posts what must be taken.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        ok(self.send(Method::POST, path, body).await).await
    }
}

/// The JSON of an answer that must be a success; null when it has no body.
pub async fn ok(response: Response) -> Value {
    let (status, text) = (response.status(), response.text().await.expect("text"));
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// A header's text, empty without it.
pub fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("ascii"))
}

/// Checks that a response is a problem document (RFC 9457) of this status and code, and gives it.
pub async fn problem(response: Response, status: u16, code: &str) -> Value {
    let asked = response.url().clone();
    assert_eq!(response.status().as_u16(), status, "{asked} {code}");
    assert_eq!(header(&response, "content-type"), "application/problem+json", "{asked}");
    assert_eq!(header(&response, "cache-control"), "no-store", "{asked}");
    let request_id = header(&response, "x-request-id").to_owned();
    let document: Value = response.json().await.expect("json");
    assert_eq!(document["type"], "about:blank", "{asked}");
    assert_eq!(document["status"], status, "{asked}");
    assert_eq!(document["code"], code, "{asked}");
    assert_eq!(document["request_id"], request_id, "{asked}");
    assert!(document["title"].is_string() && document["detail"].is_string(), "{asked}");
    document
}
