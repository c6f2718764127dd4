//! Reconciliation: the blobs beside the rows. What nobody points at is swept, what is missing is told, what is not ours is left alone.
//!
//! It may run beside everything else, at any time, in any number of lives: a blob is swept only if nobody can adopt it any more (see
//! `catalog::claims`), and only once it is old. It may be cut short anywhere.

use super::Storage;
use super::claims::{Claims, current};
use crate::audit::Entry;
use crate::blobs::{Key, Thing};
use crate::domain::ids::{ReconciliationId, VersionId, VideoId};
use crate::domain::{Error, ErrorKind, Result};
use crate::transaction;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

/// Nothing says whether an unfinished write is still being written, but that it grows, and whoever writes is given up long before this.
const UNFINISHED_AGE: Duration = Duration::from_secs(3600);
/// Paths that a report names of each kind.
const MOST_NAMED: usize = 20;

/// How many there are of something, and a few of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// What they take.
    pub bytes: u64,
    /// The paths of the first twenty.
    pub paths: Vec<String>,
}

/// What a reconciliation found, and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Of which reconciliation.
    pub id: ReconciliationId,
    /// Whether it swept; else it only looked.
    pub applied: bool,
    /// Epoch milliseconds.
    pub began_at: i64,
    /// Videos examined.
    pub videos: u64,
    /// Blobs examined.
    pub blobs: u64,
    /// Blobs that no row points at, and none ever will.
    pub orphans: Tally,
    /// Writes that were begun, and given up.
    pub unfinished: Tally,
    /// Folders with nothing in them.
    pub empty_folders: Tally,
    /// Files that are none of ours: never swept.
    pub foreign: Tally,
    /// Blobs that a row points at and that are not there: a loss.
    pub missing: Tally,
    /// Of what was to be swept, what could not be.
    pub failed: u64,
}

/// How far a reconciliation has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Of which reconciliation.
    pub id: ReconciliationId,
    /// Whether it sweeps.
    pub applies: bool,
    /// Videos examined,
    pub done: u64,
    /// of so many.
    pub of: u64,
}

impl Report {
    fn begun(id: ReconciliationId, applied: bool, began_at: i64) -> Self {
        let none = Tally::default;
        let (orphans, unfinished, empty_folders, foreign, missing) = (none(), none(), none(), none(), none());
        Self { id, applied, began_at, videos: 0, blobs: 0, orphans, unfinished, empty_folders, foreign, missing, failed: 0 }
    }
}

impl Tally {
    fn add(&mut self, path: impl FnOnce() -> String, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
        if self.paths.len() < MOST_NAMED {
            self.paths.push(path());
        }
    }
}

/// A reconciliation that is to run; another may begin when this one is dropped.
#[derive(Debug)]
pub struct Reconciliation {
    id: ReconciliationId,
    storage: Storage,
    applies: bool,
}

