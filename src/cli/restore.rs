//! `theatrum restore`: the way back from a backup into an empty data folder.

use super::backup::{SealArgs, actor, catalog_place, settings, shown};
use super::connection::Environment;
use super::failure::Failure;
use super::{Exit, gauge, output, passphrase, text};
use crate::backup::{self, Damage, Manifest, Outline, Progress, Restored, Secrets, Target, Verified};
use crate::blobs::Blobs;
use crate::depot::{Depot, Place};
use crate::domain::ErrorKind;
use crate::domain::ids::SnapshotId;
use crate::roles::Restoring;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// Folder or s3://bucket/prefix that `theatrum backup` wrote to.
    #[arg(value_name = "DIR|s3://BUCKET/PREFIX")]
    source: String,
    /// Snapshot to restore [default: the newest].
    #[arg(long, value_name = "ID", value_parser = snapshot)]
    snapshot: Option<SnapshotId>,
    /// List the snapshots and do nothing else.
    #[arg(long, conflicts_with_all = ["snapshot", "verify_only", "accept_damage"])]
    list: bool,
    /// Check every digest and key, and restore nothing.
    #[arg(long, conflicts_with = "accept_damage")]
    verify_only: bool,
    /// Restore what is whole even if something is damaged; what is left out is named.
    #[arg(long)]
    accept_damage: bool,
    #[command(flatten)]
    seal: SealArgs,
    /// URL of an S3 that is not Amazon's.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Catalog to restore into, as it will be given to `serve`: `sqlite` in the data folder, or postgres://… of a fresh database.
    #[arg(long, value_name = "URL")]
    catalog: Option<String>,
    /// Configuration file, as it will be given to `serve`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print what was found or done as JSON.
    #[arg(long)]
    json: bool,
}

fn snapshot(text: &str) -> Result<SnapshotId, String> {
    SnapshotId::parse(text).map_err(|error| error.message().to_owned())
}

/// Restores, checks or lists; fails if anything is damaged and that was not accepted.
pub(super) async fn run(flag: Option<PathBuf>, args: RestoreArgs) -> Result<Exit, Failure> {
    let place = Place::parse(&args.source, args.endpoint.as_deref())?;
    let depot = Depot::look(&place)?;
    if args.list {
        return list(&depot, args.json).await;
    }
    let progress = Progress::default();
    if args.verify_only {
        let secrets = unseal(&depot, &args.seal).await?;
        let verified = gauge::shown(&progress, backup::verify(&depot, &secrets, args.snapshot.as_ref(), &progress)).await?;
        return report_verified(&verified, args.json);
    }
    let data = Environment::of_process().data_folder(flag)?;
    let config = settings(&data, args.config.as_deref(), args.catalog)?;
    // Before anybody is asked for a passphrase; and a wrong one leaves no folder that waits for the end of a restore.
    Restoring::may_begin(&data)?;
    let secrets = unseal(&depot, &args.seal).await?;
    let restoring = Restoring::begin(&data)?;
    let layout = restoring.layout();
    let target = Target {
        blobs: Blobs::open(&layout.blobs()).await?,
        catalog: catalog_place(&config, layout),
        keyring: layout.keyring(),
        actor: actor(),
        accept_damage: args.accept_damage,
    };
    match gauge::shown(&progress, backup::restore(&depot, &secrets, args.snapshot.as_ref(), &target, &progress)).await? {
        Ok(restored) => {
            restoring.finish()?;
            report_restored(&restored, &data, args.json)
        }
        Err(damaged) => refuse(&damaged, args.json),
    }
}

async fn unseal(depot: &Depot, args: &SealArgs) -> Result<Secrets, Failure> {
    let sealed = backup::sealed_keyring(depot, args.keyring_file.as_deref()).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let message = format!("there is no sealed keyring in {depot}: name the file that holds it by --keyring-file");
            Failure::new("keyring-missing", message)
        }
        _ => error.into(),
    })?;
    Ok(Secrets::new(sealed.open(&passphrase::given(args.passphrase_file.as_deref())?)?))
}

/// A snapshot in the list: what its manifest tells, or why it cannot be read.
#[derive(Serialize)]
#[serde(untagged)]
enum Listed<'a> {
    Whole(Outline<'a>),
    Unreadable { snapshot: &'a SnapshotId, unreadable: &'static str },
}

async fn list(depot: &Depot, json: bool) -> Result<Exit, Failure> {
    let manifests = Manifest::all(depot).await?;
    for error in manifests.iter().filter_map(|(_, manifest)| manifest.as_ref().err()) {
        output::note(error.message());
    }
    if json {
        let listed = manifests.iter().map(|(snapshot, manifest)| match manifest {
            Ok(manifest) => Listed::Whole(manifest.outline()),
            Err(error) => Listed::Unreadable { snapshot, unreadable: error.code() },
        });
        output::json(&listed.collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let mut table = text::Table::new(["SNAPSHOT", "TAKEN", "VIDEOS", "BLOBS", "SIZE"]);
    for (id, manifest) in &manifests {
        table.row(match manifest {
            Ok(Manifest { taken_at, videos, blobs, blob_bytes, .. }) => {
                [id.to_string(), text::utc(*taken_at), videos.to_string(), blobs.to_string(), text::size(*blob_bytes)]
            }
            Err(error) => [id.to_string(), error.code().to_owned(), String::new(), String::new(), String::new()],
        });
    }
    output::line(table.to_string().trim_end())?;
    Ok(Exit::Done)
}

fn report_verified(verified: &Verified, json: bool) -> Result<Exit, Failure> {
    let Verified { snapshot, videos, blobs, blob_bytes, deleted_since, damaged, .. } = verified;
    say(damaged);
    if json {
        output::json(verified)?;
    } else {
        let whole = if damaged.is_empty() { "is whole".to_owned() } else { format!("is damaged (objects: {})", damaged.len()) };
        output::line(&format!("snapshot {snapshot} {whole} · videos: {videos} · blobs: {blobs} ({})", text::size(*blob_bytes)))?;
        output::line(&format!("  videos deleted since, which would stay deleted: {deleted_since}"))?;
    }
    Ok(if damaged.is_empty() { Exit::Done } else { Exit::Failed })
}

fn report_restored(restored: &Restored, data: &std::path::Path, json: bool) -> Result<Exit, Failure> {
    say(&restored.damaged);
    if json {
        output::json(restored)?;
        return Ok(Exit::Done);
    }
    let Restored { snapshot, videos, blobs, blob_bytes, deleted_since, .. } = restored;
    output::line(&format!(
        "snapshot {snapshot} is restored · videos: {videos} · blobs, each with its digest: {blobs} ({})",
        text::size(*blob_bytes)
    ))?;
    output::line(&format!("  videos deleted since, which stay deleted: {deleted_since}"))?;
    output::line(&format!("start it with `theatrum serve --data {}`", data.display()))?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Refused<'a> {
    damaged: &'a [Damage],
}

fn refuse(damaged: &[Damage], json: bool) -> Result<Exit, Failure> {
    say(damaged);
    if json {
        output::json(&Refused { damaged })?;
    }
    output::note("nothing was restored: take an older snapshot (--list, --snapshot), or go on without what is damaged (--accept-damage)");
    Ok(Exit::Failed)
}

fn say(damaged: &[Damage]) {
    for damage in damaged {
        output::note(&format!("damaged in the backup: {}", shown(damage)));
    }
}
