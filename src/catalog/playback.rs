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
    /// Epoch milliseconds; the database's clock says it when the row is inserted.
    pub created_at: i64,
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
        created_at: row.int("created_at")?,
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

    /// Revokes a session; one that was revoked before stays as it is.
    pub async fn revoke_playback_session(&mut self, id: &SessionId) -> Result<()> {
        let now = self.now().await?;
        self.execute("UPDATE playback_sessions SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL", args![id, now]).await.map(drop)
    }
}

impl Catalog {
    /// A session, live or not.
    pub async fn playback_session(&self, id: &SessionId) -> Result<Session> {
        let row = self.fetch_optional("SELECT * FROM playback_sessions WHERE id = $1", args![id]).await?;
        row.as_ref().map_or_else(|| Err(Error::not_found("there is no such playback session")), session)
    }

    /// At most `limit` sessions of a video that last longer than `now_ms`, newest first, after `before`.
    pub async fn playback_sessions(&self, video: &VideoId, now_ms: i64, before: Option<&SessionId>, limit: u64) -> Result<Vec<Session>> {
        let sql = "SELECT * FROM playback_sessions WHERE video_id = $1 AND expires_at > $2 AND ($3 IS NULL OR id < $3)
            ORDER BY id DESC LIMIT $4";
        let args = args![video, now_ms, before.map(SessionId::as_str), limit];
        self.fetch_all(sql, args).await?.iter().map(session).collect()
    }
}
