//! Downloads: who gets a link, what it gives, and what is written down before it does.

use crate::support::clips::{PICTURES, clip, film, padded_clip};
use crate::support::http::{header, problem};
use crate::support::publishing::{Publishing, publish_clip};
use crate::support::server::Server;
use crate::support::waiting::{wait_for, wait_until};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use theatrum::links::cloudfront::{Algorithm, PrivateKey, Signer};

/// More than two parts of an upload.
const PADDING_BYTES: u32 = 17 << 20;

/// A server with a ready video of the administrator's.
struct House {
    server: Server,
    video: String,
    rendition: String,
    playback_url: String,
}

impl House {
    async fn open(server: Server, file: &Path) -> Self {
        let video = Publishing::begin(&server, file).plays(&server).to_string();
        let admin = server.client(&server.admin_token());
        let view = admin.get(&format!("/v1/videos/{video}")).await;
        let pictures = view["renditions"].as_array().expect("renditions").iter().find(|rendition| rendition["kind"] == "video");
        let rendition = pictures.expect("pictures")["name"].as_str().expect("a name").to_owned();
        let playback = admin.post(&format!("/v1/videos/{video}/playback"), &Value::Null).await;
        let playback_url = playback["playback_url"].as_str().expect("a url").to_owned();
        Self { server, video, rendition, playback_url }
    }

    async fn with_clip() -> Self {
        let server = Server::start();
        let file = clip(server.scratch(), "clip.mp4");
        Self::open(server, &file).await
    }

    /// Asks for a link with a token.
    async fn ask(&self, token: &str, rendition: &str) -> Response {
        self.server
            .client(token)
            .send(Method::POST, &format!("/v1/videos/{}/downloads", self.video), &json!({ "rendition": rendition }))
            .await
    }

    /// The administrator's link.
    async fn link(&self, rendition: &str) -> String {
        let answer = self.ask(&self.server.admin_token(), rendition).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "cache-control")), (201, "no-store"));
        answer.json::<Value>().await.expect("json")["url"].as_str().expect("a url").to_owned()
    }
}

/// Tier: `make test`. What is replaced while it is downloaded stays until the download has ended.
#[tokio::test]
async fn a_download_that_has_begun_goes_on() {
    let server = Server::start_with(&[("THEATRUM_PLAYBACK__KEEP_SUPERSEDED", "0")]);
    let file = padded_clip(server.scratch(), "padded.mp4", 2 * PADDING_BYTES);
    let house = House::open(server, &file).await;
    let server = &house.server;
    let mut download = follow(&house.link("source").await, &[]).await;
    let mut got = download.chunk().await.expect("bytes").expect("some").to_vec();
    let other = clip(server.scratch(), "other.mp4");
    let replaced = Publishing::with(server, &other, &["--replace", &house.video]).answer(server);
    assert_eq!(replaced["state"], "ready", "{replaced}");
    sqlx::query("UPDATE playback_sessions SET expires_at = 1").execute(&mut server.rows().await).await.expect("ended");
    // A pass of the upkeep begins after this one, and another ends before the next video is gone.
    for name in ["one.mp4", "two.mp4"] {
        let gone = publish_clip(server, name);
        assert!(server.cli(&["videos", "delete", gone.as_str()]).status.success());
        let blobs = server.data().join("blobs/videos").join(gone.as_str());
        wait_until(server, "a deleted video is purged", || !blobs.exists());
    }
    let superseded = "SELECT 1 AS one FROM versions WHERE state = 'superseded'";
    let catalog = server.catalog().await;
    assert!(catalog.fetch_optional(superseded, Vec::new()).await.expect("rows").is_some(), "it is kept");
    while let Some(chunk) = download.chunk().await.expect("it goes on") {
        got.extend_from_slice(&chunk);
    }
    assert!(got == std::fs::read(&file).expect("the file"), "to its last byte");
    wait_for(server, "what nobody downloads any more is purged", async || {
        catalog.fetch_optional(superseded, Vec::new()).await.expect("rows").is_none().then_some(())
    })
    .await;
}

/// Follows a link with headers.
async fn follow(url: &str, headers: &[(&str, &str)]) -> Response {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = headers.iter().fold(http.get(url), |request, (name, value)| request.header(*name, *value));
    request.send().await.expect("an answer")
}

async fn bytes(response: Response) -> Vec<u8> {
    assert!(response.status().is_success(), "{}", response.status());
    let length: usize = header(&response, "content-length").parse().expect("a length");
    let bytes = response.bytes().await.expect("a body").to_vec();
    assert_eq!(bytes.len(), length);
    bytes
}

