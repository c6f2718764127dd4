//! Replacing what a video shows: the version before plays until the new one is ready, and to its end for those who watch it.

use crate::support::clips::{PICTURES, clip, film, long_clip, play};
use crate::support::http::{ok, problem};
use crate::support::orphans::assert_no_orphans;
use crate::support::player::Player;
use crate::support::publishing::Publishing;
use crate::support::server::Server;
use crate::support::waiting::wait_for;
use aws_lc_rs::digest::{SHA256, digest};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use theatrum::catalog::jobs::Listing;
use theatrum::domain::ids::VideoId;
use theatrum::domain::job::State;

const SOON: Duration = Duration::from_secs(60);
const NOT_KEPT: (&str, &str) = ("THEATRUM_PLAYBACK__KEEP_SUPERSEDED", "0");
/// Pictures of [`other_clip`].
const OTHERS: usize = 100;

/// Four seconds of another film.
fn other_clip(folder: &Path) -> PathBuf {
    film(folder, "other.mp4", "testsrc=s=256x144:r=25:d=4", 4)
}

/// A server on which a [`clip`] is ready, and that video.
fn with_video() -> (Server, VideoId) {
    let server = Server::start_with(&[NOT_KEPT]);
    let file = clip(server.scratch(), "clip.mp4");
    let video = Publishing::begin(&server, &file).plays(&server);
    (server, video)
}

fn path(video: &VideoId) -> String {
    format!("/v1/videos/{video}")
}

/// Ends every playback session, and waits until just the blobs of the version that plays are left.
async fn assert_old_blobs_go(server: &Server, video: &VideoId) {
    sqlx::query("UPDATE playback_sessions SET expires_at = 1").execute(&mut server.rows().await).await.expect("ended");
    let catalog = server.catalog().await;
    wait_for(server, "what plays no more is purged", async || {
        let left = "SELECT 1 AS one FROM versions WHERE purge_at IS NOT NULL UNION SELECT 1 FROM sources WHERE purge_at IS NOT NULL";
        catalog.fetch_optional(left, Vec::new()).await.expect("rows").is_none().then_some(())
    })
    .await;
    assert_no_orphans(server, &catalog, std::slice::from_ref(video)).await;
}

/// Tier: `make test`. The version before plays until the new one is ready; whoever watches it during the switch sees its end; then it goes,
/// with its source.
#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_the_old_version_to_its_end_across_the_switch() {
    let (server, video) = with_video();
    let old_url = server.playback_url(&video).await;
    let before = server.get(&path(&video)).await;
    let url = old_url.clone();
    let watching = tokio::task::spawn_blocking(move || {
        let player = Player::new();
        let stream = player.open(&url);
        let first = player.clear(stream.top()).len();
        (player, stream, first)
    });
    let (player, stream, pieces) = watching.await.expect("it plays");
    let file = other_clip(server.scratch());
    let answer = Publishing::with(&server, &file, &["--replace", video.as_str()]).answer(&server);
    assert_eq!((&answer["state"], &answer["video"]), (&json!("ready"), &json!(video)), "{answer}\n{}", server.log());
    let after = server.get(&path(&video)).await;
    assert_eq!((&after["title"], &after["created_at"], &after["ready_at"]), (&before["title"], &before["created_at"], &before["ready_at"]));
    assert_eq!((&after["width"], &after["replacement"], &after["has_poster"]), (&json!(256), &Value::Null, &json!(true)));
    assert_eq!(play(answer["playback_url"].as_str().expect("a url")), OTHERS);
    let (again, player) = tokio::task::spawn_blocking(move || (player.clear(stream.top()).len(), player)).await.expect("it plays on");
    assert_eq!(again, pieces, "the viewer goes on with the old version");
    assert_eq!(play(&old_url), PICTURES, "and to its end");
    assert_old_blobs_go(&server, &video).await;
    let gone = tokio::task::spawn_blocking(move || player.get(&old_url, None).status).await.expect("an answer");
    assert_eq!(gone, 404, "what was purged is gone");
    assert_eq!(play(&server.playback_url(&video).await), OTHERS);
    let catalog = server.catalog().await;
    let events: Vec<String> = catalog.events(&video).await.expect("events").into_iter().map(|event| event.kind).collect();
    assert_eq!(events, ["upload.finished", "video.playable", "video.ready", "upload.finished", "video.replaced"]);
    let entries = catalog.audit_entries(Some(video.as_str()), 1_000).await.expect("entries");
    let count = |action: &str| entries.iter().filter(|entry| entry.action == action).count();
    assert_eq!((count("replace"), count("publish")), (1, 2));
}

