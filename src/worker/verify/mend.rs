//! Having damaged blobs made again: the jobs that do it are inserted in the transaction that marks what is damaged, and what comes of them is
//! read before it is believed.

use super::check::{Checked, Found, Target};
use super::{Run, entry, meaning};
use crate::audit::Entry;
use crate::catalog::jobs::Listing;
use crate::catalog::versions::Version;
use crate::domain::ids::VideoId;
use crate::domain::job::{EncodePayload, Kind, NewJob, RepairPayload};
use crate::domain::replacement::State as ReplacementState;
use crate::domain::verification::{Finding, Outcome, Piece};
use crate::domain::video::RenditionName;
use crate::domain::{Error, Result};
use crate::transaction;
use crate::worker::publish;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use theatrum_media::plan::{Plan, VideoPlan};

/// Before chunks that are not the first: somebody may be watching.
const PRIORITY: i64 = 8;
const LOOK: Duration = Duration::from_millis(100);
/// Jobs that take longer are left to themselves: whoever verifies again sees what came of them.
const PATIENCE: Duration = Duration::from_secs(1_800);

impl Run<'_> {
    /// Repairs what can be repaired; gives the findings with what became of each.
    pub(super) async fn mend(&mut self, checked: Checked) -> Result<Vec<Finding>> {
        let Checked { version, found } = checked;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let source_is_whole = !found.iter().any(|found| found.finding.piece == Piece::Source);
        let can_be_made = |found: &Found| match found.target {
            Target::Nothing => false,
            Target::Playlist => true,
            _ => source_is_whole,
        };
        let (wanted, lost): (Vec<Found>, Vec<Found>) = found.into_iter().partition(can_be_made);
        let mut findings: Vec<Finding> = lost.into_iter().map(|found| ended(found, Outcome::Lost, None)).collect();
        if !wanted.is_empty() && self.settles(&version).await? && self.begin(&version, &wanted).await? {
            self.settles(&version).await?;
        }
        findings.extend(self.outcomes(version, wanted).await?);
        Ok(findings)
    }

    /// Marks what is damaged and inserts the jobs that make it again; `false` when there are others by now, or the version plays no more.
    async fn begin(&self, version: &Version, wanted: &[Found]) -> Result<bool> {
        let jobs = self.jobs(version, wanted).await?;
        let (video, id) = (&version.video, &version.id);
        let entry = Entry {
            video: Some(video.to_string()),
            version: Some(id.to_string()),
            object: Some(self.row.id.to_string()),
            reason: "damaged".to_owned(),
            ..entry("repair")
        };
        let begun = transaction!(self.state.catalog, |tx| {
            tx.must_play(video, id).await?;
            if tx.has_open_jobs(video, id).await? {
                return Ok::<_, Error>(false);
            }
            for Found { target, .. } in wanted {
                match target {
                    Target::Segment { rendition, number, epoch } => drop(tx.mark_segment_damaged(id, rendition, *number, *epoch).await?),
                    Target::Init { rendition, epoch } => drop(tx.mark_init_damaged(id, rendition, *epoch).await?),
                    Target::Poster { .. } | Target::Playlist | Target::Nothing => {}
                }
            }
            let epoch = tx.highest_epoch(video, id).await?;
            for job in &jobs {
                tx.insert_job_after(job, epoch).await?;
                tx.count_up(id).await?;
            }
            // The last of the others calls for publication by itself.
            if jobs.is_empty() {
                tx.insert_job(&publish::job(video, id)).await?;
            }
            tx.append_audit(&entry).await?;
            Ok(true)
        });
        match begun {
            Err(error) if error.code() == "version-gone" => Ok(false),
            begun => {
                self.state.doorbell.ring_work();
                begun
            }
        }
    }

    /// One job for each job whose work is to be done again.
    async fn jobs(&self, version: &Version, wanted: &[Found]) -> Result<Vec<NewJob>> {
        let plan: Plan = serde_json::from_str(&version.plan).map_err(|error| Error::internal("a version's plan cannot be read", error))?;
        let copy_was_encoded = self.copy_was_encoded(version, &plan).await?;
        let job = |payload: &RepairPayload| {
            let payload = serde_json::to_string(payload).map_err(|error| Error::internal("could not write a payload", error))?;
            let (video, version) = (version.video.clone(), Some(version.id.clone()));
            Ok(NewJob { kind: Kind::Repair, payload, video, version, priority: PRIORITY, weight: 1 })
        };
        payloads(&plan, wanted, copy_was_encoded).iter().map(job).collect()
    }

    /// Whether the rendition that was to be copied was encoded after all.
    async fn copy_was_encoded(&self, version: &Version, plan: &Plan) -> Result<bool> {
        let Some(copied) = plan.video.as_ref().and_then(|video| video.copied.as_ref()) else { return Ok(false) };
        let listing = Listing { video: Some(version.video.clone()), kind: Some(Kind::Encode), ..Listing::default() };
        let is_it = |name: &RenditionName| name.as_str() == copied.name;
        let of_one = |payload: &str| serde_json::from_str(payload).is_ok_and(|payload: EncodePayload| payload.only.iter().any(is_it));
        let jobs = self.state.catalog.jobs(&listing).await?;
        Ok(jobs.iter().any(|job| job.version.as_ref() == Some(&version.id) && of_one(&job.payload)))
    }

    /// Waits until no job of the version is on its way; `false` when that takes too long.
    pub(super) async fn settles(&mut self, version: &Version) -> Result<bool> {
        let begun = Instant::now();
        while self.state.catalog.is_being_mended(&version.video, &version.id).await? {
            if begun.elapsed() >= PATIENCE {
                return Ok(false);
            }
            self.took(0).await?;
            tokio::time::sleep(LOOK).await; // tidy: polling
        }
        Ok(true)
    }

    /// What became of findings, by reading everything once more.
    async fn outcomes(&mut self, version: Version, wanted: Vec<Found>) -> Result<Vec<Finding>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let cause = self.state.catalog.failed_repair(&version.video, &version.id).await?;
        let is_replaced = self.is_being_replaced(&version.video).await?;
        let Ok(again) = self.check_again(version).await? else {
            // Another version plays by now, made of the same source.
            return Ok(wanted.into_iter().map(|found| ended(found, Outcome::Repaired, None)).collect());
        };
        let left = again.found;
        let left_of = |found: &Found| left.iter().any(|left| is_same(left, found));
        let failed = if is_replaced { Outcome::Remaking } else { Outcome::Failed };
        let mut findings = Vec::new();
        for found in &wanted {
            let outcome = if left_of(found) { failed } else { Outcome::Repaired };
            findings.push(ended(found.clone(), outcome, cause.as_deref()));
        }
        // What was damaged meanwhile.
        let new = left.iter().filter(|left| !wanted.iter().any(|found| is_same(left, found)));
        findings.extend(new.map(|found| found.finding.clone()));
        Ok(findings)
    }

    async fn is_being_replaced(&self, video: &VideoId) -> Result<bool> {
        let replacement = self.state.catalog.replacement(video).await?;
        Ok(replacement.is_some_and(|replacement| replacement.state == ReplacementState::Processing))
    }
}

