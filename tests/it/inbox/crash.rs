//! The server is killed while an object comes in: what was acknowledged becomes a video, once; what was not leaves nothing.

use crate::support::clips::clip;
use crate::support::orphans::files;
use crate::support::publishing::assert_published_once;
use crate::support::s3::{Access, Program, arrived, noise, videos};
use crate::support::server::Server;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use theatrum::catalog::Catalog;
use theatrum::domain::video::State;

const SOON: Duration = Duration::from_secs(60);

/// One test for each place where the process may die, by whether the object has come in by then.
macro_rules! killed_at {
    ($($(#[$doc:meta])* $test:ident: $point:literal $operation:literal $came_in:literal,)+) => {
        $($(#[$doc])* #[tokio::test] async fn $test() { survives_a_kill_at($point, $operation, $came_in).await; })+
    };
}

killed_at! {
    /// Tier: `make test`. invariant 1: the row is the truth: the bytes are on the disk, but no row says so.
    an_object_is_stored: "inbox-stored" "put" false,
    /// Tier: `make test`. invariant 1: the row is the truth: a part without its video is nobody's.
    an_object_is_recorded: "inbox-recorded" "put" false,
    /// Tier: `make test`. invariant 1: the row is the truth: the client missed the answer, and the video is there, once.
    an_object_came_in: "inbox-completed" "put" true,
    /// Tier: `make test`. invariant 1: as above, for a part of an object; its client gives it up.
    a_part_is_stored: "inbox-part-stored:2" "multipart" false,
    /// Tier: `make test`. invariant 1: the row is the truth: the client missed the answer, and the video is there, once.
    parts_came_in: "inbox-completed" "multipart" true,
}

async fn survives_a_kill_at(point: &str, operation: &str, came_in: bool) {
    let mut server = Server::prepare(&[("THEATRUM_UPLOADS__LIFETIME", "60s")]);
    let file = if operation == "put" { clip(server.scratch(), "clip.mp4") } else { noise(server.scratch(), "clip.mp4", 11 << 20) };
    server.restart(&[("THEATRUM_FAILPOINT", point)]);
    let access = server.access("ada", "");
    let mut client = send(&access, operation, &file);
    server.wait_killed(SOON);
    assert!(!client.wait().expect("ends").success(), "nobody told it that the object came in");
    server.restart(&[]);
    let catalog = server.catalog().await;
    if came_in && operation == "put" {
        becomes_ready(&server, &catalog).await;
    } else if came_in {
        arrived(&catalog, None, "clip").await;
    } else {
        leaves_nothing(&server, &catalog).await;
    }
    assert_eq!(videos(&catalog).await.len(), usize::from(came_in));
}

/// Sends the file by one call, which is not repeated.
fn send(access: &Access, operation: &str, file: &Path) -> Child {
    let mut command = access.command(Program::Boto3);
    command.args([operation, file.to_str().expect("utf-8"), "clip.mp4"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("boto3 is installed")
}

async fn becomes_ready(server: &Server, catalog: &Catalog) {
    let begun = Instant::now();
    loop {
        let video = arrived(catalog, None, "clip").await;
        if video.state == State::Ready {
            return assert_published_once(catalog, &video.id).await;
        }
        assert!(begun.elapsed() < SOON, "the video is {:?}:\n{}", video.state, server.log());
        tokio::time::sleep(Duration::from_millis(50)).await; // tidy: polling
    }
}

/// The upload's time is ended here rather than waited for; the next life of the server, which looks at once, drops it with its bytes.
async fn leaves_nothing(server: &Server, catalog: &Catalog) {
    let ended = "UPDATE uploads SET expires_at = 0 WHERE state = 'open'";
    let mut rows = server.rows().await;
    sqlx::query(ended).execute(&mut rows).await.expect("rows");
    let begun = Instant::now();
    while !files(server).is_empty() || !catalog.overdue_uploads(1).await.expect("uploads").is_empty() {
        assert!(begun.elapsed() < SOON, "an object that did not come in left {:?}:\n{}", files(server), server.log());
        tokio::time::sleep(Duration::from_millis(50)).await; // tidy: polling
    }
}

/// Tier: `make test`. invariant 3: published once: a client that repeats a call whose answer it missed does not send a second video.
#[tokio::test]
async fn a_repeated_call_is_the_same_object() {
    let mut server = Server::start();
    let file = noise(server.scratch(), "clip.mp4", 10_000);
    let access = server.access("ada", "");
    let bytes = std::fs::read(&file).expect("reads");
    let catalog = server.catalog().await;
    for (invocation, count) in [("one", 1), ("one", 1), ("two", 2)] {
        super::signed::put(&access, "clip.mp4", &bytes, &[("amz-sdk-invocation-id", invocation)]).await.expect("taken");
        assert_eq!(videos(&catalog).await.len(), count, "{invocation}");
    }
    server.kill();
}
