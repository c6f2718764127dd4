//! Encrypted frames: the form of every source part and sidecar at rest.
//!
//! ```text
//! header   "THTM" | version 1 | 3 zero octets | frame size, u32 BE | 4 zero octets | salt, 16 random octets     32 octets
//! frame i  AES-256-GCM(plaintext of at most `frame size` octets) | tag                          up to 65,536 + 16 octets
//! ```
//!
//! Every frame but the last is full; an empty plaintext is one empty frame. The key is HKDF-SHA-256(root key, salt from the header,
//! info "theatrum/frames/v1" | 0 | blob path), used for this blob alone, so the nonce of frame i may simply be i. The associated
//! data of a frame is header | i, u64 BE | 1 if it is the last, else 0: a frame that is cut off, swapped, repeated, or found under
//! another path does not open.

use super::key::Key;
use crate::domain::{Error, Result};
use crate::keys::RootKey;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf;
use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// Octets of plaintext in a full frame.
pub const FRAME_BYTES: usize = 64 * 1024;
/// Octets before the first frame.
pub const HEADER_BYTES: usize = 32;

const TAG_BYTES: usize = 16;
const SEALED_FRAME_BYTES: u64 = (FRAME_BYTES + TAG_BYTES) as u64;
const SALT_AT: usize = 16;
const MAGIC_VERSION: [u8; 8] = *b"THTM\x01\0\0\0";
const LABEL: &[u8] = b"theatrum/frames/v1\0";

/// How large `plain_bytes` octets are once sealed.
pub fn sealed_size(plain_bytes: u64) -> u64 {
    HEADER_BYTES as u64 + plain_bytes + frame_count(plain_bytes) * TAG_BYTES as u64
}

/// How many octets of plaintext a sealed blob of `sealed_bytes` holds; an error when no plaintext seals to that size.
pub fn plain_size(sealed_bytes: u64) -> Result<u64> {
    let cut = || damaged("a stored blob was cut short", "impossible size");
    let body = sealed_bytes.checked_sub(HEADER_BYTES as u64).ok_or_else(cut)?;
    let plain = body.checked_sub(body.div_ceil(SEALED_FRAME_BYTES) * TAG_BYTES as u64).ok_or_else(cut)?;
    if sealed_size(plain) == sealed_bytes { Ok(plain) } else { Err(cut()) }
}

/// Which octets of the sealed blob hold the frames that hold `plain` of a plaintext of `plain_bytes`, and the first frame's number.
pub(super) fn locate(plain: &Range<u64>, plain_bytes: u64) -> (u64, Range<u64>) {
    let first = plain.start / FRAME_BYTES as u64;
    let end = plain.end.div_ceil(FRAME_BYTES as u64).max(first + 1);
    let start_at = HEADER_BYTES as u64 + first * SEALED_FRAME_BYTES;
    let end_at = HEADER_BYTES as u64 + end * SEALED_FRAME_BYTES;
    (first, start_at..end_at.min(sealed_size(plain_bytes)))
}

fn frame_count(plain_bytes: u64) -> u64 {
    plain_bytes.div_ceil(FRAME_BYTES as u64).max(1)
}

fn damaged(message: &str, cause: &'static str) -> Error {
    Error::internal(format!("{message}; restore it from a backup"), cause)
}

/// The key of one blob with its header: what sealing and opening share.
struct BlobCipher {
    key: LessSafeKey,
    header: [u8; HEADER_BYTES],
}

impl BlobCipher {
    fn new(root: &RootKey, path: &str, header: [u8; HEADER_BYTES]) -> Result<Self, Unspecified> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &header[SALT_AT..]);
        let info = [LABEL, path.as_bytes()];
        let key = UnboundKey::from(salt.extract(root.expose()).expand(&info, &AES_256_GCM)?);
        Ok(Self { key: LessSafeKey::new(key), header })
    }

    fn nonce(index: u64) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&index.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    fn aad(&self, index: u64, last: bool) -> Aad<[u8; HEADER_BYTES + 9]> {
        let mut aad = [0; HEADER_BYTES + 9];
        aad[..HEADER_BYTES].copy_from_slice(&self.header);
        aad[HEADER_BYTES..HEADER_BYTES + 8].copy_from_slice(&index.to_be_bytes());
        aad[HEADER_BYTES + 8] = u8::from(last);
        Aad::from(aad)
    }
}

/// Turns a plaintext that comes in pieces into a sealed blob that goes out in pieces.
pub struct Sealer {
    cipher: BlobCipher,
    index: u64,
    pending: Vec<u8>,
    header_written: bool,
}

impl Sealer {
    /// A sealer for the blob that will lie at `blob`'s path, with a fresh salt.
    pub fn new(root: &RootKey, blob: &Key) -> Result<Self> {
        Self::at(root, &blob.path())
    }

