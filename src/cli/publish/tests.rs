//! Uploads against a server that misbehaves: what arrives, what is sent twice, what the caller is told.

mod fake;

use super::progress::Board;
use super::report::Outcome;
use super::{About, Client, Connection, Run, Wait};
use fake::{Fake, Fault, PART_BYTES};
use serde_json::{Value, json};
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

const PARTS: usize = 7;

/// A data folder, a state folder and a source of seven parts, the last a short one.
struct Bench {
    folder: tempfile::TempDir,
    content: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::create_dir(folder.path().join("data")).expect("folder");
        let content: Vec<u8> = (0..PART_BYTES * PARTS - 300).map(|index| (index / 7 % 251) as u8).collect();
        std::fs::write(folder.path().join("lecture.mp4"), &content).expect("written");
        Self { folder, content }
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("lecture.mp4")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn states(&self) -> PathBuf {
        self.folder.path().join("states")
    }

    fn run(&self, wait: Wait) -> Run {
        let client = Client::new(Connection::Local { data: self.data(), ca_file: None });
        Run::new(client, Board::silent(), About::default(), wait, Some(self.states()))
    }

    /// Publishes the source and gives the line of JSON.
    async fn publish(&self) -> Value {
        line(&self.run(Wait::Ready).publish(&self.source(), &CancellationToken::new()).await)
    }

    /// Publishes the source until the server has taken `parts` parts, then interrupts.
    async fn publish_until(&self, fake: &Fake, parts: usize) -> Value {
        fake.hold_after(parts);
        let interrupt = CancellationToken::new();
        let cancel = async {
            fake.reached(parts).await;
            interrupt.cancel();
        };
        let run = self.run(Wait::Ready);
        let source = self.source();
        let (outcome, ()) = tokio::join!(run.publish(&source, &interrupt), cancel);
        fake.release();
        line(&outcome)
    }

    fn states_left(&self) -> usize {
        std::fs::read_dir(self.states()).map_or(0, Iterator::count)
    }
}

fn line(outcome: &Outcome) -> Value {
    serde_json::to_value(outcome).expect("serializable")
}

#[tokio::test]
async fn a_file_arrives_whole_and_its_line_is_the_contract() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.data()).await;
    let line = bench.publish().await;
    assert_eq!(line["state"], "ready", "{line}");
    assert_eq!(line["video"], fake.video().as_str());
    assert!(line["playback_url"].as_str().expect("text").ends_with("/t/token/master.m3u8"), "{line}");
    assert!(line["watch_url"].as_str().expect("text").starts_with("http://"), "{line}");
    let at = |stage: &str| line["timings_ms"][stage].as_u64().expect(stage);
    assert!(at("uploaded") <= at("playable") && at("playable") <= at("ready"), "{line}");
    assert_eq!(fake.content(), bench.content);
    assert_eq!(fake.puts(), (1..=PARTS as u32).collect::<Vec<_>>());
    assert_eq!(bench.states_left(), 0);
}

#[tokio::test]
async fn every_way_a_part_can_fail_is_survived() {
    for fault in [Fault::ExpiredUrl, Fault::WrongDigest, Fault::CutConnection, Fault::NobodyThere, Fault::Busy] {
        let bench = Bench::new();
        let fake = Fake::start(&bench.data()).await;
        fake.fail_next(&[fault, fault, fault]);
        let line = bench.publish().await;
        assert_eq!(line["state"], "ready", "{fault:?}: {line}");
        assert_eq!(fake.content(), bench.content, "{fault:?}");
    }
}

#[tokio::test]
async fn a_part_whose_answer_was_lost_is_not_sent_again() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.data()).await;
    fake.fail_next(&[Fault::LostAnswer, Fault::LostAnswer]);
    assert_eq!(bench.publish().await["state"], "ready");
    assert_eq!(fake.puts(), (1..=PARTS as u32).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_part_that_is_damaged_on_its_way_is_sent_until_it_arrives() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.data()).await;
    // One of the parts that are sent at once meets them more often than a refusal is doubted.
    fake.fail_next(&[Fault::WrongDigest; 5 * super::PARTS_AT_ONCE + 1]);
    let line = bench.publish().await;
    assert_eq!(line["state"], "ready", "{line}");
    assert_eq!(fake.content(), bench.content);
}

#[tokio::test]
async fn a_storage_that_always_refuses_is_believed() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.data()).await;
    fake.fail_next(&[Fault::ExpiredUrl; 200]);
    let line = bench.publish().await;
    assert_eq!((&line["state"], &line["code"]), (&json!("failed"), &json!("AccessDenied")), "{line}");
    assert_eq!(line["video"], fake.video().as_str());
    assert_eq!(bench.states_left(), 1, "the parts that arrived are kept for another run");
}

#[tokio::test]
async fn a_second_run_sends_only_what_is_missing() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.data()).await;
    let line = bench.publish_until(&fake, 3).await;
    assert_eq!((&line["state"], &line["code"]), (&json!("failed"), &json!("interrupted")), "{line}");
    let there = fake.received();
    assert!(there.len() >= 3 && there.len() < PARTS, "{there:?}");
    fake.forget_puts();
    assert_eq!(bench.publish().await["state"], "ready");
    let missing: Vec<u32> = (1..=PARTS as u32).filter(|number| !there.contains(number)).collect();
    assert_eq!(fake.puts(), missing);
    assert_eq!((fake.content(), fake.uploads_begun()), (bench.content.clone(), 1));
}

