//! Presigned URLs for parts (AWS Signature Version 4 in the query). Signing is object_store's, so the same code serves a real S3.

use super::{BUCKET, CHECKSUM_HEADER, MAX_EXPIRY_S, REGION};
use crate::domain::ids::UploadId;
use crate::domain::{Error, Result};
use crate::kms::S3Credentials;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer as _};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A request that stores one part, ready to be sent by whoever holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct PresignedPart {
    /// The method, `PUT`.
    pub method: &'static str,
    /// Where to; carries the signature, so it is a secret until it expires.
    pub url: String,
    /// Headers that must be sent exactly so.
    pub headers: BTreeMap<String, String>,
    /// When the URL stops working, epoch milliseconds.
    pub expires_at_ms: i64,
}

/// Makes presigned URLs for one S3 endpoint.
#[derive(Debug)]
pub struct Presigner {
    store: AmazonS3,
}

impl Presigner {
    /// A presigner for the endpoint that clients reach at `s3_public_url`, an origin such as `https://s3.example.org` without a path
    /// (`Invalid` otherwise): the signature covers the path, so a proxy may not shorten it.
    pub fn new(s3_public_url: &str, credentials: &S3Credentials) -> Result<Self> {
        let origin = s3_public_url.trim_end_matches('/');
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).unwrap_or_default();
        if authority.is_empty() || authority.contains(['/', '?', '#']) {
            return Err(Error::invalid("bad-s3-url", format!("{s3_public_url} must be http(s)://host[:port] without a path")));
        }
        let store = AmazonS3Builder::new()
            .with_endpoint(origin)
            .with_allow_http(true)
            .with_region(REGION)
            .with_bucket_name(BUCKET)
            .with_access_key_id(&credentials.access_key_id)
            .with_secret_access_key(credentials.secret_access_key.as_str())
            .build()
            .map_err(|e| Error::internal("could not prepare presigned urls", e))?;
        Ok(Self { store })
    }

    /// A URL that stores part `number` of `upload` if its bytes have this SHA-256, valid for `ttl`, a week at most. The size is not
    /// signed: the endpoint takes it from the row.
    pub async fn part(&self, upload: &UploadId, number: u32, sha256: &[u8; 32], ttl: Duration) -> Result<PresignedPart> {
        let ttl = ttl.min(Duration::from_secs(MAX_EXPIRY_S));
        let checksum = STANDARD.encode(sha256);
        let header = HeaderValue::from_str(&checksum).map_err(|e| Error::internal("could not sign a checksum", e))?;
        let options = SignedUrlOptions::new()
            .with_query([("partNumber", number.to_string()), ("uploadId", upload.to_string())])
            .with_signed_header(HeaderName::from_static(CHECKSUM_HEADER), header);
        // Read before signing, so that the URL never expires before the answer says so.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let signed = self.store.signed_url_opts(Method::PUT, &Path::from(upload.as_str()), ttl, &options).await;
        let url = signed.map_err(|e| Error::internal("could not presign a url", e))?;
        Ok(PresignedPart {
            method: "PUT",
            url: url.into(),
            headers: BTreeMap::from([(CHECKSUM_HEADER.to_owned(), checksum)]),
            expires_at_ms: (Duration::from_secs(now.as_secs()) + ttl).as_millis() as i64,
        })
    }
}

impl std::fmt::Debug for PresignedPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresignedPart").field("expires_at_ms", &self.expires_at_ms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn credentials() -> S3Credentials {
        S3Credentials { access_key_id: "KEY".to_owned(), secret_access_key: Zeroizing::new("SECRET-CANARY".to_owned()) }
    }

    #[tokio::test]
    async fn the_url_is_path_style_and_signs_the_checksum() {
        let presigner = Presigner::new("http://127.0.0.1:8081/", &credentials()).expect("a presigner");
        let upload = UploadId::new();
        let part = presigner.part(&upload, 7, &[0; 32], Duration::from_secs(60)).await.expect("a url");
        assert!(part.url.starts_with(&format!("http://127.0.0.1:8081/uploads/{upload}?")), "{}", part.url);
        for piece in ["partNumber=7", &format!("uploadId={upload}"), "X-Amz-SignedHeaders=host%3Bx-amz-checksum-sha256", "X-Amz-Expires=60"]
        {
            assert!(part.url.contains(piece), "{piece} in {}", part.url);
        }
        assert_eq!(part.headers[CHECKSUM_HEADER], STANDARD.encode([0; 32]));
    }

    #[tokio::test]
    async fn no_url_outlives_a_week() {
        let presigner = Presigner::new("https://s3.example.org", &credentials()).expect("a presigner");
        let part = presigner.part(&UploadId::new(), 1, &[0; 32], Duration::from_secs(u64::MAX)).await.expect("a url");
        assert!(part.url.contains("X-Amz-Expires=604800&"), "{}", part.url);
    }

    #[test]
    fn only_an_origin_will_do_and_no_secret_is_printed() {
        for bad in ["", "s3.example.org", "https://", "https://example.org/s3", "ftp://example.org"] {
            assert_eq!(Presigner::new(bad, &credentials()).expect_err("refused").code(), "bad-s3-url", "{bad}");
        }
        let printed = format!("{:?}", Presigner::new("https://s3.example.org", &credentials()).expect("a presigner"));
        assert!(!printed.contains("SECRET-CANARY"), "{printed}");
    }
}