/// Whether two findings are about the same thing, whatever epoch wrote it.
fn is_same(one: &Found, other: &Found) -> bool {
    let key = |found: &Found| {
        let Finding { piece, rendition, number, .. } = &found.finding;
        (*piece, rendition.clone(), *number)
    };
    key(one) == key(other)
}

fn ended(found: Found, outcome: Outcome, cause: Option<&str>) -> Finding {
    let mend = meaning::mend(found.finding.piece, outcome, cause);
    Finding { outcome, mend, ..found.finding }
}

/// Whose work is to be done again, each once.
fn payloads(plan: &Plan, wanted: &[Found], copy_was_encoded: bool) -> Vec<RepairPayload> {
    let (mut payloads, mut chunks) = (Vec::new(), BTreeMap::<u32, BTreeSet<&RenditionName>>::new());
    for Found { target, .. } in wanted {
        let (rendition, number) = match target {
            Target::Segment { rendition, number, .. } => (rendition, *number),
            // The first chunk's job writes it.
            Target::Init { rendition, .. } => (rendition, 0),
            Target::Poster { .. } => {
                payloads.push(RepairPayload::Stills);
                continue;
            }
            Target::Playlist | Target::Nothing => continue,
        };
        let is_copied = |video: &VideoPlan| video.copied.as_ref().is_some_and(|copied| copied.name == rendition.as_str());
        match &plan.video {
            _ if *rendition == RenditionName::audio() => payloads.push(RepairPayload::Audio),
            Some(video) if is_copied(video) && !copy_was_encoded => payloads.push(RepairPayload::Copy),
            Some(video) => {
                let holds = |chunk: &&theatrum_media::timeline::Chunk| {
                    (u64::from(chunk.first_segment)..u64::from(chunk.first_segment) + chunk.segments.len() as u64).contains(&number)
                };
                if let Some(chunk) = video.chunks.iter().find(holds) {
                    chunks.entry(chunk.index).or_default().insert(rendition);
                }
            }
            None => {}
        }
    }
    payloads.extend(chunks.into_iter().map(|(chunk, only)| RepairPayload::Encode { chunk, only: only.into_iter().cloned().collect() }));
    payloads.sort_by_key(|payload| serde_json::to_string(payload).unwrap_or_default());
    payloads.dedup();
    payloads
}
