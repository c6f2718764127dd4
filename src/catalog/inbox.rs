//! Objects of the inbox. Each is an upload besides, which holds its state, its owner and its parts.

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::access_key::AccessKeyId;
use crate::domain::checksum::{Algorithm, Scope};
use crate::domain::ids::{UploadId, VideoId};
use crate::domain::inbox::{Object, Part};
use crate::domain::upload::{State, Upload};
use crate::domain::{Error, Result};

/// The columns that [`object`] reads.
macro_rules! OBJECTS {
    () => {
        "SELECT inbox_objects.*, uploads.video_id, uploads.state, uploads.size_bytes, uploads.created_at
        FROM inbox_objects JOIN uploads ON uploads.id = inbox_objects.upload_id "
    };
}

const PARTS: &str = "SELECT number, size_bytes, md5, checksum, blob, received_at FROM upload_parts
    WHERE upload_id = $1 AND blob IS NOT NULL ORDER BY number";

const PART_BYTES: &str = "SELECT size_bytes FROM upload_parts WHERE upload_id = $1 AND number = $2";

/// Whose object it is, by which key, and the client's own name of the call that sends it.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The access key.
    pub access_key: &'a AccessKeyId,
    /// The same when a client repeats a call whose answer it missed (`amz-sdk-invocation-id`).
    pub invocation: Option<&'a str>,
}

fn object(row: &Row) -> Result<Object> {
    Ok(Object {
        upload: UploadId::parse(&row.text("upload_id")?)?,
        video: VideoId::parse(&row.text("video_id")?)?,
        key: row.text("object_key")?,
        multipart: row.int("multipart")? == 1,
        algorithm: Algorithm::parse(&row.text("algorithm")?)?,
        scope: Scope::parse(&row.text("scope")?)?,
        state: State::parse(&row.text("state")?)?,
        size_bytes: row.count("size_bytes")?,
        etag: row.opt_text("etag")?,
        created_at: row.int("created_at")?,
        received_at: row.opt_int("received_at")?,
    })
}

fn part(row: &Row) -> Result<Part> {
    Ok(Part {
        number: row.count("number")?,
        size_bytes: row.count("size_bytes")?,
        md5: row.text("md5")?,
        checksum: row.text("checksum")?,
        blob: row.text("blob")?,
        received_at: row.int("received_at")?,
    })
}

impl Catalog {
    /// The object that `owner` sends as `key` by this upload; `NotFound` for any other owner and key.
    pub async fn inbox_object(&self, owner: &str, key: &str, upload: &UploadId) -> Result<Object> {
        let sql = concat!(OBJECTS!(), "WHERE upload_id = $1 AND inbox_objects.owner = $2 AND object_key = $3");
        let row = self.fetch_optional(sql, args![upload, owner, key]).await?;
        row.as_ref().map_or_else(|| Err(Error::not_found(format!("there is no upload {upload} of this object"))), object)
    }

    /// An object's received parts, in order.
    pub async fn inbox_parts(&self, upload: &UploadId) -> Result<Vec<Part>> {
        self.fetch_all(PARTS, args![upload]).await?.iter().map(part).collect()
    }

    /// How large a part is that has come, or is coming, under this number; 0 when there is none.
    pub async fn inbox_part_bytes(&self, upload: &UploadId, number: u64) -> Result<u64> {
        self.fetch_optional(PART_BYTES, args![upload, number]).await?.map_or(Ok(0), |row| row.count("size_bytes"))
    }

    /// The objects that `owner` is sending in parts, in no particular order.
    pub async fn open_multiparts(&self, owner: &str) -> Result<Vec<Object>> {
        let sql = concat!(OBJECTS!(), "WHERE uploads.owner = $1 AND multipart = 1 AND uploads.state = 'open'");
        self.fetch_all(sql, args![owner]).await?.iter().map(object).collect()
    }

