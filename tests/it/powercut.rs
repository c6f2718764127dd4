//! The power goes while the server works; when it is back, nothing that was acknowledged is lost. The disk is [`Layer`]: all that was
//! not synced is gone, or what happened to be written back of it is there, torn and out of order.
//!
//! One thing it cannot see is syncfs, by which a server makes durable what a killed one left unsynced: the kernel does not tell FUSE
//! of it. So here the power goes in the same life in which something was acknowledged.

mod layer;
mod witness;

use crate::support::chance::seeded;
use crate::support::clips::{clip, padded_clip};
use crate::support::orphans::assert_nothing_missing;
use crate::support::powercut::Layer;
use crate::support::powercut::disk::{Disk, Keep};
use crate::support::publishing::assert_published_once;
use crate::support::server::Server;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use sqlx::Row;
use std::path::PathBuf;
use std::time::Duration;
use theatrum::domain::ids::VideoId;
use witness::{Before, Witness};

const SOON: Duration = Duration::from_secs(60);
/// Three parts of the least size.
const PADDING_BYTES: u32 = 11 << 20;
const SETTINGS: [(&str, &str); 1] = [("THEATRUM_UPLOADS__PART_SIZE_BYTES", "5242880")];

/// The named moments of a life in which a video is uploaded and published.
const MARKS: [&str; 15] = [
    "part",
    "part-write",
    "part-stored:2",
    "finish",
    "finished",
    "probe",
    "probe-settle",
    "encode",
    "segment-write:2",
    "settle",
    "audio-settle",
    "stills-settle",
    "publishing",
    "publish",
    "published",
];

/// When the power goes.
#[derive(Debug)]
enum Moment {
    /// When the server visits a failpoint.
    Mark(&'static str),
    /// Before the disk does so many more operations.
    Operation(i64),
    /// When all is done.
    Last,
}

/// A server on a disk that forgets, and where its test begins: videos, a token, a file to publish.
struct House {
    server: Server,
    layer: Layer,
    file: PathBuf,
}

/// What every cut begins with; made once.
struct Start {
    disk: Disk,
    watched: VideoId,
    doomed: VideoId,
    token: String,
}

impl House {
    fn on(disk: Disk) -> Self {
        let server = Server::prepare(&SETTINGS);
        let layer = Layer::mount(&server.data(), disk);
        let file = padded_clip(server.scratch(), "witness.mp4", PADDING_BYTES);
        Self { server, layer, file }
    }

    /// Lives until `moment`, and finds everything again afterwards. Gives the disk operations of the first life.
    async fn survives(start: &Start, moment: Moment, mut keep: Keep) -> i64 {
        let mut house = Self::on(start.disk.clone());
        let before = Before { watched: start.watched.clone(), doomed: start.doomed.clone(), token: start.token.clone() };
        let mut witness = Witness::new(before, &house.file);
        match moment {
            Moment::Mark(mark) => house.server.restart(&[("THEATRUM_FAILPOINT", mark)]),
            Moment::Operation(_) | Moment::Last => house.server.restart(&[]),
        }
        let (begun, url) = (house.layer.operations(), house.server.url());
        if let Moment::Operation(number) = moment {
            house.layer.arm(house.server.pid(), number);
        }
        let lived = witness.live(&url).await;
        let operations = house.layer.operations() - begun;
        match moment {
            Moment::Last => lived.expect("nothing stops it"),
            Moment::Mark(_) => house.server.wait_killed(SOON),
            Moment::Operation(_) if lived.is_err() => house.server.wait_killed(SOON),
            // Fewer operations than the last time: the power goes with all of them done.
            Moment::Operation(_) => {}
        }
        house.server.kill();
        house.layer.cut(&mut keep);
        println!("cut at {moment:?}, {}; promised: {}", described(&keep), witness.summary());
        house.server.restart(&[]);
        assert_eq!(house.server.admin_token(), start.token, "the administrator's token lasts");
        let videos = witness.check(&house.server.url()).await;
        house.server.kill();
        house.is_whole(&witness, &videos).await;
        operations
    }

