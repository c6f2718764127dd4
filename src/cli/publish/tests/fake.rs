//! A small Theatrum after the HTTP contract, with faults on demand.

use crate::domain::ids::{UploadId, VideoId};
use aws_lc_rs::digest;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post, put};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(super) const PART_BYTES: usize = 100_000;

/// What goes wrong with one presigned URL.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    ExpiredUrl,
    WrongDigest,
    CutConnection,
    NobodyThere,
    Busy,
    /// The part is taken; who sent it does not hear of it.
    LostAnswer,
}

#[derive(Default)]
struct Inner {
    origin: String,
    cutting_port: u16,
    upload: Option<(UploadId, VideoId)>,
    state: String,
    size_bytes: u64,
    received: BTreeMap<u32, Bytes>,
    puts: Vec<u32>,
    uploads_begun: usize,
    faults: VecDeque<Fault>,
    lost: Vec<u32>,
    events: VecDeque<Vec<String>>,
    /// What was told of the video last.
    told: Option<String>,
}

#[derive(Clone)]
struct Shared {
    inner: Arc<Mutex<Inner>>,
    /// Parts taken so far, for tests that wait for them.
    taken: watch::Sender<usize>,
    /// Parts that may be taken before the storage stalls.
    allowed: watch::Sender<usize>,
    finished: watch::Sender<bool>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics while it holds the lock")
    }
}

/// The running server.
pub(super) struct Fake {
    shared: Shared,
    tasks: Vec<JoinHandle<()>>,
}

impl Fake {
    /// Starts on a free port and announces itself in `data`.
    pub(super) async fn start(data: &Path) -> Self {
        let (taken, allowed, finished) = (watch::Sender::new(0), watch::Sender::new(usize::MAX), watch::Sender::new(false));
        let mut fake = Self { shared: Shared { inner: Arc::default(), taken, allowed, finished }, tasks: Vec::new() };
        fake.listen(data).await;
        fake.script_events(&[&["queued", "encoding", "ready"]]);
        fake
    }