    /// A sealer for what will be known as `path`, with a fresh salt.
    pub fn at(root: &RootKey, path: &str) -> Result<Self> {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC_VERSION);
        header[8..12].copy_from_slice(&(FRAME_BYTES as u32).to_be_bytes());
        let failed = |e: Unspecified| Error::internal("could not prepare the encryption of a blob", e);
        aws_lc_rs::rand::fill(&mut header[SALT_AT..]).map_err(failed)?;
        let cipher = BlobCipher::new(root, path, header).map_err(failed)?;
        Ok(Self { cipher, index: 0, pending: Vec::with_capacity(FRAME_BYTES), header_written: false })
    }

    /// Takes the next `plain` octets and appends whatever became whole frames to `sealed`.
    pub fn push(&mut self, mut plain: &[u8], sealed: &mut Vec<u8>) -> Result<()> {
        while !plain.is_empty() {
            // A full frame is held back until more follows: only then is it known not to be the last.
            if self.pending.len() == FRAME_BYTES {
                self.seal_pending(false, sealed)?;
            }
            let (fits, rest) = plain.split_at(plain.len().min(FRAME_BYTES - self.pending.len()));
            self.pending.extend_from_slice(fits);
            plain = rest;
        }
        Ok(())
    }

    /// Appends the last frame.
    pub fn finish(mut self, sealed: &mut Vec<u8>) -> Result<()> {
        self.seal_pending(true, sealed)
    }

    fn seal_pending(&mut self, last: bool, sealed: &mut Vec<u8>) -> Result<()> {
        if !self.header_written {
            sealed.extend_from_slice(&self.cipher.header);
            self.header_written = true;
        }
        let (nonce, aad) = (BlobCipher::nonce(self.index), self.cipher.aad(self.index, last));
        let tag = self
            .cipher
            .key
            .seal_in_place_separate_tag(nonce, aad, &mut self.pending)
            .map_err(|e| Error::internal("could not encrypt a frame", e))?;
        sealed.extend_from_slice(&self.pending);
        sealed.extend_from_slice(tag.as_ref());
        self.pending.clear();
        self.index += 1;
        Ok(())
    }
}

/// Opens frames of one sealed blob, any of them, in any order.
pub struct Opener {
    cipher: BlobCipher,
    plain_bytes: u64,
}

impl Opener {
    /// An opener for the blob at `blob`'s path, which starts with `header` and holds `plain_bytes` octets of plaintext. A wrong
    /// `plain_bytes` shows when the last frame is opened.
    pub fn new(root: &RootKey, blob: &Key, header: &[u8], plain_bytes: u64) -> Result<Self> {
        Self::at(root, &blob.path(), header, plain_bytes)
    }

    /// An opener for what is known as `path`; see [`Self::new`].
    pub fn at(root: &RootKey, path: &str, header: &[u8], plain_bytes: u64) -> Result<Self> {
        let malformed = || damaged("a stored blob has no readable header", "unknown magic, version or frame size");
        let header: [u8; HEADER_BYTES] = header.try_into().map_err(|_| malformed())?;
        if header[..8] != MAGIC_VERSION || header[8..12] != (FRAME_BYTES as u32).to_be_bytes() {
            return Err(malformed());
        }
        let cipher = BlobCipher::new(root, path, header).map_err(|e| Error::internal("could not prepare the decryption of a blob", e))?;
        Ok(Self { cipher, plain_bytes })
    }

