//! `[playback]`: how long links live, and what they play.

use super::raw::duration;
use crate::domain::Result;
use serde::Deserialize;
use std::time::Duration;

/// Lifetimes of playback.
#[derive(Clone, Debug)]
pub struct Playback {
    /// The least lifetime of a playback link.
    pub min_lifetime: Duration,
    /// How long at least a version is kept that was replaced; longer while somebody has a session with it.
    pub keep_superseded: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlayback {
    min_lifetime: String,
    keep_superseded: String,
}

impl RawPlayback {
    pub(super) fn check(&self) -> Result<Playback> {
        Ok(Playback {
            min_lifetime: duration("playback.min_lifetime", &self.min_lifetime, Duration::from_secs(60))?,
            keep_superseded: duration("playback.keep_superseded", &self.keep_superseded, Duration::ZERO)?,
        })
    }
}
