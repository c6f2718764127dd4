//! Uploads: parts arrive by presigned S3 multipart, and objects by whatever speaks S3. The catalog says what may arrive; this room checks
//! that it did, and stores it.

pub mod checksum;
pub mod disk;
mod inbox;
mod presign;

use crate::blobs::{Digests, Key};
use crate::domain::Result;
use crate::domain::ids::{UploadId, VideoId};
use async_trait::async_trait;
pub use inbox::{Claim, ClaimedPart, Gate, INBOX, Inbox, NewObject, Sender, Slot};
pub use presign::{PresignedPart, Presigner};
use std::any::Any;
use std::sync::Arc;

/// The bucket of all uploads. The object key and the S3 upload id are both the upload's id.
pub const BUCKET: &str = "uploads";
/// The highest part number (Amazon S3, multipart upload limits).
pub const MAX_PARTS: u32 = 10_000;

/// The region the embedded endpoint is in: the one every client assumes. It takes signatures for any other, too.
const REGION: &str = "us-east-1";
const CHECKSUM_HEADER: &str = "x-amz-checksum-sha256";
const MAX_EXPIRY_S: u64 = 7 * 24 * 60 * 60;

/// Room on the disk that is kept for a part until this is dropped, with every clone of it.
#[derive(Clone, Debug)]
pub struct Hold(#[expect(dead_code, reason = "held, not read")] Arc<dyn Any + Send + Sync>);

impl Hold {
    /// Keeps what ends when `kept` is dropped.
    pub fn new(kept: impl Any + Send + Sync) -> Self {
        Self(Arc::new(kept))
    }
}

/// What the client announced of a part, and where its bytes belong.
#[derive(Clone, Debug)]
pub struct ExpectedPart {
    /// The exact size.
    pub size_bytes: u64,
    /// The SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// The video the upload is for.
    pub video: VideoId,
    /// The video's wrapped root key.
    pub root_key_wrapped: String,
    /// Its room, while it comes.
    pub hold: Option<Hold>,
}

/// A part that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// Its blob.
    pub key: Key,
    /// Size and digests of its plaintext.
    pub digests: Digests,
}

/// The rows behind an upload, as the endpoint needs them.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// What part `number` of `upload` must be. `NotFound` when there is no such upload or the part was not announced, `Conflict`
    /// when the upload takes no more parts.
    async fn expected(&self, upload: &UploadId, number: u32) -> Result<ExpectedPart>;

    /// Records that part `number` lies at `stored.key`, durably, and gives the blob it takes the place of, if any: the endpoint
    /// deletes that one. `NotFound` or `Conflict` when the upload takes no more parts, or the part was meanwhile announced anew with
    /// another digest: then nothing is recorded, and the endpoint deletes the new blob.
    async fn received(&self, upload: &UploadId, number: u32, stored: &StoredPart) -> Result<Option<Key>>;
}