#[tokio::test]
async fn a_part_received_with_other_content_is_sent_again() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.data()).await;
    bench.publish_until(&fake, 3).await;
    let damaged = fake.received()[0];
    fake.damage(damaged);
    fake.forget_puts();
    assert_eq!(bench.publish().await["state"], "ready");
    assert!(fake.puts().contains(&damaged));
    assert_eq!(fake.content(), bench.content);
}

#[tokio::test]
async fn an_upload_that_is_over_starts_anew() {
    for state in ["expired", "aborted", "unknown"] {
        let bench = Bench::new();
        let fake = Fake::start(&bench.data()).await;
        bench.publish_until(&fake, 2).await;
        fake.end_upload(state);
        assert_eq!(bench.publish().await["state"], "ready", "{state}");
        assert_eq!((fake.content(), fake.uploads_begun()), (bench.content.clone(), 2), "{state}");
    }
}

#[tokio::test]
async fn a_finished_upload_is_only_followed() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.data()).await;
    fake.script_events(&[&[]]);
    let interrupt = CancellationToken::new();
    let run = bench.run(Wait::Ready);
    let source = bench.source();
    let cancel = async {
        fake.finished().await;
        interrupt.cancel();
    };
    let (outcome, ()) = tokio::join!(run.publish(&source, &interrupt), cancel);
    assert_eq!(line(&outcome)["code"], "interrupted");
    fake.forget_puts();
    assert_eq!(bench.publish().await["state"], "ready");
    assert_eq!((fake.puts(), fake.uploads_begun()), (vec![], 1));
}

#[tokio::test]
async fn a_server_that_comes_back_elsewhere_is_found_in_the_middle_of_an_upload() {
    let bench = Bench::new();
    let mut fake = Fake::start(&bench.data()).await;
    fake.hold_after(2);
    let run = bench.run(Wait::Ready);
    let (source, never) = (bench.source(), CancellationToken::new());
    let restart = async {
        fake.reached(2).await;
        fake.restart(&bench.data()).await;
    };
    let (outcome, ()) = tokio::join!(run.publish(&source, &never), restart);
    assert_eq!(line(&outcome)["state"], "ready");
    assert_eq!((fake.content(), fake.uploads_begun()), (bench.content.clone(), 1));
}

#[tokio::test]
async fn lost_parts_are_sent_again_before_finishing() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.data()).await;
    fake.lose_before_finish(&[2, 5]);
    assert_eq!(bench.publish().await["state"], "ready");
    assert_eq!(fake.content(), bench.content);
}

#[tokio::test]
async fn a_broken_event_stream_is_opened_again() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.data()).await;
    fake.script_events(&[&["queued"], &["encoding"], &["encoding", "ready"]]);
    assert_eq!(bench.publish().await["state"], "ready");
}

#[tokio::test]
async fn playable_is_enough_when_asked_for() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.data()).await;
    fake.script_events(&[&["queued", "playable"]]);
    let line = line(&bench.run(Wait::Playable).publish(&bench.source(), &CancellationToken::new()).await);
    assert_eq!((&line["state"], line["timings_ms"].get("ready")), (&json!("playable"), None), "{line}");
}

#[tokio::test]
async fn refused_failed_and_deleted_videos_are_told_apart() {
    for (end, state, code) in
        [("refused", "refused", "no-picture"), ("failed", "failed", "processing-failed"), ("removed", "failed", "deleted")]
    {
        let bench = Bench::new();
        let fake = Fake::start(&bench.data()).await;
        fake.script_events(&[&["queued", end]]);
        let line = bench.publish().await;
        assert_eq!((&line["state"], &line["code"]), (&json!(state), &json!(code)), "{line}");
        assert_eq!(line["video"], fake.video().as_str());
        assert_eq!(bench.states_left(), 0, "nothing is left to resume");
    }
}

#[tokio::test]
async fn a_file_that_changes_under_way_is_refused_and_its_upload_aborted() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.data()).await;
    fake.hold_after(2);
    let run = bench.run(Wait::Ready);
    let (source, never) = (bench.source(), CancellationToken::new());
    let change = async {
        fake.reached(2).await;
        std::fs::write(&source, b"something else").expect("written");
        fake.release();
    };
    let (outcome, ()) = tokio::join!(run.publish(&source, &never), change);
    assert_eq!(line(&outcome)["code"], "file-changed");
    assert_eq!((fake.upload_state(), bench.states_left()), ("aborted".to_owned(), 0));
}

#[tokio::test]
async fn without_a_server_nothing_is_begun() {
    let bench = Bench::new();
    let line = bench.publish().await;
    assert_eq!((&line["video"], &line["state"], &line["code"]), (&Value::Null, &json!("failed"), &json!("no-server")), "{line}");
    assert_eq!(bench.states_left(), 0);
}
