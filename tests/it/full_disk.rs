//! The disk is full: refused before it is, waited out when it is, and nothing corrupt afterwards. Each server has a small file system of its own.

use crate::support::clips::{PICTURES, busy_clip, clip, padded_clip, play};
use crate::support::http::{Client, ok, problem};
use crate::support::intact::assert_intact;
use crate::support::publishing::Publishing;
use crate::support::server::Server;
use aws_lc_rs::digest::{SHA256, digest};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::time::{Duration, Instant};
use theatrum::domain::ids::VideoId;

const MIB: u64 = 1 << 20;
const DISK_BYTES: u64 = 64 * MIB;
const SOON: Duration = Duration::from_secs(60);

async fn until(server: &Server, what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !happened().await {
        assert!(begun.elapsed() < SOON, "waited in vain until {what}:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await; // tidy: polling
    }
}

fn upload_of(size_bytes: u64) -> Value {
    json!({"filename": "a.mp4", "size_bytes": size_bytes})
}

/// Sends the whole of a small file as the one part of an upload.
async fn send(client: &Client, upload: &str, bytes: &[u8]) -> Response {
    let part = json!([{"number": 1, "size_bytes": bytes.len(), "sha256": hex::encode(digest(&SHA256, bytes))}]);
    let target = client.post(&format!("/v1/uploads/{upload}/parts"), &part).await[0].clone();
    let mut request = client.http.put(target["url"].as_str().expect("a url"));
    for (name, value) in target["headers"].as_object().expect("headers") {
        request = request.header(name, value.as_str().expect("text"));
    }
    request.body(bytes.to_vec()).send().await.expect("an answer")
}

fn id(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field} in {answer}")).to_owned()
}

async fn becomes_ready(server: &Server, client: &Client, video: &str) {
    until(server, "the video is ready", async || client.get(&format!("/v1/videos/{video}")).await["state"] == "ready").await;
}

/// Tier: `make test`. A new upload is refused while the disk still has room for all that was begun; the parts of what was begun may use the
/// reserve, and it becomes ready; what is left of the reserve is the catalog's.
#[tokio::test]
async fn new_uploads_are_refused_before_the_disk_is_full() {
    let reserve = [("THEATRUM_STORAGE__RESERVE_BYTES", "16777216"), ("THEATRUM_STORAGE__RESERVE_PERCENT", "90")];
    let mut server = Server::on_small_disk(DISK_BYTES, &reserve);
    server.restart(&[]);
    let client = server.client(&server.admin_token());
    let bytes = fs::read(clip(server.scratch(), "small.mp4")).expect("a film");
    let promised = client.post("/v1/uploads", &upload_of(20 * MIB)).await;
    let refused = problem(client.send(Method::POST, "/v1/uploads", &upload_of(5 * MIB)).await, 507, "insufficient-storage").await;
    assert!(
        refused["detail"].as_str().is_some_and(|text| text.contains("no room for this file of 5.00 MiB, only for one of 3.")),
        "{refused}"
    );
    let film = padded_clip(server.scratch(), "large.mp4", 5 << 20);
    let published = server.command(&["publish"]).arg(&film).output().expect("it runs");
    let complaint = String::from_utf8(published.stderr).expect("text");
    assert_eq!(published.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("(insufficient-storage)") && complaint.contains("delete videos"), "{complaint}");
    // Given up, the promise is void.
    ok(client.send(Method::DELETE, &format!("/v1/uploads/{}", id(&promised, "upload")), &Value::Null).await).await;
    let begun = client.post("/v1/uploads", &upload_of(bytes.len() as u64)).await;
    let late = client.post("/v1/uploads", &upload_of(bytes.len() as u64)).await;
    server.disk().fill(6 * MIB);
    problem(client.send(Method::POST, "/v1/uploads", &upload_of(1)).await, 507, "insufficient-storage").await;
    assert_eq!(send(&client, &id(&begun, "upload"), &bytes).await.status().as_u16(), 200);
    ok(client.send(Method::POST, &format!("/v1/uploads/{}/finish", id(&begun, "upload")), &Value::Null).await).await;
    becomes_ready(&server, &client, &id(&begun, "video")).await;
    server.disk().fill(2 * MIB);
    let answer = send(&client, &id(&late, "upload"), &bytes).await;
    assert_eq!(answer.status().as_u16(), 503);
    let text = answer.text().await.expect("text");
    assert!(text.contains("goes on where it stopped once there is room"), "{text}");
    server.disk().make_room();
    assert_eq!(send(&client, &id(&late, "upload"), &bytes).await.status().as_u16(), 200);
    assert_intact(&mut server, &[VideoId::parse(&id(&begun, "video")).expect("an id")]).await;
}

