//! The drill: backed up while it works, wiped, restored, and used again.

use super::drill::{Drill, answer, assert_digests, files, lose_everything};
use crate::support::clips::{PICTURES, clip, film, padded_clip, play};
use crate::support::player::Player;
use crate::support::postgres::fresh_database;
use crate::support::publishing::Publishing;
use crate::support::server::Server;
use crate::support::waiting::{wait_for, wait_until};
use std::path::PathBuf;
use theatrum::catalog::Catalog;
use theatrum::domain::ids::VideoId;

/// An upload of thirteen parts.
const SMALL_PARTS: (&str, &str) = ("THEATRUM_UPLOADS__PART_SIZE_BYTES", "5242880");
const PADDING_BYTES: u32 = 60 << 20;
/// The next life of the house is another node: it takes over what was running when the lease ends.
const SHORT_LEASE: (&str, &str) = ("THEATRUM_PROCESSING__LEASE", "5s");

/// What was in the house when it was lost.
struct Lost {
    kept: VideoId,
    old_url: String,
    deleted: VideoId,
    encoding: VideoId,
    padded: PathBuf,
    parts: Vec<String>,
}

fn video(answer: &serde_json::Value) -> VideoId {
    VideoId::parse(answer["video"].as_str().expect("an id")).expect("an id")
}

async fn texts(catalog: &Catalog, sql: &'static str) -> Vec<String> {
    let rows = catalog.fetch_all(sql, Vec::new()).await.expect("rows");
    rows.iter().map(|row| row.text("text").expect("text")).collect()
}

const PARTS: &str =
    "SELECT blob AS text FROM upload_parts WHERE blob IS NOT NULL AND upload_id IN (SELECT id FROM uploads WHERE state = 'open')";
const ENCODING: &str = "SELECT video_id AS text FROM jobs WHERE kind = 'encode' AND state = 'running'";

/// Brings a house to work, backs it up meanwhile, and deletes a video while that goes on.
async fn backed_up_under_load(server: &mut Server, drill: &Drill) -> Lost {
    server.restart(&[SMALL_PARTS, SHORT_LEASE, ("THEATRUM_BACKUP__DESTINATION", &drill.path().to_string_lossy())]);
    let kept = server.publish(&clip(server.scratch(), "kept.mp4"));
    let deleted = video(&server.publish(&clip(server.scratch(), "deleted.mp4")));
    let old_url = kept["playback_url"].as_str().expect("a url").to_owned();
    assert_eq!(play(&old_url), PICTURES);
    // A first backup knows the video that the second sees go.
    drill.done(server, "backup", &[]);

    let padded = padded_clip(server.scratch(), "padded.mp4", PADDING_BYTES);
    let mut uploading = Publishing::begin(server, &padded);
    let catalog = server.catalog().await;
    wait_for(server, "three parts have come", async || (texts(&catalog, PARTS).await.len() >= 3).then_some(())).await;
    uploading.kill();
    let parts = texts(&catalog, PARTS).await;
    assert!(parts.len() < 13, "the upload is not finished");

    let long = film(server.scratch(), "long.mp4", "testsrc2=s=1280x720:r=25:d=30", 30);
    let _encoding = Publishing::begin(server, &long);
    let encoding = wait_for(server, "something is encoded", async || texts(&catalog, ENCODING).await.into_iter().next()).await;
    let encoding = VideoId::parse(&encoding).expect("an id");
    let running = drill.begin(server, "backup");
    assert!(server.cli(&["videos", "delete", deleted.as_str()]).status.success());
    answer(running.wait_with_output().expect("ends"));
    assert!(server.is_alive(), "the server went on");
    // The server itself notes the deletion in the depot, whether the backup saw it or not.
    let tombstone = drill.path().join(format!("deleted/{deleted}"));
    wait_until(server, "the deletion is noted", || tombstone.exists() && !drill.path().join(format!("keys/{deleted}")).exists());
    catalog.close().await;
    Lost { kept: video(&kept), old_url, deleted, encoding, padded, parts }
}

