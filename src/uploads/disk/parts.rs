//! The bucket `uploads`: parts that the API announced, by URLs that the house presigned.

use super::answer::{answer, body_error, report};
use crate::blobs::{Accept, Blobs, Key};
use crate::domain::ids::UploadId;
use crate::domain::{ErrorKind, Result};
use crate::failpoint;
use crate::keys::Keys;
use crate::uploads::{BUCKET, ExpectedPart, Ledger, MAX_PARTS, StoredPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt;
use s3s::dto::{ETag, StreamingBlob, UploadPartInput, UploadPartOutput};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use std::sync::Arc;

/// The operations of the bucket. Cheap to clone.
#[derive(Clone)]
pub(super) struct Parts {
    blobs: Blobs,
    keys: Keys,
    ledger: Arc<dyn Ledger>,
}

/// A part whose request agrees with its row.
struct Announced {
    upload: UploadId,
    number: u32,
    expected: ExpectedPart,
}

impl Parts {
    pub(super) fn new(blobs: Blobs, keys: Keys, ledger: Arc<dyn Ledger>) -> Self {
        Self { blobs, keys, ledger }
    }

    async fn announced(&self, input: &UploadPartInput) -> S3Result<Announced> {
        require_bucket(&input.bucket)?;
        let upload = UploadId::parse(&input.upload_id).map_err(|_| S3ErrorCode::NoSuchUpload)?;
        if input.key != upload.as_str() {
            return Err(s3_error!(NoSuchUpload, "the object key is not the upload id"));
        }
        let number = u32::try_from(input.part_number).ok().filter(|number| (1..=MAX_PARTS).contains(number));
        let number = number.ok_or_else(|| s3_error!(InvalidArgument, "part numbers are 1 to {MAX_PARTS}"))?;
        let expected = self.ledger.expected(&upload, number).await.inspect_err(report).map_err(|e| answer(&e))?;
        require_length(input.content_length, expected.size_bytes)?;
        let checksum = input.checksum_sha256.as_ref().and_then(|text| STANDARD.decode(text).ok());
        if checksum.as_deref() != Some(&expected.sha256) {
            return Err(s3_error!(BadDigest, "the part is announced with another sha-256; ask for a new url"));
        }
        Ok(Announced { upload, number, expected })
    }

    /// Stores the body and records it. A part that was received before is written anew and takes the old one's place: only bytes
    /// that were just verified are acknowledged.
    async fn store(&self, part: &Announced, body: StreamingBlob) -> Result<StoredPart> {
        let Announced { upload, number, expected } = part;
        failpoint::hit("part");
        let root = self.keys.open(&expected.video, &expected.root_key_wrapped).await?;
        let key = Key::source_part(expected.video.clone(), upload.clone(), *number);
        let accept = Accept::Exactly { size_bytes: expected.size_bytes, sha256: expected.sha256 };
        let digests = self.blobs.write_sealed(&key, &root, body.map_err(body_error), &accept).await?;
        let stored = StoredPart { key, digests };
        failpoint::hit("part-stored");
        self.record(part, &stored).await?;
        Ok(stored)
    }

    async fn record(&self, part: &Announced, stored: &StoredPart) -> Result<()> {
        let recorded = self.ledger.received(&part.upload, part.number, stored).await;
        let unwanted = match &recorded {
            Ok(superseded) => superseded.as_ref(),
            // Surely not recorded. After any other error it may have been, and the blob must stay.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => Some(&stored.key),
            Err(_) => None,
        };
        if let Some(key) = unwanted
            && let Err(error) = self.blobs.delete(key).await
        {
            // The part is safe all the same; what is left over goes with its upload or its video.
            tracing::warn!(error = error.chain(), "could not delete a superseded part");
        }
        recorded.map(|_| ())
    }

    /// UploadPart.
    pub(super) async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let mut input = req.input;
        let body = input.body.take().ok_or(S3ErrorCode::IncompleteBody)?;
        let part = self.announced(&input).await?;
        // Its own task: a client that goes away ends the body with an error, but never cuts between storing and recording.
        let parts = self.clone();
        let stored = tokio::spawn(async move { parts.store(&part, body).await.inspect_err(report) });
        let stored = stored.await.map_err(S3Error::internal_error)?.map_err(|e| answer(&e))?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(hex::encode(stored.digests.md5))),
            checksum_sha256: Some(STANDARD.encode(stored.digests.sha256)),
            ..UploadPartOutput::default()
        }))
    }
}

fn require_bucket(name: &str) -> S3Result<()> {
    if name == BUCKET { Ok(()) } else { Err(s3_error!(NoSuchBucket, "the only bucket is {BUCKET}")) }
}

fn require_length(content_length: Option<i64>, expected_bytes: u64) -> S3Result<()> {
    let length = content_length.and_then(|length| u64::try_from(length).ok()).ok_or(S3ErrorCode::MissingContentLength)?;
    match length.cmp(&expected_bytes) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(s3_error!(EntityTooLarge, "the part is announced with {expected_bytes} bytes, not {length}")),
        std::cmp::Ordering::Less => Err(s3_error!(IncompleteBody, "the part is announced with {expected_bytes} bytes, not {length}")),
    }
}