/// Tier: `make test`. The disk fills while parts come: the publisher is told, waits, and goes on by itself once there is room.
#[tokio::test]
async fn a_disk_that_fills_during_an_upload_is_waited_out() {
    let mut server = Server::on_small_disk(DISK_BYTES, &[]);
    let film = padded_clip(server.scratch(), "clip.mp4", 20 << 20);
    server.restart(&[("THEATRUM_FAILPOINT", "part-write")]);
    let told = server.scratch().join("told");
    let publishing = Publishing::begin_heard(&server, &film, File::create(&told).expect("a file"));
    server.wait_killed(SOON);
    server.disk().fill(MIB);
    server.restart(&[]);
    until(&server, "the publisher hears of it", async || fs::read_to_string(&told).is_ok_and(|text| text.contains("disk is full"))).await;
    assert!(server.is_alive());
    server.disk().make_room();
    let video = publishing.plays(&server);
    let told = fs::read_to_string(&told).expect("text");
    assert!(told.contains("trying again") && told.contains("the server answers again"), "{told}");
    assert_intact(&mut server, &[video]).await;
}

/// Tier: `make test`. invariant 4: the disk fills while segments are written: the job says so, waits with all its attempts, and is done once
/// there is room.
#[tokio::test]
async fn a_disk_that_fills_during_an_encode_uses_up_no_attempt() {
    let mut server = Server::on_small_disk(DISK_BYTES, &[]);
    let film = busy_clip(server.scratch(), "clip.mp4");
    server.restart(&[("THEATRUM_FAILPOINT", "encode")]);
    let publishing = Publishing::begin(&server, &film);
    server.wait_killed(SOON);
    server.disk().fill(500 << 10);
    server.restart(&[]);
    let jobs = async || server.get("/v1/jobs").await["jobs"].as_array().expect("jobs").clone();
    until(&server, "a job says that the disk is full", async || jobs().await.iter().any(said_full)).await;
    let waiting = jobs().await;
    assert!(waiting.iter().all(|job| job["attempts"] == 0 && job["state"] != "dead"), "{waiting:?}");
    server.disk().make_room();
    let video = publishing.plays(&server);
    assert_intact(&mut server, &[video]).await;
}

fn said_full(job: &Value) -> bool {
    job["last_error"].as_str().is_some_and(|text| text.contains("disk is full"))
}

/// Tier: `make test`. invariant 8: the disk is full to the last byte: no row can be committed, and what must be written down first is not
/// done. The server says so, lives on, shows what needs no row, and takes up all of it when there is room.
#[tokio::test]
async fn a_catalog_without_room_says_so_and_goes_on_later() {
    let mut server = Server::on_small_disk(DISK_BYTES, &[]);
    server.restart(&[]);
    let film = clip(server.scratch(), "clip.mp4");
    let video = Publishing::begin(&server, &film).plays(&server);
    let client = server.client(&server.admin_token());
    let watch = format!("/v1/videos/{video}/playback");
    let url = id(&client.post(&watch, &Value::Null).await, "playback_url");
    let key = format!("{}/audio/keys/0", url.strip_prefix(&server.url()).and_then(|path| path.strip_suffix("/master.m3u8")).expect("ours"));
    assert_eq!(ok_bytes(&server, &key).await, 16);
    server.disk().fill(0);
    // What the catalog's log has taken before, it may use again: it is full a little later than the disk.
    let full = loop {
        let answer = client.send(Method::POST, &watch, &Value::Null).await;
        if answer.status().as_u16() != 200 {
            break answer;
        }
    };
    assert_eq!(full.headers().get("retry-after").map(|value| value.to_str().expect("ascii")), Some("10"));
    problem(full, 503, "disk-full").await;
    problem(server.anonymous().send(Method::GET, &key, &Value::Null).await, 503, "audit-unavailable").await;
    problem(client.send(Method::DELETE, &format!("/v1/videos/{video}"), &Value::Null).await, 503, "disk-full").await;
    let sign_in = json!({"token": server.admin_token()});
    problem(server.anonymous().send(Method::POST, "/v1/session", &sign_in).await, 503, "disk-full").await;
    problem(client.send(Method::POST, "/v1/uploads", &upload_of(1)).await, 507, "insufficient-storage").await;
    assert_eq!(client.get(&format!("/v1/videos/{video}")).await["state"], "ready");
    assert!(server.is_alive());
    // A new life on a full disk: it starts or says why not, and spoils nothing.
    server.spawn(&[]);
    server.disk().make_room();
    server.restart(&[]);
    assert_eq!(ok_bytes(&server, &key).await, 16);
    let client = server.client(&server.admin_token());
    assert_eq!(play(&id(&client.post(&watch, &Value::Null).await, "playback_url")), PICTURES);
    let again = Publishing::begin(&server, &film).plays(&server);
    assert_intact(&mut server, &[video, again]).await;
}

async fn ok_bytes(server: &Server, path: &str) -> usize {
    let answer = server.anonymous().send(Method::GET, path, &Value::Null).await;
    assert_eq!(answer.status().as_u16(), 200, "{}", server.log());
    answer.bytes().await.expect("bytes").len()
}
