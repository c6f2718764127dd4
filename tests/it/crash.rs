//! The server is killed, at named points and at random ones; then it is started again, and everything ends as if it had not been.

use crate::support::clips::{clip, long_clip};
use crate::support::publishing::{Publishing, assert_published_once};
use crate::support::server::Server;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};
use theatrum::catalog::Catalog;
use theatrum::domain::ids::VideoId;

const SOON: Duration = Duration::from_secs(60);
/// Kills are spread over the time in which two clips are published.
const LATEST_KILL_MS: u64 = 2_000;

/// One test for each place where the process may die.
macro_rules! killed_at {
    ($($(#[$doc:meta])* $test:ident: $point:literal,)+) => {
        $($(#[$doc])* #[tokio::test] async fn $test() { survives_a_kill_at($point).await; })+
    };
}

killed_at! {
    /// Tier: `make test`. The part was not acknowledged, so the client sends it again.
    before_a_part_has_its_name: "part-write",
    /// Tier: `make test`. invariant 1: the row is the truth: the part is on the disk, but no row says so; the client sends it again.
    before_a_part_is_recorded: "part-stored",
    /// Tier: `make test`. Nothing has happened yet.
    before_a_finish: "finish",
    /// Tier: `make test`. invariant 1: the row is the truth: nobody was told, and the job runs all the same.
    after_a_finish: "finished",
    /// Tier: `make test`. The job is leased.
    as_a_probe_begins: "probe",
    /// Tier: `make test`. invariant 1: without its rows a plan was never made.
    before_a_plan_is_kept: "probe-settle",
    /// Tier: `make test`. invariant 2: the next attempt has another epoch.
    as_an_encode_begins: "encode",
    /// Tier: `make test`. invariant 2: blobs of an epoch that never settled are nobody's.
    while_segments_are_written: "segment-write:2",
    /// Tier: `make test`. invariant 2: all segments are there, but their rows are not.
    before_an_encode_settles: "settle",
    /// Tier: `make test`. As above, for the sound.
    before_the_sound_settles: "audio-settle",
    /// Tier: `make test`. invariant 2: a poster that no row has adopted is nobody's, and is swept.
    before_a_poster_settles: "stills-settle",
    /// Tier: `make test`. invariant 3: published once: playlists without their publication.
    before_a_publication: "publish",
    /// Tier: `make test`. invariant 3: published once, although the worker could not say so.
    after_a_publication: "published",
}

async fn survives_a_kill_at(point: &str) {
    let mut server = Server::prepare(&[]);
    let file = clip(server.scratch(), "clip.mp4");
    server.restart(&[("THEATRUM_FAILPOINT", point)]);
    let publishing = Publishing::begin(&server, &file);
    server.wait_killed(SOON);
    server.restart(&[]);
    let video = publishing.plays(&server);
    assert_eq!(unfinished_files(&server), 0, "the new life swept what the old one left");
    server.kill();
    let catalog = server.catalog().await;
    assert_published_once(&catalog, &video).await;
    assert_no_orphans(&server, &catalog, &[video]).await;
}

/// Blobs that were being written, by the mark in their names.
fn unfinished_files(server: &Server) -> usize {
    files(server).iter().filter(|path| path.contains('#')).count()
}

/// All files of the blob store, by their paths in it.
fn files(server: &Server) -> BTreeSet<String> {
    let root = server.data().join("blobs");
    let (mut folders, mut files) = (vec![root.clone()], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            if entry.file_type().expect("a type").is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(entry.path().strip_prefix(&root).expect("inside").to_string_lossy().into_owned());
            }
        }
    }
    files
}

/// invariant 2: every blob is one that a row points at, or a playlist; what attempts that were fenced off wrote is gone.
pub async fn assert_no_orphans(server: &Server, catalog: &Catalog, videos: &[VideoId]) {
    let mut adopted = BTreeSet::new();
    for id in videos {
        let video = catalog.video(id).await.expect("a video");
        let version = catalog.version(&video.version.expect("a version")).await.expect("a version");
        let folder = format!("videos/{id}/{}", version.id);
        adopted.insert(format!("{folder}/master.m3u8"));
        adopted.extend(video.poster_epoch.map(|epoch| format!("sidecars/{id}/{}/poster-{epoch}", version.id)));
        for (rendition, init) in catalog.inits(&version.id).await.expect("inits") {
            adopted.insert(format!("{folder}/{rendition}/init-{}.mp4", init.epoch));
            adopted.insert(format!("{folder}/{rendition}/playlist.m3u8"));
        }
        let segments = catalog.segments(&version.id).await.expect("segments");
        adopted.extend(segments.iter().map(|it| format!("{folder}/{}/{:06}-{}.m4s", it.rendition, it.number, it.epoch)));
        let source = catalog.source(&version.source).await.expect("a source");
        let parts = catalog.upload_parts(&source.upload).await.expect("parts");
        adopted.extend(parts.into_iter().map(|part| part.blob.expect("received")));
    }
    assert_eq!(files(server), adopted);
}

/// Tier: `make test`. invariant 3: published once, whenever the kill came.
#[tokio::test]
async fn at_random_moments() {
    survives_random_kills(4).await;
}

/// Tier: `make test-all`. As above, and often.
#[tokio::test]
#[ignore = "takes a minute"]
async fn at_twenty_random_moments() {
    survives_random_kills(20).await;
}

async fn survives_random_kills(kills: u32) {
    let given = std::env::var("THEATRUM_TEST_SEED").ok();
    let seed = given.map_or_else(rand::random, |text| text.parse::<u64>().expect("a number"));
    println!("THEATRUM_TEST_SEED={seed} kills at the same moments again");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start();
    let mut publishing: Vec<Publishing> = Vec::new();
    for number in 0..kills {
        let file = clip(server.scratch(), &format!("{number}.mp4"));
        publishing.push(Publishing::begin(&server, &file));
        let (begun, moment) = (Instant::now(), Duration::from_millis(random.random_range(0..LATEST_KILL_MS)));
        while begun.elapsed() < moment {
            std::thread::sleep(Duration::from_millis(1)); // tidy: polling
        }
        assert!(server.is_alive(), "it died by itself:\n{}", server.log());
        server.kill();
        server.restart(&[]);
    }
    let videos: Vec<VideoId> = publishing.into_iter().map(|publishing| publishing.plays(&server)).collect();
    server.kill();
    let catalog = server.catalog().await;
    for video in &videos {
        assert_published_once(&catalog, video).await;
    }
    assert_no_orphans(&server, &catalog, &videos).await;
}

/// Tier: `make test`. invariant 7: no ffmpeg outlives its server, however that dies.
#[test]
fn ffmpeg_dies_with_its_server() {
    let mut server = Server::start();
    let file = long_clip(server.scratch(), "long.mp4");
    let _publishing = Publishing::begin(&server, &file);
    let pid = server.pid();
    let mut children = Vec::new();
    until(&server, "an ffmpeg runs", || {
        children = ffmpegs_of(pid);
        !children.is_empty()
    });
    server.kill();
    until(&server, "every ffmpeg is gone", || children.iter().all(|child| !is_ffmpeg(*child)));
}

fn ffmpegs_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("PPid:").is_some_and(|text| text.trim() == parent.to_string()))
    };
    processes.filter(|pid| is_ffmpeg(*pid)).filter(is_child).collect()
}

/// Whether this process runs the program; one that has ended, collected or not, runs none.
fn is_ffmpeg(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program.file_name().is_some_and(|name| name == "ffmpeg"))
}

fn until(server: &Server, what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < SOON, "waited in vain until {what}:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(10)); // tidy: polling
    }
}