    /// The last object that came in from `owner` as `key`, while its receipt is good.
    pub async fn receipt(&self, owner: &str, key: &str, now: i64) -> Result<Option<Object>> {
        let sql = concat!(
            OBJECTS!(),
            "WHERE inbox_objects.owner = $1 AND object_key = $2 AND receipt_until > $3 ORDER BY received_at DESC LIMIT 1"
        );
        self.fetch_optional(sql, args![owner, key, now]).await?.as_ref().map(object).transpose()
    }
}

impl Tx {
    /// The object that came in by this call of this key before, with the same bytes, when its client repeats the call.
    pub async fn repeated_object(&mut self, origin: Origin<'_>, key: &str, etag: &str) -> Result<Option<Object>> {
        let Origin { access_key, invocation } = origin;
        let sql = concat!(OBJECTS!(), "WHERE access_key_id = $1 AND invocation = $2 AND object_key = $3 AND etag = $4");
        self.fetch_optional(sql, args![access_key, invocation, key, etag]).await?.as_ref().map(object).transpose()
    }

    /// Inserts an open upload for `object`, with the wrapped root key of its video.
    pub async fn insert_inbox_object(
        &mut self,
        upload: &Upload,
        object: &Object,
        origin: Origin<'_>,
        wrapped_root_key: &str,
    ) -> Result<()> {
        self.insert_upload(upload, wrapped_root_key).await?;
        let sql = "INSERT INTO inbox_objects (upload_id, owner, object_key, access_key_id, multipart, algorithm, scope, invocation)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let (algorithm, scope) = (object.algorithm.as_str(), object.scope.as_str());
        let row =
            args![&object.upload, &upload.owner, &object.key, origin.access_key, object.multipart, algorithm, scope, origin.invocation];
        self.execute(sql, row).await.map(drop)
    }

    /// How large a part is that has come, or is coming, under this number; 0 when there is none.
    pub async fn inbox_part_bytes(&mut self, upload: &UploadId, number: u64) -> Result<u64> {
        self.fetch_optional(PART_BYTES, args![upload, number]).await?.map_or(Ok(0), |row| row.count("size_bytes"))
    }

    /// How many objects `owner` is sending.
    pub async fn open_objects(&mut self, owner: &str) -> Result<u64> {
        let sql = "SELECT COUNT(*) AS sent FROM uploads JOIN inbox_objects ON inbox_objects.upload_id = uploads.id
            WHERE uploads.owner = $1 AND uploads.state = 'open'";
        self.fetch_optional(sql, args![owner]).await?.map_or(Ok(0), |row| row.count("sent"))
    }

    /// Says that a part of this size is about to come, so that its upload counts it, and whatever becomes of it is looked after: of several
    /// that come under one number the largest counts, and one that has come keeps its size until another takes its place. `Conflict` when
    /// the upload is not open.
    pub async fn expect_inbox_part(&mut self, upload: &UploadId, number: u64, size_bytes: u64) -> Result<()> {
        let sql = "INSERT INTO upload_parts (upload_id, number, size_bytes, sha256) SELECT id, $2, $3, '' FROM uploads
            WHERE id = $1 AND state = 'open' ON CONFLICT (upload_id, number) DO UPDATE
            SET size_bytes = CASE WHEN upload_parts.blob IS NULL AND upload_parts.size_bytes < $3 THEN $3 ELSE upload_parts.size_bytes END";
        let changed = self.execute(sql, args![upload, number, size_bytes]).await?;
        if changed == 1 { self.sum_inbox_parts(upload).await } else { Err(ended(upload)) }
    }

    /// An open object is as large as its parts, those included that are coming.
    async fn sum_inbox_parts(&mut self, upload: &UploadId) -> Result<()> {
        let sql =
            "UPDATE uploads SET size_bytes = (SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM upload_parts WHERE upload_id = $1)
            WHERE id = $1 AND state = 'open'";
        self.execute(sql, args![upload]).await.map(drop)
    }

