//! Playback sessions: who may fetch keys, for which version, until when.

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::ids::{SessionId, VersionId, VideoId};
use crate::domain::{Error, Result};

/// One viewer's session with one version.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id, the playback token's `jti`.
    pub id: SessionId,
    /// The video.
    pub video: VideoId,
    /// The version.
    pub version: VersionId,
    /// The viewer.
    pub subject: String,
    /// The viewer's role when the session began.
    pub role: String,
    /// Epoch milliseconds.
    pub expires_at: i64,
    /// Epoch milliseconds, once revoked.
    pub revoked_at: Option<i64>,
}

fn session(row: &Row) -> Result<Session> {
    Ok(Session {
        id: SessionId::parse(&row.text("id")?)?,
        video: VideoId::parse(&row.text("video_id")?)?,
        version: VersionId::parse(&row.text("version_id")?)?,
        subject: row.text("subject")?,
        role: row.text("role")?,
        expires_at: row.int("expires_at")?,
        revoked_at: row.opt_int("revoked_at")?,
    })
}

impl Tx {
    /// Inserts a session. `Conflict` when its version plays no more: it was replaced, and its blobs are gone or about to go.
    pub async fn insert_playback_session(&mut self, new: &Session) -> Result<()> {
        let now = self.now().await?;
        let sql = "INSERT INTO playback_sessions (id, video_id, version_id, subject, role, created_at, expires_at) 
            SELECT $1, $2, id, $4, $5, $6, $7 FROM versions WHERE id = $3 AND state IN ('processing', 'published', 'superseded')";
        let row = args![&new.id, &new.video, &new.version, &new.subject, &new.role, now, new.expires_at];
        let gone = || Error::conflict("version-gone", "the video was replaced just now: ask again");
        if self.execute(sql, row).await? == 1 { Ok(()) } else { Err(gone()) }
    }
}

impl Catalog {
    /// A session, live or not.
    pub async fn playback_session(&self, id: &SessionId) -> Result<Session> {
        let row = self.fetch_optional("SELECT * FROM playback_sessions WHERE id = $1", args![id]).await?;
        row.as_ref().map_or_else(|| Err(Error::not_found("there is no such playback session")), session)
    }
}
