//! Dead letters: a job that used up its attempts is kept with its cause, and runs again when it is told to.

use crate::support::clips::clip;
use crate::support::publishing::{Publishing, assert_published_once};
use crate::support::server::Server;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use theatrum::domain::ids::VideoId;

/// Too little for ffmpeg to be loaded.
const TOO_LITTLE_MEMORY: (&str, &str) = ("THEATRUM_PROCESSING__MEMORY_BYTES", "30000000");

/// Tier: `make test`. invariant 4: every job ends: five failures make a dead letter, with what ffmpeg said; redriven, it ends well, and the
/// video is published once.
#[tokio::test]
async fn a_job_dies_of_its_cause_and_is_redriven() {
    let mut server = Server::prepare(&[]);
    let file = clip(server.scratch(), "clip.mp4");
    server.restart(&[("THEATRUM_FAILPOINT", "encode")]);
    let publishing = Publishing::begin(&server, &file);
    server.wait_killed(Duration::from_secs(60));
    server.restart(&[TOO_LITTLE_MEMORY]);
    let answer = publishing.answer(&server);
    assert_eq!(answer["state"], "failed", "{answer}");
    let mut letters = until_all_ended(&server).await;
    // The poster first: the video could do without it.
    letters.sort_by_key(|letter| letter["kind"] != "stills");
    let mut kinds: Vec<&str> = letters.iter().map(|letter| letter["kind"].as_str().expect("a kind")).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, ["audio", "encode", "stills"]);
    for letter in &letters {
        let shown = json_of(&server, &["dead", "show", id(letter), "--json"]);
        assert_eq!((&shown["attempts"], &shown["video"]), (&json!(5), &answer["video"]));
        let cause = shown["cause"].as_str().expect("a cause");
        assert!(cause.contains("ffmpeg could not run here"), "{cause}");
        assert!(!shown["stderr_tail"].as_str().expect("ffmpeg's last words").is_empty());
    }

    server.restart(&[]);
    let path = format!("/v1/videos/{}", answer["video"].as_str().expect("an id"));
    let (last, first) = letters.split_last().expect("letters");
    for letter in first {
        assert_eq!(json_of(&server, &["dead", "redrive", id(letter), "--json"])["state"], "queued");
        assert_eq!(server.get(&path).await["state"], "failed", "something is still missing");
    }
    let left = until_all_ended(&server).await;
    assert_eq!(left.iter().map(id).collect::<Vec<_>>(), [id(last)]);
    assert_eq!(server.get(&path).await["state"], "failed", "and will be until it is redriven");
    assert_eq!(json_of(&server, &["dead", "redrive", id(last), "--json"])["state"], "queued");
    let begun = Instant::now();
    while server.get(&path).await["state"] != "ready" {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await; // tidy: polling
    }
    assert_eq!(until_all_ended(&server).await, [json!(null); 0]);
    assert_eq!(server.get(&path).await["has_poster"], true);
    let (catalog, video) = (server.catalog().await, VideoId::parse(answer["video"].as_str().expect("an id")).expect("an id"));
    let events = catalog.events(&video).await.expect("events");
    let count = |kind: &str| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!((count("video.ready"), count("video.refused"), count("job.dead")), (1, 0, letters.len()));
}

/// Tier: `make test`. invariant 4: every job ends: one that panics has failed, is tried again, and takes no slot of the worker with it.
#[tokio::test]
async fn a_job_that_panics_is_tried_again() {
    // One slot, and one for light jobs: panics that took them along would leave none for the third attempt.
    let server = Server::start_with(&[("THEATRUM_PROCESSING__SLOTS", "1"), ("THEATRUM_PANICPOINT", "probe:3")]);
    let file = clip(server.scratch(), "clip.mp4");
    let video = Publishing::begin(&server, &file).plays(&server);
    assert_published_once(&server.catalog().await, &video).await;
    assert_eq!(server.log().matches("the job panicked").count(), 3, "{}", server.log());
}

fn id(letter: &Value) -> &str {
    letter["job"].as_str().expect("an id")
}

/// Waits until no job waits or runs; gives the dead letters.
async fn until_all_ended(server: &Server) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let jobs = server.get("/v1/jobs").await;
        let ended = |job: &Value| job["state"] == "done" || job["state"] == "dead";
        if jobs["jobs"].as_array().expect("jobs").iter().all(ended) {
            return json_of(server, &["dead", "list", "--json"])["dead"].as_array().expect("letters").clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{jobs}");
        tokio::time::sleep(Duration::from_millis(50)).await; // tidy: polling
    }
}

fn json_of(server: &Server, args: &[&str]) -> Value {
    let output = server.cli(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("json")
}
