//! What the S3 endpoint asks of the rows while a part arrives.

use super::{Ingest, must_be_open};
use crate::blobs::Key;
use crate::domain::ids::UploadId;
use crate::domain::{Error, Result};
use crate::transaction;
use crate::uploads::{ExpectedPart, Hold, StoredPart};
use async_trait::async_trait;

/// The rows of uploads, as the S3 endpoint may use them.
#[derive(Clone, Debug)]
pub struct Ledger(pub Ingest);

#[async_trait]
impl crate::uploads::Ledger for Ledger {
    async fn expected(&self, upload: &UploadId, number: u32) -> Result<ExpectedPart> {
        let row = self.0.catalog.upload(upload).await?;
        must_be_open(&row)?;
        let part = self.0.catalog.upload_part(upload, u64::from(number)).await?;
        let hold = Some(Hold::new(self.0.storage.room_for_part(part.size_bytes).await?));
        let sha256 = hex::decode(&part.sha256).ok().and_then(|bytes| bytes.try_into().ok());
        let sha256 = sha256.ok_or_else(|| Error::internal("the catalog holds a malformed digest", part.sha256.clone()))?;
        let root_key_wrapped = self.0.catalog.wrapped_root_key(&row.video).await?;
        Ok(ExpectedPart { size_bytes: part.size_bytes, sha256, video: row.video, root_key_wrapped, hold })
    }

    async fn received(&self, upload: &UploadId, number: u32, stored: &StoredPart) -> Result<Option<Key>> {
        let (sha256, md5, path) = (hex::encode(stored.digests.sha256), hex::encode(stored.digests.md5), stored.key.path());
        let superseded = transaction!(self.0.catalog, |tx| tx.receive_part(upload, u64::from(number), &sha256, &md5, &path).await)?;
        superseded.as_deref().map(Key::parse).transpose()
    }
}
