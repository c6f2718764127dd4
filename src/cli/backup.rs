//! `theatrum backup`: a consistent snapshot of the house on this machine, beside its running server.

use super::connection::Environment;
use super::failure::Failure;
use super::{Exit, gauge, output, passphrase, text};
use crate::backup::{self, Damage, House, Manifest, Progress, SealedKeyring, Secrets, Taken};
use crate::blobs::Blobs;
use crate::catalog::{Catalog, Place};
use crate::config::{self, Config, Overrides};
use crate::depot::{self, Depot};
use crate::domain::ErrorKind;
use crate::kms::Keyring;
use crate::roles::Layout;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the sealed keyring is, and what opens it.
#[derive(Debug, Args)]
pub(super) struct SealArgs {
    /// File of the sealed keyring, to keep it apart from the backups [default: keyring.sealed among them].
    #[arg(long, value_name = "FILE")]
    pub keyring_file: Option<PathBuf>,
    /// File whose first line is the passphrase of the sealed keyring; asked for at a terminal otherwise.
    #[arg(long, value_name = "FILE", env = "THEATRUM_BACKUP_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Folder or s3://bucket/prefix [default: backup.destination of the settings].
    #[arg(value_name = "DIR|s3://BUCKET/PREFIX")]
    destination: Option<String>,
    /// Keep the newest N snapshots; older ones go, with the blobs that only they needed [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    #[command(flatten)]
    seal: SealArgs,
    /// URL of an S3 that is not Amazon's [default: backup.endpoint of the settings].
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Catalog, as it was given to `serve`: `sqlite` in the data folder, or postgres://….
    #[arg(long, value_name = "URL")]
    catalog: Option<String>,
    /// Configuration file, as it was given to `serve`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print {"snapshot","taken_at","videos","blobs","blob_bytes","copied_blobs","copied_bytes",…,"damaged":[…]}.
    #[arg(long)]
    json: bool,
}

/// What the data folder remembers of its last backup.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LastBackup {
    /// Epoch milliseconds.
    pub taken_at: i64,
    /// Its id.
    pub snapshot: String,
    /// Where it is, as [`depot::Place::address`] says it.
    pub destination: String,
    /// Of each sealed keyring, by its address, the SHA-256 that it had when it was last known to open.
    #[serde(default)]
    pub keyrings: BTreeMap<String, String>,
}

/// The file in the data folder that holds a [`LastBackup`].
const LAST_BACKUP: &str = "backup.json";

impl LastBackup {
    /// What the folder remembers; none if it remembers nothing that can be read.
    pub(super) fn of(data: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(data.join(LAST_BACKUP)).ok()?).ok()
    }
}

/// Takes a backup; fails if something was not whole in the house, although the rest is safe then.
pub(super) async fn run(flag: Option<PathBuf>, args: BackupArgs) -> Result<Exit, Failure> {
    let data = Environment::of_process().data_folder(flag)?;
    let config = settings(&data, args.config.as_deref(), args.catalog)?;
    let place = destination(args.destination, args.endpoint, &config)?;
    apart(&place, &data)?;
    let layout = Layout::of(&data);
    let keyring = Keyring::open(&layout.keyring()).map_err(|error| no_house(&error, &data))?;
    let catalog = Catalog::join(&catalog_place(&config, &layout)).await?;
    let blobs = Blobs::join(&layout.blobs())?;
    let depot = Depot::open(&place)?;
    let house = House { catalog, blobs, secrets: Secrets::new(keyring), actor: actor() };
    let before = LastBackup::of(&data);
    let mut keyrings = before.as_ref().map(|last| last.keyrings.clone()).unwrap_or_default();
    let sealed_at = args.seal.address(&place);
    let sealed = seal(&depot, &house.secrets, &args.seal, keyrings.get(&sealed_at)).await?;
    keyrings.insert(sealed_at, sealed);
    if let Some(last) = before {
        remember(&data, &LastBackup { keyrings: keyrings.clone(), ..last })?;
    }
    let (progress, keep) = (Progress::default(), args.keep.map(|keep| keep as usize));
    let mut taken = gauge::shown(&progress, backup::take(&house, &depot, keep, &progress)).await?;
    house.catalog.close().await;
    let last = LastBackup { taken_at: taken.taken_at, snapshot: taken.snapshot.to_string(), destination: place.address(), keyrings };
    remember(&data, &last)?;
    let unpruned = taken.unpruned.take();
    let exit = report(&taken, &place, args.json)?;
    unpruned.map_or(Ok(exit), |error| Err(error.into()))
}

/// The settings that `serve` would take.
pub(super) fn settings(data: &Path, file: Option<&Path>, catalog: Option<String>) -> Result<Config, Failure> {
    // `sqlite` is the command line's word for the data folder's own catalog.
    let catalog = catalog.map(|url| if url == "sqlite" { String::new() } else { url });
    Ok(config::load(data, file, config::variables_of_process()?, Overrides { catalog, ..Overrides::default() })?)
}

