//! Downloads keep what they read: a version that is replaced stays as long as its bytes flow to somebody.

use crate::catalog::Catalog;
use crate::domain::Result;
use crate::domain::ids::{LinkId, VersionId};
use crate::transaction;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use std::time::{Duration, Instant};

/// Well below what the catalog keeps a version for.
const RENEW_EVERY: Duration = Duration::from_secs(20);

/// What keeps a version for one download.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    catalog: Catalog,
    version: VersionId,
    id: LinkId,
    renewed: Instant,
}

/// A download that goes on.
struct Held {
    lease: Lease,
    left_bytes: u64,
    pieces: BoxStream<'static, Result<Bytes>>,
}

impl Lease {
    /// For a download of `version`; `Conflict` (`version-gone`) when there is nothing to keep any more. Ends by itself if nobody asks for a byte.
    pub(super) async fn begin(catalog: Catalog, version: VersionId) -> Result<Self> {
        let lease = Self { catalog, version, id: LinkId::new(), renewed: Instant::now() };
        lease.renew().await?;
        Ok(lease)
    }

    /// The same pieces, `size_bytes` in all. The lease is renewed while they are asked for, and ends before the last is given, after which
    /// nobody need ask; whoever stops asking loses it.
    pub(super) fn hold(&self, pieces: BoxStream<'static, Result<Bytes>>, size_bytes: u64) -> BoxStream<'static, Result<Bytes>> {
        let held = Held { lease: self.clone(), left_bytes: size_bytes, pieces };
        stream::try_unfold(held, Held::next).boxed()
    }

    async fn renew(&self) -> Result<()> {
        transaction!(self.catalog, |tx| tx.keep_for_download(&self.id, &self.version).await)
    }

    async fn end(&self) {
        if let Err(error) = transaction!(self.catalog, |tx| tx.end_download(&self.id).await) {
            tracing::warn!(cause = %error.chain(), "could not end a download's lease; it ends by itself");
        }
    }
}

impl Held {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        if self.lease.renewed.elapsed() >= RENEW_EVERY {
            // A catalog that is away for a moment breaks no download that has begun.
            if let Err(error) = self.lease.renew().await {
                tracing::warn!(version = %self.lease.version, cause = %error.chain(), "could not keep a version for a download");
            }
            self.lease.renewed = Instant::now();
        }
        let Some(piece) = self.pieces.try_next().await? else { return Ok(None) };
        self.left_bytes = self.left_bytes.saturating_sub(piece.len() as u64);
        if self.left_bytes == 0 {
            self.lease.end().await;
        }
        Ok(Some((piece, self)))
    }
}
