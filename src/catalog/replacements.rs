//! Replacements: at most one version in the making beside the one that plays, and what becomes of those that play no more.
//!
//! A job of version `v`, or of none yet, works for the replacement when the replacement's row names the same; else it works for the
//! version that plays. Every statement here that a worker's transaction makes says so in its guard.

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::ids::{SourceId, UploadId, VersionId, VideoId};
use crate::domain::replacement::{Kind, Replacement, State, Trim};
use crate::domain::video::{Refusal, Stage};
use crate::domain::{Error, Result};

/// A source whose parts may go.
#[derive(Clone, Debug)]
pub struct UnneededSource {
    /// Its id.
    pub id: SourceId,
    /// Its video.
    pub video: VideoId,
    /// The upload whose parts it is made of.
    pub upload: UploadId,
}

/// The trim in a row's two columns.
pub(super) fn trim(row: &Row) -> Result<Option<Trim>> {
    let point = |column| row.opt_int(column).map(|point| point.and_then(|point| u64::try_from(point).ok()));
    let (in_ms, out_ms) = (point("trim_in_ms")?, point("trim_out_ms")?);
    Ok(in_ms.map(|in_ms| Trim { in_ms, out_ms }))
}

/// The two columns of a trim.
pub(super) fn points(trim: Option<Trim>) -> (Option<i64>, Option<i64>) {
    let column = |point: u64| i64::try_from(point).unwrap_or(i64::MAX);
    (trim.map(|trim| column(trim.in_ms)), trim.and_then(|trim| trim.out_ms).map(column))
}

fn replacement(row: &Row) -> Result<Replacement> {
    let refusal = row.opt_text("refusal_code")?.zip(row.opt_text("refusal_message")?);
    Ok(Replacement {
        kind: Kind::parse(&row.text("kind")?)?,
        source: SourceId::parse(&row.text("source_id")?)?,
        version: row.opt_text("version_id")?.as_deref().map(VersionId::parse).transpose()?,
        state: State::parse(&row.text("state")?)?,
        stage: Stage::parse(&row.text("stage")?)?,
        percent: row.int("percent")?,
        trim: trim(row)?,
        refusal: refusal.map(|(code, message)| Refusal { code, message }),
        created_at: row.int("created_at")?,
    })
}

const OF_VIDEO: &str = "SELECT * FROM replacements WHERE video_id = $1";

impl Catalog {
    /// A video's replacement: in the making, or how the last one ended that was not published.
    pub async fn replacement(&self, video: &VideoId) -> Result<Option<Replacement>> {
        self.fetch_optional(OF_VIDEO, args![video]).await?.as_ref().map(replacement).transpose()
    }

    /// Whether a version that was replaced still plays for those who had begun to watch it.
    pub async fn plays_on(&self, version: &VersionId) -> Result<bool> {
        let sql = "SELECT 1 AS one FROM versions WHERE id = $1 AND state = 'superseded'";
        Ok(self.fetch_optional(sql, args![version]).await?.is_some())
    }

    /// The next 100 versions whose blobs are due to go: nobody has a session with them that lasts or, by its lease, a download of them or of
    /// their source, and no job of theirs, by its lease, may still write.
    pub async fn versions_to_purge(&self, now: i64) -> Result<Vec<(VersionId, VideoId)>> {
        let sql = "SELECT id, video_id FROM versions WHERE purge_at IS NOT NULL AND purge_at <= $1
            AND NOT EXISTS (SELECT 1 FROM playback_sessions AS viewer WHERE viewer.video_id = versions.video_id
                AND viewer.version_id = versions.id AND viewer.revoked_at IS NULL AND viewer.expires_at > $1)
            AND NOT EXISTS (SELECT 1 FROM downloads WHERE downloads.version_id = versions.id AND downloads.lease_until > $1)
            AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.video_id = versions.video_id AND jobs.version_id = versions.id
                AND jobs.state IN ('running', 'cancelled') AND jobs.lease_until > $1)
            ORDER BY purge_at, id LIMIT 100";
        let rows = self.fetch_all(sql, args![now]).await?;
        rows.iter().map(|row| Ok((VersionId::parse(&row.text("id")?)?, VideoId::parse(&row.text("video_id")?)?))).collect()
    }

    /// The next 100 sources whose parts are due to go.
    pub async fn sources_to_purge(&self, now: i64) -> Result<Vec<UnneededSource>> {
        let sql =
            "SELECT id, video_id, upload_id FROM sources WHERE purge_at IS NOT NULL AND purge_at <= $1 ORDER BY purge_at, id LIMIT 100";
        let source = |row: &Row| {
            let (id, upload) = (SourceId::parse(&row.text("id")?)?, UploadId::parse(&row.text("upload_id")?)?);
            Ok(UnneededSource { id, upload, video: VideoId::parse(&row.text("video_id")?)? })
        };
        self.fetch_all(sql, args![now]).await?.iter().map(source).collect()
    }
}

