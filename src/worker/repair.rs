//! Making blobs of a published version again that were found damaged: the work of the job that made them is done once more, under an epoch of
//! its own, and of what comes out only what is damaged is kept. Nothing that plays is touched before its successor is adopted.

use super::attempt::{Attempt, Failed, segments_left};
use super::{audio, copy, encode, stills};
use crate::catalog::Tx;
use crate::domain::ids::{SourceId, VersionId, VideoId};
use crate::domain::job::{EncodePayload, Kind, NewJob, ProbePayload, RepairPayload};
use crate::domain::replacement::{Kind as ReplacementKind, State as ReplacementState, Trim};
use crate::domain::video::RenditionName;
use crate::domain::{Error, Result};
use crate::transaction;

const MISFIT: &str = "repair-misfit";
const PROBE_PRIORITY: i64 = 0;

/// What was made again does not fit what is still there: another encoder makes other parameter sets.
pub(super) fn misfit(rendition: &RenditionName) -> Error {
    Error::conflict(MISFIT, format!("rendition {rendition} comes out otherwise than it did: all of it must be made again"))
}

/// Runs the job.
pub(super) async fn run(attempt: &Attempt<'_>) -> Result<(), Failed> {
    let payload =
        serde_json::from_str(&attempt.job.payload).map_err(|error| Error::internal("a repair's payload cannot be read", error))?;
    let made = match payload {
        RepairPayload::Encode { chunk, only } => encode::chunk(attempt, &EncodePayload { chunk, only, uncounted: true }).await,
        RepairPayload::Copy => copy::run(attempt).await,
        RepairPayload::Audio => audio::run(attempt).await,
        RepairPayload::Stills => stills::run(attempt).await,
    };
    match made {
        Err(Failed::Trouble { error, .. }) if does_not_fit(&error) => {
            tracing::warn!(job = %attempt.job.id, cause = %error.chain(), "what was damaged cannot be replaced by itself: the video is made again");
            Ok(remake(attempt).await?)
        }
        made => made,
    }
}

/// Whether an attempt failed for what it made: its parameter sets, or lengths, are other ones.
fn does_not_fit(error: &Error) -> bool {
    matches!(error.code(), MISFIT | "segment-adopted" | "init-adopted")
}

/// Settles the job by having a whole new version made of the same source, which replaces the damaged one as any other would: whoever
/// watches that one is not disturbed.
async fn remake(attempt: &Attempt<'_>) -> Result<()> {
    let id = attempt.version()?;
    let version = attempt.state.catalog.version(id).await?;
    transaction!(attempt.state.catalog, |tx| {
        tx.settle(&attempt.lease).await?;
        let before = tx.replacement(&attempt.job.video).await?;
        if before.is_none_or(|before| before.state != ReplacementState::Processing) {
            begin(&mut tx, &attempt.job.video, &version.id, &version.source, version.trim).await?;
            tx.append_audit(&attempt.entry("repair", "remake")).await?;
        }
        segments_left(&mut tx, &attempt.job, id).await
    })
}

async fn begin(tx: &mut Tx, video: &VideoId, version: &VersionId, source: &SourceId, trim: Option<Trim>) -> Result<()> {
    let payload = serde_json::to_string(&ProbePayload { source: source.clone(), trim });
    let payload = payload.map_err(|error| Error::internal("could not write a payload", error))?;
    let probe = NewJob { kind: Kind::Probe, payload, video: video.clone(), version: None, priority: PROBE_PRIORITY, weight: 1 };
    tx.must_play(video, version).await?;
    tx.begin_replacement(video, source, ReplacementKind::Source, trim).await?;
    tx.insert_job(&probe).await.map(drop)
}