    /// Ends every connection and comes back on another port, with what it had.
    pub(super) async fn restart(&mut self, data: &Path) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
        std::fs::remove_file(data.join("server.json")).expect("announced");
        self.release();
        self.listen(data).await;
    }

    async fn listen(&mut self, data: &Path) {
        let (listener, cutting) =
            (TcpListener::bind("127.0.0.1:0").await.expect("port"), TcpListener::bind("127.0.0.1:0").await.expect("port"));
        let origin = format!("http://{}", listener.local_addr().expect("bound"));
        {
            let mut inner = self.shared.lock();
            inner.origin.clone_from(&origin);
            inner.cutting_port = cutting.local_addr().expect("bound").port();
        }
        self.tasks.push(tokio::spawn(cut_connections(cutting)));
        let app = router(self.shared.clone());
        self.tasks.push(tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") }));
        std::fs::write(data.join("admin.token"), "secret").expect("written");
        std::fs::write(data.join("server.json"), json!({ "url": origin, "s3_url": origin, "pid": 1, "node": "n" }).to_string())
            .expect("written");
    }

    pub(super) fn fail_next(&self, faults: &[Fault]) {
        self.shared.lock().faults.extend(faults);
    }

    /// The parts that are lost when `finish` is called for the first time.
    pub(super) fn lose_before_finish(&self, numbers: &[u32]) {
        self.shared.lock().lost = numbers.to_vec();
    }

    /// The states that successive event connections report before they end; the last but one that is used up: ready.
    pub(super) fn script_events(&self, connections: &[&[&str]]) {
        self.shared.lock().events = connections.iter().map(|words| words.iter().map(|word| (*word).to_owned()).collect()).collect();
    }

    pub(super) fn hold_after(&self, parts: usize) {
        self.shared.allowed.send_replace(parts);
    }

    pub(super) fn release(&self) {
        self.shared.allowed.send_replace(usize::MAX);
    }

    pub(super) async fn reached(&self, parts: usize) {
        self.shared.taken.subscribe().wait_for(|taken| *taken >= parts).await.expect("sender lives");
    }

    pub(super) async fn finished(&self) {
        self.shared.finished.subscribe().wait_for(|finished| *finished).await.expect("sender lives");
    }

    pub(super) fn video(&self) -> VideoId {
        self.shared.lock().upload.clone().expect("begun").1
    }

    pub(super) fn content(&self) -> Vec<u8> {
        self.shared.lock().received.values().flatten().copied().collect()
    }

    pub(super) fn received(&self) -> Vec<u32> {
        self.shared.lock().received.keys().copied().collect()
    }

    pub(super) fn puts(&self) -> Vec<u32> {
        let mut puts = self.shared.lock().puts.clone();
        puts.sort_unstable();
        puts
    }

    pub(super) fn forget_puts(&self) {
        self.shared.lock().puts.clear();
    }

    pub(super) fn uploads_begun(&self) -> usize {
        self.shared.lock().uploads_begun
    }

    pub(super) fn upload_state(&self) -> String {
        self.shared.lock().state.clone()
    }

    pub(super) fn damage(&self, number: u32) {
        self.shared.lock().received.insert(number, Bytes::from_static(b"damaged"));
    }

    pub(super) fn end_upload(&self, state: &str) {
        let mut inner = self.shared.lock();
        inner.state = state.to_owned();
        inner.received.clear();
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Takes connections and drops them with their first bytes.
async fn cut_connections(listener: TcpListener) {
    while let Ok((connection, _)) = listener.accept().await {
        if connection.readable().await.is_ok() {
            let _some_bytes = connection.try_read(&mut [0; 512]);
        }
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/v1/uploads", post(begin))
        .route("/v1/uploads/{id}", get(show).delete(abort))
        .route("/v1/uploads/{id}/parts", post(declare))
        .route("/v1/uploads/{id}/finish", post(finish))
        .route("/v1/videos/{id}", get(video))
        .route("/v1/videos/{id}/playback", post(playback))
        .route("/v1/changes", get(events))
        .route("/parts/{number}", put(part))
        .with_state(shared)
}

fn problem(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, Json(json!({ "type": "about:blank", "status": status.as_u16(), "code": code, "detail": code }))).into_response()
}

async fn begin(State(shared): State<Shared>, headers: HeaderMap, Json(wanted): Json<Value>) -> Response {
    if headers.get("authorization").is_none_or(|value| value != "Bearer secret") {
        return problem(401, "unauthorized");
    }
    let mut inner = shared.lock();
    let (upload, video) = (UploadId::new(), VideoId::new());
    inner.upload = Some((upload.clone(), video.clone()));
    inner.size_bytes = wanted["size_bytes"].as_u64().expect("a size");
    inner.received.clear();
    "open".clone_into(&mut inner.state);
    inner.uploads_begun += 1;
    (StatusCode::CREATED, Json(json!({ "upload": upload, "video": video, "part_size_bytes": PART_BYTES, "parts": 0, "expires_at": 0 })))
        .into_response()
}

async fn show(State(shared): State<Shared>) -> Response {
    let inner = shared.lock();
    if inner.state == "unknown" {
        return problem(404, "not-found");
    }
    let (upload, video) = inner.upload.clone().expect("begun");
    let received: Vec<Value> = inner
        .received
        .iter()
        .map(|(number, bytes)| json!({ "number": number, "size_bytes": bytes.len(), "sha256": hex::encode(sha256(bytes)) }))
        .collect();
    Json(json!({
        "upload": upload, "video": video, "filename": "lecture.mp4", "title": "lecture", "size_bytes": inner.size_bytes,
        "part_size_bytes": PART_BYTES, "parts": 0, "state": inner.state, "received": received, "expires_at": 0
    }))
    .into_response()
}

async fn abort(State(shared): State<Shared>) -> StatusCode {
    "aborted".clone_into(&mut shared.lock().state);
    StatusCode::NO_CONTENT
}

async fn declare(State(shared): State<Shared>, Json(parts): Json<Vec<Value>>) -> Json<Value> {
    let mut inner = shared.lock();
    let mut tickets = Vec::new();
    for part in parts {
        let (number, origin, cutting) = (&part["number"], inner.origin.clone(), inner.cutting_port);
        let url = match inner.faults.pop_front() {
            None => format!("{origin}/parts/{number}"),
            Some(Fault::ExpiredUrl) => format!("{origin}/parts/{number}?fault=403"),
            Some(Fault::WrongDigest) => format!("{origin}/parts/{number}?fault=400"),
            Some(Fault::LostAnswer) => format!("{origin}/parts/{number}?fault=lost"),
            Some(Fault::Busy) => format!("{origin}/parts/{number}?fault=503"),
            Some(Fault::CutConnection) => format!("http://127.0.0.1:{cutting}/parts/{number}"),
            Some(Fault::NobodyThere) => format!("http://127.0.0.1:1/parts/{number}"),
        };
        let digest = BASE64_STANDARD.encode(hex::decode(part["sha256"].as_str().expect("text")).expect("hexadecimal"));
        tickets.push(
            json!({ "number": number, "method": "PUT", "url": url, "headers": { "x-amz-checksum-sha256": digest }, "expires_at": 0 }),
        );
    }
    Json(Value::Array(tickets))
}

async fn part(
    State(shared): State<Shared>,
    UrlPath(number): UrlPath<u32>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match query.get("fault").map(String::as_str) {
        Some("403") => {
            return (StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code><Message>expired</Message></Error>").into_response();
        }
        Some("400") => return (StatusCode::BAD_REQUEST, "<Error><Code>BadDigest</Code></Error>").into_response(),
        Some("503") => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => {}
    }
    assert!(headers.get("authorization").is_none(), "the storage never sees the token");
    assert_eq!(headers["content-length"], body.len().to_string().as_str());
    assert_eq!(headers["x-amz-checksum-sha256"], BASE64_STANDARD.encode(sha256(&body)).as_str());
    let mut allowed = shared.allowed.subscribe();
    allowed.wait_for(|allowed| *shared.taken.borrow() < *allowed).await.expect("sender lives");
    let mut inner = shared.lock();
    inner.received.insert(number, body);
    inner.puts.push(number);
    shared.taken.send_modify(|taken| *taken += 1);
    let is_lost = query.get("fault").is_some_and(|fault| fault == "lost");
    if is_lost { StatusCode::BAD_GATEWAY } else { StatusCode::OK }.into_response()
}

async fn finish(State(shared): State<Shared>) -> Response {
    let mut inner = shared.lock();
    for number in std::mem::take(&mut inner.lost) {
        inner.received.remove(&number);
    }
    let there: usize = inner.received.values().map(Bytes::len).sum();
    if there as u64 != inner.size_bytes {
        return problem(409, "parts-missing");
    }
    "finished".clone_into(&mut inner.state);
    shared.finished.send_replace(true);
    let (upload, video) = inner.upload.clone().expect("begun");
    Json(json!({ "upload": upload, "video": video })).into_response()
}

async fn video(State(shared): State<Shared>) -> Json<Value> {
    let inner = shared.lock();
    Json(state(&inner, inner.told.as_deref().unwrap_or("encoding")))
}

async fn playback(State(shared): State<Shared>) -> Json<Value> {
    let origin = shared.lock().origin.clone();
    Json(json!({ "playback_url": format!("{origin}/t/token/master.m3u8"), "expires_at": 0, "session": "s" }))
}

async fn events(State(shared): State<Shared>) -> Response {
    let mut inner = shared.lock();
    let words = inner.events.pop_front().unwrap_or_else(|| vec!["ready".to_owned()]);
    inner.told = words.last().cloned();
    let mut text = String::from(": welcome\n\n");
    for word in words {
        let (event, data) = if word == "removed" { ("removed", json!({})) } else { ("video", state(&inner, &word)) };
        text.push_str(&format!("event: {event}\ndata: {data}\n\n"));
    }
    ([("content-type", "text/event-stream")], Body::from(text)).into_response()
}

fn state(inner: &Inner, word: &str) -> Value {
    let (_, video) = inner.upload.clone().expect("begun");
    let (state, stage, playable) = match word {
        "ready" => ("ready", "done", true),
        "refused" => ("refused", "done", false),
        "failed" => ("failed", "encoding", false),
        "playable" => ("processing", "encoding", true),
        stage => ("processing", stage, false),
    };
    let refusal = (word == "refused").then(|| json!({ "code": "no-picture", "message": "this file holds no picture" }));
    json!({
        "video": video, "title": "lecture", "owner": "admin", "state": state, "playable": playable, "stage": stage, "percent": 1,
        "created_at": 0, "renditions": [], "truncated": false, "has_poster": false, "refusal": refusal, "watch_url": format!("/watch/{video}")
    })
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}
