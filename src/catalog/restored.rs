//! What must be true of rows that were brought back from a backup, although they do not say so themselves.

use super::Tx;
use crate::args;
use crate::domain::Result;
use crate::domain::ids::VideoId;

impl Tx {
    /// Does again to a video what was done to it after its rows were copied: it was deleted, refused and purged, or its upload was given
    /// up. Its key is not there any more; what else there is of it goes by the usual way. Nothing happens when there is no such video.
    pub async fn obey_tombstone(&mut self, video: &VideoId) -> Result<()> {
        let now = self.now().await?;
        self.shred_root_key(video).await?;
        let refused = "UPDATE videos SET purge_at = $2 WHERE id = $1 AND state = 'refused'";
        let deleted =
            "UPDATE videos SET state = 'deleted', stage = 'done', purge_at = $2 WHERE id = $1 AND state NOT IN ('refused', 'deleted')";
        let given_up = "UPDATE uploads SET state = 'aborted', expires_at = CASE WHEN expires_at > $2 THEN $2 ELSE expires_at END
            WHERE video_id = $1 AND state = 'open'";
        for sql in [refused, deleted, given_up] {
            self.execute(sql, args![video, now]).await?;
        }
        self.end_replacements(video).await?;
        self.abandon_versions(video).await?;
        self.cancel_jobs(video).await.map(drop)
    }

    /// Ends every playback session: which of them were revoked after the rows were copied, nobody knows. Players ask for a new one.
    pub async fn revoke_every_session(&mut self) -> Result<u64> {
        let now = self.now().await?;
        self.execute("UPDATE playback_sessions SET revoked_at = $1 WHERE revoked_at IS NULL", args![now]).await
    }

    /// Sends nothing to any endpoint until somebody enables it: the house that the backup was taken of may still tell them itself, and they have had
    /// what happened after it was taken.
    pub async fn disable_every_webhook(&mut self) -> Result<u64> {
        let now = self.now().await?;
        let sql = "UPDATE webhooks SET disabled_at = $1, disabled_why = 'restored' WHERE disabled_at IS NULL";
        self.execute(sql, args![now]).await
    }

    /// Counts a part of an open upload as not received: its blob is not there. The client sends it again.
    pub async fn lose_part(&mut self, blob: &str) -> Result<()> {
        let sql = "UPDATE upload_parts SET blob = NULL, md5 = NULL, received_at = NULL WHERE blob = $1
            AND EXISTS (SELECT 1 FROM uploads WHERE id = upload_parts.upload_id AND state = 'open')";
        self.execute(sql, args![blob]).await.map(drop)
    }
}
