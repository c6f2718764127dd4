//! Encoding one chunk: one decode, every rendition, and a verdict on what came out.

use super::attempt::{Attempt, Failed, count_down};
use super::door::{BASE_URL, Output, SOURCE_URL};
use super::ffmpeg::{Finished, Limits, Program, Run, follow};
use super::growth;
use super::segments::{Writer, Written, adopt, feed, init_sha256};
use super::source::{self, Material};
use crate::domain::ids::VersionId;
use crate::domain::job::EncodePayload;
use crate::domain::video::RenditionName;
use crate::domain::{Error, Result};
use crate::failpoint;
use crate::transaction;
use bytes::Bytes;
use std::time::Duration;
use theatrum_media::cmaf::{CmafError, EncodedVideo, Init, PackagedSegment, VideoPackager};
use theatrum_media::command::{Attempts, EncodeJob, Outcome, SEEN, Seen, SeenReader, Step, encode_argv};
use theatrum_media::ladder::Rendition;
use theatrum_media::plan::VideoPlan;
use theatrum_media::probe::{Code, Refusal};
use theatrum_media::timeline::Chunk;
use tokio::sync::mpsc;

const PIECES: usize = 32;
/// A line for each decoded picture: an hour of them at 240 a second.
const MAX_LIST_BYTES: u64 = 64 << 20;
const LEAST_WALL: Duration = Duration::from_secs(600);

/// One rendition of the chunk, packaged and still clear, in memory until the verdict.
#[derive(Debug)]
struct Made {
    init: Init,
    segments: Vec<PackagedSegment>,
    pictures: Vec<u32>,
    first_ticks: Option<i64>,
}

/// What one run of ffmpeg came to.
#[derive(Debug)]
struct Try {
    finished: Finished,
    renditions: Vec<Result<Made, CmafError>>,
    seen: Option<Seen>,
}

/// Runs the job.
pub(super) async fn run(attempt: &Attempt<'_>) -> Result<(), Failed> {
    let payload: EncodePayload =
        serde_json::from_str(&attempt.job.payload).map_err(|error| Error::internal("an encode's payload cannot be read", error))?;
    let version = attempt.version()?;
    let material = source::material(attempt.state, version).await?;
    let video = material.plan.video.as_ref().ok_or_else(|| Error::internal("an encode's plan has no picture", version.to_string()))?;
    let chunk =
        video.chunks.get(payload.chunk as usize).ok_or_else(|| Error::internal("an encode's chunk is not planned", version.to_string()))?;
    let renditions = renditions(&payload, video)?;
    let (made, pictures) = until_accepted(attempt, &material, video, chunk, &renditions).await?;
    let written = attempt.or_discard(write(attempt, version, &material, &renditions, chunk, made)).await?;
    let pictures = if payload.uncounted { 0 } else { pictures };
    failpoint::hit("settle");
    transaction!(attempt.state.catalog, |tx| {
        tx.settle(&attempt.lease).await?;
        adopt(&mut tx, version, &written).await?;
        count_down(&mut tx, &attempt.job, version, pictures).await
    })?;
    growth::grow(attempt, version, &material.plan).await;
    Ok(())
}

/// What the job is to make.
fn renditions(payload: &EncodePayload, video: &VideoPlan) -> Result<Vec<Rendition>> {
    if payload.only.is_empty() {
        return Ok(video.renditions.clone());
    }
    let is_wanted = |rung: &&Rendition| payload.only.iter().any(|name| name.as_str() == rung.name);
    let wanted: Vec<_> = video.ladder().filter(is_wanted).cloned().collect();
    let unplanned = || Error::internal("an encode's rendition is not planned", format!("{:?}", payload.only));
    if wanted.len() == payload.only.len() { Ok(wanted) } else { Err(unplanned()) }
}

/// Encodes the chunk, from ever earlier in the source, until what comes out may be kept. Gives the pictures decoded besides.
async fn until_accepted(
    attempt: &Attempt<'_>,
    material: &Material,
    video: &VideoPlan,
    chunk: &Chunk,
    wanted: &[Rendition],
) -> Result<(Vec<Made>, u64), Failed> {
    let mut attempts = Attempts::default();
    loop {
        let Attempts { level, mode, .. } = attempts;
        let job = EncodeJob { plan: &material.plan, video, chunk, renditions: wanted, level, mode };
        let Try { finished, renditions, seen } = encode(attempt, material, &job).await?;
        let outcome = Outcome { seen, ..outcome(&finished, &renditions, &job)? };
        let step = attempts.judge(chunk, &outcome, &finished.stderr_tail);
        tracing::debug!(job = %attempt.job.id, ?level, ?mode, got = outcome.decoded(chunk), expected = chunk.expected(), ?step, "chunk encoded");
        match step {
            Step::Keep { missing } => {
                let made = renditions.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| trouble(&error, &finished))?;
                return Ok((made, u64::from(chunk.expected().saturating_sub(missing))));
            }
            Step::Again => {}
            Step::Hopeless => return Err(Refusal::from(Code::Undecodable).into()),
        }
    }
}

