//! The disk is full: refused before it is, waited out when it is, and nothing corrupt afterwards. Each server has a small file system of its own.

use crate::inbox::signed::{Payload, Request, begin_multipart, send as signed, send_wire, told};
use crate::support::clips::{PICTURES, busy_clip, clip, padded_clip, play};
use crate::support::http::{Client, ok, problem};
use crate::support::intact::assert_intact;
use crate::support::publishing::Publishing;
use crate::support::s3::parts;
use crate::support::server::Server;
use aws_lc_rs::digest::{SHA256, digest};
use futures_util::{StreamExt, stream};
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

/// Tier: `make test`. How large an object becomes that comes in parts is not known when it begins: each part is asked about what it adds. One
/// that is sent again adds nothing, and needs no more than its own room.
#[tokio::test]
async fn a_part_of_an_object_is_asked_for_what_it_adds() {
    const PART_BYTES: usize = 16 << 20;
    let mut server = Server::on_small_disk(DISK_BYTES, &[]);
    server.restart(&[]);
    let (access, body) = (server.access("ada", ""), vec![7; PART_BYTES]);
    let upload = begin_multipart(&access).await;
    let put = async |number: &str| {
        told(signed(&access, &request(Method::PUT, &[("partNumber", number), ("uploadId", upload.as_str())], &body)).await).await
    };
    put("1").await.expect("room for a part and its renditions");
    put("1").await.expect("room for the same part");
    assert_eq!(put("2").await, Err("507 InsufficientStorage".to_owned()), "no room for another and its renditions");
    server.disk().fill(4 * MIB);
    assert_eq!(put("1").await, Err("503 ServiceUnavailable".to_owned()), "no room to write it");
    server.disk().make_room();
    put("1").await.expect("room again");
}

/// Tier: `make test`. Parts that come at once share the room that is left: what one was told it has, no other is.
#[tokio::test]
async fn parts_that_come_at_once_share_the_room() {
    const PART_BYTES: usize = 6 << 20;
    let mut server = Server::on_small_disk(DISK_BYTES, &[]);
    server.restart(&[]);
    let (access, body) = (server.access("ada", ""), vec![7; PART_BYTES]);
    let upload = begin_multipart(&access).await;
    let query = |number| [("partNumber", number), ("uploadId", upload.as_str())];
    let (one, two) = (query("1"), query("2"));
    for query in [&one, &two] {
        told(signed(&access, &request(Method::PUT, query, &body)).await).await.expect("room");
    }
    server.disk().fill(10 * MIB);
    let (go, gone) = tokio::sync::oneshot::channel();
    let rest = body[1_000..].to_vec();
    let first = stream::once(async { Ok::<_, std::io::Error>(vec![7; 1_000]) });
    let wire = first.chain(stream::once(async move { gone.await.map(|()| rest).map_err(std::io::Error::other) }));
    let digest = hex::encode(digest(&SHA256, &body));
    let slow = Request { payload: Payload::Claimed(&digest), ..request(Method::PUT, &one, b"") };
    let slow = send_wire(&access, &slow, PART_BYTES, (PART_BYTES, reqwest::Body::wrap_stream(wire)));
    let (lies, is_coming) = (parts(&server), async || parts(&server).len() > 2);
    assert_eq!(lies.len(), 2, "{lies:?}");
    let meanwhile = async {
        until(&server, "the first is coming", is_coming).await;
        let refused = told(signed(&access, &request(Method::PUT, &two, &body)).await).await;
        assert_eq!(refused, Err("503 ServiceUnavailable".to_owned()));
        go.send(()).expect("it waits");
    };
    let (answer, ()) = tokio::join!(slow, meanwhile);
    told(answer).await.expect("its room was kept");
    told(signed(&access, &request(Method::PUT, &two, &body)).await).await.expect("room again");
}

fn request<'a>(method: Method, query: &'a [(&'a str, &'a str)], body: &'a [u8]) -> Request<'a> {
    Request { method, key: "a.bin", query, headers: &[], payload: Payload::Whole, body }
}