impl Drop for Reconciliation {
    fn drop(&mut self) {
        *self.storage.reconciling.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Storage {
    /// How far the reconciliation has come that runs now, if one does. Whoever also wants its report asks for that afterwards: it is kept
    /// before the reconciliation ends here.
    pub fn reconciling(&self) -> Option<Progress> {
        self.reconciling.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The report of the last reconciliation that swept, or that only looked, and when it ended. One that another version of Theatrum kept
    /// and this one cannot read is none.
    pub async fn last_report(&self, applied: bool) -> Result<Option<(i64, Report)>> {
        let Some((ended_at, text)) = self.catalog.reconciliation(applied).await? else { return Ok(None) };
        let read =
            serde_json::from_str(&text).inspect_err(|error| tracing::debug!(cause = %error, "a reconciliation's report cannot be read"));
        Ok(read.ok().map(|report| (ended_at, report)))
    }

    /// A reconciliation, which sweeps if it `applies`. `Conflict` (`reconciling`) while another runs.
    pub fn reconcile(&self, applies: bool) -> Result<Reconciliation> {
        let mut running = self.reconciling.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            return Err(Error::conflict("reconciling", "a reconciliation runs already: wait for its end"));
        }
        let id = ReconciliationId::new();
        *running = Some(Progress { id: id.clone(), applies, done: 0, of: 0 });
        Ok(Reconciliation { id, storage: self.clone(), applies })
    }
}

impl Reconciliation {
    /// Its id, as in its progress and its report.
    pub fn id(&self) -> &ReconciliationId {
        &self.id
    }

    /// Compares blobs and rows, and sweeps what is nobody's if it is to, once `entry` is in the audit log. Takes `pause` for each thing it looks at.
    pub async fn run(self, entry: &Entry, pause: Duration) -> Result<Report> {
        let Self { id, storage: Storage { catalog, blobs, reconciling, .. }, applies } = &self;
        let began_at = transaction!(catalog, |tx| {
            tx.append_audit(entry).await?;
            tx.now().await
        })?;
        let mut report = Report::begun(id.clone(), *applies, began_at);
        let names = blobs.names().await?;
        for path in names.foreign {
            report.foreign.add(|| path, 0);
        }
        let mut videos = names.videos;
        videos.extend(catalog.living_videos().await?);
        let of = videos.len() as u64;
        for (done, video) in (0..).zip(&videos) {
            let progress = Progress { id: id.clone(), applies: *applies, done, of };
            *reconciling.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
            let things = self.examine(video, &mut report).await?;
            tokio::time::sleep(pause.saturating_mul(things)).await;
        }
        report.videos = of;
        tell(&report);
        let text = serde_json::to_string(&report).map_err(|error| Error::internal("could not write a report", error))?;
        transaction!(catalog, |tx| tx.keep_reconciliation(*applies, began_at, &text).await)?;
        Ok(report)
    }

    /// Examines one video; gives how many things lie in its folders.
    async fn examine(&self, video: &VideoId, report: &mut Report) -> Result<u32> {
        // What is seen now was written before the claims are read.
        let things = self.storage.blobs.survey(video).await?;
        let claims = Claims::read(&self.storage.catalog, video, &things).await?;
        let mut present = HashSet::new();
        for thing in &things {
            if let Thing::Blob(key, _) = thing {
                report.blobs += 1;
                present.insert(key.clone());
            }
            if !self.is_waste(thing, &claims, report) || !self.applies {
                continue;
            }
            let swept = match thing {
                Thing::Blob(key, _) => self.storage.blobs.delete(key).await,
                _ => self.storage.blobs.sweep(thing).await,
            };
            if let Err(error) = swept {
                tracing::warn!(%video, cause = %error.chain(), "could not sweep an orphan; the next reconciliation tries again");
                report.failed += 1;
            }
        }
        self.find_missing(video, &claims, &present, report).await?;
        Ok(u32::try_from(things.len()).unwrap_or(u32::MAX))
    }

    /// Whether a thing is to be swept; it is counted either way.
    fn is_waste(&self, thing: &Thing, claims: &Claims, report: &mut Report) -> bool {
        let is_old = |since: &SystemTime, age: Duration| since.elapsed().is_ok_and(|elapsed| elapsed >= age);
        match thing {
            Thing::Blob(key, meta) if is_old(&meta.modified, self.storage.limits.orphan_age) && claims.is_orphan(key) => {
                report.orphans.add(|| key.path(), meta.size_bytes);
                true
            }
            Thing::Unfinished(path, meta) if is_old(&meta.modified, UNFINISHED_AGE) => {
                report.unfinished.add(|| path.clone(), meta.size_bytes);
                true
            }
            Thing::Empty(path, since) if is_old(since, UNFINISHED_AGE) => {
                report.empty_folders.add(|| path.clone(), 0);
                true
            }
            Thing::Foreign(path, meta) => {
                report.foreign.add(|| path.clone(), meta.size_bytes);
                false
            }
            Thing::Blob(..) | Thing::Unfinished(..) | Thing::Empty(..) => false,
        }
    }

    /// Blobs that rows point at and that were not seen may have come since; so each is asked for by itself before it is called a loss.
    async fn find_missing(&self, video: &VideoId, claims: &Claims, present: &HashSet<Key>, report: &mut Report) -> Result<()> {
        let Some(version) = claims.current() else { return Ok(()) };
        let mut needed = claims.needed(video);
        needed.extend(self.source_of(version).await?);
        for key in needed.iter().filter(|key| !present.contains(key)) {
            let is_gone = self.storage.blobs.head(key).await.is_err_and(|error| error.kind() == ErrorKind::NotFound);
            // Or it went with its version meanwhile.
            if is_gone && self.storage.catalog.standing(video).await?.as_ref().and_then(current) == Some(version) {
                report.missing.add(|| key.path(), 0);
            }
        }
        Ok(())
    }

    /// The parts of the source that a version is made of.
    async fn source_of(&self, version: &VersionId) -> Result<Vec<Key>> {
        let catalog = &self.storage.catalog;
        let source = catalog.source(&catalog.version(version).await?.source).await?;
        let parts = catalog.upload_parts(&source.upload).await?;
        parts.iter().filter_map(|part| part.blob.as_deref()).map(Key::parse).collect()
    }
}

fn tell(report: &Report) {
    if report.missing.count > 0 {
        let (missing, paths) = (report.missing.count, report.missing.paths.join(" "));
        tracing::error!(missing, %paths, "blobs are missing: restore them from a backup, or delete their videos and publish them again");
    }
    let Report { applied, videos, blobs, orphans, unfinished, failed, .. } = report;
    tracing::info!(
        applied,
        videos,
        blobs,
        orphans = orphans.count,
        bytes = orphans.bytes,
        unfinished = unfinished.count,
        failed,
        "reconciled"
    );
}
