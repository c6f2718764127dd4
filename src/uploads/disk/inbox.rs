//! The bucket `inbox`: whatever comes in whole becomes a video, and leaves the bucket at once.

mod integrity;
mod listing;
mod multipart;

use super::answer::{answer, body_error, report};
use crate::blobs::{Accept, Blobs, Key};
use crate::domain::checksum::Algorithm;
use crate::domain::inbox::{MAX_PART_BYTES, Object};
use crate::domain::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::keys::Keys;
use crate::uploads::{Claim, ClaimedPart, INBOX, Inbox, NewObject, Sender, Slot, StoredPart};
use futures_util::TryStreamExt;
use http::Extensions;
use integrity::{Announced, Tap};
use s3s::dto::{ETag, ETagCondition, PutObjectInput, PutObjectOutput, StreamingBlob};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use std::sync::Arc;
use std::time::Duration;

/// How often an object that comes at once says that it is still coming.
const KEEP_EVERY: Duration = Duration::from_secs(20);

/// Puts a base64 checksum into the field of its algorithm.
macro_rules! set_checksum {
    ($dto:expr, $algorithm:expr, $value:expr) => {
        match $algorithm {
            $crate::domain::checksum::Algorithm::Crc32 => $dto.checksum_crc32 = $value,
            $crate::domain::checksum::Algorithm::Crc32c => $dto.checksum_crc32c = $value,
            $crate::domain::checksum::Algorithm::Crc64Nvme => $dto.checksum_crc64nvme = $value,
            $crate::domain::checksum::Algorithm::Sha1 => $dto.checksum_sha1 = $value,
            $crate::domain::checksum::Algorithm::Sha256 => $dto.checksum_sha256 = $value,
        }
    };
}
use set_checksum;

/// The inbox's operations. Cheap to clone.
#[derive(Clone)]
pub(super) struct Door {
    blobs: Blobs,
    keys: Keys,
    rows: Arc<dyn Inbox>,
}

/// A body, what was said of it, and the part that it is.
struct Sent {
    number: u32,
    announced: Announced,
    body: StreamingBlob,
}

/// A part that is durable, with its checksums.
struct Kept {
    stored: StoredPart,
    /// Of the object's algorithm.
    checksum: String,
    /// Of the one that the client sent, to be told back.
    told: Option<(Algorithm, String)>,
}

impl Door {
    pub(super) fn new(blobs: Blobs, keys: Keys, rows: Arc<dyn Inbox>) -> Self {
        Self { blobs, keys, rows }
    }

    /// PutObject.
    pub(super) async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let S3Request { mut input, headers, trailing_headers, extensions, .. } = req;
        let sender = sender(&extensions, &input.bucket)?;
        conditions(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let announced = Announced::read(&headers, trailing_headers)?;
        let body = input.body.take().ok_or(S3ErrorCode::IncompleteBody)?;
        require_part_size(announced.size_bytes)?;
        let sent_algorithm = announced.algorithm();
        let algorithm = sent_algorithm.unwrap_or(Algorithm::Crc64Nvme);
        if input.key.ends_with('/') && announced.size_bytes == 0 {
            // What some clients call a folder. There are none here: the keys of objects name them.
            return Ok(S3Response::new(PutObjectOutput { e_tag: Some(etag_of_nothing()), ..PutObjectOutput::default() }));
        }
        let new = NewObject { key: input.key, size_bytes: Some(announced.size_bytes), algorithm, scope: algorithm.default_scope() };
        let door = self.clone();
        let taken = own_task(async move { door.take_in(&sender, &new, Sent { number: 1, announced, body }).await }).await;
        let (etag, told) = taken.map_err(|error| match error.kind() {
            // Its upload is the endpoint's own affair: the client has no upload that could have ended.
            ErrorKind::NotFound | ErrorKind::Conflict => s3_error!(ServiceUnavailable, "the object took too long to come; send it again"),
            _ => answer(&error),
        })?;
        let mut output = PutObjectOutput { e_tag: Some(ETag::Strong(etag)), ..PutObjectOutput::default() };
        if let Some((algorithm, value)) = told {
            set_checksum!(output, algorithm, Some(value));
        }
        Ok(S3Response::new(output))
    }

