//! Uploads and their parts, and the source an upload becomes.

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::collection;
use crate::domain::ids::{SourceId, UploadId, VideoId};
use crate::domain::upload::{Part, State, Upload};
use crate::domain::{Error, Result};

fn upload(row: &Row) -> Result<Upload> {
    Ok(Upload {
        id: UploadId::parse(&row.text("id")?)?,
        video: VideoId::parse(&row.text("video_id")?)?,
        owner: row.text("owner")?,
        filename: row.text("filename")?,
        title: row.text("title")?,
        collection: row.opt_text("collection")?.as_deref().map(collection::Name::parse).transpose()?,
        size_bytes: row.count("size_bytes")?,
        part_size_bytes: row.count("part_size_bytes")?,
        state: State::parse(&row.text("state")?)?,
        expires_at: row.int("expires_at")?,
    })
}

fn part(row: &Row) -> Result<Part> {
    Ok(Part {
        number: row.count("number")?,
        size_bytes: row.count("size_bytes")?,
        sha256: row.text("sha256")?,
        blob: row.opt_text("blob")?,
    })
}

fn unknown(id: &UploadId) -> Error {
    Error::not_found(format!("there is no upload {id}"))
}

fn ended(id: &UploadId) -> Error {
    Error::conflict("upload-ended", format!("upload {id} has already ended"))
}

const BY_ID: &str = "SELECT * FROM uploads WHERE id = $1";
const PARTS: &str = "SELECT number, size_bytes, sha256, blob FROM upload_parts WHERE upload_id = $1 ORDER BY number";
const ONE_PART: &str = "SELECT number, size_bytes, sha256, blob FROM upload_parts WHERE upload_id = $1 AND number = $2";

impl Catalog {
    /// An upload's row.
    pub async fn upload(&self, id: &UploadId) -> Result<Upload> {
        self.fetch_optional(BY_ID, args![id]).await?.as_ref().map_or_else(|| Err(unknown(id)), upload)
    }

    /// An upload's declared parts, in order.
    pub async fn upload_parts(&self, id: &UploadId) -> Result<Vec<Part>> {
        self.fetch_all(PARTS, args![id]).await?.iter().map(part).collect()
    }

    /// One declared part.
    pub async fn upload_part(&self, id: &UploadId, number: u64) -> Result<Part> {
        let row = self.fetch_optional(ONE_PART, args![id, number]).await?;
        let row = row.ok_or_else(|| Error::not_found(format!("part {number} of upload {id} was not declared: ask for its URL first")))?;
        part(&row)
    }

    /// Open uploads whose time is over.
    pub async fn overdue_uploads(&self, now: i64) -> Result<Vec<UploadId>> {
        let rows = self.fetch_all("SELECT id FROM uploads WHERE state = 'open' AND expires_at <= $1", args![now]).await?;
        rows.iter().map(|row| UploadId::parse(&row.text("id")?)).collect()
    }

    /// Uploads that were given up, but whose parts may still come to lie on the disk: those of which a part is still declared.
    pub async fn uploads_to_clear(&self) -> Result<Vec<Upload>> {
        let sql = "SELECT * FROM uploads WHERE state IN ('aborted', 'expired')
            AND EXISTS (SELECT 1 FROM upload_parts WHERE upload_id = uploads.id) ORDER BY id";
        self.fetch_all(sql, args![]).await?.iter().map(upload).collect()
    }

    /// Whether any video has a root key, so that its keyring must exist.
    pub async fn has_root_keys(&self) -> Result<bool> {
        Ok(self.fetch_optional("SELECT 1 AS one FROM root_keys LIMIT 1", args![]).await?.is_some())
    }

    /// The wrapped root key of a video; `NotFound` once it was shredded.
    pub async fn wrapped_root_key(&self, video: &VideoId) -> Result<String> {
        let row = self.fetch_optional("SELECT wrapped FROM root_keys WHERE video_id = $1", args![video]).await?;
        row.ok_or_else(|| Error::not_found(format!("video {video} has no key any more")))?.text("wrapped")
    }
}

impl Tx {
    /// Inserts an open upload with the wrapped root key of the video it will become.
    pub async fn insert_upload(&mut self, upload: &Upload, wrapped_root_key: &str) -> Result<()> {
        let now = self.now().await?;
        let key = "INSERT INTO root_keys (video_id, wrapped) VALUES ($1, $2)";
        self.execute(key, args![&upload.video, wrapped_root_key]).await?;
        let sql = "INSERT INTO uploads (id, video_id, owner, filename, title, collection, size_bytes, part_size_bytes, state, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'open', $9, $10)";
        let row = args![
            &upload.id,
            &upload.video,
            &upload.owner,
            &upload.filename,
            &upload.title,
            upload.collection.as_ref().map(collection::Name::as_str),
            upload.size_bytes,
            upload.part_size_bytes,
            now,
            upload.expires_at,
        ];
        self.execute(sql, row).await.map(drop)
    }

