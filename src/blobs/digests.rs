//! The two digests every blob is known by: MD5 for S3's ETag, SHA-256 for integrity.

use aws_lc_rs::digest;
use md5::{Digest as _, Md5};
use std::fmt;

/// Size and digests of some bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Digests {
    /// How many bytes.
    pub size_bytes: u64,
    /// Their MD5; never proof of integrity.
    pub md5: [u8; 16],
    /// Their SHA-256.
    pub sha256: [u8; 32],
}

impl Digests {
    /// The digests of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digests({} bytes, sha256 {})", self.size_bytes, hex::encode(self.sha256))
    }
}

/// Computes [`Digests`] of bytes that come in pieces.
pub struct Hasher {
    size_bytes: u64,
    md5: Md5,
    sha256: digest::Context,
}

impl Hasher {
    /// Nothing hashed yet.
    #[allow(clippy::new_without_default, reason = "a hasher is begun, not defaulted")]
    pub fn new() -> Self {
        Self { size_bytes: 0, md5: Md5::new(), sha256: digest::Context::new(&digest::SHA256) }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        self.md5.update(bytes);
        self.sha256.update(bytes);
    }

    /// How many bytes were taken.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The digests of all that was taken.
    pub fn finish(self) -> Digests {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.sha256.finish().as_ref());
        Digests { size_bytes: self.size_bytes, md5: self.md5.finalize().into(), sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_the_published_ones_however_the_bytes_arrive() {
        let whole = Digests::of(b"abc");
        assert_eq!(hex::encode(whole.md5), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(hex::encode(whole.sha256), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let mut pieces = Hasher::new();
        b"abc".iter().for_each(|byte| pieces.update(&[*byte]));
        assert_eq!(pieces.finish(), whole);
    }
}
