//! Playlists in memory: their tags, and their gzip form (Apple's authoring specification §10.1 demands it).

use crate::domain::{Error, Result};
use crate::recent::Recent;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// No playlist is longer: one of twelve hours has some 250 KB.
pub(super) const MAX_PLAYLIST_BYTES: u64 = 4 * 1024 * 1024;

/// What the compressed playlists may take together: those of a few thousand videos.
const REMEMBERED_BYTES: usize = 32 * 1024 * 1024;

/// A playlist's content, and the hash that stands for it.
#[derive(Clone, Debug)]
pub(super) struct Playlist {
    pub(super) content: Bytes,
    hash: [u8; 32],
}

impl Playlist {
    pub(super) fn new(content: Bytes) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &content).as_ref());
        Self { content, hash }
    }

    /// The strong entity tag of the plain form. Half the hash is plenty.
    pub(super) fn etag(&self) -> String {
        format!("\"{}\"", hex::encode(&self.hash[..16]))
    }

    /// The strong entity tag of the gzip form: other bytes, so another tag (RFC 9110 §8.8.3.3).
    pub(super) fn gzip_etag(&self) -> String {
        format!("\"{}-gzip\"", hex::encode(&self.hash[..16]))
    }
}

/// Compresses playlists, and remembers the outcome by content: one that is replaced is simply another.
#[derive(Debug)]
pub(super) struct Compressor {
    compressed: Mutex<Recent<[u8; 32], Bytes>>,
}

impl Default for Compressor {
    fn default() -> Self {
        Self { compressed: Mutex::new(Recent::new(REMEMBERED_BYTES)) }
    }
}

impl Compressor {
    /// The gzip form of `playlist`; the same bytes each time, as its tag promises.
    pub(super) async fn gzip(&self, playlist: &Playlist) -> Result<Bytes> {
        if let Some(compressed) = self.compressed.lock().unwrap_or_else(PoisonError::into_inner).get(&playlist.hash) {
            return Ok(compressed);
        }
        let content = playlist.content.clone();
        let compressed = tokio::task::spawn_blocking(move || gzip(&content))
            .await
            .map_err(|error| Error::internal("could not compress a playlist", error))?
            .map_err(|error| Error::internal("could not compress a playlist", error))?;
        let mut remembered = self.compressed.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.insert(playlist.hash, compressed.clone(), compressed.len());
        Ok(compressed)
    }
}

fn gzip(content: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(content.len() / 4), Compression::default());
    encoder.write_all(content)?;
    encoder.finish().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[tokio::test]
    async fn the_gzip_form_unpacks_to_the_playlist_and_never_changes() {
        let playlist = Playlist::new(Bytes::from("#EXTM3U\n#EXTINF:6.0,\n".repeat(1000)));
        let first = Compressor::default().gzip(&playlist).await.expect("compressed");
        let compressor = Compressor::default();
        for _ in 0..2 {
            assert_eq!(compressor.gzip(&playlist).await.expect("compressed"), first);
        }
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&first[..]).read_to_end(&mut unpacked).expect("gzip");
        assert_eq!(unpacked, playlist.content);
        assert!(first.len() * 10 < playlist.content.len());
    }

    #[test]
    fn tags_tell_contents_and_codings_apart() {
        let (a, b) = (Playlist::new(Bytes::from_static(b"a")), Playlist::new(Bytes::from_static(b"b")));
        assert_ne!(a.etag(), b.etag());
        assert_ne!(a.etag(), a.gzip_etag());
        assert_eq!(a.etag(), Playlist::new(Bytes::from_static(b"a")).etag());
    }
}
