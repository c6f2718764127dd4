//! Verifications: asked for by a row, carried out by whoever holds its lease, continued by the next where the last one stopped.

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::ids::{VerificationId, VideoId};
use crate::domain::verification::{Report, State, Verification};
use crate::domain::{Error, Result};

fn verification(row: &Row) -> Result<Verification> {
    let video = |column| row.opt_text(column)?.as_deref().map(VideoId::parse).transpose();
    let unreadable = |error| Error::internal("a verification's report cannot be read", error);
    Ok(Verification {
        id: VerificationId::parse(&row.text("id")?)?,
        actor: row.text("actor")?,
        video: video("video_id")?,
        repairs: row.int("repairs")? == 1,
        state: State::parse(&row.text("state")?)?,
        percent: row.int("percent")?,
        cursor: video("cursor")?,
        report: serde_json::from_str(&row.text("report")?).map_err(unreadable)?,
        epoch: row.int("epoch")?,
        created_at: row.int("created_at")?,
        ended_at: row.opt_int("ended_at")?,
    })
}

/// A verification to insert.
#[derive(Clone, Debug)]
pub struct NewVerification {
    /// Who asks for it.
    pub actor: String,
    /// The one video that it is to read; absent: all.
    pub video: Option<VideoId>,
    /// Whether it repairs.
    pub repairs: bool,
}

impl Catalog {
    /// A verification.
    pub async fn verification(&self, id: &VerificationId) -> Result<Verification> {
        let row = self.fetch_optional("SELECT * FROM verifications WHERE id = $1", args![id]).await?;
        row.as_ref().map_or_else(|| Err(Error::not_found(format!("there is no verification {id}"))), verification)
    }

    /// At most `limit` verifications, newest first, after `before`; only those that `actor` asked for, if given.
    pub async fn verifications(&self, actor: Option<&str>, before: Option<&VerificationId>, limit: u64) -> Result<Vec<Verification>> {
        let sql = "SELECT * FROM verifications WHERE ($1 IS NULL OR actor = $1) AND ($2 IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
        let rows = self.fetch_all(sql, args![actor, before.map(VerificationId::as_str), limit]).await?;
        rows.iter().map(verification).collect()
    }

    /// When the last verification of all videos was asked for that `actor` asked for.
    pub async fn last_verification(&self, actor: &str) -> Result<Option<i64>> {
        let sql = "SELECT MAX(created_at) AS last FROM verifications WHERE video_id IS NULL AND actor = $1";
        self.fetch_optional(sql, args![actor]).await?.map_or(Ok(None), |row| row.opt_int("last"))
    }

    /// The next 100 videos after `after` by id that are not deleted.
    pub async fn videos_after(&self, after: Option<&VideoId>) -> Result<Vec<VideoId>> {
        let sql = "SELECT id FROM videos WHERE state <> 'deleted' AND ($1 IS NULL OR id > $1) ORDER BY id LIMIT 100";
        let rows = self.fetch_all(sql, args![after.map(VideoId::as_str)]).await?;
        rows.iter().map(|row| VideoId::parse(&row.text("id")?)).collect()
    }

    /// How many videos there are that are not deleted.
    pub async fn count_videos(&self) -> Result<u64> {
        let sql = "SELECT COUNT(*) AS videos FROM videos WHERE state <> 'deleted'";
        self.fetch_optional(sql, args![]).await?.map_or(Ok(0), |row| row.count("videos"))
    }
}

impl Tx {
    /// Asks for a verification; `Conflict` (`verifying`) when it is one of all videos and another of those has not ended.
    pub async fn insert_verification(&mut self, new: &NewVerification) -> Result<VerificationId> {
        let (id, now) = (VerificationId::new(), self.now().await?);
        let report = serde_json::to_string(&Report::default()).map_err(|error| Error::internal("could not write a report", error))?;
        let sql = "INSERT INTO verifications (id, actor, video_id, repairs, state, report, created_at)
            SELECT $1, $2, $3, $4, 'queued', $5, $6
            WHERE $3 IS NOT NULL OR NOT EXISTS (SELECT 1 FROM verifications WHERE video_id IS NULL AND state <> 'done')";
        let row = args![&id, &new.actor, new.video.as_ref().map(VideoId::as_str), new.repairs, report, now];
        if self.execute(sql, row).await? == 1 {
            return Ok(id);
        }
        Err(Error::conflict("verifying", "a verification of all videos runs already: wait for its end"))
    }

    /// Leases the oldest open verification to `owner` for `lease_ms` and raises its epoch: one of a single video, or else one of all.
    pub async fn claim_verification(&mut self, owner: &str, lease_ms: i64, single: bool) -> Result<Option<Verification>> {
        let now = self.now().await?;
        let sql = "UPDATE verifications SET state = 'running', lease_owner = $2, lease_until = $3, epoch = epoch + 1
            WHERE id = (SELECT id FROM verifications WHERE state <> 'done' AND COALESCE(lease_until, 0) <= $1
                AND CASE WHEN video_id IS NULL THEN 0 ELSE 1 END = $4 ORDER BY id LIMIT 1)
            RETURNING *";
        self.fetch_optional(sql, args![now, owner, now + lease_ms, single]).await?.as_ref().map(verification).transpose()
    }

    /// Extends a lease and notes how far it is; `false` when the lease is lost.
    pub async fn extend_verification(&mut self, run: &Verification, lease_ms: i64) -> Result<bool> {
        let now = self.now().await?;
        let sql = "UPDATE verifications SET lease_until = $3, percent = $4 WHERE id = $1 AND epoch = $2 AND state = 'running'";
        Ok(self.execute(sql, args![&run.id, run.epoch, now + lease_ms, run.percent]).await? == 1)
    }

    /// Keeps what was found up to `run.cursor`, and with `ends` ends the verification; `false` when the lease is lost.
    pub async fn keep_verification(&mut self, run: &Verification, ends: bool) -> Result<bool> {
        let now = self.now().await?;
        let report = serde_json::to_string(&run.report).map_err(|error| Error::internal("could not write a report", error))?;
        let sql = "UPDATE verifications SET report = $3, cursor = $4, percent = $5, state = $6, ended_at = $7, lease_until = CASE WHEN $8 = 1 THEN NULL ELSE lease_until END
            WHERE id = $1 AND epoch = $2 AND state = 'running'";
        let state = if ends { State::Done } else { State::Running };
        let cursor = run.cursor.as_ref().map(VideoId::as_str);
        let row = args![&run.id, run.epoch, report, cursor, run.percent, state.as_str(), ends.then_some(now), ends];
        Ok(self.execute(sql, row).await? == 1)
    }

    /// Ends the leases of a node's former life, so that its verifications go on at once.
    pub async fn free_verifications(&mut self, node: &str, owner: &str) -> Result<()> {
        let sql = "UPDATE verifications SET lease_until = NULL
            WHERE state = 'running' AND SUBSTR(lease_owner, 1, LENGTH($1)) = $1 AND lease_owner <> $2";
        self.execute(sql, args![format!("{node}/"), owner]).await.map(drop)
    }
}
