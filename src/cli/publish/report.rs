//! What became of a file: a line of JSON for programs, a few words for people.

use super::Wait;
use crate::cli::client::answers::Video;
use crate::cli::failure::Failure;
use crate::cli::text::Visible;
use crate::domain::ids::VideoId;
use crate::domain::video::{Refusal, State};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::path::{Path, PathBuf};

/// What the client's own look or the beginning of the upload says of files that no other try will make a video.
const UNSENDABLE: &[&str] = &["empty-file", "file-too-large"];

/// When the client saw a file reach each stage, in milliseconds since its own start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Timings {
    pub(super) uploaded: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) playable: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ready: Option<u64>,
}

impl Timings {
    /// Notes what `video` has reached by `now_ms`; the first sight counts.
    pub(super) fn note(&mut self, video: &Video, now_ms: u64) {
        let is_ready = video.state == State::Ready;
        if is_ready || video.playable {
            self.playable.get_or_insert(now_ms);
        }
        if is_ready {
            self.ready.get_or_insert(now_ms);
        }
    }
}

/// What became of one file.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It can be watched.
    Published { video: VideoId, title: String, state: Wait, is_truncated: bool, playback_url: String, watch_url: String, timings: Timings },
    /// It cannot become a video; there is none if that was plain before a byte was sent.
    Refused { file: PathBuf, video: Option<VideoId>, refusal: Refusal },
    /// Something else went wrong, perhaps before there was a video.
    Failed { file: PathBuf, video: Option<VideoId>, code: String, message: String },
}

impl Outcome {
    /// A failure to publish `file`: its refusal when the file itself is at fault.
    pub(super) fn failed(file: &Path, video: Option<VideoId>, failure: &Failure) -> Self {
        let (file, code, message) = (file.to_owned(), failure.code().to_owned(), failure.message().to_owned());
        if UNSENDABLE.contains(&failure.code()) {
            return Self::Refused { file, video, refusal: Refusal { code, message } };
        }
        Self::Failed { file, video, code, message }
    }

    /// Whether the file was published.
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Self::Published { .. })
    }

    /// The text for standard output, or, as an error, for standard error.
    pub(super) fn for_people(&self) -> Result<String, String> {
        match self {
            Self::Published { title, is_truncated, playback_url, watch_url, .. } => {
                let note = if *is_truncated { "\n  note      the file was cut short; the video goes as far as it does" } else { "" };
                let (title, watch_url, playback_url) = (Visible(title), Visible(watch_url), Visible(playback_url));
                Ok(format!("{title}\n  watch     {watch_url}\n  playback  {playback_url}{note}"))
            }
            Self::Refused { file, refusal, .. } => Err(complaint(file, "refused: ", &refusal.message, &refusal.code)),
            Self::Failed { file, code, message, .. } => Err(complaint(file, "", message, code)),
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        match self {
            Self::Published { video, state, playback_url, watch_url, timings, .. } => {
                line.serialize_entry("video", video)?;
                line.serialize_entry("state", word(*state))?;
                line.serialize_entry("playback_url", playback_url)?;
                line.serialize_entry("watch_url", watch_url)?;
                line.serialize_entry("timings_ms", timings)?;
            }
            Self::Refused { video, refusal, .. } => {
                line.serialize_entry("video", video)?;
                line.serialize_entry("state", "refused")?;
                line.serialize_entry("code", &refusal.code)?;
                line.serialize_entry("message", &refusal.message)?;
            }
            Self::Failed { video, code, message, .. } => {
                line.serialize_entry("video", video)?;
                line.serialize_entry("state", "failed")?;
                line.serialize_entry("code", code)?;
                line.serialize_entry("message", message)?;
            }
        }
        line.end()
    }
}

fn word(state: Wait) -> &'static str {
    match state {
        Wait::Playable => "playable",
        Wait::Ready => "ready",
    }
}

fn complaint(file: &Path, verdict: &str, message: &str, code: &str) -> String {
    format!("theatrum: {}: {verdict}{} ({})", Visible(&file.to_string_lossy()), Visible(message), Visible(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video() -> VideoId {
        VideoId::parse("0123456789abcdef0123456789abcdef").expect("32 digits")
    }

    fn published(state: Wait, ready: Option<u64>) -> Outcome {
        let timings = Timings { uploaded: 1, playable: Some(2), ready };
        Outcome::Published {
            video: video(),
            title: "Teil\u{1b}[1m 2".into(),
            state,
            is_truncated: false,
            playback_url: "http://h/t/x/master.m3u8".into(),
            watch_url: "http://h/watch/x".into(),
            timings,
        }
    }

    #[test]
    fn json_lines_are_the_contract() {
        let line = |outcome: &Outcome| serde_json::to_string(outcome).expect("serializable");
        insta::assert_snapshot!(line(&published(Wait::Ready, Some(3))), @r#"{"video":"0123456789abcdef0123456789abcdef","state":"ready","playback_url":"http://h/t/x/master.m3u8","watch_url":"http://h/watch/x","timings_ms":{"uploaded":1,"playable":2,"ready":3}}"#);
        insta::assert_snapshot!(line(&published(Wait::Playable, None)), @r#"{"video":"0123456789abcdef0123456789abcdef","state":"playable","playback_url":"http://h/t/x/master.m3u8","watch_url":"http://h/watch/x","timings_ms":{"uploaded":1,"playable":2}}"#);
        let refusal = Refusal { code: "no-picture".into(), message: "this file holds no picture".into() };
        let refused = Outcome::Refused { file: "a.mp4".into(), video: Some(video()), refusal };
        insta::assert_snapshot!(line(&refused), @r#"{"video":"0123456789abcdef0123456789abcdef","state":"refused","code":"no-picture","message":"this file holds no picture"}"#);
        let failed = Outcome::failed(Path::new("a.mp4"), None, &Failure::new("no-such-file", "there is no\nfile"));
        insta::assert_snapshot!(line(&failed), @r#"{"video":null,"state":"failed","code":"no-such-file","message":"there is no\nfile"}"#);
        let empty = Outcome::failed(Path::new("a.mp4"), None, &Failure::new("empty-file", "a.mp4 is empty"));
        insta::assert_snapshot!(line(&empty), @r#"{"video":null,"state":"refused","code":"empty-file","message":"a.mp4 is empty"}"#);
    }

    #[test]
    fn people_read_title_and_urls() {
        insta::assert_snapshot!(published(Wait::Ready, Some(3)).for_people().expect("published"), @r"
        Teil\u{1b}[1m 2
          watch     http://h/watch/x
          playback  http://h/t/x/master.m3u8
        ");
        let failed = Outcome::failed(Path::new("a\r.mp4"), None, &Failure::new("empty-file", "it is empty"));
        assert_eq!(failed.for_people(), Err("theatrum: a\\r.mp4: refused: it is empty (empty-file)".to_owned()));
    }
}
