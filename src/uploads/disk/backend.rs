//! What s3s calls once a request is authentic: UploadPart over blobs and ledger.

use crate::blobs::{Accept, Blobs, Key};
use crate::domain::ids::UploadId;
use crate::domain::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::keys::Keys;
use crate::uploads::{BUCKET, ExpectedPart, Ledger, MAX_PARTS, StoredPart};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt;
use http::StatusCode;
use s3s::dto::{
    CreateBucketInput, CreateBucketOutput, ETag, HeadBucketInput, HeadBucketOutput, StreamingBlob, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, StdError, s3_error};
use std::io;
use std::sync::Arc;

/// The operations of the endpoint; all that are not here answer `NotImplemented`. Cheap to clone.
#[derive(Clone)]
pub(super) struct Backend {
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

impl Backend {
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
}

#[async_trait]
impl S3 for Backend {
    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let mut input = req.input;
        let body = input.body.take().ok_or(S3ErrorCode::IncompleteBody)?;
        let part = self.announced(&input).await?;
        // Its own task: a client that goes away ends the body with an error, but never cuts between storing and recording.
        let backend = self.clone();
        let stored = tokio::spawn(async move { backend.store(&part, body).await.inspect_err(report) });
        let stored = stored.await.map_err(S3Error::internal_error)?.map_err(|e| answer(&e))?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(hex::encode(stored.digests.md5))),
            checksum_sha256: Some(STANDARD.encode(stored.digests.sha256)),
            ..UploadPartOutput::default()
        }))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        require_bucket(&req.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    // Some clients make the bucket before they use it.
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        Err(if req.input.bucket == BUCKET { s3_error!(BucketAlreadyOwnedByYou) } else { s3_error!(AccessDenied) })
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

fn body_error(error: StdError) -> Error {
    let timed_out = error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut);
    if timed_out {
        return Error::new(ErrorKind::Timeout, "body-stalled", "no bytes came for too long; send the part again").with_source(error);
    }
    Error::invalid("body-incomplete", "the connection broke before the part had come; send it again").with_source(error)
}

/// The S3 answer to an error of ours. Only public texts leave.
fn answer(error: &Error) -> S3Error {
    let code = match (error.code(), error.kind()) {
        ("quota-exceeded", _) => return out_of_space("QuotaExceeded", StatusCode::FORBIDDEN, error),
        (_, ErrorKind::OutOfSpace) => return out_of_space("InsufficientStorage", StatusCode::INSUFFICIENT_STORAGE, error),
        ("body-too-large", _) => S3ErrorCode::EntityTooLarge,
        ("body-incomplete", _) => S3ErrorCode::IncompleteBody,
        ("checksum-mismatch", _) => S3ErrorCode::BadDigest,
        (_, ErrorKind::NotFound | ErrorKind::Conflict) => S3ErrorCode::NoSuchUpload,
        (_, ErrorKind::Unauthorized | ErrorKind::Forbidden) => S3ErrorCode::AccessDenied,
        (_, ErrorKind::Invalid | ErrorKind::TooLarge) => S3ErrorCode::InvalidRequest,
        (_, ErrorKind::Timeout) => S3ErrorCode::RequestTimeout,
        (_, ErrorKind::Unavailable) => S3ErrorCode::ServiceUnavailable,
        (_, ErrorKind::Internal) => S3ErrorCode::InternalError,
    };
    S3Error::with_message(code, error.message().to_owned())
}

/// S3 itself never runs out of space, so these codes are those of others, under statuses that no client repeats for ever: Ceph's
/// `QuotaExceeded` (403), and what MinIO calls `XMinioStorageFull` (507).
fn out_of_space(code: &'static str, status: StatusCode, error: &Error) -> S3Error {
    let mut answer = S3Error::with_message(S3ErrorCode::Custom(code.into()), error.message().to_owned());
    answer.set_status_code(status);
    answer
}

fn report(error: &Error) {
    match error.kind() {
        ErrorKind::Internal | ErrorKind::Unavailable => tracing::error!(error = error.chain(), "could not store a part"),
        _ => tracing::debug!(error = error.chain(), "refused a part"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_may_try_again_and_what_is_new_may_not() {
        for (error, status, code) in [
            (Error::quota_exceeded("text"), 403, "QuotaExceeded"),
            (Error::insufficient_storage("text"), 507, "InsufficientStorage"),
            (Error::new(ErrorKind::Unavailable, "disk-full", "text"), 503, "ServiceUnavailable"),
        ] {
            let answer = answer(&error);
            assert_eq!((answer.status_code().map(|status| status.as_u16()), answer.code().as_str()), (Some(status), code), "{error:?}");
            assert_eq!(answer.message(), Some("text"));
        }
    }
}
