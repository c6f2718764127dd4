//! What a client says of a body before, and after, it sends it; and whether the body agrees (Amazon S3 user guide, "Checking object
//! integrity").

use crate::blobs::Digests;
use crate::domain::checksum::Algorithm;
use crate::domain::{Error, Result};
use crate::uploads::checksum::{self, Hasher};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName};
use s3s::{S3ErrorCode, S3Result, TrailingHeaders, s3_error};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const PAYLOAD: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DECODED_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");
const SDK_ALGORITHM: HeaderName = HeaderName::from_static("x-amz-sdk-checksum-algorithm");
const TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");

/// What was said of a body.
#[derive(Debug)]
pub(super) struct Announced {
    /// Its length.
    pub size_bytes: u64,
    md5: Option<Vec<u8>>,
    checksum: Option<(Algorithm, Vec<u8>)>,
    trailer: Option<(Algorithm, TrailingHeaders)>,
}

impl Announced {
    /// Reads the headers of a request that has a body.
    pub(super) fn read(headers: &HeaderMap, trailers: Option<TrailingHeaders>) -> S3Result<Self> {
        let is_chunked = text(headers, &PAYLOAD).is_some_and(|payload| payload.starts_with("STREAMING-"));
        let length = if is_chunked { text(headers, &DECODED_LENGTH) } else { text(headers, &CONTENT_LENGTH) };
        let size_bytes = length.and_then(|length| length.parse().ok()).ok_or(S3ErrorCode::MissingContentLength)?;
        let checksum = sent_checksum(headers)?;
        let trailer = match text(headers, &TRAILER) {
            Some(names) => announced_trailer(names)?.zip(trailers),
            None => None,
        };
        if checksum.is_some() && trailer.is_some() {
            return Err(s3_error!(InvalidRequest, "send one checksum, as a header or as a trailer"));
        }
        let announced = Self { size_bytes, md5: md5(headers)?, checksum, trailer };
        match (text(headers, &SDK_ALGORITHM), announced.algorithm()) {
            (Some(word), algorithm) if algorithm.is_none_or(|algorithm| algorithm.as_str() != word) => {
                Err(s3_error!(InvalidRequest, "x-amz-sdk-checksum-algorithm names {word}, but no such checksum is sent"))
            }
            _ => Ok(announced),
        }
    }

    /// The algorithm of the checksum that is sent, if one is.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.checksum.as_ref().map(|(algorithm, _)| *algorithm).or(self.trailer.as_ref().map(|(algorithm, _)| *algorithm))
    }

    /// The value that was sent: before the body, or by now behind it.
    fn value(&self) -> Result<Option<(Algorithm, Vec<u8>)>> {
        let Some((algorithm, trailers)) = &self.trailer else { return Ok(self.checksum.clone()) };
        let sent = trailers.read(|trailers| text(trailers, &HeaderName::from_static(algorithm.header())).map(str::to_owned)).flatten();
        let missing = || Error::invalid("trailer-missing", format!("the trailer {} was announced and did not come", algorithm.header()));
        Ok(Some((*algorithm, checksum::decode(*algorithm, &sent.ok_or_else(missing)?)?)))
    }
}

/// Hashes a body as it passes by.
#[derive(Clone)]
pub(super) struct Tap {
    announced: Arc<Announced>,
    hashers: Arc<Mutex<Vec<Hasher>>>,
}

impl Tap {
    /// For a body of which `announced` was said; `kept` is the algorithm whose value is wanted besides.
    pub(super) fn new(announced: Announced, kept: Algorithm) -> Self {
        let mut hashers = vec![Hasher::new(kept)];
        hashers.extend(announced.algorithm().filter(|sent| *sent != kept).map(Hasher::new));
        Self { announced: Arc::new(announced), hashers: Arc::new(Mutex::new(hashers)) }
    }

    /// The body, looked at.
    pub(super) fn watch<S: Stream<Item = Result<Bytes>>>(&self, body: S) -> impl Stream<Item = Result<Bytes>> + use<S> {
        let tap = self.clone();
        body.inspect_ok(move |bytes| tap.hashers().iter_mut().for_each(|hasher| hasher.update(bytes)))
    }

    /// Whether the body that passed is what was announced: `Invalid` (`checksum-mismatch`, `trailer-missing`) otherwise.
    pub(super) fn verify(&self, digests: &Digests) -> Result<()> {
        if self.announced.md5.as_ref().is_some_and(|md5| *md5 != digests.md5) {
            return Err(Error::invalid("checksum-mismatch", "the body does not have the announced content-md5; send it again"));
        }
        let Some((algorithm, sent)) = self.announced.value()? else { return Ok(()) };
        if self.value(algorithm).is_some_and(|value| value == sent) {
            return Ok(());
        }
        let message = format!("the body does not have the {} that was sent with it; send it again", algorithm.header());
        Err(Error::invalid("checksum-mismatch", message))
    }

