//! The probe: what the source is, whether it can become a video, and the plan of its version.

mod header;
mod look;

use super::attempt::{Attempt, Failed};
use super::door::SOURCE_URL;
use super::ffmpeg::{Finished, Limit, Limits, Program, Run};
use super::source;
use crate::blobs::Source;
use crate::catalog::versions::{NewRendition, Outline, Version};
use crate::domain::ids::VersionId;
use crate::domain::job::{EncodePayload, Kind, NewJob, ProbePayload};
use crate::domain::replacement::Trim;
use crate::domain::video::{RenditionName, Stage};
use crate::domain::{Error, Result};
use crate::failpoint;
use crate::transaction;
use std::sync::Arc;
use std::time::Duration;
use theatrum_media::ladder::Rendition;
use theatrum_media::plan::{Plan, VideoPlan};
use theatrum_media::probe::{
    Chosen, Code, Container, Demuxer, Facts, HEAD_BYTES, PacketScan, Packets, Points, Refusal, StreamReport, packets_argv, sniff,
    streams_argv,
};
use tokio::sync::mpsc;

const BATCHES: usize = 16;
/// The report on the streams of a file with the most tracks we take is far smaller.
const MAX_REPORT_BYTES: usize = 4 << 20;
/// Someone waits for it to play.
const LOWEST_FIRST_PRIORITY: i64 = 4;
const FIRST_CHUNK_PRIORITY: i64 = 5;
const PRIORITY: i64 = 10;
const TICKS_PER_WEIGHT: i64 = 9_000;
/// All renditions of a lecture that was made small are rarely larger than this many times its file, whatever their caps would allow.
const MOST_OUTPUT_PER_SOURCE: u64 = 2;

/// Runs the job.
pub(super) async fn run(attempt: &Attempt<'_>) -> Result<(), Failed> {
    failpoint::hit("probe");
    transaction!(attempt.state.catalog, |tx| tx.set_stage(&attempt.job.video, None, Stage::Probing).await)?;
    attempt.state.doorbell.video_changed(&attempt.job.video);
    let payload: ProbePayload =
        serde_json::from_str(&attempt.job.payload).map_err(|error| Error::internal("a probe's payload cannot be read", error))?;
    source::sweep(attempt.state, &payload.source).await?;
    let (source, _) = source::open(attempt.state, &payload.source).await?;
    let facts = examine(attempt, &source).await?;
    let plan = match payload.trim {
        Some(Trim { in_ms, out_ms }) => Plan::trimmed(&facts, attempt.state.limits.slots, Points::of_ms(in_ms, out_ms)),
        None => Plan::new(&facts, attempt.state.limits.slots),
    };
    // Nothing would ever be encoded, so nothing would ever end it.
    if plan.is_empty() {
        return Err(Refusal::from(Code::NothingThere).into());
    }
    settle(attempt, payload, &facts, &plan).await?;
    Ok(())
}

async fn examine(attempt: &Attempt<'_>, source: &Arc<Source>) -> Result<Facts, Failed> {
    let (size_bytes, stall) = (source.size_bytes(), attempt.state.limits.stall);
    let head = source::bytes(source, 0..size_bytes.min(HEAD_BYTES as u64)).await?;
    let container = sniff(&head, size_bytes)?;
    let mut json = Vec::new();
    let streams = ask(attempt, source, streams_argv(container.demuxer, SOURCE_URL), |line| {
        if json.len() < MAX_REPORT_BYTES {
            json.extend_from_slice(line.as_bytes());
            json.push(b'\n');
        }
    });
    let finished = streams.await?;
    judge(&finished, stall)?;
    let report = StreamReport::parse(&json)?;
    let chosen = report.choose()?;
    if container.demuxer == Demuxer::Mov
        && let Some(index) = header::index(source).await?
        && let Some(packets) = index.packets(&chosen, size_bytes)
    {
        let mut facts = Facts::new(container, size_bytes, &report, packets)?;
        let look = look::look(source, &index, &facts).await?;
        if let Some(video) = &mut facts.video {
            video.look = look;
        }
        return Ok(facts);
    }
    let packets = read_packets(attempt, source, container, chosen).await?;
    Ok(Facts::new(container, size_bytes, &report, packets)?)
}

