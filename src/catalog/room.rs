//! What will yet be written: the parts of open uploads, and the renditions of what is in processing.

use super::{Catalog, Tx};
use crate::args;
use crate::domain::Result;
use crate::domain::ids::VersionId;

/// Bytes that were promised a place on the disk and do not lie there yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promised {
    /// Of open uploads: the parts that have not come.
    pub uploads_bytes: u64,
    /// Of open uploads: all they declared.
    pub declared_bytes: u64,
    /// Of sources that are not probed yet.
    pub unprobed_bytes: u64,
    /// Of versions in processing: what they are expected to write beyond what they have.
    pub versions_bytes: u64,
}

impl Catalog {
    /// What will yet be written, at one moment.
    pub async fn promised(&self) -> Result<Promised> {
        let sql = "SELECT
            CAST(COALESCE((SELECT SUM(size_bytes) FROM uploads WHERE state = 'open'), 0) AS BIGINT) AS declared,
            CAST(COALESCE((SELECT SUM(CASE WHEN rest > 0 THEN rest ELSE 0 END) FROM (SELECT uploads.size_bytes
                - COALESCE((SELECT SUM(size_bytes) FROM upload_parts WHERE upload_id = uploads.id AND blob IS NOT NULL), 0) AS rest
                FROM uploads WHERE state = 'open') AS missing), 0) AS BIGINT) AS missing,
            CAST(COALESCE((SELECT SUM(sources.size_bytes) FROM jobs JOIN sources ON sources.video_id = jobs.video_id
                WHERE jobs.kind = 'probe' AND jobs.state IN ('queued', 'running')
                AND sources.purge_at IS NULL AND sources.purged_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM versions WHERE versions.source_id = sources.id)), 0) AS BIGINT) AS unprobed,
            CAST(COALESCE((SELECT SUM(CASE WHEN rest > 0 THEN rest ELSE 0 END) FROM (SELECT versions.expected_bytes
                - COALESCE((SELECT SUM(size_bytes) FROM segments WHERE version_id = versions.id), 0) AS rest
                FROM versions JOIN videos ON videos.id = versions.video_id
                WHERE versions.state = 'processing' AND videos.state IN ('processing', 'ready')) AS rests), 0) AS BIGINT) AS versions";
        let Some(row) = self.fetch_optional(sql, args![]).await? else { return Ok(Promised::default()) };
        Ok(Promised {
            uploads_bytes: row.count("missing")?,
            declared_bytes: row.count("declared")?,
            unprobed_bytes: row.count("unprobed")?,
            versions_bytes: row.count("versions")?,
        })
    }
}

impl Tx {
    /// Notes what a version's renditions are expected to take.
    pub async fn expect_bytes(&mut self, version: &VersionId, expected_bytes: u64) -> Result<()> {
        self.execute("UPDATE versions SET expected_bytes = $2 WHERE id = $1", args![version, expected_bytes]).await.map(drop)
    }
}
