//! Taking in a blob as it was stored elsewhere: ciphertext that is what its digest says, or nothing.

use super::staged::Staged;
use super::{Blobs, Hasher, Key, PIECE_BYTES, blocking, failed};
use crate::domain::{Error, Result};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use std::io;
use std::pin::pin;

impl Blobs {
    /// Stores `stored`, the bytes of a blob as they were in another store, if their SHA-256 is `sha256`; durable when it returns. `Invalid`
    /// (`checksum-mismatch`) when it is not, `Conflict` (`blob-exists`) when `key` is taken. In either case nothing is left behind.
    pub async fn adopt(&self, key: &Key, stored: impl Stream<Item = Result<Bytes>> + Send, sha256: &[u8; 32]) -> Result<u64> {
        let (shared, place) = (self.shared.clone(), self.place(key));
        let staged = blocking(move || Staged::create(&shared.folders, place)).await;
        let mut writing = (staged.map_err(cannot_write)?, Hasher::new());
        let (mut stored, mut pieces, mut pending_bytes) = (pin!(stored), Vec::new(), 0);
        while let Some(bytes) = stored.try_next().await? {
            pending_bytes += bytes.len() as u64;
            pieces.push(bytes);
            if pending_bytes >= PIECE_BYTES {
                writing = write(writing, std::mem::take(&mut pieces)).await?;
                pending_bytes = 0;
            }
        }
        let (staged, hasher) = write(writing, pieces).await?;
        let digests = hasher.finish();
        if digests.sha256 != *sha256 {
            return Err(Error::invalid("checksum-mismatch", "the bytes are not those that the digest names"));
        }
        blocking(move || staged.publish()).await.map_err(cannot_write)?;
        Ok(digests.size_bytes)
    }

    /// The SHA-256 and the size of a blob as it is stored.
    pub async fn digest(&self, key: &Key) -> Result<([u8; 32], u64)> {
        let size_bytes = self.head(key).await?.size_bytes;
        let mut pieces = self.stream_range(key, 0..size_bytes);
        let mut hasher = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        while let Some(piece) = pieces.try_next().await? {
            hasher.update(&piece);
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(hasher.finish().as_ref());
        Ok((sha256, size_bytes))
    }
}

async fn write((mut staged, mut hasher): (Staged, Hasher), pieces: Vec<Bytes>) -> Result<(Staged, Hasher)> {
    let written = blocking(move || {
        for piece in pieces {
            hasher.update(&piece);
            staged.write_all(&piece)?;
        }
        Ok((staged, hasher))
    });
    written.await.map_err(cannot_write)
}

fn cannot_write(error: io::Error) -> Error {
    failed("the blob could not be written", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ErrorKind;
    use crate::domain::ids::{VersionId, VideoId};
    use futures_util::stream;

    /// invariant 10: no checksum, no blob.
    #[tokio::test]
    async fn only_the_bytes_that_the_digest_names_are_taken_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(&folder.path().join("blobs")).await.expect("a store");
        let key = Key::MasterPlaylist { video: VideoId::new(), version: VersionId::new() };
        let bytes = Bytes::from(vec![7; 600_000]);
        let sha256 = super::super::Digests::of(&bytes).sha256;
        let pieces = || stream::iter([Ok(bytes.slice(..500_000)), Ok(bytes.slice(500_000..))]);
        let short = stream::iter([Ok(bytes.slice(1..))]);
        assert_eq!(blobs.adopt(&key, short, &sha256).await.expect_err("altered").code(), "checksum-mismatch");
        assert_eq!(blobs.head(&key).await.expect_err("nothing left").kind(), ErrorKind::NotFound);
        assert_eq!(blobs.adopt(&key, pieces(), &sha256).await.expect("adopted"), 600_000);
        assert_eq!(blobs.digest(&key).await.expect("there"), (sha256, 600_000));
        assert_eq!(blobs.adopt(&key, pieces(), &sha256).await.expect_err("never overwritten").code(), "blob-exists");
        assert_eq!(super::super::staged::sweep(folder.path()).expect("swept"), 0, "nothing is left behind");
    }
}
