//! A typed client of Theatrum's HTTP API, for every command but `serve`.
//!
//! One attempt per call: whether to try again is the caller's business, see [`Failure::is_retryable`].

pub mod answers;
pub mod events;
mod integrity;
pub mod links;
pub mod lists;
mod problem;
pub mod sessions;
mod sse;
pub mod storage;
mod transport;
pub mod verifications;
pub mod webhooks;

use super::connection::{Connection, Endpoint};
use super::failure::Failure;
use crate::domain::access_key::AccessKeyId;
use crate::domain::ids::{JobId, UploadId, VideoId};
use answers::{
    BegunUpload, DeadLetter, FinishedUpload, IssuedToken, MadeS3Credential, NewS3Credential, NewToken, NewUpload, PartDeclaration,
    PartTicket, Playback, Quota, Redriven, Session, Upload, Video, VideoChanges,
};
use events::Events;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, DATE, HeaderValue};
use reqwest::{Body, Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use std::time::{Duration, SystemTime};
use storage::{Reconciling, Storage};
use transport::Transport;
use uuid::Uuid;

pub use transport::is_loopback;

/// The largest page that the API gives.
const PAGE: u32 = 100;
/// The longest an API call may take; uploads of parts and event streams have limits of their own.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    transport: Transport,
}

impl Client {
    /// A client over `connection`; nothing is sent yet.
    pub fn new(connection: Connection) -> Self {
        Self { transport: Transport::new(connection.clone()), connection }
    }

    /// The connection it was made from.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Begins an upload. Called again with the same `key`, because the answer was lost, it gives the upload that the first call began.
    pub async fn begin_upload(&self, upload: &NewUpload<'_>, key: &Uuid) -> Result<BegunUpload, Failure> {
        self.call(self.request(Method::POST, "v1/uploads")?.header("idempotency-key", format!("\"{key}\"")).json(upload)).await
    }

    /// What the server knows of an upload, the parts it has above all.
    pub async fn upload(&self, upload: &UploadId) -> Result<Upload, Failure> {
        self.call(self.request(Method::GET, &format!("v1/uploads/{upload}"))?).await
    }

    /// Declares parts (1 to 100) and gets a fresh presigned request for each, in the same order.
    pub async fn declare_parts(&self, upload: &UploadId, parts: &[PartDeclaration]) -> Result<Vec<PartTicket>, Failure> {
        self.call(self.request(Method::POST, &format!("v1/uploads/{upload}/parts"))?.json(parts)).await
    }

    /// Sends a part's bytes with its presigned request. No time limit: the caller watches that bytes flow.
    pub async fn put_part(&self, ticket: &PartTicket, size_bytes: u64, body: Body) -> Result<(), Failure> {
        let url = Url::parse(&ticket.url).map_err(|_| protocol("the server gave a part a malformed URL"))?;
        let method = Method::from_bytes(ticket.method.as_bytes()).map_err(|_| protocol("the server gave a part a malformed method"))?;
        let mut request = self.transport.client(&url)?.request(method, url.clone()).header(CONTENT_LENGTH, size_bytes);
        for (name, value) in ticket.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length")) {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await.map_err(|error| self.unreachable(&url, error))?;
        if response.status().is_success() { Ok(()) } else { Err(problem::of_storage(response).await) }
    }

    /// Finishes an upload; the same answer however often it is called.
    pub async fn finish_upload(&self, upload: &UploadId) -> Result<FinishedUpload, Failure> {
        self.call(self.request(Method::POST, &format!("v1/uploads/{upload}/finish"))?).await
    }

