//! The way back: blobs, rows and keyring into an empty house; and what was deleted since stays deleted.

use super::rows::{self, Batch, ROOT_KEYS, Record, text};
use super::verify::{Checked, Opened, RootKeys, schema_error};
use super::{Damage, Progress, Secrets};
use crate::blobs::{Blobs, Key};
use crate::catalog::audit::Entry as AuditEntry;
use crate::catalog::{Catalog, Place};
use crate::depot::Depot;
use crate::domain::ids::{SnapshotId, VideoId};
use crate::domain::{Error, Result};
use crate::{failpoint, transaction};
use serde::Serialize;
use std::path::PathBuf;

/// Where a snapshot is restored to. The caller owns it: no server runs there, and none will before [`restore`] is done.
pub struct Target {
    /// Takes the blobs; those of an earlier try may be there.
    pub blobs: Blobs,
    /// Takes the rows; must be empty.
    pub catalog: Place,
    /// Takes the keyring; nothing is there.
    pub keyring: PathBuf,
    /// Who asks for it, for the audit log.
    pub actor: String,
    /// Whether what is damaged is left out, rather than to restore nothing.
    pub accept_damage: bool,
}

/// What a restore did.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// When its rows were read, epoch milliseconds.
    pub taken_at: i64,
    /// Videos, uploads in progress among them.
    pub videos: u64,
    /// Videos in the snapshot that were deleted since, and stay deleted.
    pub deleted_since: u64,
    /// Blobs, each of which has its digest.
    pub blobs: u64,
    /// Their size.
    pub blob_bytes: u64,
    /// Playback sessions that were ended.
    pub sessions_ended: u64,
    /// What is missing or was altered, and was left out.
    pub damaged: Vec<Damage>,
}

/// Restores a snapshot (the newest, if none is named). `Conflict` (`catalog-not-empty`) when the catalog holds rows. Damaged blobs and keys
/// are all found before anything is decided: without `accept_damage` they are given in `Err`. May be killed anywhere, and run again.
pub async fn restore(
    depot: &Depot,
    secrets: &Secrets,
    id: Option<&SnapshotId>,
    target: &Target,
    progress: &Progress,
) -> Result<std::result::Result<Restored, Vec<Damage>>> {
    let opened = Opened::new(depot, secrets, id, progress).await?;
    // Before the long part: whatever would keep the rows out.
    let catalog = empty_catalog(&target.catalog, &opened).await?;
    let keys = opened.keys(depot, secrets).await?;
    let checked = opened.blobs(depot, Some(&target.blobs), progress).await?;
    let damaged = [keys.damaged.clone(), checked.damaged.clone()].concat();
    if !damaged.is_empty() && !target.accept_damage {
        return Ok(Err(damaged));
    }
    progress.begin("restoring rows", 0);
    insert(&catalog, &opened, &keys).await?;
    catalog.close().await;
    failpoint::hit("restore-rows");
    let catalog = newest(&target.catalog).await?;
    let sessions_ended = obey(&catalog, depot, &opened, &checked, target).await?;
    catalog.close().await;
    secrets.keyring.save_new(&target.keyring)?;
    let deleted_since = opened.deleted_since().count() as u64;
    Ok(Ok(Restored {
        videos: opened.seen.live() - deleted_since,
        snapshot: opened.manifest.id,
        taken_at: opened.manifest.taken_at,
        deleted_since,
        blobs: checked.count,
        blob_bytes: checked.bytes,
        sessions_ended,
        damaged,
    }))
}

/// The target's catalog with the tables that the snapshot's rows had, and no rows.
async fn empty_catalog(place: &Place, opened: &Opened) -> Result<Catalog> {
    let catalog = Catalog::open_at(place, opened.manifest.schema).await.map_err(|error| schema_error(&opened.manifest.id, error))?;
    let mut tx = catalog.begin().await?;
    for table in tx.tables().await? {
        if !tx.is_empty(&table).await? {
            let message = "the catalog to restore into holds rows: name an empty folder by --data, or a fresh database by --catalog";
            return Err(Error::conflict("catalog-not-empty", message));
        }
    }
    tx.rollback().await?;
    Ok(catalog)
}

async fn newest(place: &Place) -> Result<Catalog> {
    match place {
        Place::Sqlite(path) => Catalog::open_sqlite(path).await,
        Place::Postgres(url) => Catalog::open_postgres(url).await,
    }
}

/// All rows, in one transaction.
async fn insert(catalog: &Catalog, opened: &Opened, keys: &RootKeys) -> Result<()> {
    let mut tx = catalog.begin().await?;
    let tables = tx.tables().await?;
    let mut batches = rows::batches(&opened.rows)?;
    while let Some(batch) = batches.recv().await {
        let Batch { table: name, mut rows } = batch?;
        let table = tables.iter().find(|table| table.name() == name);
        let table = table.ok_or_else(|| Error::invalid("row-misfit", format!("the snapshot has a table {name} that its schema lacks")))?;
        if name == ROOT_KEYS {
            rows = rows.into_iter().filter_map(|row| with_key(row, keys).transpose()).collect::<Result<_>>()?;
        }
        tx.insert_rows(table, &rows).await?;
    }
    for table in &tables {
        tx.count_on(table).await?;
    }
    tx.commit().await
}

/// The row of a root key with its wrapped text; `None` for a video that was deleted since.
fn with_key(mut row: Record, keys: &RootKeys) -> Result<Option<Record>> {
    let video = VideoId::parse(text(&row, "video_id")?)?;
    let Some(wrapped) = keys.wrapped.get(&video) else { return Ok(None) };
    row.insert("wrapped".to_owned(), wrapped.as_str().into());
    Ok(Some(row))
}

/// What happened since, as far as it is known; and that there was a restore at all. Gives the number of sessions that were ended.
async fn obey(catalog: &Catalog, depot: &Depot, opened: &Opened, checked: &Checked, target: &Target) -> Result<u64> {
    let is_part = |path: &&String| matches!(Key::parse(path), Ok(Key::SourcePart { .. }));
    let lost = checked.gone.iter().chain(checked.damaged.iter().map(|damage| &damage.object)).filter(is_part).collect::<Vec<_>>();
    let entry = |action: &str, object: String, video: Option<&VideoId>| AuditEntry {
        actor: target.actor.clone(),
        role: "operator".to_owned(),
        action: action.to_owned(),
        video: video.map(ToString::to_string),
        object: Some(object),
        decision: "allow",
        reason: "command-line".to_owned(),
        ..AuditEntry::default()
    };
    transaction!(catalog, |tx| {
        for video in opened.deleted_since() {
            tx.obey_tombstone(video).await?;
            tx.append_audit(&entry("delete", "restore".to_owned(), Some(video))).await?;
        }
        for path in &lost {
            tx.lose_part(path).await?;
        }
        tx.append_audit(&entry("restore", format!("{} {depot}", opened.manifest.id), None)).await?;
        tx.disable_every_webhook().await?;
        tx.revoke_every_session().await
    })
}