/// Tier: `make test`. invariant 5: degrade before failing: a replacement that is refused says why to those who may replace the video, and
/// changes nothing for anybody else.
#[tokio::test]
async fn a_refused_replacement_keeps_what_plays() {
    let (server, video) = with_video();
    let page = server.scratch().join("page.mp4");
    std::fs::write(&page, "<!doctype html><title>no video</title>").expect("written");
    let answer = Publishing::with(&server, &page, &["--replace", video.as_str()]).answer(&server);
    assert_eq!((&answer["state"], &answer["video"]), (&json!("refused"), &json!(video)), "{answer}");
    let shown = server.get(&path(&video)).await;
    assert_eq!((&shown["state"], &shown["playable"], &shown["refusal"]), (&json!("ready"), &json!(true), &Value::Null));
    assert_eq!((&shown["replacement"]["state"], &shown["replacement"]["refusal"]["code"]), (&json!("refused"), &answer["code"]));
    let viewer = server.client(&server.token("viewer", "eve")).get(&path(&video)).await;
    assert_eq!((&viewer["replacement"], &viewer["trim"]), (&Value::Null, &Value::Null));
    assert_eq!(play(&server.playback_url(&video).await), PICTURES);
    let catalog = server.catalog().await;
    wait_for(&server, "the refused source is gone", async || {
        let left = catalog.fetch_optional("SELECT 1 AS one FROM sources WHERE purge_at IS NOT NULL", Vec::new()).await.expect("rows");
        left.is_none().then_some(())
    })
    .await;
    assert_no_orphans(&server, &catalog, std::slice::from_ref(&video)).await;
    let file = other_clip(server.scratch());
    let answer = Publishing::with(&server, &file, &["--replace", video.as_str()]).answer(&server);
    assert_eq!(answer["state"], "ready", "another try is free: {answer}");
}

/// Tier: `make test`. invariant 6: nothing plain at rest, and nothing lost: giving up an upload that was to replace a source takes its own
/// parts with it, and neither the video's key nor its other blobs.
#[tokio::test]
async fn an_upload_that_is_given_up_leaves_the_video_alone() {
    let (server, video) = with_video();
    let client = server.client(&server.admin_token());
    let body = json!({"filename": "a.mp4", "size_bytes": 9, "replaces": video});
    let begun = client.post("/v1/uploads", &body).await;
    assert_eq!(begun["video"], json!(video));
    let upload = format!("/v1/uploads/{}", begun["upload"].as_str().expect("an id"));
    let declared = json!([{"number": 1, "size_bytes": 9, "sha256": hex::encode(digest(&SHA256, b"nine byte"))}]);
    let target = client.post(&format!("{upload}/parts"), &declared).await[0].clone();
    let mut put = client.http.put(target["url"].as_str().expect("a url"));
    for (name, value) in target["headers"].as_object().expect("headers") {
        put = put.header(name, value.as_str().expect("text"));
    }
    assert!(put.body("nine byte").send().await.expect("an answer").status().is_success());
    ok(client.send(Method::DELETE, &upload, &Value::Null).await).await;
    assert_no_orphans(&server, &server.catalog().await, std::slice::from_ref(&video)).await;
    assert_eq!(play(&server.playback_url(&video).await), PICTURES);
    for wrong in [json!({"title": "T"}), json!({"collection": "C"})] {
        let mut body = body.clone();
        body.as_object_mut().expect("object").extend(wrong.as_object().expect("object").clone());
        problem(client.send(Method::POST, "/v1/uploads", &body).await, 400, "title-with-replaces").await;
    }
}

/// Tier: `make test`. One replacement at a time; it can be called off; and a video that is deleted meanwhile takes it along.
#[tokio::test]
async fn one_replacement_at_a_time_and_it_can_be_called_off() {
    let (server, video) = with_video();
    let client = server.client(&server.admin_token());
    let replacement = format!("{}/replacement", path(&video));
    problem(client.send(Method::DELETE, &replacement, &Value::Null).await, 404, "not-found").await;
    let file = long_clip(server.scratch(), "long.mp4");
    let encoding = async || {
        let shown = server.get(&path(&video)).await;
        (shown["replacement"]["stage"] == "encoding").then_some(shown)
    };
    let first = Publishing::with(&server, &file, &["--replace", video.as_str()]);
    let shown = wait_for(&server, "the replacement is encoded", encoding).await;
    assert_eq!((&shown["state"], &shown["percent"], &shown["playable"]), (&json!("ready"), &json!(100), &json!(true)));
    let body = json!({"filename": "a.mp4", "size_bytes": 9, "replaces": video});
    problem(client.send(Method::POST, "/v1/uploads", &body).await, 409, "replacement-in-progress").await;
    let trim = json!({"in_ms": 1000});
    problem(client.send(Method::POST, &format!("{}/trim", path(&video)), &trim).await, 409, "replacement-in-progress").await;
    let called_off = server.cli(&["videos", "cancel-replacement", video.as_str()]);
    assert!(called_off.status.success(), "{}", String::from_utf8_lossy(&called_off.stderr));
    let answer = first.answer(&server);
    assert_eq!((&answer["state"], &answer["code"]), (&json!("failed"), &json!("replacement-cancelled")), "{answer}");
    assert_eq!(play(&server.playback_url(&video).await), PICTURES);
    let _second = Publishing::with(&server, &file, &["--replace", video.as_str()]);
    wait_for(&server, "the next one is encoded", encoding).await;
    ok(client.send(Method::DELETE, &path(&video), &Value::Null).await).await;
    problem(client.send(Method::GET, &path(&video), &Value::Null).await, 404, "not-found").await;
    let jobs = server.catalog().await.jobs(&Listing { video: Some(video.clone()), ..Listing::default() }).await.expect("jobs");
    assert!(jobs.iter().all(|job| matches!(job.state, State::Done | State::Cancelled)), "{jobs:?}");
    for tree in ["sources", "videos", "sidecars"] {
        let folder = server.data().join("blobs").join(tree).join(video.as_str());
        wait_for(&server, "no blob is left of the video", async || is_without_files(&folder).then_some(())).await;
    }
}

