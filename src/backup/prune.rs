//! What leaves a depot: everything of deleted videos, and snapshots beyond the number to be kept with the blobs that only they needed.
//! The caller holds the depot's lock.

use super::copy::Entry;
use super::manifest::{self, Manifest};
use super::sealed::Lines;
use super::{AT_ONCE, Secrets};
use crate::blobs::Key;
use crate::depot::{Depot, Name};
use crate::domain::ids::{SnapshotId, VideoId};
use crate::domain::{Error, Result};
use aws_lc_rs::digest::{SHA256, digest};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use std::collections::HashSet;

/// What was removed from a depot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Deleted videos of which something was still there.
    pub videos: u64,
    /// Snapshots, unfinished ones among them.
    pub snapshots: u64,
    /// Blobs.
    pub blobs: u64,
}

/// Removes what nobody needs but `newest`, which was just written, and the snapshots before it, `keep` in all. Older snapshots go only after
/// every manifest was read and proved to be of the house of `secrets`. Counts what went into `pruned`.
pub(super) async fn prune(depot: &Depot, secrets: &Secrets, keep: Option<usize>, newest: &SnapshotId, pruned: &mut Pruned) -> Result<()> {
    reap(depot, pruned).await?;
    let (mut whole, mut unfinished) = (Vec::new(), Vec::new());
    for id in manifest::ids(depot).await?.into_iter().filter(|id| id <= newest) {
        let is_whole = depot.has(&Name::Manifest(id.clone())).await?;
        if is_whole { whole.push(id) } else { unfinished.push(id) }
    }
    whole.truncate(keep.map_or(0, |keep| whole.len().saturating_sub(keep.max(1))));
    let needed = if whole.is_empty() { None } else { Some(needed(depot, secrets, &whole).await.map_err(|error| unsure(depot, error))?) };
    for id in whole.iter().chain(&unfinished) {
        // Its manifest first: half a snapshot must not look like one.
        depot.delete(&Name::Manifest(id.clone())).await?;
        depot.delete_folder(&Name::snapshot(id)).await?;
        pruned.snapshots += 1;
    }
    if let Some(needed) = needed {
        pruned.blobs += sweep(depot, &needed).await?;
    }
    Ok(())
}

/// Nobody can tell which blobs a snapshot needs that cannot be read.
fn unsure(depot: &Depot, error: Error) -> Error {
    let message = format!(
        "the new snapshot is safe, but no older one was removed, since what all others need must be known first ({}): take the snapshot that \
         cannot be read out of {depot}, or leave --keep away",
        error.message()
    );
    Error::new(error.kind(), error.code(), message).with_source(error)
}

/// Deleted videos: their keys, which went with the tombstone already, and their blobs.
async fn reap(depot: &Depot, pruned: &mut Pruned) -> Result<()> {
    let buried = depot.buried().await?;
    let mut found = depot.folders(Name::ROOT_KEYS).await?;
    found.extend(depot.folders(Name::BLOBS).await?);
    let found: HashSet<VideoId> =
        found.iter().filter_map(|folder| VideoId::parse(folder).ok()).filter(|video| buried.contains(video)).collect();
    for video in &found {
        depot.delete_folder(&Name::root_keys_of(video)).await?;
        pruned.blobs += depot.delete_folder(&Name::blobs_of(video)).await?;
        pruned.videos += 1;
    }
    Ok(())
}

/// A blob's name, shortened so that millions fit into memory.
type Mark = [u8; 16];

fn mark(key: &str, sha256: &str) -> Mark {
    let whole = digest(&SHA256, format!("{key}.{sha256}").as_bytes());
    let mut mark = Mark::default();
    mark.copy_from_slice(&whole.as_ref()[..16]);
    mark
}

/// What the snapshots list that remain without those `going`. Fails rather than to miss one, or to take another house's for ours.
async fn needed(depot: &Depot, secrets: &Secrets, going: &[SnapshotId]) -> Result<HashSet<Mark>> {
    let mut needed = HashSet::new();
    for (id, manifest) in Manifest::all(depot).await? {
        let manifest = manifest?;
        manifest.is_of(depot, secrets).await?;
        if going.contains(&id) {
            continue;
        }
        let key = manifest.open(depot, &secrets.kms).await?;
        let list = Lines::fetch(depot, &key, &Name::Blobs(id), &manifest.list).await?;
        for entry in list.read::<Entry>()? {
            let Entry { key, sha256, .. } = entry?;
            needed.extend(sha256.map(|sha256| mark(&key, &sha256)));
        }
    }
    Ok(needed)
}

async fn sweep(depot: &Depot, needed: &HashSet<Mark>) -> Result<u64> {
    let is_idle = |key: &Key, sha256: &str| !needed.contains(&mark(&key.path(), sha256));
    let idle: Vec<Name> = depot
        .list(Name::BLOBS)
        .try_filter_map(|(name, _)| {
            let idle = matches!(&name, Name::Blob { key, sha256 } if is_idle(key, sha256));
            async move { Ok(idle.then_some(name)) }
        })
        .try_collect()
        .await?;
    let deletions = stream::iter(idle.iter().map(|name| depot.delete(name)));
    deletions.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(idle.len() as u64)
}