    async fn is_whole(&self, witness: &Witness, videos: &[VideoId]) {
        let mut rows = self.server.rows().await;
        for (question, answer) in [("PRAGMA integrity_check", Some("ok")), ("PRAGMA foreign_key_check", None)] {
            let found = sqlx::query(question).fetch_optional(&mut rows).await.expect("an answer");
            assert_eq!(found.map(|row| row.get::<String, _>(0)).as_deref(), answer, "{question}");
        }
        let catalog = self.server.catalog().await;
        witness.check_audit(&catalog).await;
        for video in videos {
            assert_published_once(&catalog, video).await;
        }
        assert_nothing_missing(&self.server, &catalog, videos).await;
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Before its disk goes.
        self.server.kill();
    }
}

fn described(keep: &Keep) -> &'static str {
    match keep {
        Keep::Nothing => "nothing unsynced survives",
        Keep::Some(_) => "some of the unsynced survives",
    }
}

/// A disk with two published videos: all of it was acknowledged, so a cut may take nothing away.
fn start() -> Start {
    let mut house = House::on(Disk::new(0o700));
    house.server.restart(&[]);
    let publish = |name| {
        let file = clip(house.server.scratch(), name);
        let answer = house.server.publish(&file);
        VideoId::parse(answer["video"].as_str().expect("an id")).expect("an id")
    };
    let (watched, doomed) = (publish("watched.mp4"), publish("doomed.mp4"));
    house.server.kill();
    Start { disk: house.layer.image(), watched, doomed, token: house.server.admin_token() }
}

fn either(random: &mut StdRng) -> Keep {
    if random.random() { Keep::Nothing } else { Keep::Some(Box::new(StdRng::seed_from_u64(random.random()))) }
}

fn some(random: &mut StdRng) -> Keep {
    Keep::Some(Box::new(StdRng::seed_from_u64(random.random())))
}

/// Tier: `make test`. invariants 1, 8 and 10: a power cut takes nothing that was acknowledged: neither parts nor videos, neither deletions
/// nor sessions nor the rows of released keys.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost() {
    let mut random = seeded("cuts the power at the same moments");
    let start = start();
    let operations = House::survives(&start, Moment::Last, Keep::Nothing).await;
    for moment in [
        Moment::Mark(MARKS.choose(&mut random).expect("a mark")),
        Moment::Operation(random.random_range(0..operations)),
        Moment::Operation(random.random_range(0..operations)),
    ] {
        House::survives(&start, moment, either(&mut random)).await;
    }
}

/// Tier: `make test-all`. As above, at every named moment and at thirty random ones, with either kind of cut.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn nothing_acknowledged_is_lost_at_any_moment() {
    let mut random = seeded("cuts the power at the same moments");
    let start = start();
    let operations = House::survives(&start, Moment::Last, some(&mut random)).await;
    for mark in MARKS {
        House::survives(&start, Moment::Mark(mark), Keep::Nothing).await;
        House::survives(&start, Moment::Mark(mark), some(&mut random)).await;
    }
    for _ in 0..15 {
        House::survives(&start, Moment::Operation(random.random_range(0..operations)), Keep::Nothing).await;
        House::survives(&start, Moment::Operation(random.random_range(0..operations)), some(&mut random)).await;
    }
}

/// Tier: `make test`. The first start may be cut short too: the next one finds nothing, or something whole.
#[test]
fn a_first_start_may_be_cut_short() {
    let mut random = seeded("cuts first starts at the same moments");
    let operations = first_start(None, Keep::Nothing);
    for _ in 0..4 {
        first_start(Some(random.random_range(0..operations)), either(&mut random));
    }
}

/// Tier: `make test-all`. As above, before each operation of the disk.
#[test]
#[ignore = "takes minutes"]
fn a_first_start_may_be_cut_short_anywhere() {
    let mut random = seeded("cuts first starts in the same way");
    for number in 0..first_start(None, Keep::Nothing) {
        first_start(Some(number), Keep::Nothing);
        first_start(Some(number), some(&mut random));
    }
}

/// Starts a server on an empty disk, cuts the power before operation `number`, and starts it again. Gives the operations of a whole start.
fn first_start(number: Option<i64>, mut keep: Keep) -> i64 {
    let mut server = Server::prepare(&SETTINGS);
    let mut layer = Layer::mount(&server.data(), Disk::new(0o700));
    server.spawn(&[]);
    if let Some(number) = number {
        layer.arm(server.pid(), number);
    }
    let token = server.wait_ready_or_killed().then(|| server.admin_token());
    let operations = layer.operations();
    server.kill();
    layer.cut(&mut keep);
    server.restart(&[]);
    if let Some(token) = token {
        assert_eq!(server.admin_token(), token, "it was open, so its token lasts");
    }
    assert!(server.cli(&["videos", "list"]).status.success(), "the token it has now is good");
    server.kill();
    println!("first start: cut at {number:?} of {operations}");
    drop(layer);
    operations
}
