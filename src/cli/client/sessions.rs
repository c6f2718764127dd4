//! Playback sessions.

use super::{Client, PAGE, with_query};
use crate::cli::failure::Failure;
use crate::domain::ids::{SessionId, VersionId, VideoId};
use reqwest::Method;
use serde::{Deserialize, Serialize};

/// A page of sessions.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionList {
    /// The sessions.
    pub sessions: Vec<PlaybackSession>,
    /// Where the next page begins, if there is one.
    #[serde(default, skip_serializing)]
    pub next_cursor: Option<String>,
}

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
    /// A page of a video's sessions, newest first.
    pub async fn playback_sessions(&self, video: &VideoId, cursor: Option<&str>) -> Result<SessionList, Failure> {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.call(self.request(Method::GET, &with_query(&format!("v1/videos/{video}/playback-sessions"), &query))?).await
    }

    /// Revokes a session.
    pub async fn revoke_playback_session(&self, session: &SessionId) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, &format!("v1/playback-sessions/{session}"))?).await.map(drop)
    }
}