    /// Aborts an upload.
    pub async fn abort_upload(&self, upload: &UploadId) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, &format!("v1/uploads/{upload}"))?).await.map(drop)
    }

    /// One video.
    pub async fn video(&self, video: &VideoId) -> Result<Video, Failure> {
        self.call(self.request(Method::GET, &format!("v1/videos/{video}"))?).await
    }

    /// Gives a video another title or collection.
    pub async fn edit_video(&self, video: &VideoId, changes: &VideoChanges<'_>) -> Result<Video, Failure> {
        self.call(self.request(Method::PATCH, &format!("v1/videos/{video}"))?.json(changes)).await
    }

    /// Deletes a video for good.
    pub async fn delete_video(&self, video: &VideoId) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, &format!("v1/videos/{video}"))?).await.map(drop)
    }

    /// Begins a version of a video's source between two points.
    pub async fn trim_video(&self, video: &VideoId, in_ms: u64, out_ms: Option<u64>) -> Result<(), Failure> {
        let points = serde_json::json!({ "in_ms": in_ms, "out_ms": out_ms });
        self.send(self.request(Method::POST, &format!("v1/videos/{video}/trim"))?.json(&points)).await.map(drop)
    }

    /// Calls off what is being made to replace a video.
    pub async fn cancel_replacement(&self, video: &VideoId) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, &format!("v1/videos/{video}/replacement"))?).await.map(drop)
    }

    /// Opens a playback session: an absolute URL that plays without further credentials.
    pub async fn playback(&self, video: &VideoId) -> Result<Playback, Failure> {
        let mut playback: Playback = self.call(self.request(Method::POST, &format!("v1/videos/{video}/playback"))?).await?;
        playback.playback_url = self.absolute(&playback.playback_url)?;
        Ok(playback)
    }

    /// The changes of one video, its current state first.
    pub async fn events(&self, video: &VideoId) -> Result<Events, Failure> {
        let url = format!("v1/changes?video={video}");
        let request = self.request(Method::GET, &url)?.header(ACCEPT, "text/event-stream");
        let opened = tokio::time::timeout(CALL_TIMEOUT, self.send_unlimited(request)).await;
        opened.unwrap_or_else(|_| Err(timed_out())).map(Events::new)
    }

    /// One dead letter with its cause.
    pub async fn dead_letter(&self, job: &JobId) -> Result<DeadLetter, Failure> {
        self.call(self.request(Method::GET, &format!("v1/dead/{job}"))?).await
    }

    /// Puts a dead job back into the queue.
    pub async fn redrive(&self, job: &JobId) -> Result<Redriven, Failure> {
        self.call(self.request(Method::POST, &format!("v1/dead/{job}/redrive"))?).await
    }

    /// The server's disk, and what was found on it.
    pub async fn storage(&self) -> Result<Storage, Failure> {
        self.call(self.request(Method::GET, "v1/storage")?).await
    }

    /// Begins a reconciliation, which sweeps if it is to `apply`.
    pub async fn reconcile(&self, apply: bool) -> Result<Reconciling, Failure> {
        self.call(self.request(Method::POST, "v1/reconcile")?.json(&serde_json::json!({ "apply": apply }))).await
    }

    /// Sets the quota of one of the `users` or `collections`: 0 for no limit, `None` for the default.
    pub async fn set_quota(&self, kind: &str, name: &str, limit_bytes: Option<u64>) -> Result<Quota, Failure> {
        let mut path = Url::parse("http://unused/").expect("a constant URL");
        path.path_segments_mut().expect("a URL with a path").extend(["v1", "quotas", kind, name]);
        let request = self.request(Method::PUT, path.path().trim_start_matches('/'))?;
        self.call(request.json(&serde_json::json!({ "limit_bytes": limit_bytes }))).await
    }

    /// Issues an access token.
    pub async fn issue_token(&self, wanted: &NewToken<'_>) -> Result<IssuedToken, Failure> {
        self.call(self.request(Method::POST, "v1/tokens")?.json(wanted)).await
    }

    /// Makes an access key for the inbox.
    pub async fn create_s3_credential(&self, wanted: &NewS3Credential<'_>) -> Result<MadeS3Credential, Failure> {
        self.call(self.request(Method::POST, "v1/s3-credentials")?.json(wanted)).await
    }

    /// Revokes an access key.
    pub async fn revoke_s3_credential(&self, id: &AccessKeyId) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, &format!("v1/s3-credentials/{id}"))?).await.map(drop)
    }

    /// Who the caller is, and the server's clock by its Date header.
    pub async fn session(&self) -> Result<(Session, Option<SystemTime>), Failure> {
        let response = self.send(self.request(Method::GET, "v1/session")?).await?;
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(|date| httpdate::parse_http_date(date).ok());
        Ok((decode(response).await?, date))
    }

    /// Whether a Theatrum is alive at `url`, by its health check.
    pub async fn is_alive(&self, url: &Url) -> bool {
        let Ok(url) = url.join("healthz") else { return false };
        let Ok(client) = self.transport.client(&url) else { return false };
        let answer = client.get(url).timeout(Duration::from_secs(5)).send().await;
        answer.is_ok_and(|response| response.status().is_success())
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        let Endpoint { url, token } = self.connection.endpoint()?;
        let url = url.join(path).map_err(|_| protocol("the server's URL cannot be extended"))?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
            Failure::new("bad-token", "the token holds characters that no token has: copy it again, whole and without quotes")
        })?;
        bearer.set_sensitive(true);
        Ok(self.transport.client(&url)?.request(method, url).header(AUTHORIZATION, bearer))
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        decode(self.send(request).await?).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        self.send_unlimited(request.timeout(CALL_TIMEOUT)).await
    }

    async fn send_unlimited(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let (client, request) = request.build_split();
        let mut request = request.map_err(|_| protocol("the request could not be written"))?;
        integrity::announce(&mut request);
        let url = request.url().clone();
        let response = client.execute(request).await.map_err(|error| self.unreachable(&url, error))?;
        if response.status().is_success() { Ok(response) } else { Err(problem::of_api(response).await) }
    }

    /// `error` without the URL's query, which may be a presigned secret.
    fn unreachable(&self, url: &Url, error: reqwest::Error) -> Failure {
        let origin = url.origin().ascii_serialization();
        let message = format!("{origin} does not answer ({}): {}", root_cause(&error), self.connection.remedy());
        Failure::new("unreachable", message).with_retryable(true)
    }

    /// `url`, absolute even if the server gave only its path.
    pub fn absolute(&self, url: &str) -> Result<String, Failure> {
        let base = self.connection.endpoint()?.url;
        base.join(url).map(String::from).map_err(|_| protocol("the server gave a malformed URL"))
    }
}

async fn decode<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let bytes = integrity::whole(response).await?;
    serde_json::from_slice(&bytes).map_err(|error| protocol(&format!("the server's answer could not be understood ({error})")))
}

fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let mut url = Url::parse("http://unused/").expect("a constant URL");
    url.query_pairs_mut().extend_pairs(query);
    match url.query() {
        Some(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    }
}

fn timed_out() -> Failure {
    Failure::new("unreachable", "the server took too long to answer").with_retryable(true)
}

fn protocol(what: &str) -> Failure {
    Failure::new("not-understood", format!("{what}: is it a Theatrum of this version?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded_and_left_out_when_empty() {
        assert_eq!(with_query("v1/jobs", &[]), "v1/jobs");
        assert_eq!(with_query("v1/videos", &[("limit", "5".into()), ("cursor", "a&b".into())]), "v1/videos?limit=5&cursor=a%26b");
    }
}
