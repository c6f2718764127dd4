//! The kill matrix: `kill -9` while an upload arrives or finishes, while its video is probed, encoded, settled or published; each as often
//! as asked, at random moments of the stage.

use super::SOON;
use crate::support::chance::seeded;
use crate::support::clips::padded_clip;
use crate::support::orphans::{assert_no_orphans, assert_no_scratch, assert_reconciles};
use crate::support::publishing::{Publishing, assert_published_once};
use crate::support::server::Server;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};
use std::collections::BTreeMap;
use std::fs;
use theatrum::domain::ids::VideoId;

/// Makes the clip several parts long.
const PADDING_BYTES: u32 = 24 << 20;

/// What can be killed: the failpoints that mark where it begins, how long after one it may still go on, and the rows that show it going
/// on.
struct Stage {
    name: &'static str,
    marks: &'static [&'static str],
    longest_ms: u64,
    going_on: &'static str,
}

const STAGES: [Stage; 6] = [
    Stage {
        name: "upload",
        marks: &["part", "part:2", "part:4"],
        longest_ms: 150,
        going_on: "SELECT COUNT(*) FROM uploads JOIN upload_parts ON upload_id = id WHERE state = 'open' AND blob IS NULL",
    },
    Stage { name: "finish", marks: &["finish"], longest_ms: 6, going_on: "SELECT COUNT(*) FROM uploads WHERE state = 'open'" },
    Stage {
        name: "probe",
        marks: &["probe"],
        longest_ms: 250,
        going_on: "SELECT COUNT(*) FROM jobs WHERE state = 'running' AND kind = 'probe'",
    },
    Stage {
        name: "encode",
        marks: &["encode"],
        longest_ms: 600,
        going_on: "SELECT COUNT(*) FROM jobs WHERE state = 'running' AND kind = 'encode'",
    },
    Stage {
        name: "settle",
        marks: &["probe-settle", "settle", "audio-settle", "stills-settle"],
        longest_ms: 6,
        going_on: "SELECT COUNT(*) FROM jobs WHERE state = 'running' AND kind <> 'publish'",
    },
    Stage {
        name: "publish",
        marks: &["publishing"],
        longest_ms: 40,
        going_on: "SELECT COUNT(*) FROM jobs WHERE state = 'running' AND kind = 'publish'",
    },
];

/// Tier: `make test`. invariants 1, 2 and 3: the row is the truth, leases are fenced, published once: whatever was going on when the
/// server was killed, every upload reaches ready, and nothing is left over.
#[tokio::test]
async fn three_kills_in_each_stage() {
    survives_kills_in_each_stage(3).await;
}

/// Tier: `make test-all`. As above, 25 times each.
#[tokio::test]
#[ignore = "takes minutes"]
async fn twenty_five_kills_in_each_stage() {
    survives_kills_in_each_stage(25).await;
}

async fn survives_kills_in_each_stage(times: usize) {
    let mut random = seeded("kills in the same stages, as long after their beginnings,");
    let mut server = Server::prepare(&[]);
    let scratch = server.scratch().join("tmp");
    fs::create_dir(&scratch).expect("a folder");
    server.restart(&[]);
    let film = padded_clip(server.scratch(), "film.mp4", PADDING_BYTES);
    let mut plan: Vec<&Stage> = STAGES.iter().flat_map(|stage| std::iter::repeat_n(stage, times)).collect();
    plan.shuffle(&mut random);
    let (mut publishings, mut within) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for (number, stage) in plan.into_iter().enumerate() {
        let point = moment(stage, &mut random);
        server.spawn(&[("THEATRUM_FAILPOINT", &point), ("TMPDIR", &scratch.to_string_lossy())]);
        // A publication that an earlier life left unfinished may meet the mark before this one is asked for anything.
        if server.wait_ready_or_killed() {
            let file = server.scratch().join(format!("{number}.mp4"));
            fs::copy(&film, &file).expect("space on the disk");
            publishings.push((Publishing::begin(&server, &file), file));
            server.wait_killed(SOON);
        }
        *within.entry(stage.name).or_default() += usize::from(is_going_on(&server, stage).await);
    }
    println!("{times} kills in each of {} stages, {} uploads; found it going on: {within:?}", STAGES.len(), publishings.len());
    // Nothing is too young to be swept by a reconciliation.
    server.restart(&[("TMPDIR", &scratch.to_string_lossy()), ("THEATRUM_STORAGE__ORPHAN_AGE", "0")]);
    let videos: Vec<VideoId> = publishings.into_iter().map(|(publishing, file)| publishing.plays_at_last(&server, &file)).collect();
    assert_reconciles(&server);
    server.kill();
    let catalog = server.catalog().await;
    for video in &videos {
        assert_published_once(&catalog, video).await;
    }
    assert_no_orphans(&server, &catalog, &videos).await;
    assert_no_scratch(&server, &scratch);
}

/// A setting of `THEATRUM_FAILPOINT`.
fn moment(stage: &Stage, random: &mut StdRng) -> String {
    let mark = stage.marks.choose(random).expect("a mark");
    format!("{mark}+{}", random.random_range(0..=stage.longest_ms))
}

/// Whether the killed server was at it. Asked of a copy: the server that comes next shall find its files as they were left.
async fn is_going_on(server: &Server, stage: &Stage) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["catalog.db", "catalog.db-wal"] {
        fs::copy(server.data().join(name), folder.path().join(name)).expect("a copy");
    }
    let options = SqliteConnectOptions::new().filename(folder.path().join("catalog.db"));
    let mut rows = SqliteConnection::connect_with(&options).await.expect("a catalog");
    let found = sqlx::query(stage.going_on).fetch_one(&mut rows).await.expect("a count");
    found.get::<i64, _>(0) > 0
}