    /// Takes an object in that comes at once, and gives its tag. What is not acknowledged leaves nothing behind.
    async fn take_in(&self, sender: &Sender, new: &NewObject, sent: Sent) -> Result<(String, Option<(Algorithm, String)>)> {
        let slot = self.rows.begin(sender, new).await?;
        let taken = self.take_whole(sender, &slot, sent).await;
        if let Err(error) = &taken
            // After any other error it may have become a video. If not, its time ends soon.
            && !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Internal)
            && let Err(error) = self.rows.abort(&slot.object).await
        {
            tracing::warn!(error = error.chain(), "could not drop an object that did not come in; its time ends by itself");
        }
        taken
    }

    async fn take_whole(&self, sender: &Sender, slot: &Slot, sent: Sent) -> Result<(String, Option<(Algorithm, String)>)> {
        // Only while the bytes come: what follows takes a moment, and it is what ends the upload.
        let kept = tokio::select! {
            kept = self.store(slot, sent) => kept?,
            lost = self.keep_open(&slot.object) => return Err(lost),
        };
        failpoint::hit("inbox-stored");
        self.record(&slot.object, 1, &kept).await?;
        failpoint::hit("inbox-recorded");
        let part = ClaimedPart { number: 1, etag: hex::encode(kept.stored.digests.md5), checksum: None };
        let object = self.rows.complete(sender, &slot.object, &Claim { parts: vec![part], ..Claim::default() }).await?;
        failpoint::hit("inbox-completed");
        let etag = object.etag.ok_or_else(|| Error::internal("an object that came in has no tag", object.upload.to_string()))?;
        Ok((etag, kept.told))
    }

    /// Never ends while the object's upload is open.
    async fn keep_open(&self, object: &Object) -> Error {
        loop {
            tokio::time::sleep(KEEP_EVERY).await;
            match self.rows.keep(&object.upload).await {
                Err(error) if error.kind() == ErrorKind::Conflict => return error,
                Err(error) => tracing::warn!(error = error.chain(), "could not keep an object's upload open; it is tried again"),
                Ok(()) => {}
            }
        }
    }

    /// Writes a body as encrypted frames, if it is what was said of it.
    async fn store(&self, slot: &Slot, sent: Sent) -> Result<Kept> {
        let (object, Sent { number, announced, body }) = (&slot.object, sent);
        let root = self.keys.open(&object.video, &slot.root_key_wrapped).await?;
        let key = Key::source_part(object.video.clone(), object.upload.clone(), number);
        let (size_bytes, told) = (announced.size_bytes, announced.algorithm());
        let tap = Tap::new(announced, object.algorithm);
        let accept = Accept::Sized { size_bytes, verify: &|digests| tap.verify(digests) };
        let digests = self.blobs.write_sealed(&key, &root, tap.watch(body.map_err(body_error)), &accept).await?;
        let checksum = tap.base64(object.algorithm).ok_or_else(|| Error::internal("a part was not hashed", object.algorithm.as_str()))?;
        let told = told.and_then(|algorithm| Some((algorithm, tap.base64(algorithm)?)));
        Ok(Kept { stored: StoredPart { key, digests }, checksum, told })
    }

    async fn record(&self, object: &Object, number: u32, kept: &Kept) -> Result<()> {
        use ErrorKind::{Conflict, NotFound, OutOfSpace, TooLarge};
        let recorded = self.rows.received(object, number, &kept.stored, &kept.checksum).await;
        let unwanted = match &recorded {
            Ok(superseded) => superseded.as_ref(),
            // Surely not recorded. After any other error it may have been, and the blob must stay.
            Err(e) if matches!(e.kind(), NotFound | Conflict | OutOfSpace | TooLarge) => Some(&kept.stored.key),
            Err(_) => None,
        };
        if let Some(key) = unwanted
            && let Err(error) = self.blobs.delete(key).await
        {
            // The part is safe all the same; what is left over goes with its upload or its video.
            tracing::warn!(error = error.chain(), "could not delete a superseded part");
        }
        recorded.map(drop)
    }
}

/// Runs `work` to its end whatever becomes of the client: one that goes away ends a body with an error, but never cuts between storing and
/// recording.
async fn own_task<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let ended = tokio::spawn(async move { work.await.inspect_err(report) }).await;
    ended.unwrap_or_else(|panic| Err(Error::internal("the object could not be taken in", panic)))
}

/// Who sends; the guard has put them there. Only people use the inbox, and only by its name.
fn sender(extensions: &Extensions, bucket: &str) -> S3Result<Sender> {
    let sender = extensions.get::<Sender>().cloned().ok_or_else(|| s3_error!(AccessDenied, "the inbox opens to a person's access key"))?;
    if bucket == INBOX { Ok(sender) } else { Err(s3_error!(NoSuchBucket, "the only bucket is {INBOX}")) }
}

/// Conditions on the object that a key names: it is never there, for what came in has left.
fn conditions(if_match: Option<&ETagCondition>, if_none_match: Option<&ETagCondition>) -> S3Result<()> {
    match (if_match, if_none_match) {
        (Some(_), _) => Err(s3_error!(NoSuchKey, "if-match needs an object, and what comes in leaves the inbox")),
        (None, Some(condition)) if !condition.is_any() => Err(s3_error!(NotImplemented, "if-none-match takes * only")),
        _ => Ok(()),
    }
}

fn require_part_size(size_bytes: u64) -> S3Result<()> {
    if size_bytes <= MAX_PART_BYTES {
        Ok(())
    } else {
        Err(s3_error!(EntityTooLarge, "send at most {MAX_PART_BYTES} bytes at once; send larger objects in parts"))
    }
}

fn etag_of_nothing() -> ETag {
    ETag::Strong(hex::encode(crate::blobs::Digests::of(b"").md5))
}