impl Tx {
    /// Begins the replacement of a video that plays. `Conflict` when one is in the making (`replacement-in-progress`), or when the video
    /// does not play (`not-ready`). One that failed gives way.
    pub async fn begin_replacement(&mut self, video: &VideoId, source: &SourceId, kind: Kind, trim: Option<Trim>) -> Result<()> {
        let now = self.now().await?;
        let before = self.replacement(video).await?;
        match before.map(|before| before.state) {
            Some(State::Processing) => return Err(in_progress(video)),
            Some(State::Failed) => self.abandon_replacement(video, now).await?,
            None | Some(State::Refused | State::Cancelled) => {}
        }
        self.execute("DELETE FROM replacements WHERE video_id = $1 AND state <> 'processing'", args![video]).await?;
        let sql = "INSERT INTO replacements (video_id, kind, source_id, state, stage, trim_in_ms, trim_out_ms, created_at)
            SELECT id, $2, $3, 'processing', 'queued', $4, $5, $6 FROM videos WHERE id = $1 AND state = 'ready'";
        let (in_ms, out_ms) = points(trim);
        let begun = self.execute(sql, args![video, kind.as_str(), source, in_ms, out_ms, now]).await? == 1;
        if begun { Ok(()) } else { Err(not_ready(video)) }
    }

    /// `Conflict` (`version-gone`) unless the version is the one that plays.
    pub async fn must_play(&mut self, video: &VideoId, version: &VersionId) -> Result<()> {
        let row = self.fetch_optional("SELECT 1 AS one FROM videos WHERE id = $1 AND version_id = $2", args![video, version]).await?;
        row.map(drop).ok_or_else(|| Error::conflict("version-gone", "the video was replaced just now: ask again"))
    }

    /// A video's replacement, inside the transaction.
    pub async fn replacement(&mut self, video: &VideoId) -> Result<Option<Replacement>> {
        self.fetch_optional(OF_VIDEO, args![video]).await?.as_ref().map(replacement).transpose()
    }

    /// Notes the version of a replacement in the making, planned from `source`; `false` when there is none that waits for one.
    pub(super) async fn plan_replacement(&mut self, video: &VideoId, source: &SourceId, version: &VersionId) -> Result<bool> {
        let sql = "UPDATE replacements SET version_id = $3, stage = 'encoding'
            WHERE video_id = $1 AND source_id = $2 AND state = 'processing' AND version_id IS NULL";
        Ok(self.execute(sql, args![video, source, version]).await? == 1)
    }

    pub(super) async fn set_replacement_stage(&mut self, video: &VideoId, version: Option<&VersionId>, stage: Stage) -> Result<()> {
        let sql = "UPDATE replacements SET stage = $3 WHERE video_id = $1 AND COALESCE(version_id, '') = COALESCE($2, '')
            AND state = 'processing' AND stage <> $3";
        self.execute(sql, args![video, version.map(VersionId::as_str), stage.as_str()]).await.map(drop)
    }

