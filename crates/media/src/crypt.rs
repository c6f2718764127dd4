//! Content keys and segment encryption: HLS AES-128 (RFC 8216 §4.3.2.4, §5.2).

use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::iv::FixedLength;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

/// Bytes of a root key.
pub const ROOT_KEY_BYTES: usize = 32;
/// Bytes of a cipher block.
pub const BLOCK_BYTES: usize = 16;
/// Segments that share one content key.
pub const KEY_PERIOD: u32 = 10;

/// Sets this derivation apart from all others made of the same root key.
const LABEL: &[u8] = b"theatrum content key v1";

/// The AES-128 key of one rendition over one key period. It has no `Debug` on purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKey([u8; 16]);

/// Why a key was not derived or a segment not encrypted.
#[derive(Debug, thiserror::Error)]
#[error("cryptography failed while {0}: check that the root key is {ROOT_KEY_BYTES} bytes")]
pub struct CryptError(&'static str);

/// MD5 and SHA-256 of what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digests {
    /// MD5, for stores that speak ETag and Content-MD5.
    pub md5: [u8; 16],
    /// SHA-256.
    pub sha256: [u8; 32],
}

/// The number of the key that segment `segment` is encrypted with, when the key changes every `period` segments.
pub fn key_index(segment: u32, period: u32) -> u32 {
    segment / period.max(1)
}

/// Derives a content key: HKDF-SHA-256 (RFC 5869) with the root key as input, no salt, and
/// `info = label | len(version) | version | len(rendition) | rendition | key index`, lengths and index as 32-bit big-endian numbers,
/// so that no two triples give one `info`.
pub fn content_key(root: &[u8; ROOT_KEY_BYTES], version: &str, rendition: &str, index: u32) -> Result<ContentKey, CryptError> {
    let length = |text: &str| (text.len() as u32).to_be_bytes();
    let (version_length, rendition_length, index) = (length(version), length(rendition), index.to_be_bytes());
    let info: [&[u8]; 6] = [LABEL, &version_length, version.as_bytes(), &rendition_length, rendition.as_bytes(), &index];
    let secret = Salt::new(HKDF_SHA256, &[]).extract(root);
    let mut key = [0; 16];
    let expanded = secret.expand(&info, KeyLength).and_then(|okm| okm.fill(&mut key));
    expanded.map_err(|_| CryptError("deriving a content key"))?;
    Ok(ContentKey(key))
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        16
    }
}

impl ContentKey {
    /// Takes the 16 octets of a key file.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 octets a player is given.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Encrypts a whole segment in place: AES-128-CBC, PKCS#7, the initialisation vector being the media sequence number as a 128-bit big-endian
    /// number, as players assume when the playlist names none.
    pub fn encrypt(&self, media_sequence: u64, segment: &mut Vec<u8>) -> Result<(), CryptError> {
        let failed = |_| CryptError("encrypting a segment");
        let iv = EncryptionContext::Iv128(FixedLength::from(initial_vector(media_sequence)));
        let key = UnboundCipherKey::new(&AES_128, &self.0).map_err(failed)?;
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(failed)?;
        key.less_safe_encrypt(segment, iv).map_err(failed)?;
        Ok(())
    }

    /// Decrypts a whole segment in place, as [`ContentKey::encrypt`] left it. An error when its padding is none: the key is another one, or
    /// the segment was altered.
    pub fn decrypt(&self, media_sequence: u64, segment: &mut Vec<u8>) -> Result<(), CryptError> {
        self.decrypt_blocks(initial_vector(media_sequence), segment)?;
        let unpadded = CryptError("taking the padding off a segment");
        let padding = segment.last().map_or(0, |&last| usize::from(last));
        let rest = segment.len().checked_sub(padding).filter(|_| (1..=BLOCK_BYTES).contains(&padding)).ok_or(unpadded)?;
        if segment.drain(rest..).all(|byte| usize::from(byte) == padding) {
            Ok(())
        } else {
            Err(CryptError("taking the padding off a segment"))
        }
    }

