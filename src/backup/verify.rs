//! Opening a snapshot, and proving that everything it needs is there and whole.

use super::copy::Entry;
use super::manifest::{Manifest, newer};
use super::rows;
use super::sealed::Lines;
use super::seen::Seen;
use super::{AT_ONCE, Damage, Progress, Secrets};
use crate::blobs::{Blobs, Key};
use crate::depot::{Depot, Name};
use crate::domain::ids::{SnapshotId, VideoId};
use crate::domain::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::keys::RootKey;
use aws_lc_rs::digest::{Context, SHA256};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// What a check of a snapshot found.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// When its rows were read, epoch milliseconds.
    pub taken_at: i64,
    /// Videos that a restore would bring back, uploads in progress among them.
    pub videos: u64,
    /// Videos that it would not: they were deleted since.
    pub deleted_since: u64,
    /// Blobs that were checked.
    pub blobs: u64,
    /// Their size.
    pub blob_bytes: u64,
    /// What is missing or was altered.
    pub damaged: Vec<Damage>,
}

/// Checks a snapshot (the newest, if none is named): every digest, and that every video's key opens. Changes nothing.
pub async fn verify(depot: &Depot, secrets: &Secrets, id: Option<&SnapshotId>, progress: &Progress) -> Result<Verified> {
    let opened = Opened::new(depot, secrets, id, progress).await?;
    let keys = opened.keys(depot, secrets).await?;
    let blobs = opened.blobs(depot, None, progress).await?;
    let deleted_since = opened.deleted_since().count() as u64;
    Ok(Verified {
        videos: opened.seen.live() - deleted_since,
        snapshot: opened.manifest.id,
        taken_at: opened.manifest.taken_at,
        deleted_since,
        blobs: blobs.count,
        blob_bytes: blobs.bytes,
        damaged: [keys.damaged, blobs.damaged].concat(),
    })
}

/// A snapshot whose rows are at hand.
pub(super) struct Opened {
    pub manifest: Manifest,
    pub rows: Lines,
    pub seen: Seen,
    list: Lines,
    buried: HashSet<VideoId>,
}

/// The wrapped root keys of a snapshot's videos.
#[derive(Default)]
pub(super) struct RootKeys {
    pub wrapped: HashMap<VideoId, String>,
    pub damaged: Vec<Damage>,
}

/// The blobs of a snapshot.
#[derive(Default)]
pub(super) struct Checked {
    pub count: u64,
    pub bytes: u64,
    pub damaged: Vec<Damage>,
    /// Paths that the rows refer to and that were gone when the backup was made.
    pub gone: Vec<String>,
}

enum Finding {
    Whole(u64),
    Damaged(Damage),
    Gone(String),
    Unneeded,
}

impl Opened {
    pub(super) async fn new(depot: &Depot, secrets: &Secrets, id: Option<&SnapshotId>, progress: &Progress) -> Result<Self> {
        progress.begin("reading the snapshot", 0);
        let manifest = match id {
            Some(id) => Manifest::load(depot, id).await?,
            None => Manifest::newest(depot).await?.ok_or_else(|| Error::not_found(format!("{depot} has no snapshot")))?,
        };
        let key: RootKey = manifest.open(depot, &secrets.kms).await?;
        let rows = Lines::fetch(depot, &key, &Name::Rows(manifest.id.clone()), &manifest.rows).await?;
        let list = Lines::fetch(depot, &key, &Name::Blobs(manifest.id.clone()), &manifest.list).await?;
        let seen = rows::survey(&rows).await?;
        Ok(Self { manifest, rows, seen, list, buried: depot.buried().await? })
    }

    /// Videos that lived when the snapshot was taken, and were deleted since.
    pub(super) fn deleted_since(&self) -> impl Iterator<Item = &VideoId> {
        self.buried.iter().filter(|video| self.seen.is_live(video))
    }

    fn is_wanted(&self, video: &VideoId) -> bool {
        self.seen.is_live(video) && !self.buried.contains(video)
    }

    fn damage(&self, video: &VideoId, object: &str, what: &'static str) -> Damage {
        Damage { video: video.clone(), title: self.seen.title(video), object: object.to_owned(), what }
    }

