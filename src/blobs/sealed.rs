//! Writing and reading blobs in encrypted frames, streaming: no plaintext touches the disk, and little of it the memory.

use super::frames::{FRAME_BYTES, HEADER_BYTES, Opener, Sealer, locate, plain_size, sealed_size};
use super::key::Key;
use super::staged::Staged;
use super::{Blobs, Digests, Hasher, PIECE_BYTES, beyond_the_end, blocking, failed};
use crate::domain::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::keys::RootKey;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use std::io;
use std::ops::Range;
use std::pin::pin;

const PIECE_FRAMES: u64 = PIECE_BYTES / FRAME_BYTES as u64;

/// What a body must be to be stored.
pub enum Accept<'a> {
    /// Anything of at most so many octets.
    UpTo(u64),
    /// Exactly the announced octets.
    Exactly {
        /// How many.
        size_bytes: u64,
        /// Their SHA-256.
        sha256: [u8; 32],
    },
    /// So many octets, which their sender vouches for in another way.
    Sized {
        /// How many.
        size_bytes: u64,
        /// Says whether they are right, once all have come; `Invalid` otherwise.
        verify: &'a (dyn Fn(&Digests) -> Result<()> + Send + Sync),
    },
}

impl Accept<'_> {
    /// `TooLarge` (`body-too-large`) once more came than is allowed.
    fn size_so_far(&self, size_bytes: u64) -> Result<()> {
        let (Self::UpTo(most) | Self::Exactly { size_bytes: most, .. } | Self::Sized { size_bytes: most, .. }) = self;
        if size_bytes <= *most {
            return Ok(());
        }
        Err(Error::new(ErrorKind::TooLarge, "body-too-large", format!("the body is longer than {most} bytes")))
    }

    /// `Invalid` (`body-incomplete`, `checksum-mismatch`) when the whole is not what was announced.
    fn whole(&self, digests: &Digests) -> Result<()> {
        let (Self::Exactly { size_bytes, .. } | Self::Sized { size_bytes, .. }) = self else { return Ok(()) };
        if digests.size_bytes < *size_bytes {
            let message = format!("the body ended after {} of {size_bytes} bytes; send it again", digests.size_bytes);
            return Err(Error::invalid("body-incomplete", message));
        }
        match self {
            Self::Sized { verify, .. } => verify(digests),
            Self::Exactly { sha256, .. } if digests.sha256 != *sha256 => {
                Err(Error::invalid("checksum-mismatch", "the body does not have the announced sha-256; hash it again and send it again"))
            }
            Self::Exactly { .. } | Self::UpTo(_) => Ok(()),
        }
    }
}

