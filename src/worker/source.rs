//! A job's source: the upload's parts behind the door, decrypted as they are read.

use super::State;
use super::door::Source;
use crate::blobs::{self, Key, Prefix};
use crate::catalog::versions::Version;
use crate::domain::ids::{SourceId, VersionId};
use crate::domain::{Error, Result};
use crate::keys::RootKey;
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use theatrum_media::plan::Plan;

impl Source for blobs::Source {
    fn size_bytes(&self) -> u64 {
        self.size_bytes()
    }

    fn read(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        self.read(range)
    }
}

/// Deletes parts that a crash left between their write and their row: nobody points at them. The upload has ended, so none can arrive.
pub(super) async fn sweep(state: &State, id: &SourceId) -> Result<()> {
    let source = state.catalog.source(id).await?;
    let parts = state.catalog.upload_parts(&source.upload).await?;
    let adopted: HashSet<String> = parts.into_iter().filter_map(|part| part.blob).collect();
    let mut present = state.blobs.list_prefix(&Prefix::Upload(source.video, source.upload));
    while let Some((key, _)) = present.try_next().await? {
        if !adopted.contains(&key.path()) {
            state.blobs.delete(&key).await?;
        }
    }
    Ok(())
}

/// What every job of a version works with.
#[derive(Debug)]
pub(super) struct Material {
    pub plan: Plan,
    pub root: RootKey,
    pub source: Arc<blobs::Source>,
}

/// Opens a source for reading, with its video's root key.
pub(super) async fn open(state: &State, id: &SourceId) -> Result<(Arc<blobs::Source>, RootKey)> {
    let source = state.catalog.source(id).await?;
    let wrapped = state.catalog.wrapped_root_key(&source.video).await?;
    let root = state.keys.open(&source.video, &wrapped).await?;
    let mut parts = Vec::new();
    for part in state.catalog.upload_parts(&source.upload).await? {
        let path = part.blob.ok_or_else(|| Error::internal("a finished upload lacks a part", part.number.to_string()))?;
        parts.push((Key::parse(&path)?, part.size_bytes));
    }
    Ok((Arc::new(blobs::Source::new(state.blobs.clone(), root.clone(), parts)), root))
}

/// Opens a version's source and reads its plan.
pub(super) async fn material(state: &State, id: &VersionId) -> Result<Material> {
    let Version { source, plan, .. } = state.catalog.version(id).await?;
    let plan = serde_json::from_str(&plan).map_err(|error| Error::internal("a version's plan cannot be read", error))?;
    let (source, root) = open(state, &source).await?;
    Ok(Material { plan, root, source })
}

/// The octets `range` of a source, all in memory.
pub(super) async fn bytes(source: &blobs::Source, range: Range<u64>) -> Result<Vec<u8>> {
    let pieces = source.read(range);
    pieces
        .try_fold(Vec::new(), |mut bytes, piece| async move {
            bytes.extend_from_slice(&piece);
            Ok(bytes)
        })
        .await
}
