//! A client that remembers what it was promised: every answer by which the server took something upon itself.

use crate::support::clips::{PICTURES, play};
use aws_lc_rs::digest::{SHA256, digest};
use m3u8_rs::{MediaPlaylist, Playlist, parse_playlist_res};
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use theatrum::catalog::Catalog;
use theatrum::domain::ids::VideoId;

/// What was published before: a video to watch, and one to delete.
pub struct Before {
    /// It is watched.
    pub watched: VideoId,
    /// It is deleted.
    pub doomed: VideoId,
    /// The administrator's token.
    pub token: String,
}

/// What the server has acknowledged.
#[derive(Default)]
pub struct Promises {
    upload: Option<Value>,
    parts: BTreeMap<u64, String>,
    finished: Option<VideoId>,
    is_ready: bool,
    is_deleted: bool,
    playback_paths: Vec<String>,
    keys: usize,
}

/// The server does not answer any more.
#[derive(Debug)]
pub struct Gone(#[expect(dead_code, reason = "read when a test fails")] String);

type Answered<T> = Result<T, Gone>;

impl From<reqwest::Error> for Gone {
    fn from(error: reqwest::Error) -> Self {
        Self(error.to_string())
    }
}

/// The client, its file and what it was promised.
pub struct Witness {
    before: Before,
    file: Vec<u8>,
    http: reqwest::Client,
    promises: Promises,
}

impl Witness {
    /// A witness that will publish `file`.
    pub fn new(before: Before, file: &Path) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { before, file: std::fs::read(file).expect("a file"), http, promises: Promises::default() }
    }

    /// Publishes the file part by part, watches a video, deletes another; as far as it gets. The server is at `base`.
    pub async fn live(&mut self, base: &str) -> Answered<()> {
        self.watch(base).await?;
        self.upload(base).await?;
        self.delete(base).await?;
        self.watch(base).await?;
        self.wait_ready(base).await
    }

    /// Checks each promise against the server that came up at `base` after the power cut, and lets the upload that was begun come to its end.
    pub async fn check(&mut self, base: &str) -> Vec<VideoId> {
        if let Some(upload) = &self.promises.upload {
            let path = format!("/v1/uploads/{}", upload["upload"].as_str().expect("an id"));
            let found = self.ask(base, Method::GET, &path, &Value::Null).await.expect("the upload is there");
            let received = received(&found);
            let lost: Vec<_> = self.promises.parts.iter().filter(|(number, sha256)| received.get(number) != Some(*sha256)).collect();
            assert!(lost.is_empty(), "parts that were acknowledged: {lost:?}; that are there: {received:?}");
            assert!(self.promises.finished.is_none() || found["state"] == "finished", "{found}");
        }
        for path in &self.promises.playback_paths {
            assert_eq!(play(&format!("{}{path}", base)), PICTURES, "a session that was opened before goes on");
        }
        if self.promises.is_deleted {
            let path = format!("/v1/videos/{}", self.before.doomed);
            assert_eq!(self.status(base, Method::GET, &path).await, StatusCode::NOT_FOUND, "what was deleted stays deleted");
            assert_eq!(self.status(base, Method::POST, &format!("{path}/playback")).await, StatusCode::NOT_FOUND);
        }
        if self.promises.is_ready {
            let video = self.promises.finished.as_ref().expect("finished before it is ready");
            let found = self.ask(base, Method::GET, &format!("/v1/videos/{video}"), &Value::Null).await.expect("the video is there");
            assert_eq!(found["state"], "ready", "what was ready stays ready");
        }
        self.upload(base).await.expect("the upload can be finished");
        self.wait_ready(base).await.expect("the video becomes ready");
        let video = self.promises.finished.clone().expect("finished");
        let session = self.open(base, &video).await.expect("a session");
        assert_eq!(play(session.as_str()), PICTURES);
        vec![self.before.watched.clone(), video]
    }

    /// invariant 8: every key that left has its row in the audit log.
    pub async fn check_audit(&self, catalog: &Catalog) {
        let entries = catalog.audit_entries(Some(self.before.watched.as_str()), 10_000).await.expect("entries");
        let keys = entries.iter().filter(|entry| entry.action == "key" && entry.decision == "allow").count();
        assert!(keys >= self.promises.keys, "{} keys were released, {keys} of them are in the audit log", self.promises.keys);
    }

    /// What was promised, in a word for each kind.
    pub fn summary(&self) -> String {
        let Promises { parts, finished, is_ready, is_deleted, playback_paths, keys, .. } = &self.promises;
        let (finished, sessions, parts) = (finished.is_some(), playback_paths.len(), parts.len());
        format!("{parts} parts, finished {finished}, ready {is_ready}, deleted {is_deleted}, {sessions} sessions, {keys} keys")
    }

    async fn upload(&mut self, base: &str) -> Answered<()> {
        if self.promises.upload.is_none() {
            let wanted = json!({"filename": "witness.mp4", "size_bytes": self.file.len()});
            self.promises.upload = Some(self.ask(base, Method::POST, "/v1/uploads", &wanted).await?);
        }
        let upload = self.promises.upload.clone().expect("begun");
        let path = format!("/v1/uploads/{}", upload["upload"].as_str().expect("an id"));
        let part_bytes = usize::try_from(upload["part_size_bytes"].as_u64().expect("a size")).expect("small");
        let found = self.ask(base, Method::GET, &path, &Value::Null).await?;
        let there: BTreeSet<u64> = received(&found).into_keys().collect();
        for (number, part) in (1..).zip(self.file.clone().chunks(part_bytes)) {
            if !there.contains(&number) {
                let sha256 = hex::encode(digest(&SHA256, part));
                let declared = json!([{"number": number, "size_bytes": part.len(), "sha256": &sha256}]);
                let ticket = self.ask(base, Method::POST, &format!("{path}/parts"), &declared).await?;
                self.put(&ticket[0], part.to_vec()).await?;
                self.promises.parts.insert(number, sha256);
            }
        }
        let finished = self.ask(base, Method::POST, &format!("{path}/finish"), &Value::Null).await?;
        self.promises.finished = Some(VideoId::parse(finished["video"].as_str().expect("an id")).expect("an id"));
        Ok(())
    }

    async fn put(&self, ticket: &Value, part: Vec<u8>) -> Answered<()> {
        let mut request = self.http.put(ticket["url"].as_str().expect("a url")).body(part);
        for (name, value) in ticket["headers"].as_object().expect("headers") {
            request = request.header(name, value.as_str().expect("text"));
        }
        let answer = request.send().await?;
        assert!(answer.status().is_success(), "{}", answer.status());
        Ok(())
    }

    /// Opens a session and takes every key and segment of the first rendition and of the sound.
    async fn watch(&mut self, base: &str) -> Answered<()> {
        let master = self.open(base, &self.before.watched.clone()).await?;
        self.promises.playback_paths.push(master.path().to_owned());
        let Ok(Playlist::MasterPlaylist(list)) = parse_playlist_res(&self.fetch(&master).await?) else { panic!("no master playlist") };
        let sounds = list.alternatives.iter().filter_map(|group| group.uri.clone());
        for uri in list.variants.iter().take(1).map(|variant| variant.uri.clone()).chain(sounds) {
            let playlist = master.join(&uri).expect("an address");
            let Ok(Playlist::MediaPlaylist(MediaPlaylist { segments, .. })) = parse_playlist_res(&self.fetch(&playlist).await?) else {
                panic!("no media playlist")
            };
            for segment in segments {
                if let Some(uri) = segment.key.and_then(|key| key.uri) {
                    self.fetch(&playlist.join(&uri).expect("an address")).await?;
                    self.promises.keys += 1;
                }
                self.fetch(&playlist.join(&segment.uri).expect("an address")).await?;
            }
        }
        Ok(())
    }

    async fn open(&self, base: &str, video: &VideoId) -> Answered<Url> {
        let session = self.ask(base, Method::POST, &format!("/v1/videos/{video}/playback"), &Value::Null).await?;
        let url = session["playback_url"].as_str().expect("a url").to_owned();
        Ok(Url::parse(base).and_then(|base| base.join(&url)).expect("an address"))
    }

    async fn fetch(&self, url: &Url) -> Answered<Vec<u8>> {
        let answer = self.http.get(url.clone()).send().await?;
        assert!(answer.status().is_success(), "{}: {url}", answer.status());
        Ok(answer.bytes().await?.to_vec())
    }

    async fn delete(&mut self, base: &str) -> Answered<()> {
        self.ask(base, Method::DELETE, &format!("/v1/videos/{}", self.before.doomed), &Value::Null).await?;
        self.promises.is_deleted = true;
        Ok(())
    }

    async fn wait_ready(&mut self, base: &str) -> Answered<()> {
        let path = format!("/v1/videos/{}", self.promises.finished.as_ref().expect("finished"));
        loop {
            let video = self.ask(base, Method::GET, &path, &Value::Null).await?;
            match video["state"].as_str() {
                Some("processing") => tokio::time::sleep(std::time::Duration::from_millis(20)).await, // tidy: polling
                Some("ready") => break,
                _ => panic!("{video}"),
            }
        }
        self.promises.is_ready = true;
        Ok(())
    }

    /// What the server answers; a refusal is a failure of the test.
    async fn ask(&self, base: &str, method: Method, path: &str, body: &Value) -> Answered<Value> {
        let mut request = self.http.request(method, format!("{}{path}", base)).bearer_auth(&self.before.token);
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let (status, bytes) = (answer.status(), answer.bytes().await?);
        assert!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&bytes));
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn status(&self, base: &str, method: Method, path: &str) -> StatusCode {
        let request = self.http.request(method, format!("{}{path}", base)).bearer_auth(&self.before.token);
        request.send().await.expect("an answer").status()
    }
}

fn received(upload: &Value) -> BTreeMap<u64, String> {
    let parts = upload["received"].as_array().expect("parts").iter();
    parts.map(|part| (part["number"].as_u64().expect("a number"), part["sha256"].as_str().expect("a digest").to_owned())).collect()
}