/// What ffmpeg decodes of one stream: a time in milliseconds and a digest for each picture, or piece of sound.
fn decoded(input: &str, stream: &str) -> Vec<(i64, String)> {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-xerror",
        "-i",
        input,
        "-map",
        stream,
        "-enc_time_base",
        "1:1000",
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]);
    let output = command.output().expect("ffmpeg is installed");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{input}: {complaints}");
    let text = String::from_utf8(output.stdout).expect("text");
    let frames = text.lines().filter(|line| line.starts_with("0,"));
    let frame = |line: &str| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        (fields[2].parse().expect("a time"), fields[5].to_owned())
    };
    frames.map(frame).collect()
}

/// Tier: `make test`. A rendition comes as one MP4: the pictures and the sound of the stream, at the stream's times, with its tables first.
#[tokio::test]
async fn a_rendition_is_one_file_with_the_pictures_of_the_stream() {
    let house = House::with_clip().await;
    let answer = follow(&house.link(&house.rendition).await, &[]).await;
    assert_eq!(header(&answer, "content-type"), "video/mp4");
    assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    assert_eq!(header(&answer, "cache-control"), "private, no-store");
    let name = format!("clip {}.mp4", house.rendition);
    assert!(header(&answer, "content-disposition").starts_with(&format!("attachment; filename=\"{name}\"; ")), "{:?}", answer.headers());
    let file = bytes(answer).await;
    let at = |mark: &[u8]| file.windows(4).position(|window| window == mark).expect("a box");
    assert!(&file[4..8] == b"ftyp" && at(b"moov") < at(b"mdat") && !file.windows(4).any(|window| window == b"moof"));
    let path = house.server.scratch().join("out.mp4");
    std::fs::write(&path, &file).expect("written");
    let path = path.to_str().expect("a path");
    for stream in ["0:v:0", "0:a:0"] {
        let (of_file, of_stream) = (decoded(path, stream), decoded(&house.playback_url, stream));
        assert_eq!(of_file, of_stream, "{stream}");
        assert!(stream != "0:v:0" || of_file.len() == PICTURES, "{}", of_file.len());
    }
    let sound = bytes(follow(&house.link("audio").await, &[]).await).await;
    let alone = house.server.scratch().join("out.m4a");
    std::fs::write(&alone, sound).expect("written");
    assert_eq!(decoded(alone.to_str().expect("a path"), "0:a:0"), decoded(path, "0:a:0"));
}

/// Tier: `make test`. Any ranges, put together, are the file; its tag is the same each time, so that a download goes on where it broke off.
#[tokio::test]
async fn ranges_put_together_are_the_whole() {
    let house = House::with_clip().await;
    let url = house.link(&house.rendition).await;
    let whole_answer = follow(&url, &[]).await;
    let etag = header(&whole_answer, "etag").to_owned();
    let whole = bytes(whole_answer).await;
    let mut stitched = Vec::new();
    for step in [1, 15, 16, 17, 500, 4_095, 40_000, 70_001].into_iter().cycle() {
        if stitched.len() == whole.len() {
            break;
        }
        let last = (stitched.len() + step).min(whole.len()) - 1;
        let answer = follow(&url, &[("range", &format!("bytes={}-{last}", stitched.len())), ("if-range", &etag)]).await;
        assert_eq!(answer.status().as_u16(), 206);
        assert_eq!(header(&answer, "content-range"), format!("bytes {}-{last}/{}", stitched.len(), whole.len()));
        stitched.extend(bytes(answer).await);
    }
    assert!(stitched == whole, "stitched is not the whole");
    let again = follow(&house.link(&house.rendition).await, &[("range", "bytes=-9")]).await;
    assert_eq!(header(&again, "etag"), etag, "another link, the same file");
    assert_eq!(bytes(again).await, whole[whole.len() - 9..]);
    assert_eq!(follow(&url, &[("if-none-match", &etag)]).await.status().as_u16(), 304);
    problem(follow(&url, &[("range", &format!("bytes={}-", whole.len()))]).await, 416, "range-not-satisfiable").await;
    let changed = follow(&url, &[("range", "bytes=0-0"), ("if-range", "\"other\"")]).await;
    assert_eq!(changed.status().as_u16(), 200);
    let head = reqwest::Client::builder().no_proxy().build().expect("a client").head(&url).send().await.expect("an answer");
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, whole.len().to_string().as_str()));
}

