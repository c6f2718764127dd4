//! Blobs on their way into the depot: only those that are not there yet.

use super::references::Reference;
use super::sealed::Writer;
use super::seen::Seen;
use super::{AT_ONCE, Damage, House, Progress};
use crate::blobs::{ETag, Key};
use crate::depot::{Depot, Name};
use crate::domain::{ErrorKind, Result};
use crate::failpoint;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A blob of a snapshot, or one that its rows refer to and that was gone when it was to be copied.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its path in the blob store.
    pub key: String,
    /// Of its bytes, hexadecimal; absent when it was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its size.
    pub size_bytes: u64,
}

/// What became of all references.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub blobs: u64,
    pub blob_bytes: u64,
    pub copied: u64,
    pub copied_bytes: u64,
    pub damaged: Vec<Damage>,
    /// What the rows need and the house gave up since they were read, although the video is there: they are too old.
    pub outdated: Vec<Damage>,
}

/// What became of one.
enum Outcome {
    Kept(Entry),
    Copied(Entry),
    /// Its row has changed meanwhile: whoever restores does without, and so did the house.
    Gone(Entry),
    /// So it has, but whoever restores cannot do without.
    Outdated(Entry),
    Damaged(Entry, &'static str),
}

/// The blobs of one folder that the depot has: key → digests and sizes.
type Present = HashMap<Key, Vec<(String, u64)>>;

pub(super) struct Copier<'a> {
    pub house: &'a House,
    pub depot: &'a Depot,
    pub seen: &'a Seen,
    pub list: Writer,
    pub tally: Tally,
    pub progress: &'a Progress,
    pub present: Option<(String, Present)>,
}