    pub(super) async fn set_replacement_percent(&mut self, video: &VideoId, version: &VersionId, percent: i64) -> Result<()> {
        let sql = "UPDATE replacements SET percent = $3 WHERE video_id = $1 AND version_id = $2 AND percent < $3 AND state = 'processing'";
        self.execute(sql, args![video, version, percent]).await.map(drop)
    }

    pub(super) async fn set_replacement_failed(&mut self, video: &VideoId, version: Option<&VersionId>, failed: bool) -> Result<()> {
        let (from, to) = if failed { ("processing", "failed") } else { ("failed", "processing") };
        let sql = "UPDATE replacements SET state = $4 WHERE video_id = $1 AND COALESCE(version_id, '') = COALESCE($2, '') AND state = $3";
        self.execute(sql, args![video, version.map(VersionId::as_str), from, to]).await.map(drop)
    }

    /// Refuses the replacement that `version` (or the source that none is planned of yet) was to be, and ends its jobs; the version that
    /// plays is left alone. What was made goes at once, its source at `purge_at`. `false` when there is no such replacement.
    pub async fn refuse_replacement(
        &mut self,
        video: &VideoId,
        version: Option<&VersionId>,
        refusal: &Refusal,
        purge_at: i64,
    ) -> Result<bool> {
        let sql = "UPDATE replacements SET state = 'refused', stage = 'done', refusal_code = $3, refusal_message = $4
            WHERE video_id = $1 AND COALESCE(version_id, '') = COALESCE($2, '') AND state IN ('processing', 'failed')";
        let row = args![video, version.map(VersionId::as_str), &refusal.code, &refusal.message];
        if self.execute(sql, row).await? != 1 {
            return Ok(false);
        }
        self.abandon_replacement(video, purge_at).await?;
        Ok(true)
    }

    /// Calls a video's replacement off; `NotFound` when none is in the making.
    pub async fn cancel_replacement(&mut self, video: &VideoId) -> Result<()> {
        let now = self.now().await?;
        let sql = "UPDATE replacements SET state = 'cancelled', stage = 'done' WHERE video_id = $1 AND state IN ('processing', 'failed')";
        if self.execute(sql, args![video]).await? != 1 {
            return Err(Error::not_found(format!("nothing replaces video {video} now")));
        }
        self.abandon_replacement(video, now).await
    }

    /// Ends the jobs and the version of what will not replace the version that plays; its source goes at `purge_at` unless it is needed.
    async fn abandon_replacement(&mut self, video: &VideoId, purge_at: i64) -> Result<()> {
        let now = self.now().await?;
        let Some(Replacement { source, .. }) = self.replacement(video).await? else { return Ok(()) };
        let sql = "UPDATE versions SET state = 'abandoned', purge_at = $2 WHERE video_id = $1 AND state = 'processing'";
        self.execute(sql, args![video, now]).await?;
        let sql = "UPDATE jobs SET state = 'cancelled', epoch = epoch + 1, finished_at = $2
            WHERE video_id = $1 AND state IN ('queued', 'running', 'dead')
            AND COALESCE(version_id, '') <> (SELECT COALESCE(version_id, '') FROM videos WHERE id = $1)";
        self.execute(sql, args![video, now]).await?;
        self.release_source(&source, purge_at).await
    }

    /// Makes `version`, just published, the one that plays; the one before plays on for those who watch it, until `keep_until` at least.
    /// `Conflict` unless it is the replacement in the making of a video that plays (invariant 3).
    pub(super) async fn switch_version(&mut self, version: &VersionId, video: &VideoId, keep_until: i64) -> Result<()> {
        let lost = || Error::conflict("not-processing", format!("video {video} is not being replaced by version {version}"));
        let sql = "DELETE FROM replacements WHERE video_id = $1 AND version_id = $2 AND state = 'processing'";
        if self.execute(sql, args![video, version]).await? != 1 {
            return Err(lost());
        }
        let sql = "UPDATE videos SET version_id = $2, duration_ms = made.duration_ms, width = made.width, height = made.height,
            truncated = made.truncated, poster_epoch = made.poster_epoch
            FROM (SELECT duration_ms, width, height, truncated, poster_epoch FROM versions WHERE id = $2) AS made
            WHERE id = $1 AND state = 'ready'";
        if self.execute(sql, args![video, version]).await? != 1 {
            return Err(lost());
        }
        let sql = "UPDATE versions SET state = 'superseded', purge_at = $3 WHERE video_id = $1 AND id <> $2 AND state = 'published'";
        self.execute(sql, args![video, version, keep_until]).await?;
        // A poster of the old version that died can wait for nothing any more.
        let now = self.now().await?;
        let sql = "UPDATE jobs SET state = 'cancelled', epoch = epoch + 1, finished_at = $3
            WHERE video_id = $1 AND version_id <> $2 AND state IN ('queued', 'running', 'dead')";
        self.execute(sql, args![video, version, now]).await.map(drop)
    }