    /// Records that a part's frames are durable, in place of any part of this number; gives the blob that this one supersedes. `Conflict`
    /// when the upload is not open any more.
    pub async fn receive_inbox_part(&mut self, upload: &UploadId, part: &Part, sha256: &str) -> Result<Option<String>> {
        let now = self.now().await?;
        let old =
            self.fetch_optional("SELECT blob FROM upload_parts WHERE upload_id = $1 AND number = $2", args![upload, part.number]).await?;
        let superseded = old.map_or(Ok(None), |row| row.opt_text("blob"))?;
        let sql = "UPDATE upload_parts SET size_bytes = $3, sha256 = $4, md5 = $5, checksum = $6, blob = $7, received_at = $8
            WHERE upload_id = $1 AND number = $2 AND EXISTS (SELECT 1 FROM uploads WHERE id = $1 AND state = 'open')";
        let row = args![upload, part.number, part.size_bytes, sha256, &part.md5, &part.checksum, &part.blob, now];
        if self.execute(sql, row).await? == 0 {
            return Err(ended(upload));
        }
        self.sum_inbox_parts(upload).await?;
        Ok(superseded)
    }

    /// An object's received parts, in order, inside the transaction.
    pub async fn inbox_parts(&mut self, upload: &UploadId) -> Result<Vec<Part>> {
        self.fetch_all(PARTS, args![upload]).await?.iter().map(part).collect()
    }

    /// The object of an upload, inside the transaction.
    pub async fn inbox_object(&mut self, upload: &UploadId) -> Result<Object> {
        let row = self.fetch_optional(concat!(OBJECTS!(), "WHERE upload_id = $1"), args![upload]).await?;
        row.as_ref().map_or_else(|| Err(Error::not_found(format!("there is no upload {upload} of an object"))), object)
    }

    /// Forgets every part of an upload but those of these numbers, received or not.
    pub async fn keep_inbox_parts(&mut self, upload: &UploadId, numbers: &[u64]) -> Result<()> {
        let rows = self.fetch_all("SELECT number FROM upload_parts WHERE upload_id = $1", args![upload]).await?;
        let kept: std::collections::HashSet<&u64> = numbers.iter().collect();
        for row in rows {
            let number = row.count("number")?;
            if !kept.contains(&number) {
                self.execute("DELETE FROM upload_parts WHERE upload_id = $1 AND number = $2", args![upload, number]).await?;
            }
        }
        Ok(())
    }

    /// Says how large an open upload became and by which tag its client knows it; for a while its owner is told that it has come in.
    pub async fn inbox_received(&mut self, upload: &UploadId, size_bytes: u64, etag: &str, receipt_ms: i64) -> Result<()> {
        let now = self.now().await?;
        self.execute("UPDATE uploads SET size_bytes = $2 WHERE id = $1 AND state = 'open'", args![upload, size_bytes]).await?;
        let sql = "UPDATE inbox_objects SET etag = $2, received_at = $3, receipt_until = $4 WHERE upload_id = $1";
        self.execute(sql, args![upload, etag, now, now.saturating_add(receipt_ms)]).await.map(drop)
    }

    /// Moves the end of an open upload's time; `Conflict` when it is not open any more.
    pub async fn extend_upload(&mut self, upload: &UploadId, expires_at: i64) -> Result<()> {
        let sql = "UPDATE uploads SET expires_at = $2 WHERE id = $1 AND state = 'open'";
        let changed = self.execute(sql, args![upload, expires_at]).await?;
        if changed == 1 { Ok(()) } else { Err(ended(upload)) }
    }

    /// Ends the receipts of everything that came in from `owner` as `key`.
    pub async fn end_receipts(&mut self, owner: &str, key: &str) -> Result<()> {
        let sql = "UPDATE inbox_objects SET receipt_until = 0 WHERE owner = $1 AND object_key = $2 AND receipt_until > 0";
        self.execute(sql, args![owner, key]).await.map(drop)
    }
}

fn ended(upload: &UploadId) -> Error {
    Error::conflict("upload-ended", format!("upload {upload} has already ended"))
}