/// Tier: `make test`. The source comes back byte for byte, over the borders of its parts too, and by the command line.
#[tokio::test]
async fn the_source_comes_back_as_it_went_in() {
    let server = Server::start();
    let file = padded_clip(server.scratch(), "A \"film\".MP4", PADDING_BYTES);
    let original = std::fs::read(&file).expect("the clip");
    let house = House::open(server, &file).await;
    let url = house.link("source").await;
    let answer = follow(&url, &[]).await;
    assert_eq!(header(&answer, "content-type"), "application/octet-stream");
    assert!(header(&answer, "content-disposition").starts_with("attachment; filename=\"A film.mp4\"; "), "{:?}", answer.headers());
    assert!(bytes(answer).await == original);
    let border = 8 << 20;
    for range in [0..1, border - 3..border + 3, border..border + 1, original.len() - 1..original.len()] {
        let answer = follow(&url, &[("range", &format!("bytes={}-{}", range.start, range.end - 1))]).await;
        assert!(bytes(answer).await == original[range.clone()], "{range:?}");
    }
    let target = house.server.scratch().join("back.mp4");
    let args = ["download", &house.video, "--source", "-o", target.to_str().expect("a path"), "--json"];
    let output = house.server.cli(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!(told["size_bytes"], original.len());
    assert!(std::fs::read(&target).expect("downloaded") == original);
    let again = house.server.cli(&args);
    assert!(String::from_utf8_lossy(&again.stderr).contains("(file-exists)") && !house.server.scratch().join("back.mp4.part").exists());
    let largest = house.server.scratch().join("largest.mp4");
    let output = house.server.cli(&["download", &house.video, "-o", largest.to_str().expect("a path")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(decoded(largest.to_str().expect("a path"), "0:v:0").len(), PICTURES);
}

/// Tier: `make test`. When a video could not be made, its original is what its owner wants back.
#[tokio::test]
async fn the_source_of_a_video_that_failed_can_be_had() {
    let server = Server::start();
    let film = clip(server.scratch(), "film.mp4");
    let house = House::open(server, &film).await;
    // As a run that died for good leaves them.
    for failed in ["UPDATE videos SET state = 'failed'", "UPDATE versions SET state = 'processing'"] {
        sqlx::query(failed).execute(&mut house.server.rows().await).await.expect("changed");
    }
    let download = follow(&house.link("source").await, &[]).await;
    assert_eq!(download.status().as_u16(), 200);
    assert!(bytes(download).await == std::fs::read(&film).expect("the file"));
}

/// Tier: `make test`. invariant 9: deny by default: a link is for those who may, for one file, for a time; whoever it was made for is decided on
/// anew.
#[tokio::test]
async fn whoever_may_not_download_is_refused() {
    let house = House::with_clip().await;
    let server = &house.server;
    let (viewer, author) = (server.token("viewer", "vera"), server.token("author", "otto"));
    for token in [&viewer, &author] {
        for rendition in [house.rendition.as_str(), "source"] {
            problem(house.ask(token, rendition).await, 403, "not-allowed").await;
        }
    }
    problem(house.ask(&server.admin_token(), "9999p").await, 404, "not-found").await;
    problem(house.ask(&server.admin_token(), "../x").await, 400, "malformed-rendition").await;
    let url = house.link(&house.rendition).await;
    let (place, _) = url.split_once('?').expect("a signature");
    let other = Publishing::begin(server, &clip(server.scratch(), "other.mp4")).plays(server).to_string();
    for (url, code) in [
        (place.to_owned(), "signature-missing"),
        (format!("{url}&x=1"), "signature-mismatch"),
        (url.replace(&house.video, &other), "signature-mismatch"),
        (url.replace(&format!("{}.mp4", house.rendition), "audio.mp4"), "signature-mismatch"),
        (url.replace("link=", "link=0"), "signature-mismatch"),
    ] {
        problem(follow(&url, &[]).await, 403, code).await;
    }
    assert_eq!(follow(&url, &[("range", "bytes=0-0")]).await.status().as_u16(), 206);
    // The link was the administrator's; a viewer's would not do.
    let mut rows = server.rows().await;
    sqlx::query("UPDATE download_links SET role = 'viewer'").execute(&mut rows).await.expect("changed");
    problem(follow(&url, &[]).await, 403, "not-allowed").await;
    sqlx::query("UPDATE download_links SET role = 'admin', object = 'audio'").execute(&mut rows).await.expect("changed");
    problem(follow(&url, &[]).await, 403, "link-other-object").await;
    sqlx::query("DELETE FROM download_links").execute(&mut rows).await.expect("changed");
    problem(follow(&url, &[]).await, 403, "link-unknown").await;
    let url = house.link(&house.rendition).await;
    server.client(&server.admin_token()).send(Method::DELETE, &format!("/v1/videos/{}", house.video), &Value::Null).await;
    problem(follow(&url, &[]).await, 404, "not-found").await;
}

/// Tier: `make test`. Viewers download renditions where the operator lets them, and never the source; an author their own.
#[tokio::test]
async fn viewers_download_what_the_operator_lets_them() {
    let server = Server::start_with(&[("THEATRUM_SIGNING__VIEWERS_MAY_DOWNLOAD", "true")]);
    let file = clip(server.scratch(), "clip.mp4");
    let house = House::open(server, &file).await;
    let (viewer, owner) = (house.server.token("viewer", "vera"), house.server.token("author", "ada"));
    let link: Value = house.ask(&viewer, &house.rendition).await.json().await.expect("json");
    assert_eq!(follow(link["url"].as_str().expect("a url"), &[]).await.status().as_u16(), 200);
    problem(house.ask(&viewer, "source").await, 403, "not-allowed").await;
    let mut rows = house.server.rows().await;
    sqlx::query("UPDATE videos SET owner = 'ada'").execute(&mut rows).await.expect("given");
    assert_eq!(house.ask(&owner, "source").await.status().as_u16(), 201);
}

/// Tier: `make test`. invariant 8: each download is in the audit log, by name, before its bytes; where that cannot be written there are none.
#[tokio::test]
async fn each_download_is_written_down_first() {
    let house = House::with_clip().await;
    let server = &house.server;
    let url = house.link("source").await;
    follow(&url, &[("range", "bytes=0-0")]).await;
    let key = PrivateKey::generate(Algorithm::Ecdsa).expect("a key");
    let pem = key.public_key().expect("public").to_pem();
    server.client(&server.admin_token()).post("/v1/signing-keys", &json!({"public_key": pem, "key_pair_id": "KX"})).await;
    let signer = Signer::new(key, "KX");
    let place = format!("{}/d/{}/source", server.url(), house.video);
    let now_s = crate::signing::now_s();
    let elsewhere = signer.url(&place, now_s + 60).expect("signed");
    follow(&elsewhere, &[]).await;
    problem(follow(&signer.url(&place, now_s - 1).expect("signed"), &[]).await, 403, "policy-expired").await;
    let entries = server.catalog().await.audit_entries(Some(&house.video), 100).await.expect("entries");
    let downloads: Vec<_> = entries.iter().rev().filter(|entry| entry.action.starts_with("download")).collect();
    let told: Vec<_> = downloads
        .iter()
        .map(|entry| (entry.action.as_str(), entry.actor.as_str(), entry.decision.as_str(), entry.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [("download-link", "admin", "allow", "admin"), ("download", "admin", "allow", "admin"), ("download", "key:KX", "allow", "signed")]
    );
    assert_eq!(downloads[0].object, downloads[1].object, "the download names its link");
    server.make_unwritable("audit").await;
    for url in [&url, &elsewhere] {
        problem(follow(url, &[]).await, 503, "audit-unavailable").await;
    }
}

/// Tier: `make test`. A link to the original gives what is the original by then; half of the one before is never joined to it.
#[tokio::test]
async fn a_download_of_an_original_does_not_go_on_with_another() {
    let house = House::with_clip().await;
    let url = house.link("source").await;
    let first = follow(&url, &[]).await;
    let (etag, modified) = (header(&first, "etag").to_owned(), header(&first, "last-modified").to_owned());
    let file = film(house.server.scratch(), "other.mp4", "testsrc=s=256x144:r=25:d=4", 4);
    let answer = Publishing::with(&house.server, &file, &["--replace", &house.video]).answer(&house.server);
    assert_eq!(answer["state"], "ready", "{answer}");
    let other = std::fs::read(&file).expect("the file");
    for known in [&modified, &etag] {
        let again = follow(&url, &[("range", "bytes=1-"), ("if-range", known)]).await;
        assert_eq!((again.status().as_u16(), header(&again, "content-length")), (200, other.len().to_string().as_str()), "{known}");
        assert_ne!(header(&again, "etag"), etag);
    }
    let known = follow(&url, &[]).await;
    let rest = follow(&url, &[("range", "bytes=1-"), ("if-range", header(&known, "etag"))]).await;
    assert_eq!(rest.bytes().await.expect("bytes"), other[1..]);
}
