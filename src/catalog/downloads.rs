//! Links to downloads: for whom each was made; the link itself is signed and not kept. And downloads that go on, by their leases.

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::ids::{LinkId, VersionId, VideoId};
use crate::domain::{Error, Result};

/// How long a row outlives its link, for the sake of downloads that go on and of those who look into the log.
const KEPT_MS: i64 = 7 * 86_400_000;

/// How long a version is kept for a download of which nothing was heard.
const LEASE_MS: i64 = 2 * 60_000;

/// A link's row.
#[derive(Clone, Debug)]
pub struct DownloadLink {
    /// Its id, which the link bears.
    pub id: LinkId,
    /// The video.
    pub video: VideoId,
    /// `source`, or the name of a rendition.
    pub object: String,
    /// Who asked for it.
    pub subject: String,
    /// Their role then.
    pub role: String,
    /// Epoch milliseconds.
    pub expires_at: i64,
}

fn link(row: &Row) -> Result<DownloadLink> {
    Ok(DownloadLink {
        id: LinkId::parse(&row.text("id")?)?,
        video: VideoId::parse(&row.text("video_id")?)?,
        object: row.text("object")?,
        subject: row.text("subject")?,
        role: row.text("role")?,
        expires_at: row.int("expires_at")?,
    })
}

impl Catalog {
    /// A link that was made.
    pub async fn download_link(&self, id: &LinkId) -> Result<DownloadLink> {
        let row = self.fetch_optional("SELECT * FROM download_links WHERE id = $1", args![id]).await?;
        row.as_ref().map_or_else(|| Err(Error::not_found("there is no such link")), link)
    }
}

impl Tx {
    /// Keeps a version for the download `id`, for two minutes from now; `Conflict` (`version-gone`) when its blobs have gone, or are about to.
    /// Forgets leases that have ended.
    pub async fn keep_for_download(&mut self, id: &LinkId, version: &VersionId) -> Result<()> {
        let now = self.now().await?;
        self.execute("DELETE FROM downloads WHERE lease_until < $1", args![now]).await?;
        let sql = "INSERT INTO downloads (id, version_id, lease_until)
            SELECT $1, id, $3 FROM versions WHERE id = $2 AND state <> 'purged'
            ON CONFLICT (id) DO UPDATE SET lease_until = $3";
        let gone = || Error::conflict("version-gone", "the video was replaced meanwhile: ask for another link");
        if self.execute(sql, args![id, version, now + LEASE_MS]).await? == 1 { Ok(()) } else { Err(gone()) }
    }

    /// A download is over: its version is not kept for it any longer.
    pub async fn end_download(&mut self, id: &LinkId) -> Result<()> {
        self.execute("DELETE FROM downloads WHERE id = $1", args![id]).await.map(drop)
    }

    /// Inserts a link, and forgets those that ended a week ago.
    pub async fn insert_download_link(&mut self, new: &DownloadLink) -> Result<()> {
        let now = self.now().await?;
        self.execute("DELETE FROM download_links WHERE expires_at < $1", args![now - KEPT_MS]).await?;
        let sql =
            "INSERT INTO download_links (id, video_id, object, subject, role, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        self.execute(sql, args![&new.id, &new.video, &new.object, &new.subject, &new.role, now, new.expires_at]).await.map(drop)
    }
}
