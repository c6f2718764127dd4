//! The server is killed, at named points and at random ones; then it is started again, and everything ends as if it had not been.

mod matrix;

use crate::support::chance::seeded;
use crate::support::clips::{clip, long_clip};
use crate::support::orphans::assert_no_orphans;
use crate::support::publishing::{Publishing, assert_published_once};
use crate::support::server::Server;
use crate::support::waiting::wait_until;
use rand::RngExt;
use std::fs;
use std::time::{Duration, Instant};
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
    server.kill();
    let catalog = server.catalog().await;
    assert_published_once(&catalog, &video).await;
    assert_no_orphans(&server, &catalog, &[video]).await;
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
    let mut random = seeded("kills at the same moments");
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
    wait_until(&server, "an ffmpeg runs", || {
        children = ffmpegs_of(pid);
        !children.is_empty()
    });
    server.kill();
    wait_until(&server, "every ffmpeg is gone", || children.iter().all(|child| !is_ffmpeg(*child)));
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