    /// Decrypts whole blocks from the middle of a segment in place: `previous` is the block of ciphertext before them, or the segment's
    /// [`initial_vector`]. The padding, if the last block is among them, stays.
    pub fn decrypt_blocks(&self, previous: [u8; BLOCK_BYTES], blocks: &mut [u8]) -> Result<(), CryptError> {
        let failed = |_| CryptError("decrypting a segment");
        let key = UnboundCipherKey::new(&AES_128, &self.0).map_err(failed)?;
        let key = DecryptingKey::cbc(key).map_err(failed)?;
        key.decrypt(blocks, DecryptionContext::Iv128(FixedLength::from(previous))).map_err(failed)?;
        Ok(())
    }
}

/// What stands in for the block before the first: the media sequence number as a 128-bit big-endian number (RFC 8216 §5.2).
pub fn initial_vector(media_sequence: u64) -> [u8; BLOCK_BYTES] {
    u128::from(media_sequence).to_be_bytes()
}

impl Digests {
    /// Both digests of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self { md5: Md5::digest(bytes).into(), sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn agrees_with_openssl_enc() {
        // printf 'a segment of thirty-three octets!' | openssl enc -aes-128-cbc -K 000102030405060708090a0b0c0d0e0f -iv 0000000000000000000000000000002a
        let key = ContentKey::from_bytes(std::array::from_fn(|i| i as u8));
        let mut segment = b"a segment of thirty-three octets!".to_vec();
        key.encrypt(42, &mut segment).unwrap();
        assert_eq!(hex(&segment), "4d6d8ce171ecc7c3dbd528599402917cc93aa4a0c4706f2d58794c27ad86d234b37c4dd0f9a5bbc408c035f18bd7ea53");
    }

    #[test]
    fn any_run_of_blocks_can_be_decrypted_alone() {
        let key = ContentKey::from_bytes([7; 16]);
        let plain: Vec<u8> = (0..100).collect();
        let mut segment = plain.clone();
        key.encrypt(3, &mut segment).unwrap();
        for (first, end) in [(0, 1), (0, 7), (2, 5), (6, 7)] {
            let before = first * BLOCK_BYTES;
            let previous = if first == 0 { initial_vector(3) } else { segment[before - BLOCK_BYTES..before].try_into().unwrap() };
            let mut blocks = segment[before..end * BLOCK_BYTES].to_vec();
            key.decrypt_blocks(previous, &mut blocks).unwrap();
            let padded = [plain.as_slice(), &[12; 12]].concat();
            assert_eq!(blocks, padded[before..end * BLOCK_BYTES], "{first}..{end}");
        }
    }

    #[test]
    fn agrees_with_openssl_hkdf() {
        // openssl kdf -keylen 16 -kdfopt digest:SHA2-256 -kdfopt hexkey:0707… -kdfopt hexinfo:… HKDF
        let key = content_key(&[7; 32], "v1", "720p", 3).unwrap();
        assert_eq!(hex(key.as_bytes()), "2572ea7112006357552a4c2a63f52545");
    }

    #[test]
    fn agrees_with_md5sum_and_sha256sum() {
        let digests = Digests::of(b"abc");
        assert_eq!(hex(&digests.md5), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(hex(&digests.sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn what_was_encrypted_is_decrypted_and_nothing_else_is() {
        let key = |octet| ContentKey::from_bytes([octet; 16]);
        for length in [0, 1, 15, 16, 17, 33] {
            let clear = vec![9; length];
            let mut segment = clear.clone();
            key(1).encrypt(5, &mut segment).unwrap();
            let sealed = segment.clone();
            key(1).decrypt(5, &mut segment).unwrap();
            assert_eq!(segment, clear);
            assert!(key(2).decrypt(5, &mut sealed.clone()).is_err(), "another key leaves no padding");
            assert!(key(1).decrypt(5, &mut sealed[..sealed.len() - 1].to_vec()).is_err(), "half a block is none");
        }
        assert!(key(1).decrypt(5, &mut Vec::new()).is_err());
    }

    #[test]
    fn every_part_of_the_triple_counts() {
        let key = |version, rendition, index| content_key(&[7; 32], version, rendition, index).unwrap();
        assert!(key("v", "720p", 0) == key("v", "720p", 0));
        assert!(key("v7", "20p", 0) != key("v", "720p", 0));
        assert!(key("v", "720p", 1) != key("v", "720p", 0));
        assert_eq!((key_index(9, KEY_PERIOD), key_index(10, KEY_PERIOD)), (0, 1));
    }
}
