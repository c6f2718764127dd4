//! Jobs: durable units of work, their leases, and how failures are retried.

use super::ids::{JobId, SourceId, VersionId, VideoId};
use super::replacement::Trim;
use super::video::RenditionName;
use super::{Error, Result};
use serde::{Deserialize, Serialize};

/// The form of today's payloads; a worker that meets a newer one leaves the job alone.
pub const PAYLOAD_VERSION: i64 = 2;
/// Failures after which a job is a dead letter.
pub const MAX_FAILURES: i64 = 5;
/// Claims after which a job is a dead letter even if no worker lived to report a failure.
pub const MAX_CLAIMS: i64 = 50;
const FIRST_BACKOFF_MS: i64 = 1_000;
const LONGEST_BACKOFF_MS: i64 = 300_000;

/// An enum whose variants have a word each, in the catalog and in the API.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word in the catalog and the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Reads the word back; an unknown one is `Invalid`.
            pub fn parse(word: &str) -> Result<Self> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Error::invalid("unknown-word", format!("{word:?} is none of: {}", [$($word),+].join(", ")))),
                }
            }
        }
    };
}

pub(super) use words;

words! {
    /// What a job does.
    Kind {
        /// Examines a source and plans its version.
        Probe = "probe",
        /// Encodes one chunk in all renditions.
        Encode = "encode",
        /// Copies the source's own picture as the top rendition.
        Copy = "copy",
        /// Encodes the audio, whole.
        Audio = "audio",
        /// Makes the poster.
        Stills = "stills",
        /// Writes the playlists and publishes.
        Publish = "publish",
    }
}

impl Kind {
    /// Whether a video is published without what this job makes (invariant 5: degrade before failing). Such a job counts as settled
    /// when it dies.
    pub fn is_optional(self) -> bool {
        self == Self::Stills
    }
}

words! {
    /// Where a job stands.
    State {
        /// Waits for `run_at` and a worker.
        Queued = "queued",
        /// Leased by a worker.
        Running = "running",
        /// Its change is in the catalog.
        Done = "done",
        /// Used up its attempts, or failed for good: a dead letter.
        Dead = "dead",
        /// Its video needs it no more.
        Cancelled = "cancelled",
    }
}

/// A job's row.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: Kind,
    /// JSON, in the form of [`PAYLOAD_VERSION`].
    pub payload: String,
    /// Its video.
    pub video: VideoId,
    /// The version it works for, once planned.
    pub version: Option<VersionId>,
    /// Where it stands.
    pub state: State,
    /// Raised by every claim; a lower one is fenced off.
    pub epoch: i64,
    /// Failures reported so far.
    pub failures: i64,
    /// Percent done, 0 to 100.
    pub progress_percent: i64,
    /// When it may run, epoch milliseconds.
    pub run_at: i64,
    /// When its lease ends, epoch milliseconds.
    pub lease_until: Option<i64>,
    /// When it was made, epoch milliseconds.
    pub created_at: i64,
    /// When it ended, epoch milliseconds.
    pub finished_at: Option<i64>,
    /// The last failure, for operators.
    pub last_error: Option<String>,
    /// The end of ffmpeg's standard error at the last failure.
    pub stderr_tail: Option<String>,
}

/// A job to insert.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// What it does.
    pub kind: Kind,
    /// JSON.
    pub payload: String,
    /// Its video.
    pub video: VideoId,
    /// The version it works for, once planned.
    pub version: Option<VersionId>,
    /// Lower runs first.
    pub priority: i64,
    /// Its share of the video's work, for the percentage.
    pub weight: i64,
}

/// The payload of a probe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProbePayload {
    /// The source to examine.
    pub source: SourceId,
    /// What of it is shown; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trim: Option<Trim>,
}

/// The payload of an encode.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EncodePayload {
    /// The chunk's number in the plan.
    pub chunk: u32,
    /// Only these renditions; empty: all that are encoded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<RenditionName>,
    /// Whether it is other jobs that tell how many pictures of the chunk decode.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
}

/// The longest pause before attempt `failures + 1`; the real one is uniform in `0..=` this ("full jitter").
pub fn backoff_ceiling_ms(failures: i64) -> i64 {
    let doublings = failures.clamp(1, 16) - 1;
    (FIRST_BACKOFF_MS << doublings).min(LONGEST_BACKOFF_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_five_minutes() {
        let ceilings: Vec<i64> = [0, 1, 2, 3, 9, 10, 1000].into_iter().map(backoff_ceiling_ms).collect();
        assert_eq!(ceilings, [1_000, 1_000, 2_000, 4_000, 256_000, 300_000, 300_000]);
    }

    #[test]
    fn words_survive_the_catalog() {
        for state in [State::Queued, State::Running, State::Done, State::Dead, State::Cancelled] {
            assert_eq!(State::parse(state.as_str()).expect("own word"), state);
        }
        assert!(Kind::parse("mine-bitcoin").is_err());
    }
}