/// What ffprobe meets when it reads the whole source.
async fn read_packets(attempt: &Attempt<'_>, source: &Arc<Source>, container: Container, chosen: Chosen) -> Result<Packets, Failed> {
    let mut scan = PacketScan::new(chosen);
    let mut line_feed = Vec::new();
    let packets = ask(attempt, source, packets_argv(container.demuxer, SOURCE_URL), |line| {
        line_feed.clear();
        line_feed.extend_from_slice(line.as_bytes());
        line_feed.push(b'\n');
        scan.push(&line_feed);
    });
    let finished = packets.await?;
    within_limits(&finished, attempt.state.limits.stall)?;
    Ok(scan.finish(&finished.stderr_tail))
}

/// Runs ffprobe in the sandbox and hands over each line it prints.
async fn ask(attempt: &Attempt<'_>, source: &Arc<Source>, args: Vec<String>, mut take: impl FnMut(&str)) -> Result<Finished> {
    let (sender, mut batches) = mpsc::channel::<Vec<String>>(BATCHES);
    let state = attempt.state;
    let limits =
        Limits { stall: state.limits.stall, memory_bytes: state.limits.memory_bytes, wall: Duration::from_secs(3600), ..Limits::default() };
    let run = Run { program: Program::Ffprobe, args, source: source.clone(), outputs: Vec::new(), stdout: Some(sender), limits };
    let read = async {
        while let Some(batch) = batches.recv().await {
            batch.iter().for_each(|line| take(line));
        }
    };
    let (finished, ()) = tokio::join!(state.sandbox.run(run, attempt.cancel.clone()), read);
    finished
}

/// A probe that ended badly by itself met a file it cannot read.
fn judge(finished: &Finished, stall: Duration) -> Result<(), Failed> {
    within_limits(finished, stall)?;
    if finished.success { Ok(()) } else { Err(Refusal::from_ffprobe(&finished.stderr_tail).into()) }
}

/// A file that makes the probe exceed its limits is refused: trying again would only cost the same once more. One that stood still
/// without computing was not given the machine: that is the host's trouble, and tried again.
fn within_limits(finished: &Finished, stall: Duration) -> Result<(), Failed> {
    let was_starved = finished.limit == Some(Limit::Stall) && u128::from(finished.idle_cpu_ms) < stall.as_millis() / 2;
    if finished.host_failed || was_starved {
        return Err(Failed::by_host(finished));
    }
    match &finished.limit {
        None => Ok(()),
        Some(limit) => {
            tracing::warn!(%limit, "the probe was stopped");
            Err(Refusal::from(Code::BrokenContainer).into())
        }
    }
}

async fn settle(attempt: &Attempt<'_>, payload: ProbePayload, facts: &Facts, plan: &Plan) -> Result<()> {
    let json = |error| Error::internal("could not write a plan", error);
    let ProbePayload { source, trim } = payload;
    let video = &attempt.job.video;
    let version = Version {
        id: VersionId::new(),
        video: video.clone(),
        source,
        facts: serde_json::json!({"demuxer": facts.demuxer, "size_bytes": facts.size_bytes, "truncated": facts.truncated}).to_string(),
        plan: serde_json::to_string(plan).map_err(json)?,
        trim,
        pictures_expected: plan.video.as_ref().map_or(0, VideoPlan::expected),
        pictures_decoded: 0,
    };
    if let Some(obstacle) = plan.video.as_ref().and_then(|video| video.obstacle) {
        tracing::info!(version = %version.id, why = %obstacle, "the picture is encoded, not copied");
    }
    let (renditions, jobs) = (renditions(plan)?, jobs(plan, &version));
    let top = plan.video.as_ref().and_then(|video| video.ladder().last());
    let outline = Outline {
        duration_ms: i64::try_from(plan.duration_ms()).unwrap_or(i64::MAX),
        size: top.map(|top| (top.width, top.height)),
        truncated: plan.truncated,
        source_duration_ms: i64::try_from(facts.duration_ms()).unwrap_or(i64::MAX),
    };
    let expected_bytes = plan.most_bytes().min(facts.size_bytes.saturating_mul(MOST_OUTPUT_PER_SOURCE));
    failpoint::hit("probe-settle");
    transaction!(attempt.state.catalog, |tx| {
        tx.settle(&attempt.lease).await?;
        tx.insert_version(&version, &renditions, outline, jobs.len() as u64).await?;
        tx.expect_bytes(&version.id, expected_bytes).await?;
        for job in &jobs {
            tx.insert_job(job).await?;
        }
        Ok(())
    })
}