    /// Fetches and opens the root keys of all videos that are wanted.
    pub(super) async fn keys(&self, depot: &Depot, secrets: &Secrets) -> Result<RootKeys> {
        let mut names: HashMap<VideoId, Vec<Name>> = HashMap::new();
        let mut listed = depot.list(Name::ROOT_KEYS);
        while let Some((name, _)) = listed.try_next().await? {
            if let Name::RootKey { video, .. } = &name {
                names.entry(video.clone()).or_default().push(name);
            }
        }
        let wanted = self.seen.keys.keys().filter(|video| self.is_wanted(video));
        let found = wanted.map(async |video| {
            let names = names.get(video).map_or(&[][..], Vec::as_slice);
            Ok::<_, Error>((video.clone(), wrapped(depot, secrets, video, names).await?))
        });
        let keyless = self.seen.keyless().filter(|video| !self.buried.contains(*video));
        let keyless = keyless.map(|video| self.damage(video, "key", "the house did not have it when it was backed up"));
        let mut keys = RootKeys { wrapped: HashMap::new(), damaged: keyless.collect() };
        let mut found = stream::iter(found).buffer_unordered(AT_ONCE);
        while let Some((video, wrapped)) = found.try_next().await? {
            match wrapped {
                Some(wrapped) => drop(keys.wrapped.insert(video, wrapped)),
                None => keys.damaged.push(self.damage(&video, "key", "its key is missing or was altered: nothing of it can be read")),
            }
        }
        Ok(keys)
    }

    /// Reads every blob that is wanted, and takes it into `into` if that is given; each must be what its digest says.
    pub(super) async fn blobs(&self, depot: &Depot, into: Option<&Blobs>, progress: &Progress) -> Result<Checked> {
        progress.begin(if into.is_some() { "restoring blobs" } else { "checking blobs" }, self.manifest.blob_bytes);
        let entries = self.list.stream::<Entry>()?;
        let findings = entries.map_ok(|entry| self.settle(depot, into, entry));
        let mut findings = findings.try_buffer_unordered(AT_ONCE);
        let mut checked = Checked::default();
        while let Some(finding) = findings.try_next().await? {
            match finding {
                Finding::Whole(size_bytes) => {
                    checked.count += 1;
                    checked.bytes += size_bytes;
                    progress.add(size_bytes);
                }
                Finding::Damaged(damage) => checked.damaged.push(damage),
                Finding::Gone(path) => checked.gone.push(path),
                Finding::Unneeded => {}
            }
        }
        Ok(checked)
    }

    async fn settle(&self, depot: &Depot, into: Option<&Blobs>, entry: Entry) -> Result<Finding> {
        let key = Key::parse(&entry.key)?;
        let damaged = |what| Ok(Finding::Damaged(self.damage(key.video(), &entry.key, what)));
        let Some(sha256) = entry.sha256 else {
            let is_missed = self.is_wanted(key.video()) && self.seen.needs(&key);
            return if is_missed { damaged("the house did not have it whole when it was backed up") } else { Ok(Finding::Gone(entry.key)) };
        };
        if !self.is_wanted(key.video()) {
            return Ok(Finding::Unneeded);
        }
        let digest = hex::decode(&sha256).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let digest = digest.ok_or_else(|| Error::invalid("backup-damaged", "the list of blobs holds a malformed digest"))?;
        let name = Name::Blob { key: key.clone(), sha256 };
        let outcome = match into {
            Some(blobs) => adopt(depot, blobs, &name, &key, &digest).await,
            None => check(depot, &name, &digest).await,
        };
        failpoint::hit("restore-blob");
        match outcome {
            Ok(()) => Ok(Finding::Whole(entry.size_bytes)),
            Err(error) if error.code() == "checksum-mismatch" => damaged("it was altered since it was written"),
            Err(error) if error.kind() == ErrorKind::NotFound => damaged("it is gone"),
            Err(error) => Err(error),
        }
    }
}

/// The first of the wrapped keys that opens.
async fn wrapped(depot: &Depot, secrets: &Secrets, video: &VideoId, names: &[Name]) -> Result<Option<String>> {
    for name in names {
        let text = match depot.get(name).await {
            Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if secrets.keys.open(video, &text).await.is_ok() {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

async fn adopt(depot: &Depot, blobs: &Blobs, name: &Name, key: &Key, digest: &[u8; 32]) -> Result<()> {
    // A restore that was cut short goes on.
    match blobs.digest(key).await {
        Ok((found, _)) if found == *digest => return Ok(()),
        Ok(_) => blobs.delete(key).await?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    blobs.adopt(key, depot.stream(name).await?, digest).await.map(drop)
}

async fn check(depot: &Depot, name: &Name, digest: &[u8; 32]) -> Result<()> {
    let (mut context, mut pieces) = (Context::new(&SHA256), depot.stream(name).await?);
    while let Some(piece) = pieces.try_next().await? {
        context.update(&piece);
    }
    if context.finish().as_ref() == digest { Ok(()) } else { Err(Error::invalid("checksum-mismatch", "altered")) }
}

/// Names a snapshot's schema when this Theatrum does not know it.
pub(super) fn schema_error(id: &SnapshotId, error: Error) -> Error {
    if error.code() == "catalog-newer" { newer(id).with_source(error) } else { error }
}
