//! Where an edge's bytes come from.

use crate::blobs::{Blobs, Key, Meta};
use crate::domain::Result;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::ops::Range;

/// A blob's bytes, piece by piece.
pub type Pieces = BoxStream<'static, Result<Bytes>>;

/// Read access to the blobs of published versions. In `theatrum serve` that is the local store; an edge elsewhere asks
/// a remote one.
#[async_trait]
pub trait Origin: Send + Sync {
    /// Size and time of a blob; `NotFound` if it does not exist.
    async fn head(&self, key: &Key) -> Result<Meta>;

    /// All of a small blob, as it was at one moment; `NotFound` if it does not exist.
    async fn read(&self, key: &Key) -> Result<Bytes>;

    /// The bytes `range` of a blob, each piece fetched when it is asked for. The range is not empty, and not beyond the
    /// size that [`head`](Self::head) told; a stream that can't give all of it ends in an error.
    fn stream(&self, key: &Key, range: Range<u64>) -> Pieces;
}

#[async_trait]
impl Origin for Blobs {
    async fn head(&self, key: &Key) -> Result<Meta> {
        Self::head(self, key).await
    }

    async fn read(&self, key: &Key) -> Result<Bytes> {
        self.get(key).await
    }

    fn stream(&self, key: &Key, range: Range<u64>) -> Pieces {
        self.stream_range(key, range)
    }
}