fn renditions(plan: &Plan) -> Result<Vec<NewRendition>> {
    let mut renditions = Vec::new();
    for rendition in plan.video.iter().flat_map(VideoPlan::ladder) {
        renditions.push(NewRendition { name: RenditionName::parse(&rendition.name)?, size: Some((rendition.width, rendition.height)) });
    }
    if plan.audio.is_some() {
        renditions.push(NewRendition { name: RenditionName::audio(), size: None });
    }
    Ok(renditions)
}

/// The jobs that encode, each with the ticks it takes from the timeline. Of the first chunk the lowest rendition is made by itself: it plays a moment
/// later.
fn encodes(video: &VideoPlan) -> Vec<(EncodePayload, i64)> {
    let Some((lowest, others)) = video.renditions.split_first() else { return Vec::new() };
    let names = |renditions: &[Rendition]| renditions.iter().map(|rung| RenditionName::parse(&rung.name)).collect::<Result<Vec<_>>>();
    let split = names(std::slice::from_ref(lowest)).ok().zip(names(others).ok()).filter(|(_, others)| !others.is_empty());
    let mut encodes = Vec::new();
    for chunk in &video.chunks {
        let ticks = chunk.end_ticks() - chunk.start_ticks();
        let only = match &split {
            Some((lowest, others)) if chunk.index == 0 => {
                encodes.push((EncodePayload { chunk: 0, only: lowest.clone(), uncounted: true }, ticks));
                others.clone()
            }
            _ => Vec::new(),
        };
        encodes.push((EncodePayload { chunk: chunk.index, only, uncounted: false }, ticks));
    }
    encodes
}

/// The jobs that must settle before the version is published.
fn jobs(plan: &Plan, version: &Version) -> Vec<NewJob> {
    let job = |kind, payload: String, priority, weight: i64| NewJob {
        kind,
        payload,
        video: version.video.clone(),
        version: Some(version.id.clone()),
        priority,
        weight: weight.max(1),
    };
    let whole = plan.duration_ticks / TICKS_PER_WEIGHT;
    let mut jobs = Vec::new();
    for (payload, ticks) in plan.video.iter().flat_map(encodes) {
        let priority = match (payload.chunk, payload.uncounted) {
            (0, true) => LOWEST_FIRST_PRIORITY,
            (0, false) => FIRST_CHUNK_PRIORITY,
            _ => PRIORITY,
        };
        jobs.push(job(Kind::Encode, serde_json::json!(payload).to_string(), priority, ticks / TICKS_PER_WEIGHT));
    }
    if plan.video.as_ref().is_some_and(|video| video.copied.is_some()) {
        jobs.push(job(Kind::Copy, "{}".to_owned(), PRIORITY, whole / 50));
    }
    if plan.video.is_some() {
        jobs.push(job(Kind::Stills, "{}".to_owned(), FIRST_CHUNK_PRIORITY, 1));
    }
    if plan.audio.is_some() {
        jobs.push(job(Kind::Audio, "{}".to_owned(), LOWEST_FIRST_PRIORITY, whole / 20));
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_probe_is_the_files_fault_only_if_it_computed_meanwhile() {
        let stall = Duration::from_secs(60);
        let after = |idle_cpu_ms| Finished {
            success: false,
            exit: "stopped".to_owned(),
            host_failed: false,
            limit: Some(Limit::Stall),
            stderr_tail: String::new(),
            door_bytes_read: 0,
            outputs: Vec::new(),
            peak_rss_bytes: None,
            cpu_ms: 200_000,
            idle_cpu_ms,
            landlock_abi: 0,
        };
        assert!(matches!(within_limits(&after(59_000), stall), Err(Failed::Refused(_))));
        assert!(matches!(within_limits(&after(900), stall), Err(Failed::Trouble { .. })));
    }
}