    /// Opens `sealed`, whole frames of which the first is number `first`, and gives their plaintext.
    pub fn open(&self, first: u64, sealed: BytesMut) -> Result<Bytes> {
        let mut sealed = sealed;
        let mut plain = BytesMut::new();
        let last_index = frame_count(self.plain_bytes) - 1;
        for index in first.. {
            let mut frame = sealed.split_to(sealed.len().min(SEALED_FRAME_BYTES as usize));
            let opened = self
                .cipher
                .key
                .open_in_place(BlobCipher::nonce(index), self.cipher.aad(index, index == last_index), &mut frame)
                .map_err(|_| damaged("a stored blob was altered", "a frame does not authenticate"))?
                .len();
            frame.truncate(opened);
            plain.extend_from_slice(&frame);
            if sealed.is_empty() {
                break;
            }
        }
        Ok(plain.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{UploadId, VideoId};
    use proptest::prelude::*;

    const FRAME: usize = FRAME_BYTES;
    const SEALED_FRAME: usize = SEALED_FRAME_BYTES as usize;

    fn blob() -> Key {
        Key::source_part(VideoId::new(), UploadId::new(), 1)
    }

    fn root() -> RootKey {
        RootKey::new([42; 32])
    }

    fn plain(size: usize) -> Vec<u8> {
        (0..size).map(|i| (i * 31 + i / 251) as u8).collect()
    }

    fn seal(blob: &Key, plain: &[u8], piece: usize) -> Vec<u8> {
        let (mut sealer, mut sealed) = (Sealer::new(&root(), blob).expect("a sealer"), Vec::new());
        plain.chunks(piece).for_each(|piece| sealer.push(piece, &mut sealed).expect("seals"));
        sealer.finish(&mut sealed).expect("seals");
        sealed
    }

    fn open(blob: &Key, sealed: &[u8], range: Range<u64>, plain_bytes: u64) -> Result<Vec<u8>> {
        let opener = Opener::new(&root(), blob, &sealed[..HEADER_BYTES.min(sealed.len())], plain_bytes)?;
        let (first, at) = locate(&range, plain_bytes);
        let frames = sealed.get(at.start as usize..at.end as usize).unwrap_or_default();
        let opened = opener.open(first, BytesMut::from(frames))?;
        let skip = (range.start - first * FRAME as u64) as usize;
        Ok(opened[skip..skip + (range.end - range.start) as usize].to_vec())
    }

    fn open_all(blob: &Key, sealed: &[u8]) -> Result<Vec<u8>> {
        let plain_bytes = plain_size(sealed.len() as u64)?;
        open(blob, sealed, 0..plain_bytes, plain_bytes)
    }

    #[test]
    fn sizes_agree_with_what_is_written_at_every_edge() {
        for size in [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 3 * FRAME + 7] {
            let blob = blob();
            let sealed = seal(&blob, &plain(size), 10_007);
            assert_eq!(sealed.len() as u64, sealed_size(size as u64), "{size}");
            assert_eq!(plain_size(sealed.len() as u64).expect("a size"), size as u64);
            assert_eq!(open_all(&blob, &sealed).expect("opens"), plain(size), "{size}");
        }
        for impossible in [0, 31, 32, 47, sealed_size(FRAME as u64) + 1, sealed_size(FRAME as u64) + 16] {
            assert!(plain_size(impossible).is_err(), "{impossible}");
        }
    }

    #[test]
    fn the_same_plaintext_never_seals_the_same_twice() {
        let blob = blob();
        assert_ne!(seal(&blob, b"the same", 8), seal(&blob, b"the same", 8));
    }

    #[test]
    fn a_blob_cut_off_at_a_frame_border_does_not_open() {
        let blob = blob();
        let sealed = seal(&blob, &plain(3 * FRAME), FRAME);
        for frames in 0..3 {
            assert!(open_all(&blob, &sealed[..HEADER_BYTES + frames * SEALED_FRAME]).is_err(), "{frames} frames left");
        }
    }

    #[test]
    fn frames_swapped_or_repeated_do_not_open() {
        let blob = blob();
        let sealed = seal(&blob, &plain(3 * FRAME), FRAME);
        let frame = |i: usize| &sealed[HEADER_BYTES + i * SEALED_FRAME..][..SEALED_FRAME];
        let header = &sealed[..HEADER_BYTES];
        for order in [[1, 0, 2], [0, 0, 2], [0, 2, 1]] {
            let shuffled = [header, frame(order[0]), frame(order[1]), frame(order[2])].concat();
            assert!(open_all(&blob, &shuffled).is_err(), "{order:?}");
        }
    }

    #[test]
    fn a_blob_moved_to_another_path_or_key_does_not_open() {
        let (here, there) = (blob(), blob());
        let sealed = seal(&here, b"moved", 5);
        assert!(open_all(&there, &sealed).is_err());
        let other = Opener::new(&RootKey::new([43; 32]), &here, &sealed[..HEADER_BYTES], 5).expect("an opener");
        assert!(other.open(0, BytesMut::from(&sealed[HEADER_BYTES..])).is_err());
    }

    #[test]
    fn a_wrong_size_in_the_row_shows_at_the_last_frame() {
        let blob = blob();
        let sealed = seal(&blob, &plain(2 * FRAME), FRAME);
        assert!(open(&blob, &sealed, FRAME as u64..2 * FRAME as u64, 3 * FRAME as u64).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_range_opens_to_its_own_bytes(size in 1usize..300_000, piece in 1usize..100_000, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
            let (blob, text) = (blob(), plain(size));
            let sealed = seal(&blob, &text, piece);
            let (a, b) = (a.index(size), b.index(size));
            let (from, to) = (a.min(b), a.max(b) + 1);
            let opened = open(&blob, &sealed, from as u64..to as u64, size as u64).expect("opens");
            prop_assert_eq!(opened, &text[from..to]);
        }

        #[test]
        fn any_flipped_bit_is_noticed(size in 0usize..200_000, at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let blob = blob();
            let mut sealed = seal(&blob, &plain(size), FRAME);
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(open_all(&blob, &sealed).is_err());
        }
    }
}
