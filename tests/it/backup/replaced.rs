//! A video is replaced while it is backed up, and its old blobs go before they could be copied.

use super::drill::{Drill, answer, assert_digests, lose_everything};
use crate::support::clips::{film, play};
use crate::support::publishing::{Publishing, publish_clip};
use crate::support::server::Server;
use crate::support::waiting::{wait_for, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::process::{Child, Output};
use theatrum::domain::ids::VideoId;

/// Pictures of what replaces.
const OTHERS: usize = 25;

/// A backup that stops so often just after it has read the rows; each time `video` is replaced, and what it was before is purged.
async fn outrun(server: &Server, drill: &Drill, video: &VideoId, stops: usize) -> Output {
    let point = format!("backup-rows:{stops}");
    let backup = drill.command(server, "backup", &[]).env("THEATRUM_STOPPOINT", point).spawn().expect("it starts");
    for _ in 0..stops {
        wait_until(server, "the backup stops", || is_stopped(&backup));
        replace(server, video).await;
        kill_process(Pid::from_child(&backup), Signal::CONT).expect("it is there");
    }
    backup.wait_with_output().expect("it ends")
}

fn is_stopped(process: &Child) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("it is there");
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

async fn replace(server: &Server, video: &VideoId) {
    let file = film(server.scratch(), "other.mp4", "testsrc=s=256x144:r=25:d=1", 1);
    let answer = Publishing::with(server, &file, &["--replace", video.as_str()]).answer(server);
    assert_eq!(answer["state"], "ready", "{answer}");
    sqlx::query("UPDATE playback_sessions SET expires_at = 1").execute(&mut server.rows().await).await.expect("ended");
    let catalog = server.catalog().await;
    wait_for(server, "what plays no more is purged", async || {
        let left = "SELECT 1 AS one FROM versions WHERE purge_at IS NOT NULL UNION SELECT 1 FROM sources WHERE purge_at IS NOT NULL";
        catalog.fetch_optional(left, Vec::new()).await.expect("rows").is_none().then_some(())
    })
    .await;
    catalog.close().await;
}

/// Tier: `make test`. The snapshot holds the video as it is when the backup ends. invariant 10: if it was replaced too often for that, what is missing is named, by the
/// backup and by whoever would restore it; the next backup is whole again.
#[tokio::test]
async fn a_video_that_is_replaced_meanwhile_plays_when_it_is_restored() {
    let mut server = Server::start_with(&[("THEATRUM_PLAYBACK__KEEP_SUPERSEDED", "0")]);
    let drill = Drill::folder(&server);
    let video = publish_clip(&server, "Replaced.mp4");
    let hopeless = outrun(&server, &drill, &video, 4).await;
    let said = String::from_utf8_lossy(&hopeless.stderr);
    assert_eq!(hopeless.status.code(), Some(1), "{said}");
    assert!(said.contains("it was replaced while the backup ran") && said.contains("Replaced"), "{said}");
    let said = drill.refused(&server, "restore", &["--verify-only"]);
    assert!(said.contains(video.as_str()) && said.contains(".m4s"), "{said}");

    answer(outrun(&server, &drill, &video, 1).await);
    lose_everything(&mut server);
    assert_eq!(drill.done(&server, "restore", &[])["damaged"], serde_json::json!([]));
    server.restart(&[]);
    assert!(assert_digests(&server.catalog().await, &server.data(), &video).await >= 2);
    assert_eq!(play(&server.playback_url(&video).await), OTHERS);
}