    /// The value of the body that passed, base64.
    pub(super) fn base64(&self, algorithm: Algorithm) -> Option<String> {
        self.value(algorithm).map(|value| STANDARD.encode(value))
    }

    fn value(&self, algorithm: Algorithm) -> Option<Vec<u8>> {
        self.hashers().iter().find(|hasher| hasher.algorithm() == algorithm).map(Hasher::value)
    }

    fn hashers(&self) -> MutexGuard<'_, Vec<Hasher>> {
        self.hashers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The checksum header of a request, if it has one; `InvalidRequest` when it has two, or one that is none.
pub(super) fn sent_checksum(headers: &HeaderMap) -> S3Result<Option<(Algorithm, Vec<u8>)>> {
    let sent = |algorithm: Algorithm| headers.get_all(algorithm.header()).iter().map(move |value| (algorithm, value));
    let mut all = Algorithm::ALL.into_iter().flat_map(sent);
    let Some((algorithm, value)) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(s3_error!(InvalidRequest, "send a single x-amz-checksum- header"));
    }
    let value = checksum::decode(algorithm, value.to_str().unwrap_or_default());
    value.map(|value| Some((algorithm, value))).map_err(|error| s3_error!(InvalidRequest, "{error}"))
}

fn announced_trailer(names: &str) -> S3Result<Option<Algorithm>> {
    let known = |name: &str| Algorithm::ALL.into_iter().find(|algorithm| algorithm.header().eq_ignore_ascii_case(name));
    match names.split(',').map(str::trim).collect::<Vec<_>>()[..] {
        [name] if known(name).is_some() => Ok(known(name)),
        _ => Err(s3_error!(InvalidRequest, "x-amz-trailer must name one checksum of S3")),
    }
}

fn md5(headers: &HeaderMap) -> S3Result<Option<Vec<u8>>> {
    let Some(text) = headers.get(CONTENT_MD5) else { return Ok(None) };
    let md5 = STANDARD.decode(text).ok().filter(|md5| md5.len() == 16);
    md5.map(Some).ok_or_else(|| s3_error!(InvalidDigest, "content-md5 is no MD5 in base64"))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("ascii"))).collect()
    }

    fn code(pairs: &[(&'static str, &str)]) -> String {
        Announced::read(&headers(pairs), None).expect_err("refused").code().as_str().to_owned()
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let length = ("content-length", "9");
        assert_eq!(code(&[]), "MissingContentLength");
        assert_eq!(code(&[("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), length]), "MissingContentLength");
        assert_eq!(code(&[length, ("content-md5", "YWJj")]), "InvalidDigest");
        assert_eq!(code(&[length, ("x-amz-checksum-crc32", "YWJj")]), "InvalidRequest");
        assert_eq!(code(&[length, ("x-amz-checksum-crc32", "y/Q5Jg=="), ("x-amz-checksum-crc32c", "4waSgw==")]), "InvalidRequest");
        assert_eq!(code(&[length, ("x-amz-sdk-checksum-algorithm", "SHA256")]), "InvalidRequest");
        assert_eq!(code(&[length, ("x-amz-sdk-checksum-algorithm", "SHA256"), ("x-amz-checksum-crc32", "y/Q5Jg==")]), "InvalidRequest");
        assert_eq!(code(&[length, ("x-amz-trailer", "x-amz-meta-a")]), "InvalidRequest");
    }

    /// Invariant 10: no checksum, no blob: whatever was sent is compared.
    #[tokio::test]
    async fn a_body_must_agree_with_all_that_was_said_of_it() {
        let whole = b"123456789";
        let md5 = STANDARD.encode(Digests::of(whole).md5);
        for (pairs, agrees) in [
            (vec![], true),
            (vec![("content-md5", md5.as_str()), ("x-amz-checksum-crc32", "y/Q5Jg==")], true),
            (vec![("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], false),
            (vec![("x-amz-checksum-crc32", "y/Q5Jw==")], false),
            (vec![("x-amz-checksum-crc64nvme", "rosUhgp5mIg=")], true),
            (vec![("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")], false),
        ] {
            let all = [pairs.as_slice(), &[("content-length", "9")]].concat();
            let tap = Tap::new(Announced::read(&headers(&all), None).expect("fine"), Algorithm::Crc32);
            let pieces = stream::iter(whole.chunks(2).map(|piece| Ok(Bytes::from_static(piece))));
            tap.watch(pieces).try_collect::<Vec<_>>().await.expect("passes");
            let verdict = tap.verify(&Digests::of(whole));
            assert_eq!(verdict.as_ref().map_err(Error::code), if agrees { Ok(&()) } else { Err("checksum-mismatch") }, "{pairs:?}");
            assert_eq!(tap.base64(Algorithm::Crc32).as_deref(), Some("y/Q5Jg=="));
        }
    }
}
