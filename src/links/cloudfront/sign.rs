//! Signing: a URL or a set of cookies for a policy.

use super::key::PrivateKey;
use super::policy::Policy;
use super::request::is_reserved;
use super::{COOKIE_PREFIX, EXPIRES, HASH_ALGORITHM, KEY_PAIR_ID, POLICY, SIGNATURE, encoding};
use crate::domain::{Error, Result};

/// Signs links with one key pair, over SHA-256.
#[derive(Debug)]
pub struct Signer {
    key: PrivateKey,
    key_pair_id: String,
}

/// Signed cookies: names and values, for `Set-Cookie`.
pub type Cookies = [(String, String); 4];

impl Signer {
    /// A signer whose links name `key_pair_id`.
    pub fn new(key: PrivateKey, key_pair_id: impl Into<String>) -> Self {
        Self { key, key_pair_id: key_pair_id.into() }
    }

    /// The name in its links.
    pub fn key_pair_id(&self) -> &str {
        &self.key_pair_id
    }

    /// `url`, signed by a canned policy: it opens this URL and no other until `expires_at_s`. `Invalid` with the code `bad-link-url` unless
    /// `url` can be signed.
    pub fn url(&self, url: &str, expires_at_s: i64) -> Result<String> {
        check_url(url)?;
        let signature = self.key.sign(Policy::new(url, expires_at_s).text().as_bytes())?;
        Ok(self.extended(url, EXPIRES, &expires_at_s.to_string(), &signature))
    }

    /// `url`, signed by the custom policy `text`, whose resource may be a pattern: the same parameters open whatever it matches.
    pub fn url_with_policy(&self, url: &str, text: &str) -> Result<String> {
        check_url(url)?;
        let signature = self.key.sign(text.as_bytes())?;
        Ok(self.extended(url, POLICY, &encoding::encode(text.as_bytes()), &signature))
    }

    /// The cookies for the custom policy `text`.
    pub fn cookies(&self, text: &str) -> Result<Cookies> {
        let signature = encoding::encode(&self.key.sign(text.as_bytes())?);
        let cookie = |name: &str, value: String| (format!("{COOKIE_PREFIX}{name}"), value);
        Ok([
            cookie(POLICY, encoding::encode(text.as_bytes())),
            cookie(SIGNATURE, signature),
            cookie(KEY_PAIR_ID, self.key_pair_id.clone()),
            cookie(HASH_ALGORITHM, "SHA256".to_owned()),
        ])
    }

    /// The order of botocore's `CloudFrontSigner`, and behind it the hash, which that never writes.
    fn extended(&self, url: &str, grant: &str, value: &str, signature: &[u8]) -> String {
        let separator = if url.contains('?') { '&' } else { '?' };
        let (signature, id) = (encoding::encode(signature), &self.key_pair_id);
        format!("{url}{separator}{grant}={value}&{SIGNATURE}={signature}&{KEY_PAIR_ID}={id}&{HASH_ALGORITHM}=SHA256")
    }
}

/// Refuses what no client would send back as it was signed.
fn check_url(url: &str) -> Result<()> {
    let wrong = |why: &str| Err(Error::invalid("bad-link-url", format!("this URL cannot be signed: {why}")));
    let has_host =
        url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if !has_host {
        return wrong("write it whole, beginning with https:// or http:// and a host");
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'#')) {
        return wrong("percent-encode spaces and what is not ASCII, and leave out the part behind #");
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    if query.split('&').any(is_reserved) {
        return wrong("Expires, Policy, Signature, Key-Pair-Id and Hash-Algorithm are CloudFront's own parameters: leave them out");
    }
    Ok(())
}
