//! What leaves a depot: everything of deleted videos, and snapshots beyond the number to be kept with the blobs that only they needed.
//! The caller holds the depot's lock.

use super::AT_ONCE;
use super::copy::Entry;
use super::manifest::{self, Manifest};
use super::sealed::Lines;
use crate::blobs::Key;
use crate::depot::{Depot, Name};
use crate::domain::Result;
use crate::domain::ids::{SnapshotId, VideoId};
use crate::kms::Kms;
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

/// Removes what nobody needs but `newest`, which was just written, and the snapshots before it, `keep` in all.
pub(super) async fn prune(depot: &Depot, kms: &Kms, keep: Option<usize>, newest: &SnapshotId) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    reap(depot, &mut pruned).await?;
    let mut ids = manifest::ids(depot).await?;
    ids.sort();
    let (mut whole, mut unfinished) = (Vec::new(), Vec::new());
    for id in ids.into_iter().filter(|id| id <= newest) {
        let is_whole = depot.has(&Name::Manifest(id.clone())).await?;
        if is_whole { whole.push(id) } else { unfinished.push(id) }
    }
    let beyond = keep.map_or(0, |keep| whole.len().saturating_sub(keep.max(1)));
    for id in whole[..beyond].iter().chain(&unfinished) {
        // Its manifest first: half a snapshot must not look like one.
        depot.delete(&Name::Manifest(id.clone())).await?;
        depot.delete_folder(&Name::snapshot(id)).await?;
        pruned.snapshots += 1;
    }
    if beyond > 0 {
        pruned.blobs += sweep(depot, &needed(depot, kms).await?).await?;
    }
    Ok(pruned)
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

/// What the remaining snapshots list. Fails rather than to miss one.
async fn needed(depot: &Depot, kms: &Kms) -> Result<HashSet<Mark>> {
    let mut needed = HashSet::new();
    for manifest in Manifest::all(depot).await? {
        let key = manifest.open(depot, kms).await?;
        let list = Lines::fetch(depot, &key, &Name::Blobs(manifest.id.clone()), &manifest.list).await?;
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
