//! Taking a backup, beside the running server.

use super::copy::{Copier, Tally};
use super::manifest::{Manifest, Parts, key_context};
use super::prune::{self, Pruned};
use super::references::Referrer;
use super::rows::{self, Exported};
use super::sealed::{Lines, Writer};
use super::seen::Seen;
use super::{AT_ONCE, Damage, Progress, Secrets};
use crate::blobs::Blobs;
use crate::catalog::Catalog;
use crate::catalog::audit::Entry as AuditEntry;
use crate::depot::{Depot, Name};
use crate::domain::ids::{SnapshotId, VideoId};
use crate::domain::{Error, Result};
use crate::keys::RootKey;
use crate::{failpoint, transaction};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use std::collections::HashSet;

/// How often the rows are read at most, for a snapshot in which nothing is missing that was replaced meanwhile.
const PASSES: u32 = 4;

/// What is backed up.
pub struct House {
    /// The rows.
    pub catalog: Catalog,
    /// The blobs.
    pub blobs: Blobs,
    /// The keys.
    pub secrets: Secrets,
    /// Who asks for the backup, for the audit log.
    pub actor: String,
}

/// What a backup did.
#[derive(Debug, Serialize)]
pub struct Taken {
    /// The new snapshot.
    pub snapshot: SnapshotId,
    /// When its rows were read, epoch milliseconds.
    pub taken_at: i64,
    /// Videos in it, uploads in progress among them.
    pub videos: u64,
    /// Blobs that it needs, and their size.
    pub blobs: u64,
    /// Their size.
    pub blob_bytes: u64,
    /// Blobs that the depot did not have.
    pub copied_blobs: u64,
    /// Their size.
    pub copied_bytes: u64,
    /// Size of the rows and lists, sealed.
    pub rows_bytes: u64,
    /// What was removed.
    pub pruned: Pruned,
    /// Why not all was removed that may go. The snapshot is safe all the same.
    #[serde(skip)]
    pub unpruned: Option<Error>,
    /// What the house should have and does not have whole. The snapshot is without it.
    pub damaged: Vec<Damage>,
}

/// Takes a snapshot of `house` into `depot`, of which the `keep` newest stay (all, if absent). The server goes on meanwhile; a deletion
/// that happens meanwhile is obeyed. `Conflict` (`depot-locked`) when another is writing there. May be killed anywhere: without its
/// manifest there is no snapshot, and the next run goes on with what is there.
pub async fn take(house: &House, depot: &Depot, keep: Option<usize>, progress: &Progress) -> Result<Taken> {
    depot.lock().await?.hold(take_alone(house, depot, keep, progress)).await
}

async fn take_alone(house: &House, depot: &Depot, keep: Option<usize>, progress: &Progress) -> Result<Taken> {
    depot.sweep().await?;
    let id = SnapshotId::new();
    audit(house, depot, &id).await?;
    let Draft { taken_at, key, exported, list, mut tally } = draft(house, depot, &id, progress).await?;
    progress.begin("copying rows and keys", 0);
    tally.damaged.extend(send_keys(house, depot, &exported.seen).await?);
    let manifest = Facts { id: &id, taken_at, key: &key, exported: &exported, list: &list, tally: &tally };
    publish(house, depot, manifest).await?;
    progress.begin("removing what nobody needs", 0);
    // After the last key was written: a tombstone that the server wrote meanwhile is seen now.
    let mut pruned = Pruned::default();
    let unpruned = prune::prune(depot, &house.secrets, keep, &id, &mut pruned).await.err();
    let rows_bytes = exported.rows.piece.size_bytes + list.piece.size_bytes;
    let Tally { blobs, blob_bytes, copied: copied_blobs, copied_bytes, damaged, .. } = tally;
    let videos = exported.seen.live();
    Ok(Taken { snapshot: id, taken_at, videos, blobs, blob_bytes, copied_blobs, copied_bytes, rows_bytes, pruned, unpruned, damaged })
}

/// A snapshot without its manifest: its rows, and all the blobs that they need in the depot.
struct Draft {
    taken_at: i64,
    key: RootKey,
    exported: Exported,
    list: Lines,
    tally: Tally,
}

/// Reads the rows and copies the blobs. Where a video was replaced before its blobs could be copied, the rows are read once more; then only
/// what is new since is left to copy. What runs away [`PASSES`] times is damaged.
async fn draft(house: &House, depot: &Depot, id: &SnapshotId, progress: &Progress) -> Result<Draft> {
    let (mut before, mut passes) = (Tally::default(), 0);
    loop {
        passes += 1;
        progress.begin("reading the rows", 0);
        let taken_at = transaction!(house.catalog, |tx| tx.now().await)?;
        // One key never seals two files of one name.
        let key = new_key()?;
        let exported = rows::export(&house.catalog, &key, &Name::Rows(id.clone())).await?;
        failpoint::hit("backup-rows");
        bury(depot, exported.seen.gone().collect()).await?;
        progress.begin("copying blobs", exported.seen.blob_bytes);
        let (list, mut tally) = copy(house, depot, &exported, id, &key, progress).await?;
        tally.copied += before.copied;
        tally.copied_bytes += before.copied_bytes;
        if tally.outdated.is_empty() || passes == PASSES {
            tally.damaged.append(&mut tally.outdated);
            return Ok(Draft { taken_at, key, exported, list, tally });
        }
        before = tally;
    }
}

