//! Verification: every blob of a published video read again and compared with what its rows say; what can be made again from the source is, by
//! jobs like those that made it.
//!
//! A verification is a row. Whoever holds its lease reads video by video, slowly, beside everything else, and notes after each how far it is:
//! cut short anywhere, the next holder goes on with the video that it was at.

mod check;
mod fragment;
mod meaning;
mod mend;
mod pace;

use crate::audit::Entry;
use crate::blobs::Blobs;
use crate::catalog::Catalog;
use crate::catalog::verifications::NewVerification;
use crate::domain::ids::VideoId;
use crate::domain::verification::Verification;
use crate::domain::{Error, ErrorKind, Result};
use crate::doorbell::Doorbell;
use crate::keys::Keys;
use crate::transaction;
use check::Verdict;
use pace::Pace;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A missed ring delays a verification by this much at most (invariant 1).
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often it is asked whether a verification is due.
const DUE_LOOK: Duration = Duration::from_secs(60);
const LEASE_MS: i64 = 30_000;
const BEAT: Duration = Duration::from_secs(1);
/// Who asks for the verifications that nobody asks for.
const HOUSE: &str = "theatrum";

/// All that verifications may touch.
#[derive(Clone, Debug)]
pub struct State {
    /// The rows.
    pub catalog: Catalog,
    /// What is read.
    pub blobs: Blobs,
    /// Opens root keys.
    pub keys: Keys,
    /// Wakes it, and is told of repairs.
    pub doorbell: Doorbell,
    /// Who holds the leases: `node/life`.
    pub owner: String,
    /// Between two verifications of everything that nobody asks for; `None`: there are none.
    pub every: Option<Duration>,
    /// The most that is read in a second; 0 for no limit.
    pub bytes_per_s: u64,
}

/// Carries verifications out until `shutdown`, one of a single video beside one of all; the next life goes on with what is cut short.
pub async fn run(state: State, shutdown: CancellationToken) -> Result<()> {
    let work = async { tokio::join!(attend(&state, true), attend(&state, false), ask_when_due(&state)) };
    let _ = shutdown.run_until_cancelled(work).await;
    Ok(())
}