/// Where the backups are.
pub(super) fn destination(given: Option<String>, endpoint: Option<String>, config: &Config) -> Result<depot::Place, Failure> {
    let place = given.or_else(|| config.backup.destination.clone());
    let place = place.ok_or_else(|| Failure::usage("where to? name a folder or s3://bucket/prefix, or set backup.destination"))?;
    let endpoint = endpoint.or_else(|| config.backup.endpoint.clone());
    Ok(depot::Place::parse(&place, endpoint.as_deref())?)
}

/// The catalog that the settings name.
pub(super) fn catalog_place(config: &Config, layout: &Layout) -> Place {
    config.catalog_url.clone().map_or_else(|| Place::Sqlite(layout.catalog()), Place::Postgres)
}

/// Who acts, for the audit log: whoever may read the data folder is its operator.
pub(super) fn actor() -> String {
    format!("uid:{}", rustix::process::getuid().as_raw())
}

/// A backup beside what it is a backup of is none.
fn apart(place: &depot::Place, data: &Path) -> Result<(), Failure> {
    let depot::Place::Folder(folder) = place else { return Ok(()) };
    let real = |path: &Path| std::path::absolute(path).map(|path| path.canonicalize().unwrap_or(path)).unwrap_or(path.to_owned());
    if real(folder).starts_with(real(data)) {
        return Err(Failure::usage(format!("{} lies in the data folder: name a folder on another disk", folder.display())));
    }
    Ok(())
}

fn no_house(error: &crate::domain::Error, data: &Path) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::new("no-house", format!("{} is no data folder of Theatrum: name it by --data", data.display())),
        _ => Failure::new(error.code(), error.chain()),
    }
}

impl SealArgs {
    /// Where the sealed keyring of backups at `place` is.
    fn address(&self, place: &depot::Place) -> String {
        self.keyring_file.clone().map_or_else(|| place.address(), |file| depot::Place::Folder(file).address())
    }
}

/// Sees to it that the keyring lies sealed where it can be found again, as it was when it had the digest `known`. Asks for the passphrase
/// only when it does not. Gives its digest.
async fn seal(depot: &Depot, secrets: &Secrets, args: &SealArgs, known: Option<&String>) -> Result<String, Failure> {
    // Whatever the seal says, which may lie elsewhere: another house's would lose its only one here, and its snapshots.
    Manifest::is_depot_of(depot, secrets).await?;
    let file = args.keyring_file.as_deref();
    match backup::sealed_keyring(depot, file).await {
        Ok(sealed) if sealed.is_of(secrets.keyring())? => {
            let sha256 = sealed.sha256()?;
            if known.is_none_or(|known| *known == sha256) {
                return Ok(sha256);
            }
            output::note("the sealed keyring is not the one that was written here: it is sealed anew");
        }
        // The house's keyring has grown.
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    output::note("the keyring is sealed under a passphrase: without both, nobody can restore this backup");
    let passphrase = passphrase::new(args.passphrase_file.as_deref())?;
    let sealed = SealedKeyring::seal(secrets.keyring(), &passphrase)?;
    backup::keep_sealed_keyring(depot, file, &sealed).await?;
    Ok(sealed.sha256()?)
}

fn remember(data: &Path, last: &LastBackup) -> Result<(), Failure> {
    let written = serde_json::to_vec(last).map_err(std::io::Error::from).and_then(|text| std::fs::write(data.join(LAST_BACKUP), text));
    written.map_err(|error| {
        Failure::new(
            "data-folder",
            format!("{} cannot be written, which says what was backed up: {error}", data.join(LAST_BACKUP).display()),
        )
    })
}

fn report(taken: &Taken, place: &depot::Place, json: bool) -> Result<Exit, Failure> {
    for damage in &taken.damaged {
        output::note(&format!("damaged in this house: {}", shown(damage)));
    }
    if json {
        output::json(taken)?;
    } else {
        let Taken { videos, blobs, copied_blobs, .. } = taken;
        let (size, copied_size) = (text::size(taken.blob_bytes), text::size(taken.copied_bytes));
        output::line(&format!("snapshot {} in {}", taken.snapshot, place.shown()))?;
        output::line(&format!("  videos: {videos} · blobs: {blobs} ({size}) · copied now: {copied_blobs} ({copied_size})"))?;
        let pruned = taken.pruned;
        if pruned != Default::default() {
            output::line(&format!(
                "  removed: deleted videos: {} · snapshots: {} · blobs: {}",
                pruned.videos, pruned.snapshots, pruned.blobs
            ))?;
        }
    }
    if taken.damaged.is_empty() {
        return Ok(Exit::Done);
    }
    output::note(
        "everything else is in the backup; \"what is damaged in the house\" in docs/backup.md says how to mend what is named above",
    );
    Ok(Exit::Failed)
}

/// A damage as people read it.
pub(super) fn shown(damage: &Damage) -> String {
    let Damage { video, title, object, what } = damage;
    format!("video {video} ({}): {object}: {what}", text::Visible(title))
}
