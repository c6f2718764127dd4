//! `theatrum publish` running beside the test, and what must hold once it has ended.

use super::clips::{PICTURES, clip, play};
use super::server::Server;
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use theatrum::catalog::Catalog;
use theatrum::catalog::jobs::Listing;
use theatrum::domain::ids::VideoId;
use theatrum::domain::job::{Kind, State};

const LONGEST: Duration = Duration::from_secs(120);

/// A command line that publishes one file; killed with its owner.
pub struct Publishing(Child);

impl Publishing {
    /// Starts `theatrum publish --json FILE` against `server`, which it waits for when that goes away.
    pub fn begin(server: &Server, file: &Path) -> Self {
        Self::spawn(server, file, &[], Stdio::null())
    }

    /// The same with these options besides.
    pub fn with(server: &Server, file: &Path, options: &[&str]) -> Self {
        Self::spawn(server, file, options, Stdio::null())
    }

    /// As [`Publishing::begin`], with what it tells people written to `stderr`.
    pub fn begin_heard(server: &Server, file: &Path, stderr: impl Into<Stdio>) -> Self {
        Self::spawn(server, file, &[], stderr)
    }

    fn spawn(server: &Server, file: &Path, options: &[&str], stderr: impl Into<Stdio>) -> Self {
        let mut command = server.command(&["publish", "--json"]);
        command.args(options).arg(file).stdout(Stdio::piped()).stderr(stderr);
        Self(command.spawn().expect("the command line starts"))
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits for its end; gives the line it printed.
    pub fn answer(mut self, server: &Server) -> Value {
        let begun = Instant::now();
        while self.0.try_wait().expect("a child to ask").is_none() {
            assert!(begun.elapsed() < LONGEST, "publishing did not end:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(10)); // tidy: polling
        }
        let mut line = String::new();
        self.0.stdout.take().expect("piped").read_to_string(&mut line).expect("text");
        serde_json::from_str(line.trim()).unwrap_or_else(|error| panic!("{error}: {line:?}\n{}", server.log()))
    }

    /// Waits for its end, which must be a [`clip`](super::clips::clip) that plays; gives the video.
    pub fn plays(self, server: &Server) -> VideoId {
        let answer = self.answer(server);
        played(server, &answer)
    }

    /// As [`Self::plays`]. One that no life of the server was long enough for gave up before anything was begun: then `file` is published
    /// anew, as its owner would.
    pub fn plays_at_last(self, server: &Server, file: &Path) -> VideoId {
        let answer = self.answer(server);
        let was_never_heard = answer["code"] == "unreachable" && answer["video"].is_null();
        if was_never_heard { Self::begin(server, file).plays(server) } else { played(server, &answer) }
    }
}

/// Publishes a [`clip`] of this name, which must become ready; gives the video.
pub fn publish_clip(server: &Server, name: &str) -> VideoId {
    let answer = server.publish(&clip(server.scratch(), name));
    assert_eq!(answer["state"], "ready", "{answer}\n{}", server.log());
    VideoId::parse(answer["video"].as_str().expect("an id")).expect("an id")
}

/// Plays what was published to its end.
fn played(server: &Server, answer: &Value) -> VideoId {
    assert_eq!(answer["state"], "ready", "{answer}\n{}", server.log());
    // The URL may be from an earlier life, when another port was free; its token is good for all of them.
    let (_, path) = answer["playback_url"].as_str().and_then(|url| url.split_once("/t/")).expect("a url");
    assert_eq!(play(&format!("{}/t/{path}", server.url())), PICTURES);
    VideoId::parse(answer["video"].as_str().expect("an id")).expect("an id")
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A published video has each event once, one publication in the audit log, and no job that is not done.
pub async fn assert_published_once(catalog: &Catalog, video: &VideoId) {
    let events = catalog.events(video).await.expect("events");
    let mut kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["upload.finished", "video.playable", "video.ready"]);
    let entries = catalog.audit_entries(Some(video.as_str()), 1_000).await.expect("entries");
    assert_eq!(entries.iter().filter(|entry| entry.action == "publish").count(), 1, "{entries:?}");
    let jobs = catalog.jobs(&Listing { video: Some(video.clone()), ..Listing::default() }).await.expect("jobs");
    assert!(jobs.iter().all(|job| job.state == State::Done), "{jobs:?}");
    assert_eq!(jobs.iter().filter(|job| job.kind == Kind::Publish).count(), 1, "{jobs:?}");
}