/// Everything that was there is there, and goes on.
async fn assert_restored(server: &mut Server, catalog: &Catalog, lost: &Lost) {
    assert!(assert_digests(catalog, &server.data(), &lost.kept).await > 2);
    assert_eq!(play(&server.playback_url(&lost.kept).await), PICTURES);
    // Of a session from before, nobody knows whether it was revoked meanwhile.
    let (_, path) = lost.old_url.split_once("/t/").expect("a token");
    let refused = tokio::task::block_in_place(|| {
        let player = Player::new();
        let stream = player.open(&format!("{}/t/{path}", server.url()));
        player.get(&stream.top().key_urls()[0], None)
    });
    assert_eq!(refused.status, 403, "the old session gets no key");
    let reasons = texts(catalog, "SELECT reason AS text FROM audit WHERE action = 'key' AND decision = 'deny'").await;
    assert_eq!(reasons, ["session-revoked"]);

    assert!(catalog.video(&lost.deleted).await.is_err(), "deleted stays deleted");
    assert!(catalog.wrapped_root_key(&lost.deleted).await.is_err(), "its key is not there");
    assert!(!files(&server.data()).iter().any(|path| path.contains(lost.deleted.as_str())), "nor is any blob of it");

    // One more may have been on its way when the client was killed.
    let received = texts(catalog, PARTS).await;
    assert!(lost.parts.iter().all(|part| received.contains(part)), "what was received is still received: {received:?} {:?}", lost.parts);
    let resumed = Publishing::begin(server, &lost.padded).plays(server);
    assert!(assert_digests(catalog, &server.data(), &resumed).await > 2);
    let sql = "SELECT blob AS text FROM upload_parts WHERE blob IS NOT NULL";
    let parts = texts(catalog, sql).await;
    assert!(lost.parts.iter().all(|part| parts.contains(part)), "no part was sent again");

    let path = format!("/v1/videos/{}", lost.encoding);
    wait_for(server, "what was being encoded is ready", async || {
        let state = server.get(&path).await["state"].as_str().expect("a state").to_owned();
        assert!(matches!(state.as_str(), "processing" | "ready"), "{state}: {}", server.log());
        (state == "ready").then_some(())
    })
    .await;
    assert_eq!(play(&server.playback_url(&lost.encoding).await), 750, "what was being encoded is encoded after all");
    assert_eq!(
        texts(catalog, "SELECT action AS text FROM audit WHERE action IN ('backup', 'restore')").await,
        ["backup", "backup", "restore"]
    );
}

/// Tier: `make test`. The drill, into a folder and back, on SQLite. invariant 8: the backup and the restore are in the audit log.
#[tokio::test(flavor = "multi_thread")]
async fn a_house_comes_back_from_a_folder() {
    let mut server = Server::prepare(&[]);
    let drill = Drill::folder(&server);
    let lost = backed_up_under_load(&mut server, &drill).await;
    lose_everything(&mut server);
    let verified = drill.done(&server, "restore", &["--verify-only"]);
    assert_eq!(verified["damaged"], serde_json::json!([]));
    assert!(!server.data().exists(), "a check restores nothing");
    let restored = drill.done(&server, "restore", &[]);
    assert_eq!(restored["blobs"], verified["blobs"]);
    server.restart(&[SMALL_PARTS, SHORT_LEASE]);
    let catalog = server.catalog().await;
    assert_restored(&mut server, &catalog, &lost).await;
}

/// Tier: `make test-all`. The drill, from SQLite into PostgreSQL; then back again by a backup of that.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "another minute of encoding"]
async fn a_house_moves_to_postgres_and_back() {
    let mut server = Server::prepare(&[]);
    let drill = Drill::folder(&server);
    let lost = backed_up_under_load(&mut server, &drill).await;
    lose_everything(&mut server);
    let url = fresh_database().await;
    drill.done(&server, "restore", &["--catalog", &url]);
    assert!(!server.data().join("catalog.db").exists(), "all rows are in PostgreSQL");
    server.restart(&[SMALL_PARTS, SHORT_LEASE, ("THEATRUM_CATALOG__URL", &url)]);
    let catalog = Catalog::open_postgres(&url).await.expect("a catalog");
    assert_restored(&mut server, &catalog, &lost).await;
    catalog.close().await;

    drill.done(&server, "backup", &["--catalog", &url]);
    lose_everything(&mut server);
    drill.done(&server, "restore", &[]);
    server.restart(&[]);
    for (video, pictures) in [(&lost.kept, PICTURES), (&lost.encoding, 750)] {
        assert!(assert_digests(&server.catalog().await, &server.data(), video).await > 2);
        assert_eq!(play(&server.playback_url(video).await), pictures);
    }
}
