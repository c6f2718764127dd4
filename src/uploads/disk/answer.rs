//! What errors are called in S3, and what becomes of a body that cannot be read.

use crate::domain::{Error, ErrorKind};
use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, StdError};
use std::io;

/// What a body that was lent says when its client sends nothing for too long.
pub(super) const STALLED: &str = "the client stopped sending";

/// What one says that is not aws-chunked although its headers say so,
pub(super) const MALFORMED: &str = "the body is not aws-chunked";
/// one with a signed chunk that is too large,
pub(super) const OVERSIZED: &str = "a signed chunk is too large";
/// and one that ends within a chunk.
pub(super) const CUT_SHORT: &str = "the body ends within a chunk";
/// How s3s begins what it says of chunks.
const CHUNKS: &str = "AwsChunkedStreamError: ";
/// What s3s says of the first: trailers that are none.
const MALFORMED_TO_S3S: [&str; 3] = ["FormatError", "TrailersTooLarge", "TooManyTrailerHeaders"];

/// Why a body ended early. s3s hands its own errors on as text: their types are private, and they hide their causes.
pub(super) fn body_error(error: StdError) -> Error {
    let text = error.to_string();
    let timed_out = error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut);
    if timed_out || text.contains(STALLED) {
        return Error::new(ErrorKind::Timeout, "body-stalled", "no bytes came for too long; send the part again").with_source(error);
    }
    if text.ends_with("Sha256Mismatch") {
        return Error::invalid("payload-hash", "the body does not have the sha-256 of x-amz-content-sha256; send it again")
            .with_source(error);
    }
    if text.ends_with("SignatureMismatch") {
        return Error::invalid("chunk-signature", "a chunk of the body is not signed as it should be; send it again").with_source(error);
    }
    if text.contains(OVERSIZED) {
        return Error::new(ErrorKind::TooLarge, "chunk-too-large", "a signed chunk of the body has more than 16 MiB; send smaller chunks")
            .with_source(error);
    }
    if text.contains(MALFORMED) || text.strip_prefix(CHUNKS).is_some_and(|what| MALFORMED_TO_S3S.iter().any(|it| what.starts_with(it))) {
        return Error::invalid("malformed-chunks", "the body is not aws-chunked as its headers say").with_source(error);
    }
    Error::invalid("body-incomplete", "the connection broke before the part had come; send it again").with_source(error)
}

/// The S3 answer to an error of ours. Only public texts leave.
pub(super) fn answer(error: &Error) -> S3Error {
    let code = match (error.code(), error.kind()) {
        ("quota-exceeded", _) => return unusual("QuotaExceeded", StatusCode::FORBIDDEN, error),
        ("too-many-transfers", _) => S3ErrorCode::SlowDown,
        (_, ErrorKind::OutOfSpace) => return unusual("InsufficientStorage", StatusCode::INSUFFICIENT_STORAGE, error),
        ("payload-hash", _) => return unusual("XAmzContentSHA256Mismatch", StatusCode::BAD_REQUEST, error),
        ("trailer-missing", _) => return unusual("MalformedTrailerError", StatusCode::BAD_REQUEST, error),
        ("body-too-large" | "file-too-large", _) => S3ErrorCode::EntityTooLarge,
        ("body-incomplete", _) => S3ErrorCode::IncompleteBody,
        ("checksum-mismatch", _) => S3ErrorCode::BadDigest,
        ("chunk-signature", _) => S3ErrorCode::SignatureDoesNotMatch,
        ("bad-md5", _) => S3ErrorCode::InvalidDigest,
        ("invalid-part", _) => S3ErrorCode::InvalidPart,
        ("part-order", _) => S3ErrorCode::InvalidPartOrder,
        ("part-too-small", _) => S3ErrorCode::EntityTooSmall,
        ("bad-key" | "bad-filename" | "bad-collection" | "part-number", _) => S3ErrorCode::InvalidArgument,
        (_, ErrorKind::NotFound | ErrorKind::Conflict) => S3ErrorCode::NoSuchUpload,
        (_, ErrorKind::Unauthorized | ErrorKind::Forbidden) => S3ErrorCode::AccessDenied,
        (_, ErrorKind::Invalid | ErrorKind::TooLarge) => S3ErrorCode::InvalidRequest,
        (_, ErrorKind::Timeout) => S3ErrorCode::RequestTimeout,
        (_, ErrorKind::Unavailable) => S3ErrorCode::ServiceUnavailable,
        (_, ErrorKind::Internal) => S3ErrorCode::InternalError,
    };
    S3Error::with_message(code, error.message().to_owned())
}

/// Codes that s3s does not know. S3 itself never runs out of space, so there they are those of others, under statuses that no client repeats
/// for ever: Ceph's `QuotaExceeded` (403), and what MinIO calls `XMinioStorageFull` (507).
fn unusual(code: &'static str, status: StatusCode, error: &Error) -> S3Error {
    let mut answer = S3Error::with_message(S3ErrorCode::Custom(code.into()), error.message().to_owned());
    answer.set_status_code(status);
    answer
}

/// Writes an error down: the house's loudly, the client's for whoever looks.
pub(super) fn report(error: &Error) {
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
            (Error::new(ErrorKind::OutOfSpace, "too-many-transfers", "text"), 503, "SlowDown"),
            (Error::new(ErrorKind::TooLarge, "chunk-too-large", "text"), 400, "InvalidRequest"),
            (Error::invalid("payload-hash", "text"), 400, "XAmzContentSHA256Mismatch"),
            (Error::new(ErrorKind::TooLarge, "file-too-large", "text"), 400, "EntityTooLarge"),
        ] {
            let answer = answer(&error);
            assert_eq!((answer.status_code().map(|status| status.as_u16()), answer.code().as_str()), (Some(status), code), "{error:?}");
            assert_eq!(answer.message(), Some("text"));
        }
    }
}
