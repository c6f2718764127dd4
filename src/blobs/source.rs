//! A source: the parts of an upload read as one file. The parts are never put together.

use super::{Blobs, Key, beyond_the_end};
use crate::domain::Result;
use crate::keys::RootKey;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Random access to the plaintext of an original file. Cheap to clone.
#[derive(Clone)]
pub struct Source {
    shared: Arc<Shared>,
}

struct Shared {
    blobs: Blobs,
    root: RootKey,
    parts: Vec<Part>,
    size_bytes: u64,
}

struct Part {
    key: Key,
    start: u64,
    size_bytes: u64,
}

impl Source {
    /// The file that `parts` make in their order, each with the size of its plaintext, under the video's root key.
    pub fn new(blobs: Blobs, root: RootKey, parts: impl IntoIterator<Item = (Key, u64)>) -> Self {
        let mut end = 0;
        let place = |(key, size_bytes)| {
            let start = end;
            end += size_bytes;
            Part { key, start, size_bytes }
        };
        let parts = parts.into_iter().map(place).collect();
        Self { shared: Arc::new(Shared { blobs, root, parts, size_bytes: end }) }
    }

    /// The size of the whole file.
    pub fn size_bytes(&self) -> u64 {
        self.shared.size_bytes
    }

    /// The octets `range` of the file, in pieces of at most [`super::PIECE_BYTES`], each read and decrypted when it is asked for.
    /// Gives one error and ends when a part is missing or altered, or when the file ends before the range does.
    pub fn read(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        if range.end > self.size_bytes() {
            return stream::once(async { Err(beyond_the_end()) }).boxed();
        }
        if range.is_empty() {
            return stream::empty().boxed();
        }
        let parts = &self.shared.parts;
        let first = parts.partition_point(|part| part.start + part.size_bytes <= range.start);
        let end = parts.partition_point(|part| part.start < range.end);
        let shared = self.shared.clone();
        let pieces = stream::iter(first..end).flat_map(move |at| shared.read_part(&shared.parts[at], &range));
        let until_error = pieces.scan(false, |failed, piece| {
            let next = (!*failed).then_some(piece);
            *failed = matches!(next, Some(Err(_)));
            ready(next)
        });
        until_error.boxed()
    }
}

impl Shared {
    fn read_part(&self, part: &Part, range: &Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let from = range.start.saturating_sub(part.start);
        let to = (range.end - part.start).min(part.size_bytes);
        self.blobs.read_sealed(&part.key, &self.root, part.size_bytes, from..to)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("parts", &self.shared.parts.len())
            .field("size_bytes", &self.shared.size_bytes)
            .finish_non_exhaustive()
    }
}