impl Copier<'_> {
    /// Sees to it that the blobs are in the depot, and lists them.
    pub(super) async fn take(&mut self, references: Vec<Reference>) -> Result<()> {
        let mut rest = references.as_slice();
        while let Some(first) = rest.first() {
            let folder = first.folder();
            let kin = rest.iter().take_while(|reference| reference.folder() == folder).count();
            self.look(&folder, first).await?;
            self.take_kin(&rest[..kin]).await?;
            rest = &rest[kin..];
        }
        Ok(())
    }

    async fn look(&mut self, folder: &str, one: &Reference) -> Result<()> {
        if self.present.as_ref().is_some_and(|(known, _)| known == folder) {
            return Ok(());
        }
        let mut present = Present::new();
        let mut listed = self.depot.list(&Name::blobs_within(one.key.video(), folder));
        while let Some((name, size_bytes)) = listed.try_next().await? {
            if let Name::Blob { key, sha256 } = name {
                present.entry(key).or_default().push((sha256, size_bytes));
            }
        }
        self.present = Some((folder.to_owned(), present));
        Ok(())
    }

    async fn take_kin(&mut self, references: &[Reference]) -> Result<()> {
        let nothing = Present::new();
        let present = self.present.as_ref().map_or(&nothing, |(_, present)| present);
        let this = &*self;
        let settled = stream::iter(references).map(|reference| this.settle(reference, present.get(&reference.key)));
        let outcomes: Vec<Outcome> = settled.buffer_unordered(AT_ONCE).try_collect().await?;
        outcomes.into_iter().try_for_each(|outcome| self.count(outcome))
    }

    fn count(&mut self, outcome: Outcome) -> Result<()> {
        let (entry, is_there) = match outcome {
            Outcome::Kept(entry) => (entry, true),
            Outcome::Copied(entry) => {
                self.tally.copied += 1;
                self.tally.copied_bytes += entry.size_bytes;
                (entry, true)
            }
            Outcome::Gone(entry) => (entry, false),
            Outcome::Outdated(entry) => {
                self.tally.outdated.push(self.damage(&entry, "it was replaced while the backup ran")?);
                (entry, false)
            }
            Outcome::Damaged(entry, what) => {
                self.tally.damaged.push(self.damage(&entry, what)?);
                (entry, false)
            }
        };
        if is_there {
            self.tally.blobs += 1;
            self.tally.blob_bytes += entry.size_bytes;
            self.progress.add(entry.size_bytes);
        }
        self.list.write(&entry)
    }

    fn damage(&self, entry: &Entry, what: &'static str) -> Result<Damage> {
        let video = Key::parse(&entry.key)?.video().clone();
        Ok(Damage { title: self.seen.title(&video), video, object: entry.key.clone(), what })
    }

    async fn settle(&self, reference: &Reference, present: Option<&Vec<(String, u64)>>) -> Result<Outcome> {
        let find = |sha256: &str| present.into_iter().flatten().find(|(found, _)| found == sha256).map(|(_, size_bytes)| *size_bytes);
        let entry = |sha256: Option<String>, size_bytes| Entry { key: reference.key.path(), sha256, size_bytes };
        if reference.key_tells_all()
            && let Some((sha256, size_bytes)) = present.and_then(|found| found.first())
        {
            return Ok(Outcome::Kept(entry(Some(sha256.clone()), *size_bytes)));
        }
        if let Some(sha256) = &reference.sha256
            && let Some(size_bytes) = find(sha256)
        {
            return Ok(Outcome::Kept(entry(Some(sha256.clone()), size_bytes)));
        }
        let (sha256, size_bytes, playlist) = match self.examine(reference).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Outcome::Damaged(entry(None, 0), "its bytes are not those that its row tells of")),
            Err(error) if error.kind() == ErrorKind::NotFound => return self.missing(&reference.key, entry(None, 0)).await,
            Err(error) => return Err(error),
        };
        if find(&sha256).is_some() {
            return Ok(Outcome::Kept(entry(Some(sha256), size_bytes)));
        }
        let name = Name::Blob { key: reference.key.clone(), sha256: sha256.clone() };
        let sent = match playlist {
            Some(bytes) => self.depot.put(&name, bytes).await,
            None => self.depot.put_stream(&name, self.house.blobs.stream_range(&reference.key, 0..size_bytes)).await,
        };
        match sent {
            Ok(()) => {
                failpoint::hit("backup-blob");
                Ok(Outcome::Copied(entry(Some(sha256), size_bytes)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.missing(&reference.key, entry(None, 0)).await,
            Err(error) => Err(error),
        }
    }

    /// A blob's digest and size; and its bytes if it may be replaced at any time: what is hashed and what is sent must be the same. `None`
    /// when it is not what its row tells of (invariant 10).
    async fn examine(&self, reference: &Reference) -> Result<Option<(String, u64, Option<Bytes>)>> {
        let (blobs, key) = (&self.house.blobs, &reference.key);
        if key.is_playlist() {
            let bytes = blobs.get(key).await?;
            return Ok(Some((ETag::of(&bytes).as_str().to_owned(), bytes.len() as u64, Some(bytes))));
        }
        if key.is_sealed() && !self.opens(reference).await? {
            return Ok(None);
        }
        let (sha256, size_bytes) = blobs.digest(key).await?;
        let sha256 = hex::encode(sha256);
        let is_told_of = reference.sha256.as_ref().is_none_or(|expected| *expected == sha256);
        Ok(is_told_of.then_some((sha256, size_bytes, None)))
    }

    /// Whether a sealed blob opens, to the plaintext that its row tells of. One whose key does not open can only be copied: the key itself is
    /// named then.
    async fn opens(&self, reference: &Reference) -> Result<bool> {
        let video = reference.key.video();
        let Some(wrapped) = self.seen.keys.get(video) else { return Ok(true) };
        let Ok(root) = self.house.secrets.keys.open(video, wrapped).await else { return Ok(true) };
        match self.house.blobs.digest_sealed(&reference.key, &root).await {
            Ok(digests) => Ok(reference.plain_sha256.as_ref().is_none_or(|expected| *expected == hex::encode(digests.sha256))),
            Err(error) if error.kind() == ErrorKind::Internal => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A blob is not there. Its video has gone since the snapshot, or its version or source has; or the house has lost it.
    async fn missing(&self, key: &Key, entry: Entry) -> Result<Outcome> {
        let catalog = &self.house.catalog;
        let is_needed =
            match key {
                Key::SourcePart { video, .. } => catalog.needs_part(video, &key.path()).await?,
                Key::Segment { video, version, rendition, index, epoch } => {
                    catalog.needs_version(video, version).await?
                        && catalog.segments(version).await?.iter().any(|row| {
                            row.rendition == *rendition && row.number == u64::from(*index) && row.epoch.cast_unsigned() == *epoch
                        })
                }
                Key::Init { video, version, .. }
                | Key::MediaPlaylist { video, version, .. }
                | Key::MasterPlaylist { video, version }
                | Key::Poster { video, version, .. } => catalog.needs_version(video, version).await?,
            };
        if is_needed {
            return Ok(Outcome::Damaged(entry, "it is not there"));
        }
        let is_outdated = self.seen.needs(key) && catalog.has_key(key.video()).await?;
        Ok(if is_outdated { Outcome::Outdated(entry) } else { Outcome::Gone(entry) })
    }
}