impl Blobs {
    /// Stores `plain` as a new blob in encrypted frames, if it is what `accept` says; durable when it returns. Gives the digests of
    /// the plaintext. A body that fails, is refused, or is dropped halfway leaves nothing behind.
    pub async fn write_sealed<S>(&self, key: &Key, root: &RootKey, plain: S, accept: &Accept<'_>) -> Result<Digests>
    where
        S: Stream<Item = Result<Bytes>> + Send,
    {
        let mut plain = pin!(plain);
        let (mut pieces, mut pending_bytes, mut size_bytes) = (Vec::new(), 0, 0);
        let mut writer = self.sealed_writer(key, root).await?;
        while let Some(bytes) = plain.try_next().await? {
            size_bytes += bytes.len() as u64;
            pending_bytes += bytes.len() as u64;
            accept.size_so_far(size_bytes)?;
            pieces.push(bytes);
            if pending_bytes >= PIECE_BYTES {
                writer = writer.write(std::mem::take(&mut pieces)).await?;
                pending_bytes = 0;
            }
        }
        let (staged, digests) = writer.write(pieces).await?.finish().await?;
        accept.whole(&digests)?;
        // A crash here leaves an unfinished file that the next start sweeps.
        failpoint::hit("part-write");
        blocking(move || staged.publish()).await.map_err(cannot_write)?;
        Ok(digests)
    }

    /// The octets `range` of the plaintext of a sealed blob that holds `plain_bytes` octets, in pieces of at most
    /// [`PIECE_BYTES`]. Reads and decrypts only the frames the range touches; every octet given is authenticated.
    pub fn read_sealed(&self, key: &Key, root: &RootKey, plain_bytes: u64, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        if range.end > plain_bytes {
            return stream::once(async { Err(beyond_the_end()) }).boxed();
        }
        let reader = Reader { blobs: self.clone(), key: key.clone(), root: root.clone(), plain_bytes, opener: None, range };
        stream::try_unfold(reader, Reader::next).boxed()
    }

    /// The whole plaintext of a small sealed blob, such as a poster.
    pub async fn get_sealed(&self, key: &Key, root: &RootKey) -> Result<Bytes> {
        let plain_bytes = plain_size(self.head(key).await?.size_bytes)?;
        // An empty plaintext has a frame too, and only opening it shows that nothing is missing.
        if plain_bytes == 0 {
            let sealed = self.get_range(key, 0..sealed_size(0)).await?;
            return Opener::new(root, key, &sealed[..HEADER_BYTES], 0)?.open(0, BytesMut::from(&sealed[HEADER_BYTES..]));
        }
        let pieces: Vec<Bytes> = self.read_sealed(key, root, plain_bytes, 0..plain_bytes).try_collect().await?;
        Ok(pieces.concat().into())
    }

    /// The digests of the plaintext of a sealed blob, every frame of which authenticates; `Internal` when one does not.
    pub async fn digest_sealed(&self, key: &Key, root: &RootKey) -> Result<Digests> {
        let plain_bytes = plain_size(self.head(key).await?.size_bytes)?;
        if plain_bytes == 0 {
            self.get_sealed(key, root).await?;
        }
        let (mut hasher, mut pieces) = (Hasher::new(), self.read_sealed(key, root, plain_bytes, 0..plain_bytes));
        while let Some(piece) = pieces.try_next().await? {
            hasher.update(&piece);
        }
        Ok(hasher.finish())
    }

    async fn sealed_writer(&self, key: &Key, root: &RootKey) -> Result<Writer> {
        let sealer = Sealer::new(root, key)?;
        let (shared, place) = (self.shared.clone(), self.place(key));
        let staged = blocking(move || Staged::create(&shared.folders, place)).await.map_err(cannot_write)?;
        Ok(Writer { staged, sealer, hasher: Hasher::new(), sealed: Vec::new() })
    }
}

/// A sealed blob being written. Hashing, encrypting and writing happen together on a blocking thread, which owns it meanwhile:
/// whoever stops waiting for the thread still leaves no file behind.
struct Writer {
    staged: Staged,
    sealer: Sealer,
    hasher: Hasher,
    sealed: Vec<u8>,
}

impl Writer {
    async fn write(mut self, pieces: Vec<Bytes>) -> Result<Self> {
        let written = blocking(move || {
            for piece in pieces {
                self.hasher.update(&piece);
                self.sealer.push(&piece, &mut self.sealed).map_err(io::Error::other)?;
            }
            self.flush()?;
            Ok(self)
        });
        written.await.map_err(cannot_write)
    }

    async fn finish(mut self) -> Result<(Staged, Digests)> {
        let finished = blocking(move || {
            self.sealer.finish(&mut self.sealed).map_err(io::Error::other)?;
            self.staged.write_all(&self.sealed)?;
            Ok((self.staged, self.hasher.finish()))
        });
        finished.await.map_err(cannot_write)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.staged.write_all(&self.sealed)?;
        self.sealed.clear();
        Ok(())
    }
}

/// A sealed blob being read: where it stands, and the opener once the header has been seen.
struct Reader {
    blobs: Blobs,
    key: Key,
    root: RootKey,
    plain_bytes: u64,
    opener: Option<Opener>,
    range: Range<u64>,
}

impl Reader {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        if self.range.is_empty() {
            return Ok(None);
        }
        let opener = match self.opener.take() {
            Some(opener) => opener,
            None => self.open().await?,
        };
        let piece_end = (self.range.start / FRAME_BYTES as u64 + PIECE_FRAMES) * FRAME_BYTES as u64;
        let piece = self.range.start..self.range.end.min(piece_end);
        let (first, at) = locate(&piece, self.plain_bytes);
        let sealed = self.blobs.get_range(&self.key, at).await?;
        let plain = opener.open(first, BytesMut::from(sealed))?;
        let frames_start = first * FRAME_BYTES as u64;
        let wanted = (piece.start - frames_start) as usize..(piece.end - frames_start) as usize;
        self.opener = Some(opener);
        self.range.start = piece.end;
        Ok(Some((plain.slice(wanted), self)))
    }

    async fn open(&self) -> Result<Opener> {
        let header = self.blobs.get_range(&self.key, 0..HEADER_BYTES as u64).await?;
        Opener::new(&self.root, &self.key, &header, self.plain_bytes)
    }
}

fn cannot_write(error: io::Error) -> Error {
    failed("the blob could not be written", error)
}