/// Counts what an attempt gave in its lowest rendition; an output that is broken through no fault of the source is trouble.
fn outcome(finished: &Finished, renditions: &[Result<Made, CmafError>], job: &EncodeJob<'_>) -> Result<Outcome, Failed> {
    if finished.host_failed || finished.lacked_memory() {
        return Err(Failed::by_host(finished));
    }
    if finished.limit.is_some() {
        return Err(trouble(&CmafError::Empty, finished));
    }
    let counts = renditions.iter().flatten().map(|made| &made.pictures);
    if counts.clone().zip(counts.skip(1)).any(|(one, other)| one != other) {
        return Err(trouble(&CmafError::Malformed("renditions of one decode differ in their pictures"), finished));
    }
    let (pictures, first_ticks) = match renditions.first() {
        Some(Ok(made)) => (made.pictures.clone(), made.first_ticks),
        // Nothing decoded at all: ffmpeg then writes no stream.
        Some(Err(CmafError::Empty)) => (vec![0; job.chunk.segments.len()], None),
        Some(Err(error)) => return Err(trouble(error, finished)),
        None => return Err(Error::internal("a plan has no rendition", "no rung").into()),
    };
    Ok(Outcome { pictures, first_ticks, seen: None, level: job.level, mode: job.mode })
}

fn trouble(error: &CmafError, finished: &Finished) -> Failed {
    let error = Error::internal(format!("ffmpeg did not encode the chunk ({})", finished.exit), error.clone());
    Failed::Trouble { error, stderr_tail: Some(finished.stderr_tail.clone()) }
}

/// One run of ffmpeg, its outputs packaged as they come.
async fn encode(attempt: &Attempt<'_>, material: &Material, job: &EncodeJob<'_>) -> Result<Try> {
    failpoint::hit("encode");
    let state = attempt.state;
    let (mut outputs, mut packagers) = (Vec::new(), Vec::new());
    for rendition in job.renditions {
        let (sender, pieces) = mpsc::channel(PIECES);
        outputs.push(Output { name: rendition.name.clone(), sender, max_bytes: job.chunk.max_bytes(rendition.maxrate_kbps) });
        packagers.push(tokio::spawn(package(VideoPackager::new(job.chunk, rendition.width, rendition.height), pieces)));
    }
    let (sender, pieces) = mpsc::channel(PIECES);
    let lister = job.chunk.evidence.map(|_| {
        outputs.push(Output { name: SEEN.to_owned(), sender, max_bytes: MAX_LIST_BYTES });
        tokio::spawn(list(pieces))
    });
    let args = encode_argv(job, SOURCE_URL, &format!("{BASE_URL}out"));
    let (stdout, mut progress) = follow();
    let limits = limits(attempt, job.chunk);
    let run = Run { program: Program::Ffmpeg, args, source: material.source.clone(), outputs, stdout: Some(stdout), limits };
    let watch = async {
        while progress.changed().await.is_ok() {
            let frames = i64::try_from(progress.borrow().frames).unwrap_or(0);
            attempt.progress(frames.saturating_mul(100) / i64::from(job.chunk.pictures.max(1)));
        }
    };
    let (finished, ()) = tokio::join!(state.sandbox.run(run, attempt.cancel.clone()), watch);
    let finished = finished?;
    let mut renditions = Vec::with_capacity(packagers.len());
    for packager in packagers {
        renditions.push(packager.await.map_err(|error| Error::internal("packaging was aborted", error))?);
    }
    let seen = match lister {
        Some(lister) => Some(lister.await.map_err(|error| Error::internal("listing was aborted", error))?),
        None => None,
    };
    Ok(Try { finished, renditions, seen })
}

/// Reads the list of decoded pictures.
async fn list(mut pieces: mpsc::Receiver<Bytes>) -> Seen {
    let mut reader = SeenReader::default();
    while let Some(piece) = pieces.recv().await {
        reader.push(&piece);
    }
    reader.seen()
}

async fn package(mut packager: VideoPackager, pieces: mpsc::Receiver<Bytes>) -> Result<Made, CmafError> {
    let mut segments = feed(pieces, |piece| packager.push(piece)).await?;
    let EncodedVideo { init, segments: last, pictures, first_ticks } = packager.finish()?;
    segments.extend(last);
    Ok(Made { init, segments, pictures, first_ticks })
}

/// max(10 min, 6 × duration) of wall clock for a chunk, once more for what lies before it (FACTS.md, limits to start from).
fn limits(attempt: &Attempt<'_>, chunk: &Chunk) -> Limits {
    let seconds = u64::try_from(chunk.end_ticks() / 90_000).unwrap_or(0);
    let limits = &attempt.state.limits;
    let wall = LEAST_WALL.max(Duration::from_secs(6 * seconds));
    Limits { wall, stall: limits.stall, memory_bytes: limits.memory_bytes, cpu_s: wall.as_secs() * 2, ..Limits::default() }
}

/// Encrypts and stores what was made. The first chunk's job writes the initialisation segments.
async fn write(
    attempt: &Attempt<'_>,
    version: &VersionId,
    material: &Material,
    renditions: &[Rendition],
    chunk: &Chunk,
    made: Vec<Made>,
) -> Result<Vec<Written>> {
    let mut written = Vec::with_capacity(made.len());
    for (Rendition { name, .. }, made) in renditions.iter().zip(made) {
        let rendition = RenditionName::parse(name)?;
        let writer = Writer { attempt, version, rendition: rendition.clone(), root: &material.root };
        let digest = init_sha256(&made.init);
        let segments = writer.segments(made.segments, &digest).await?;
        let init = if chunk.index == 0 { Some(writer.init(made.init).await?) } else { None };
        written.push(Written { rendition, init, segments });
    }
    Ok(written)
}