    /// An upload's row, if there is one.
    pub async fn find_upload(&mut self, id: &UploadId) -> Result<Option<Upload>> {
        self.fetch_optional(BY_ID, args![id]).await?.as_ref().map(upload).transpose()
    }

    /// An upload's row, inside the transaction.
    pub async fn upload(&mut self, id: &UploadId) -> Result<Upload> {
        self.fetch_optional(BY_ID, args![id]).await?.as_ref().map_or_else(|| Err(unknown(id)), upload)
    }

    /// How many of an upload's parts have been received.
    pub async fn received_parts(&mut self, id: &UploadId) -> Result<u64> {
        let sql = "SELECT COUNT(*) AS received FROM upload_parts WHERE upload_id = $1 AND blob IS NOT NULL";
        self.fetch_optional(sql, args![id]).await?.map_or(Ok(0), |row| row.count("received"))
    }

    /// Declares a part of an open upload; `Conflict` when it is not open. A received part declared again with another digest counts as
    /// missing; gives the blob that is then nobody's.
    pub async fn declare_part(&mut self, id: &UploadId, new: &Part) -> Result<Option<String>> {
        let old = self.fetch_optional(ONE_PART, args![id, new.number]).await?.as_ref().map(part).transpose()?;
        if old.as_ref().is_some_and(|old| old.sha256 == new.sha256 && old.size_bytes == new.size_bytes) {
            return Ok(None);
        }
        let sql = "INSERT INTO upload_parts (upload_id, number, size_bytes, sha256)
            SELECT id, $2, $3, $4 FROM uploads WHERE id = $1 AND state = 'open'
            ON CONFLICT (upload_id, number) DO UPDATE SET size_bytes = $3, sha256 = $4, md5 = NULL, blob = NULL, received_at = NULL";
        let changed = self.execute(sql, args![id, new.number, new.size_bytes, &new.sha256]).await?;
        if changed == 1 { Ok(old.and_then(|old| old.blob)) } else { Err(ended(id)) }
    }

    /// Records that a part's frames are durable at `blob`. Only for the digest that is declared, and while the upload is open;
    /// `Conflict` otherwise. Gives the blob that this one supersedes.
    pub async fn receive_part(&mut self, id: &UploadId, number: u64, sha256: &str, md5: &str, blob: &str) -> Result<Option<String>> {
        let now = self.now().await?;
        let superseded = self.fetch_optional(ONE_PART, args![id, number]).await?.as_ref().map(part).transpose()?.and_then(|part| part.blob);
        let sql = "UPDATE upload_parts SET blob = $5, md5 = $4, received_at = $6 WHERE upload_id = $1 AND number = $2 AND sha256 = $3
            AND EXISTS (SELECT 1 FROM uploads WHERE id = $1 AND state = 'open')";
        let changed = self.execute(sql, args![id, number, sha256, md5, blob, now]).await?;
        if changed == 0 {
            return Err(Error::conflict("part-superseded", format!("part {number} of upload {id} is no longer awaited with this digest")));
        }
        Ok(superseded)
    }

    /// Moves an open upload to its end, and the end of its time to now if that is sooner; `Conflict` when it is not open.
    pub async fn end_upload(&mut self, id: &UploadId, end: State) -> Result<()> {
        let now = self.now().await?;
        let sql = "UPDATE uploads SET state = $2, expires_at = CASE WHEN expires_at > $3 THEN $3 ELSE expires_at END
            WHERE id = $1 AND state = 'open'";
        let changed = self.execute(sql, args![id, end.as_str(), now]).await?;
        if changed == 1 { Ok(()) } else { Err(ended(id)) }
    }

    /// Forgets the parts of an upload that was given up: their blobs are gone. Those of any other upload stay.
    pub async fn forget_parts(&mut self, id: &UploadId) -> Result<()> {
        let sql = "DELETE FROM upload_parts WHERE upload_id = $1
            AND EXISTS (SELECT 1 FROM uploads WHERE id = $1 AND state IN ('aborted', 'expired'))";
        self.execute(sql, args![id]).await.map(drop)
    }

    /// Inserts the source that an upload became.
    pub async fn insert_source(&mut self, upload: &Upload) -> Result<SourceId> {
        let (id, now) = (SourceId::new(), self.now().await?);
        let sql = "INSERT INTO sources (id, video_id, upload_id, size_bytes, created_at) VALUES ($1, $2, $3, $4, $5)";
        self.execute(sql, args![&id, &upload.video, &upload.id, upload.size_bytes, now]).await?;
        Ok(id)
    }

    /// Forgets a video's wrapped root key: everything encrypted under it is unreadable from then on.
    pub async fn shred_root_key(&mut self, video: &VideoId) -> Result<()> {
        self.execute("DELETE FROM root_keys WHERE video_id = $1", args![video]).await.map(drop)
    }
}