/// Everything leaves the house: that is in the audit log before the first row is read (invariant 8).
async fn audit(house: &House, depot: &Depot, id: &SnapshotId) -> Result<()> {
    let entry = AuditEntry {
        actor: house.actor.clone(),
        role: "operator".to_owned(),
        action: "backup".to_owned(),
        object: Some(format!("{id} {depot}")),
        decision: "allow",
        reason: "command-line".to_owned(),
        ..AuditEntry::default()
    };
    transaction!(house.catalog, |tx| tx.append_audit(&entry).await).map(drop)
}

fn new_key() -> Result<RootKey> {
    let mut bytes = zeroize::Zeroizing::new([0; RootKey::SIZE_BYTES]);
    aws_lc_rs::rand::fill(bytes.as_mut()).map_err(|e| Error::internal("could not draw a random key", e))?;
    Ok(RootKey::new(*bytes))
}

/// Notes in the depot that videos have gone, unless that is known there.
async fn bury(depot: &Depot, gone: Vec<&VideoId>) -> Result<()> {
    let buried = depot.buried().await?;
    let new = gone.into_iter().filter(|video| !buried.contains(*video)).map(|video| depot.bury(video));
    stream::iter(new.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await
}

async fn copy(
    house: &House,
    depot: &Depot,
    exported: &Exported,
    id: &SnapshotId,
    key: &RootKey,
    progress: &Progress,
) -> Result<(Lines, Tally)> {
    let (seen, name) = (&exported.seen, Name::Blobs(id.clone()));
    let (list, tally) = (Writer::new(key, &name)?, Tally::default());
    let mut copier = Copier { house, depot, seen, list, tally, progress, present: None };
    let (mut referrer, mut batches) = (Referrer::new(seen), rows::batches(&exported.rows)?);
    while let Some(batch) = batches.recv().await {
        copier.take(referrer.of(&batch?)?).await?;
    }
    Ok((copier.list.finish(key, &name)?, copier.tally))
}

/// One object for each wrapped root key, so that it can go alone. Videos that were deleted while their blobs were copied get none. Gives the
/// videos whose key the house has lost: they are not over, and none is noted as deleted.
async fn send_keys(house: &House, depot: &Depot, seen: &Seen) -> Result<Vec<Damage>> {
    let keyed = house.catalog.videos_with_keys().await?;
    let (live, keyless): (Vec<_>, Vec<_>) =
        seen.keys.iter().filter(|(video, _)| seen.is_live(video)).partition(|(video, _)| keyed.contains(*video));
    let (mut gone, mut lost) = (Vec::new(), seen.keyless().collect::<Vec<_>>());
    for (video, _) in keyless {
        if house.catalog.has_ended(video).await? { gone.push(video) } else { lost.push(video) }
    }
    bury(depot, gone).await?;
    let damage = |video: &VideoId, what| Damage { video: video.clone(), title: seen.title(video), object: "key".to_owned(), what };
    let mut damaged: Vec<_> = lost.into_iter().map(|video| damage(video, "it is not there: nothing of the video can be read")).collect();
    for (video, wrapped) in &live {
        if house.secrets.keys.open(video, wrapped).await.is_err() {
            damaged.push(damage(video, "it does not open: nothing of the video can be read"));
        }
    }
    let buried = depot.buried().await?;
    let present: HashSet<Name> = depot.list(Name::ROOT_KEYS).map_ok(|(name, _)| name).try_collect().await?;
    let named = live.into_iter().filter(|(video, _)| !buried.contains(*video));
    let named = named.map(|(video, wrapped)| (Name::root_key(video, wrapped), wrapped));
    let new: Vec<_> = named.filter(|(name, _)| !present.contains(name)).collect();
    let puts = stream::iter(new.iter().map(|(name, wrapped)| depot.put(name, Bytes::from((*wrapped).clone()))));
    puts.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(damaged)
}

struct Facts<'a> {
    id: &'a SnapshotId,
    taken_at: i64,
    key: &'a RootKey,
    exported: &'a Exported,
    list: &'a Lines,
    tally: &'a Tally,
}

async fn publish(house: &House, depot: &Depot, facts: Facts<'_>) -> Result<()> {
    let Facts { id, taken_at, key, exported, list, tally } = facts;
    exported.rows.send(depot).await?;
    list.send(depot).await?;
    depot.sync()?;
    let wrapped_key = house.secrets.kms.wrap(&key_context(id), key.expose()).await?;
    let parts = Parts {
        id: id.clone(),
        taken_at,
        schema: exported.schema,
        videos: exported.seen.live(),
        blobs: tally.blobs,
        blob_bytes: tally.blob_bytes,
        damaged: tally.damaged.len() as u64,
        wrapped_key,
        rows: exported.rows.piece.clone(),
        list: list.piece.clone(),
    };
    failpoint::hit("backup-manifest");
    Manifest::new(parts, key)?.publish(depot).await
}
