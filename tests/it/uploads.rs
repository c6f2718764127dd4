//! Uploads over the API and the S3 endpoint: in any order, again, interrupted on either side.

mod resume;

use crate::support::http::{Client, ok, problem};
use crate::support::server::Server;
use aws_lc_rs::digest::{SHA256, digest};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The least that S3 allows, so that files of several parts stay small.
const PART_BYTES: usize = 5 << 20;
const SMALL_PARTS: (&str, &str) = ("THEATRUM_UPLOADS__PART_SIZE_BYTES", "5242880");

/// An upload of random bytes in three parts.
struct Upload<'a> {
    client: &'a Client,
    path: String,
    begun: Value,
    bytes: Vec<u8>,
}

impl<'a> Upload<'a> {
    async fn begin(client: &'a Client) -> Self {
        let mut bytes = vec![0; 2 * PART_BYTES + 1];
        aws_lc_rs::rand::fill(&mut bytes).expect("randomness");
        let begun = client.post("/v1/uploads", &json!({"filename": "noise.bin", "size_bytes": bytes.len()})).await;
        assert_eq!((&begun["parts"], &begun["part_size_bytes"]), (&json!(3), &json!(PART_BYTES)));
        let path = format!("/v1/uploads/{}", begun["upload"].as_str().expect("an id"));
        Self { client, path, begun, bytes }
    }

    fn part(&self, number: usize) -> Vec<u8> {
        self.bytes.chunks(PART_BYTES).nth(number - 1).expect("a part").to_vec()
    }

    async fn declare(&self, number: usize) -> Value {
        let part = self.part(number);
        let declared = json!([{"number": number, "size_bytes": part.len(), "sha256": hex::encode(digest(&SHA256, &part))}]);
        self.client.post(&format!("{}/parts", self.path), &declared).await[0].clone()
    }

    /// Sends `bytes` as the part that `target` was given for.
    async fn put(&self, target: &Value, bytes: Vec<u8>) -> Response {
        let mut request = self.client.http.put(target["url"].as_str().expect("a url"));
        for (name, value) in target["headers"].as_object().expect("headers") {
            request = request.header(name, value.as_str().expect("text"));
        }
        request.body(bytes).send().await.expect("an answer")
    }

    async fn send(&self, number: usize) {
        let answer = self.put(&self.declare(number).await, self.part(number)).await;
        assert!(answer.status().is_success(), "part {number}: {}", answer.text().await.expect("text"));
    }

    async fn status(&self) -> Value {
        self.client.get(&self.path).await
    }

    async fn finish(&self) -> Response {
        self.client.send(Method::POST, &format!("{}/finish", self.path), &Value::Null).await
    }

    fn sources(&self, server: &Server) -> std::path::PathBuf {
        server.data().join("blobs/sources").join(self.begun["video"].as_str().expect("an id"))
    }
}

/// Tier: `make test`. Parts come in any order, side by side and again; `finish` names those that are missing, and answers the same twice.
#[tokio::test]
async fn parts_come_in_any_order_and_finish_answers_the_same_twice() {
    let server = Server::start_with(&[SMALL_PARTS]);
    let client = server.client(&server.admin_token());
    let upload = Upload::begin(&client).await;
    upload.send(3).await;
    let missing = problem(upload.finish().await, 409, "parts-missing").await;
    assert_eq!(missing["missing"], json!([1, 2]));
    tokio::join!(upload.send(2), upload.send(1), upload.send(3));
    upload.send(1).await;
    assert_eq!(upload.status().await["received"].as_array().expect("parts").len(), 3);
    let blobs = std::fs::read_dir(upload.sources(&server)).expect("a folder").map(|entry| entry.expect("an entry").path());
    let blobs: usize = blobs.map(|folder| std::fs::read_dir(folder).expect("a folder").count()).sum();
    assert_eq!(blobs, 3, "a part that came again replaced the first");
    let first = ok(upload.finish().await).await;
    let second = ok(upload.finish().await).await;
    assert_eq!(first, second);
    assert_eq!((&first["upload"], &first["video"]), (&upload.begun["upload"], &upload.begun["video"]));
    problem(client.send(Method::DELETE, &upload.path, &Value::Null).await, 409, "upload-finished").await;
}

