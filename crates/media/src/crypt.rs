//! Content keys and segment encryption: HLS AES-128 (RFC 8216 §4.3.2.4, §5.2).
//!
//! A content key encrypts one rendition over one key period of consecutive segments. It is derived, never stored:
//! HKDF-SHA-256 (RFC 5869) of the video's root key, without salt, with this info, where `len` is a big-endian u16:
//!
//! ```text
//! "theatrum/content-key/v1" | len(version) | version | len(rendition) | rendition | key index as big-endian u64
//! ```

use aws_lc_rs::cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::iv::FixedLength;
use md5::{Digest, Md5};
use std::fmt;

/// How many bytes a content key has.
pub const KEY_SIZE_BYTES: usize = 16;
/// How many consecutive segments share a content key unless a version says otherwise.
pub const KEY_PERIOD: u64 = 10;

const LABEL: &[u8] = b"theatrum/content-key/v1";

/// The AES-128 key of one rendition over one key period. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKey([u8; KEY_SIZE_BYTES]);

impl ContentKey {
    /// The 16 octets that a key file holds.
    pub fn expose(&self) -> &[u8; KEY_SIZE_BYTES] {
        &self.0
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(redacted)")
    }
}

/// The digests of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// RFC 1321.
    pub md5: [u8; 16],
    /// FIPS 180-4.
    pub sha256: [u8; 32],
}

impl Digests {
    /// The digests of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self { md5: Md5::digest(bytes).into(), sha256 }
    }
}

/// A segment could not be encrypted: the cryptographic library refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library refused to encrypt a segment")]
pub struct EncryptError;

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Which content key encrypts segment `number` (from 0).
pub fn key_index(number: u64, key_period: u64) -> u64 {
    number / key_period.max(1)
}

/// Derives the content key `index` of a rendition. `root` is the video's root key; `version` and `rendition` are shorter than 64 KiB.
pub fn content_key(root: &[u8; 32], version: &str, rendition: &str, index: u64) -> ContentKey {
    let mut info = LABEL.to_vec();
    for field in [version, rendition] {
        let length = u16::try_from(field.len()).expect("ids and rendition names are short");
        info.extend(length.to_be_bytes());
        info.extend(field.as_bytes());
    }
    info.extend(index.to_be_bytes());
    let mut key = [0; KEY_SIZE_BYTES];
    let prk = Salt::new(HKDF_SHA256, &[]).extract(root);
    let info = [info.as_slice()];
    let okm = prk.expand(&info, Length(KEY_SIZE_BYTES)).expect("16 bytes are within HKDF's limit");
    okm.fill(&mut key).expect("the buffer has the asked length");
    ContentKey(key)
}

/// Encrypts a whole segment: AES-128-CBC, PKCS#7 padding, the initialisation vector being the media sequence number as a
/// 128-bit big-endian integer (RFC 8216 §5.2). The ciphertext is 1 to 16 bytes longer.
pub fn encrypt_segment(key: &ContentKey, media_sequence: u64, mut clear: Vec<u8>) -> Result<Vec<u8>, EncryptError> {
    let iv = u128::from(media_sequence).to_be_bytes();
    let unbound = UnboundCipherKey::new(&AES_128, key.expose()).map_err(|_| EncryptError)?;
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(unbound).map_err(|_| EncryptError)?;
    clear.reserve_exact(KEY_SIZE_BYTES);
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    cipher.less_safe_encrypt(&mut clear, context).map_err(|_| EncryptError)?;
    Ok(clear)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: [u8; 32] = [7; 32];

    #[test]
    fn keys_differ_in_each_of_their_coordinates() {
        let key = content_key(&ROOT, "v", "720p", 3);
        assert_eq!(key, content_key(&ROOT, "v", "720p", 3));
        for other in [
            content_key(&[8; 32], "v", "720p", 3),
            content_key(&ROOT, "w", "720p", 3),
            content_key(&ROOT, "v", "360p", 3),
            content_key(&ROOT, "v", "720p", 4),
            content_key(&ROOT, "v7", "20p", 3),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn the_derivation_never_changes() {
        // python3: hmac/hashlib HKDF with the documented info
        let key = content_key(&ROOT, "0123456789abcdef0123456789abcdef", "720p", 3);
        let hex: String = key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5c5eb326c2068ab59bd3019a1d4432ff");
    }

    #[test]
    fn ciphertext_equals_openssl() {
        // printf 'a whole segment of clear text' | openssl enc -aes-128-cbc -K 000102030405060708090a0b0c0d0e0f -iv 0000000000000000000000000000012c | xxd -p
        let mut key = [0; 16];
        key.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
        let sealed = encrypt_segment(&ContentKey(key), 300, b"a whole segment of clear text".to_vec()).expect("encrypts");
        let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "e68e07a6402a57de63132ed6f23a768482ae2ebf21309419d9967300ca8c8bf8");
    }

    #[test]
    fn every_length_is_padded() {
        let key = content_key(&ROOT, "v", "r", 0);
        for length in 0..50 {
            let sealed = encrypt_segment(&key, 0, vec![1; length]).expect("encrypts");
            assert_eq!(sealed.len(), (length / 16 + 1) * 16);
        }
    }
}
