//! Damage: blobs of a published version that are to be made again. A row that is marked may be given another blob, no other row ever is.

use super::{Catalog, Tx};
use crate::args;
use crate::domain::Result;
use crate::domain::ids::{VersionId, VideoId};
use crate::domain::job::Kind;
use crate::domain::video::RenditionName;
use std::collections::BTreeSet;

/// What of a rendition is marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Of the initialisation segment that all its segments need, hexadecimal.
    pub init_sha256: Option<String>,
    /// Whether that one is damaged.
    pub init: bool,
    /// The numbers of segments that are.
    pub segments: BTreeSet<u64>,
}

impl Catalog {
    /// What of a rendition is marked as damaged.
    pub async fn damage(&self, version: &VersionId, rendition: &RenditionName) -> Result<Damage> {
        let row = || args![version, rendition.as_str()];
        let sql = "SELECT init_sha256, init_damaged FROM renditions WHERE version_id = $1 AND name = $2";
        let Some(init) = self.fetch_optional(sql, row()).await? else { return Ok(Damage::default()) };
        let sql = "SELECT number FROM segments WHERE version_id = $1 AND rendition = $2 AND damaged = 1";
        let segments = self.fetch_all(sql, row()).await?.iter().map(|row| row.count("number")).collect::<Result<_>>()?;
        Ok(Damage { init_sha256: init.opt_text("init_sha256")?, init: init.int("init_damaged")? == 1, segments })
    }

    /// Whether a repair of the version, or its publication, is still to come to its end.
    pub async fn is_being_mended(&self, video: &VideoId, version: &VersionId) -> Result<bool> {
        let sql = "SELECT 1 AS one FROM jobs WHERE video_id = $1 AND version_id = $2 AND state IN ('queued', 'running') LIMIT 1";
        Ok(self.fetch_optional(sql, args![video, version]).await?.is_some())
    }

    /// What the last repair of a version that failed for good died of.
    pub async fn failed_repair(&self, video: &VideoId, version: &VersionId) -> Result<Option<String>> {
        let sql = "SELECT last_error FROM jobs WHERE video_id = $1 AND version_id = $2 AND kind = $3 AND state = 'dead'
            ORDER BY finished_at DESC LIMIT 1";
        let row = self.fetch_optional(sql, args![video, version, Kind::Repair.as_str()]).await?;
        row.map_or(Ok(None), |row| row.opt_text("last_error"))
    }
}

impl Tx {
    /// Marks a segment as damaged if its blob is still the one that `epoch` wrote; `false` if not.
    pub async fn mark_segment_damaged(&mut self, version: &VersionId, rendition: &RenditionName, number: u64, epoch: i64) -> Result<bool> {
        let sql = "UPDATE segments SET damaged = 1 WHERE version_id = $1 AND rendition = $2 AND number = $3 AND epoch = $4";
        Ok(self.execute(sql, args![version, rendition.as_str(), number, epoch]).await? == 1)
    }

    /// Marks an initialisation segment as damaged if its blob is still the one that `epoch` wrote; `false` if not.
    pub async fn mark_init_damaged(&mut self, version: &VersionId, rendition: &RenditionName, epoch: i64) -> Result<bool> {
        let sql = "UPDATE renditions SET init_damaged = 1 WHERE version_id = $1 AND name = $2 AND init_epoch = $3";
        Ok(self.execute(sql, args![version, rendition.as_str(), epoch]).await? == 1)
    }

    /// The highest epoch that any job of a version has reached: whoever begins above it writes under names that nobody has used.
    pub async fn highest_epoch(&mut self, video: &VideoId, version: &VersionId) -> Result<i64> {
        let sql = "SELECT CAST(COALESCE(MAX(epoch), 0) AS BIGINT) AS epoch FROM jobs WHERE video_id = $1 AND version_id = $2";
        self.fetch_optional(sql, args![video, version]).await?.map_or(Ok(0), |row| row.int("epoch"))
    }

    /// `true` while jobs of the version are queued or run: asked in the transaction that would insert more.
    pub async fn has_open_jobs(&mut self, video: &VideoId, version: &VersionId) -> Result<bool> {
        let sql = "SELECT 1 AS one FROM jobs WHERE video_id = $1 AND version_id = $2 AND state IN ('queued', 'running') LIMIT 1";
        Ok(self.fetch_optional(sql, args![video, version]).await?.is_some())
    }
}