/// A write that was cut off may leave its folder behind: that is no blob, and goes when the store is reconciled.
fn is_without_files(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return true };
    entries.flatten().all(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_without_files(&entry.path()))
}

/// One test for each place where the process may die while a video is being replaced.
macro_rules! killed_at {
    ($($(#[$meta:meta])* $test:ident: $point:literal,)+) => {
        $($(#[$meta])* #[tokio::test] async fn $test() { survives_a_kill_at($point).await; })+
    };
}

killed_at! {
    /// Tier: `make test`. invariant 1: the row is the truth: nobody was told, and the replacement is made all the same.
    after_a_finish: "finished",
    /// Tier: `make test`. invariant 2: all segments are there, but their rows are not; the old version plays.
    before_an_encode_settles: "settle",
    /// Tier: `make test`. invariant 3: published once: playlists without the switch.
    before_the_switch: "publish",
    /// Tier: `make test`. invariant 3: published once, although the worker could not say so.
    after_the_switch: "published",
    /// Tier: `make test-all`. Nothing has happened yet.
    #[ignore = "one of nine places more"]
    before_a_finish: "finish",
    /// Tier: `make test-all`. The client sends the part again.
    #[ignore = "one of nine places more"]
    before_a_part_is_recorded: "part-stored",
    /// Tier: `make test-all`. The job is leased.
    #[ignore = "one of nine places more"]
    as_a_probe_begins: "probe",
    /// Tier: `make test-all`. Without its rows a plan was never made.
    #[ignore = "one of nine places more"]
    before_a_plan_is_kept: "probe-settle",
    /// Tier: `make test-all`. The next attempt has another epoch.
    #[ignore = "one of nine places more"]
    as_an_encode_begins: "encode",
    /// Tier: `make test-all`. Blobs of an epoch that never settled are nobody's.
    #[ignore = "one of nine places more"]
    while_segments_are_written: "segment-write:2",
    /// Tier: `make test-all`. As above, for the sound.
    #[ignore = "one of nine places more"]
    before_the_sound_settles: "audio-settle",
    /// Tier: `make test-all`. The poster of the version that plays is another.
    #[ignore = "one of nine places more"]
    before_a_poster_settles: "stills-settle",
    /// Tier: `make test-all`. What is written last before a part has its name.
    #[ignore = "one of nine places more"]
    before_a_part_has_its_name: "part-write",
}

async fn survives_a_kill_at(point: &str) {
    let (mut server, video) = with_video();
    let file = other_clip(server.scratch());
    server.restart(&[("THEATRUM_FAILPOINT", point)]);
    let publishing = Publishing::with(&server, &file, &["--replace", video.as_str()]);
    server.wait_killed(SOON);
    server.restart(&[]);
    let answer = publishing.answer(&server);
    assert_eq!((&answer["state"], &answer["video"]), (&json!("ready"), &json!(video)), "{answer}\n{}", server.log());
    assert_eq!(play(&server.playback_url(&video).await), OTHERS);
    let catalog = server.catalog().await;
    let events = catalog.events(&video).await.expect("events");
    let count = |kind: &str| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!((count("video.ready"), count("video.replaced"), count("upload.finished")), (1, 1, 2));
    let entries = catalog.audit_entries(Some(video.as_str()), 1_000).await.expect("entries");
    assert_eq!(entries.iter().filter(|entry| entry.action == "publish").count(), 2, "{entries:?}");
    let jobs = catalog.jobs(&Listing { video: Some(video.clone()), ..Listing::default() }).await.expect("jobs");
    assert!(jobs.iter().all(|job| job.state == State::Done), "{jobs:?}");
    assert_old_blobs_go(&server, &video).await;
}
