//! Videos: their states, their renditions by name, and what a refusal tells a professor.

use super::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Where a video stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its current version is being made.
    Processing,
    /// Published; viewers may watch it.
    Ready,
    /// Its source cannot become a video; see [`Refusal`].
    Refused,
    /// A job died; its dead letter can be redriven.
    Failed,
    /// Deleted; only its audit trail remains.
    Deleted,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Processing, Self::Ready, Self::Refused, Self::Failed, Self::Deleted];

    /// The word in the catalog and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
        }
    }

    /// Reads a word that someone asks by; an unknown one is `Invalid`.
    pub fn parse_asked(word: &str) -> Result<Self> {
        let words = || Self::ALL.map(Self::as_str).join(", ");
        let unknown = || Error::invalid("unknown-word", format!("{word:?} is none of: {}", words()));
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(unknown)
    }

    /// Reads the catalog's word.
    pub fn parse(word: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| Error::internal("the catalog holds an unknown video state", word))
    }
}

/// What a version's processing is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Its probe waits for a worker.
    Queued,
    /// Its source is being examined.
    Probing,
    /// Its chunks are being encoded.
    Encoding,
    /// Its playlists are being written.
    Publishing,
    /// Nothing is left to do.
    Done,
}

/// Why a source is not published, in words for its author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable kebab-case code.
    pub code: String,
    /// One sentence a professor understands.
    pub message: String,
}

/// The name of a rendition: `360p` … `2160p`, or `audio`. Safe in paths and URLs by construction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RenditionName(String);

impl RenditionName {
    /// Reads a name; anything but 1 to 16 of `a-z` and `0-9` is `Invalid`.
    pub fn parse(text: &str) -> Result<Self> {
        let fits = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        if fits { Ok(Self(text.to_owned())) } else { Err(Error::invalid("malformed-rendition", "this is no rendition name")) }
    }

    /// The name of the audio rendition.
    pub fn audio() -> Self {
        Self("audio".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for RenditionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for RenditionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A video's row.
#[derive(Clone, Debug)]
pub struct Video {
    /// Its id.
    pub id: super::ids::VideoId,
    /// The subject who uploaded it.
    pub owner: String,
    /// What people call it.
    pub title: String,
    /// The collection it is in.
    pub collection: Option<super::collection::Name>,
    /// Where it stands.
    pub state: State,
    /// What its processing is busy with.
    pub stage: Stage,
    /// How much of the processing is done, 0 to 100; never falls.
    pub percent: i64,
    /// The version that plays, or is being made.
    pub version: Option<super::ids::VersionId>,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Epoch milliseconds.
    pub playable_at: Option<i64>,
    /// Epoch milliseconds.
    pub ready_at: Option<i64>,
    /// The length of its timeline.
    pub duration_ms: Option<i64>,
    /// Of its largest rendition, pixels.
    pub width: Option<i64>,
    /// Of its largest rendition, pixels.
    pub height: Option<i64>,
    /// The source was cut short, or has holes.
    pub truncated: bool,
    /// The epoch in its poster's key, once there is one.
    pub poster_epoch: Option<i64>,
    /// Why its source was refused.
    pub refusal: Option<Refusal>,
}

impl Video {
    /// Whether whoever may watch it can: it is ready, or so much of it is that what is made outruns play.
    pub fn is_playable(&self) -> bool {
        match self.state {
            State::Ready => true,
            State::Processing => self.playable_at.is_some(),
            State::Refused | State::Failed | State::Deleted => false,
        }
    }
}

/// What people may change of a video: what it is called, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placing {
    /// See [`Video::title`].
    pub title: String,
    /// See [`Video::collection`].
    pub collection: Option<super::collection::Name>,
}

/// One rendition of a version, as planned and made.
#[derive(Clone, Debug)]
pub struct Rendition {
    /// Its name.
    pub name: RenditionName,
    /// Pixels; absent for audio.
    pub size: Option<(i64, i64)>,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Probing, Self::Encoding, Self::Publishing, Self::Done];

    /// The word in the catalog and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Probing => "probing",
            Self::Encoding => "encoding",
            Self::Publishing => "publishing",
            Self::Done => "done",
        }
    }

    /// Reads the catalog's word.
    pub fn parse(word: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str() == word)
            .ok_or_else(|| Error::internal("the catalog holds an unknown stage", word))
    }
}
