//! Playback sessions.

use super::Client;
use crate::cli::failure::Failure;
use crate::domain::ids::{SessionId, VersionId, VideoId};
use reqwest::Method;
use serde::{Deserialize, Serialize};

/// One viewer's session with one version of a video.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlaybackSession {
    /// Its id.
    pub session: SessionId,
    /// The video.
    pub video: VideoId,
    /// The version.
    pub version: VersionId,
    /// Who watches.
    pub subject: String,
    /// Their role when it began.
    pub role: String,
    /// When it began.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: i64,
    /// Since when it gets no key.
    pub revoked_at: Option<i64>,
}

impl Client {
    /// Revokes a session.
    pub async fn revoke_playback_session(&self, session: &SessionId) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, &format!("v1/playback-sessions/{session}"))?).await.map(drop)
    }
}