    /// Notes that a version's blobs are gone; its source follows if no other version needs it.
    pub async fn version_purged(&mut self, version: &VersionId) -> Result<()> {
        let now = self.now().await?;
        let sql = "UPDATE versions SET state = 'purged', purge_at = NULL WHERE id = $1 AND purge_at IS NOT NULL RETURNING source_id";
        let Some(row) = self.fetch_optional(sql, args![version]).await? else { return Ok(()) };
        self.execute("DELETE FROM segments WHERE version_id = $1", args![version]).await?;
        self.execute("DELETE FROM renditions WHERE version_id = $1", args![version]).await?;
        self.release_source(&SourceId::parse(&row.text("source_id")?)?, now).await
    }

    /// Puts off the purge of a version, so that others come first.
    pub async fn postpone_version(&mut self, version: &VersionId, purge_at: i64) -> Result<()> {
        self.execute("UPDATE versions SET purge_at = $2 WHERE id = $1 AND purge_at IS NOT NULL", args![version, purge_at]).await.map(drop)
    }

    /// Lets a source's parts go at `purge_at` unless a version plays or is being made from it.
    async fn release_source(&mut self, source: &SourceId, purge_at: i64) -> Result<()> {
        let sql = "UPDATE sources SET purge_at = $2 WHERE id = $1 AND purged_at IS NULL AND purge_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM versions WHERE source_id = $1 AND state IN ('processing', 'published', 'superseded'))";
        self.execute(sql, args![source, purge_at]).await.map(drop)
    }

    /// Notes that a source's parts are gone.
    pub async fn source_purged(&mut self, source: &UnneededSource) -> Result<()> {
        let now = self.now().await?;
        self.execute("UPDATE sources SET purge_at = NULL, purged_at = $2 WHERE id = $1", args![&source.id, now]).await?;
        self.execute("DELETE FROM upload_parts WHERE upload_id = $1", args![&source.upload]).await.map(drop)
    }

    /// Puts off the purge of a source, so that others come first.
    pub async fn postpone_source(&mut self, source: &SourceId, purge_at: i64) -> Result<()> {
        self.execute("UPDATE sources SET purge_at = $2 WHERE id = $1 AND purge_at IS NOT NULL", args![source, purge_at]).await.map(drop)
    }

    /// What a deleted video leaves of its replacement: nothing. Uploads that were to replace its source end too.
    pub async fn end_replacements(&mut self, video: &VideoId) -> Result<()> {
        let now = self.now().await?;
        self.execute("DELETE FROM replacements WHERE video_id = $1", args![video]).await?;
        let sql = "UPDATE uploads SET state = 'aborted', expires_at = CASE WHEN expires_at > $2 THEN $2 ELSE expires_at END
            WHERE video_id = $1 AND replaces = 1 AND state = 'open'";
        self.execute(sql, args![video, now]).await.map(drop)
    }
}

/// Two replacements of one video exclude each other.
pub fn in_progress(video: &VideoId) -> Error {
    let message = format!("video {video} is already being replaced: wait for that to end, or call it off");
    Error::conflict("replacement-in-progress", message)
}

/// Only what plays can be replaced.
pub fn not_ready(video: &VideoId) -> Error {
    Error::conflict("not-ready", format!("video {video} is not ready: only a video that plays can be replaced or trimmed"))
}