/// Tier: `make test`. invariant 10: no checksum, no blob: other bytes than those announced are refused, and leave nothing.
#[tokio::test]
async fn bytes_that_were_not_announced_are_refused() {
    let server = Server::start_with(&[SMALL_PARTS]);
    let client = server.client(&server.admin_token());
    let upload = Upload::begin(&client).await;
    let target = upload.declare(1).await;
    let mut other = upload.part(1);
    other[7] ^= 1;
    let answer = upload.put(&target, other).await;
    assert_eq!(answer.status().as_u16(), 400, "{}", answer.text().await.expect("text"));
    let short = upload.put(&target, upload.part(1)[..100].to_vec()).await;
    assert!(short.status().is_client_error(), "{}", short.status());
    let mut forged = target.clone();
    forged["url"] = json!(target["url"].as_str().expect("a url").replace("partNumber=1", "partNumber=2"));
    assert_eq!(upload.put(&forged, upload.part(1)).await.status().as_u16(), 403);
    assert_eq!(upload.status().await["received"], json!([]));
    assert!(upload.put(&target, upload.part(1)).await.status().is_success(), "the URL is still good");
}

/// Tier: `make test`. invariant 6: nothing is left of an aborted upload, and it takes no more.
#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let server = Server::start_with(&[SMALL_PARTS]);
    let client = server.client(&server.admin_token());
    let upload = Upload::begin(&client).await;
    upload.send(1).await;
    assert!(upload.sources(&server).exists());
    let target = upload.declare(2).await;
    for _ in 0..2 {
        ok(client.send(Method::DELETE, &upload.path, &Value::Null).await).await;
    }
    assert!(!upload.sources(&server).exists());
    assert_eq!(upload.status().await["state"], "aborted");
    assert!(upload.put(&target, upload.part(2)).await.status().is_client_error());
    assert!(!upload.sources(&server).exists());
    problem(upload.finish().await, 409, "upload-ended").await;
}

/// Tier: `make test`. An upload that nobody finished in time is dropped, even if the time ended while the server was away.
#[tokio::test]
async fn an_abandoned_upload_expires() {
    let mut server = Server::start_with(&[SMALL_PARTS]);
    let client = server.client(&server.admin_token());
    let upload = Upload::begin(&client).await;
    upload.send(1).await;
    server.kill();
    let mut rows = server.rows().await;
    sqlx::query("UPDATE uploads SET expires_at = 1").execute(&mut rows).await.expect("changed");
    drop(rows);
    server.restart(&[]);
    let client = server.client(&server.admin_token());
    let begun = Instant::now();
    while client.get(&upload.path).await["state"] != "expired" || upload.sources(&server).exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await; // tidy: polling
    }
}

/// Tier: `make test`. invariant 6: nothing is left of an aborted upload, although the server died before it could delete the parts.
#[tokio::test]
async fn an_abort_that_is_cut_short_is_finished_in_the_next_life() {
    let mut server = Server::prepare(&[SMALL_PARTS]);
    server.restart(&[("THEATRUM_FAILPOINT", "ended")]);
    let client = server.client(&server.admin_token());
    let upload = Upload::begin(&client).await;
    upload.send(1).await;
    let aborted = client.http.delete(format!("{}{}", server.url(), upload.path)).bearer_auth(server.admin_token()).send().await;
    assert!(aborted.is_err(), "{aborted:?}");
    server.wait_killed(Duration::from_secs(20));
    assert!(upload.sources(&server).exists());
    server.restart(&[]);
    let begun = Instant::now();
    while upload.sources(&server).exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await; // tidy: polling
    }
    let client = server.client(&server.admin_token());
    assert_eq!(client.get(&upload.path).await["state"], "aborted");
}