/// Takes one verification after the other.
async fn attend(state: &State, single: bool) {
    loop {
        match transaction!(state.catalog, |tx| tx.claim_verification(&state.owner, LEASE_MS, single).await) {
            Ok(Some(verification)) => {
                let id = verification.id.clone();
                match Run::new(state, verification).finish().await {
                    Ok(()) => tracing::info!(verification = %id, "verification ends"),
                    Err(error) => tracing::warn!(verification = %id, cause = %error.chain(), "a verification was left; it goes on later"),
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(cause = %error.chain(), "could not look for verifications"),
        }
        state.doorbell.wait_verify(LONGEST_WAIT).await;
    }
}

/// Asks for a verification of everything whenever the last one is long enough ago.
async fn ask_when_due(state: &State) {
    let Some(every) = state.every else { return };
    loop {
        tokio::time::sleep(DUE_LOOK).await;
        match ask_if_due(state, every).await {
            // Somebody's is on its way: the house's own comes later.
            Err(error) if error.code() != "verifying" => {
                tracing::warn!(cause = %error.chain(), "could not ask for a verification; it is tried again");
            }
            Err(_) | Ok(()) => {}
        }
    }
}

async fn ask_if_due(state: &State, every: Duration) -> Result<()> {
    let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
    let last = state.catalog.last_verification(HOUSE).await?;
    let entry = Entry { reason: "due".to_owned(), object: Some("repair".to_owned()), ..entry("verify") };
    let new = NewVerification { actor: HOUSE.to_owned(), video: None, repairs: true };
    let is_due = transaction!(state.catalog, |tx| {
        let now = tx.now().await?;
        if last.is_some_and(|last| now < last.saturating_add(every_ms)) {
            return Ok::<_, Error>(false);
        }
        tx.insert_verification(&new).await?;
        tx.append_audit(&entry).await?;
        Ok(true)
    })?;
    if is_due {
        state.doorbell.ring_verify();
    }
    Ok(())
}

/// An audit entry of the house itself.
fn entry(action: &str) -> Entry {
    let (actor, role) = (HOUSE.to_owned(), "worker".to_owned());
    Entry { actor, role, action: action.to_owned(), decision: "allow", ..Entry::default() }
}

/// One verification under way.
struct Run<'a> {
    state: &'a State,
    row: Verification,
    pace: Pace,
    beaten: Instant,
    /// Of the video that is being read: how much has been, of how much.
    done_bytes: u64,
    of_bytes: u64,
}

impl<'a> Run<'a> {
    fn new(state: &'a State, row: Verification) -> Self {
        Self { state, row, pace: Pace::new(state.bytes_per_s), beaten: Instant::now(), done_bytes: 0, of_bytes: 0 }
    }

    async fn finish(mut self) -> Result<()> {
        tracing::info!(verification = %self.row.id, repairs = self.row.repairs, after = ?self.row.cursor, "verification begins");
        if let Some(video) = self.row.video.clone() {
            self.row.report.of = 1;
            self.keep(false).await?;
            if self.row.cursor.is_none() {
                self.video(&video).await?;
            }
        } else {
            if self.row.cursor.is_none() {
                self.row.report.of = self.state.catalog.count_videos().await?;
                self.keep(false).await?;
            }
            loop {
                let videos = self.state.catalog.videos_after(self.row.cursor.as_ref()).await?;
                if videos.is_empty() {
                    break;
                }
                for video in &videos {
                    self.video(video).await?;
                }
            }
        }
        self.row.percent = 100;
        self.tell();
        self.keep(true).await
    }

    /// Reads one video, repairs it if that is asked for, and notes that it is done with.
    async fn video(&mut self, video: &VideoId) -> Result<()> {
        (self.done_bytes, self.of_bytes) = (0, 0);
        let verdict = match self.verdict(video).await {
            // What cannot be asked now may be later; anything else would be the same then.
            Err(error) if !error.is_retryable() && error.kind() != ErrorKind::Conflict => {
                tracing::error!(%video, cause = %error.chain(), "a video could not be verified");
                Verdict::Skipped(error.to_string())
            }
            verdict => verdict?,
        };
        let report = &mut self.row.report;
        match verdict {
            Verdict::Skipped(why) => report.skip(video.clone(), &why),
            Verdict::Read(findings) => {
                report.videos += 1;
                for finding in &findings {
                    tracing::error!(path = %finding.path, problem = finding.problem.as_str(), outcome = finding.outcome.as_str(), "a blob is damaged");
                }
                report.add(findings);
            }
        }
        self.row.cursor = Some(video.clone());
        (self.done_bytes, self.of_bytes) = (0, 0);
        self.row.percent = self.percent();
        self.keep(false).await
    }

    async fn verdict(&mut self, video: &VideoId) -> Result<Verdict> {
        let checked = match self.check(video).await? {
            Ok(checked) => checked,
            Err(why) => return Ok(Verdict::Skipped(why.to_owned())),
        };
        let findings = if self.row.repairs { self.mend(checked).await? } else { checked.findings() };
        Ok(Verdict::Read(findings))
    }

    /// Counts what was read, waits until it may have been, and says that the verification lives. `Conflict` when it is somebody else's by now.
    async fn took(&mut self, bytes: u64) -> Result<()> {
        self.done_bytes += bytes;
        self.row.report.bytes += bytes;
        self.pace.take(bytes).await;
        if self.beaten.elapsed() < BEAT {
            return Ok(());
        }
        self.beaten = Instant::now();
        self.row.percent = self.percent();
        let held = transaction!(self.state.catalog, |tx| tx.extend_verification(&self.row, LEASE_MS).await)?;
        if held { Ok(()) } else { Err(lost()) }
    }

    /// How much of all is done; 100 is for the end alone.
    fn percent(&self) -> i64 {
        let report = &self.row.report;
        let done = (report.videos + report.skipped) * 100 + (self.done_bytes * 100).checked_div(self.of_bytes).unwrap_or(0).min(100);
        i64::try_from(done / report.of.max(1)).unwrap_or(99).clamp(self.row.percent, 99)
    }

    async fn keep(&self, ends: bool) -> Result<()> {
        let held = transaction!(self.state.catalog, |tx| tx.keep_verification(&self.row, ends).await)?;
        if held { Ok(()) } else { Err(lost()) }
    }

    fn tell(&self) {
        let report = &self.row.report;
        let (videos, blobs, found, repaired) = (report.videos, report.blobs, report.found, report.repaired);
        tracing::info!(verification = %self.row.id, videos, blobs, bytes = report.bytes, found, repaired, "verified");
        if !report.is_clean() {
            tracing::error!(verification = %self.row.id, left = found - repaired, "blobs are damaged: `theatrum verify` tells which");
        }
    }
}

fn lost() -> Error {
    Error::conflict("lease-lost", "another worker goes on with the verification")
}
