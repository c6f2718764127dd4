//! Encoding the sound: once, whole, cut on the picture's boundaries.

use super::attempt::{Attempt, Failed, count_down};
use super::door::{BASE_URL, Output, SOURCE_URL};
use super::ffmpeg::{Finished, Limits, Program, Run, follow};
use super::segments::{Writer, Written, adopt, feed, init_sha256};
use super::source::{self, Material};
use crate::domain::ids::VersionId;
use crate::domain::video::RenditionName;
use crate::domain::{Error, Result};
use crate::failpoint;
use crate::transaction;
use bytes::Bytes;
use std::time::Duration;
use theatrum_media::cmaf::{AudioPackager, CmafError, EncodedAudio, Init, PackagedSegment};
use theatrum_media::command::audio_argv;
use theatrum_media::plan::AudioPlan;
use theatrum_media::probe::{Code, Refusal};
use tokio::sync::mpsc;

const PIECES: usize = 32;
/// More than the headers need.
const LEAST_BYTES: u64 = 16 << 20;
/// Twice 128 kbit/s.
const MOST_BYTES_PER_S: u64 = 32_000;
const NAME: &str = "audio";
const LEAST_WALL: Duration = Duration::from_secs(600);

/// The whole sound: 128 kbit/s, so 58 MB an hour, in memory until it is stored.
#[derive(Debug)]
struct Made {
    init: Init,
    segments: Vec<PackagedSegment>,
}

/// Runs the job.
pub(super) async fn run(attempt: &Attempt<'_>) -> Result<(), Failed> {
    let version = attempt.version()?;
    let material = source::material(attempt.state, version).await?;
    let audio = material.plan.audio.ok_or_else(|| Error::internal("an audio job's plan has no sound", version.to_string()))?;
    let (finished, made) = encode(attempt, &material, &audio).await?;
    let written = match accept(&material, finished, made)? {
        Some(made) => vec![attempt.or_discard(write(attempt, version, &material, made)).await?],
        None => Vec::new(),
    };
    failpoint::hit("audio-settle");
    transaction!(attempt.state.catalog, |tx| {
        tx.settle(&attempt.lease).await?;
        if written.is_empty() {
            tx.drop_rendition(version, &RenditionName::audio()).await?;
        }
        adopt(&mut tx, version, &written).await?;
        count_down(&mut tx, &attempt.job, version, 0).await
    })?;
    Ok(())
}

async fn write(attempt: &Attempt<'_>, version: &VersionId, material: &Material, made: Made) -> Result<Written> {
    let rendition = RenditionName::audio();
    let writer = Writer { attempt, version, rendition: rendition.clone(), root: &material.root };
    let digest = init_sha256(&made.init);
    let segments = writer.segments(made.segments, &digest).await?;
    Ok(Written { rendition, init: Some(writer.init(made.init).await?), segments })
}

/// The sound, or `None` where none of it decodes beside a picture: the video is published without (invariant 5).
fn accept(material: &Material, finished: Finished, made: Result<Made, CmafError>) -> Result<Option<Made>, Failed> {
    if finished.host_failed || finished.lacked_memory() {
        return Err(Failed::by_host(&finished));
    }
    match made {
        Ok(made) if finished.limit.is_none() => Ok(Some(made)),
        Err(CmafError::Empty) if finished.limit.is_none() && material.plan.video.is_some() => Ok(None),
        Err(CmafError::Empty) if finished.limit.is_none() => Err(Refusal::from(Code::Undecodable).into()),
        made => {
            let cause = made.err().unwrap_or(CmafError::Empty);
            let error = Error::internal(format!("ffmpeg did not encode the sound ({})", finished.exit), cause);
            Err(Failed::Trouble { error, stderr_tail: Some(finished.stderr_tail) })
        }
    }
}

async fn encode(attempt: &Attempt<'_>, material: &Material, audio: &AudioPlan) -> Result<(Finished, Result<Made, CmafError>)> {
    let plan = &material.plan;
    let (sender, pieces) = mpsc::channel(PIECES);
    let packager = tokio::spawn(package(AudioPackager::new(&plan.segments), pieces));
    let args = audio_argv(plan, audio, SOURCE_URL, &format!("{BASE_URL}out"));
    let (stdout, mut progress) = follow();
    let limits = &attempt.state.limits;
    let wall = LEAST_WALL.max(Duration::from_millis(6 * plan.duration_ms()));
    let limits = Limits { wall, stall: limits.stall, memory_bytes: limits.memory_bytes, cpu_s: wall.as_secs(), ..Limits::default() };
    let max_bytes = LEAST_BYTES + plan.duration_ms() / 1000 * MOST_BYTES_PER_S;
    let outputs = vec![Output { name: NAME.to_owned(), sender, max_bytes }];
    let run = Run { program: Program::Ffmpeg, args, source: material.source.clone(), outputs, stdout: Some(stdout), limits };
    let duration_us = i64::try_from(plan.duration_ms()).unwrap_or(i64::MAX).saturating_mul(1000).max(1);
    let watch = async {
        while progress.changed().await.is_ok() {
            let done_us = progress.borrow().out_time_us.unwrap_or(0);
            attempt.progress(done_us.saturating_mul(100) / duration_us);
        }
    };
    let (finished, ()) = tokio::join!(attempt.state.sandbox.run(run, attempt.cancel.clone()), watch);
    let finished = finished?;
    let made = packager.await.map_err(|error| Error::internal("packaging was aborted", error))?;
    Ok((finished, made))
}

async fn package(mut packager: AudioPackager, pieces: mpsc::Receiver<Bytes>) -> Result<Made, CmafError> {
    let mut segments = feed(pieces, |piece| packager.push(piece)).await?;
    let EncodedAudio { init, segments: last, .. } = packager.finish()?;
    segments.extend(last);
    Ok(Made { init, segments })
}
