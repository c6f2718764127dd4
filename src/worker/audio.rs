//! Encoding the sound: once, whole, cut on the picture's boundaries, and adopted in runs while it goes on.

use super::attempt::{Attempt, Failed, count_down};
use super::door::{BASE_URL, Output, SOURCE_URL};
use super::ffmpeg::{Finished, Limits, Program, Run, follow};
use super::growth;
use super::runs::{OtherInit, Runs};
use super::segments::adopt;
use super::source::{self, Material};
use crate::domain::video::RenditionName;
use crate::domain::{Error, Result};
use crate::failpoint;
use crate::transaction;
use bytes::Bytes;
use std::time::Duration;
use theatrum_media::cmaf::{AudioPackager, CmafError, EncodedAudio, PackagedSegment};
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

/// Runs the job.
pub(super) async fn run(attempt: &Attempt<'_>) -> Result<(), Failed> {
    let version = attempt.version()?;
    let material = source::material(attempt.state, version).await?;
    let audio = material.plan.audio.ok_or_else(|| Error::internal("an audio job's plan has no sound", version.to_string()))?;
    let runs = Runs::resume(attempt, version, &material, RenditionName::audio(), "audio-run").await?;
    let (finished, made) = encode(attempt, &material, &audio, runs).await?;
    let sound = accept(&material, finished, made)?;
    let written: Vec<_> = sound.into_iter().map(Runs::rest).collect();
    failpoint::hit("audio-settle");
    transaction!(attempt.state.catalog, |tx| {
        tx.settle(&attempt.lease).await?;
        if written.is_empty() {
            tx.forsake_rendition(version, &RenditionName::audio()).await?;
            tx.drop_rendition(version, &RenditionName::audio()).await?;
        }
        adopt(&mut tx, version, &written).await?;
        count_down(&mut tx, &attempt.job, version, 0).await
    })?;
    growth::grow(attempt, version, &material.plan).await;
    Ok(())
}

/// The sound, or `None` where none of it decodes beside a picture: the video is published without (invariant 5).
fn accept<'a>(material: &Material, finished: Finished, made: Result<Runs<'a>, CmafError>) -> Result<Option<Runs<'a>>, Failed> {
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

async fn encode<'a>(
    attempt: &Attempt<'_>,
    material: &Material,
    audio: &AudioPlan,
    runs: Runs<'a>,
) -> Result<(Finished, Result<Runs<'a>, CmafError>)> {
    let plan = &material.plan;
    let (sender, pieces) = mpsc::channel(PIECES);
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
    let package = take(AudioPackager::new(&plan.segments), pieces, runs);
    let (finished, made, ()) = tokio::join!(attempt.state.sandbox.run(run, attempt.cancel.clone()), package, watch);
    Ok((finished?, made?))
}

/// Takes the sound as it comes and hands it over in runs; gives what is left to adopt, or the packager's first complaint. An output that nobody
/// takes would hold ffmpeg up, so the rest is taken all the same.
async fn take<'a>(
    mut packager: AudioPackager,
    mut pieces: mpsc::Receiver<Bytes>,
    mut runs: Runs<'a>,
) -> Result<Result<Runs<'a>, CmafError>> {
    let mut complaint = None;
    while let Some(piece) = pieces.recv().await {
        if complaint.is_some() {
            continue;
        }
        match packager.push(&piece) {
            Ok(segments) => hand_over(&mut runs, segments).await?,
            Err(error) => complaint = Some(error),
        }
    }
    if let Some(error) = complaint {
        return Ok(Err(error));
    }
    let EncodedAudio { segments, .. } = match packager.finish() {
        Ok(end) => end,
        Err(error) => return Ok(Err(error)),
    };
    hand_over(&mut runs, segments).await?;
    Ok(Ok(runs))
}

async fn hand_over(runs: &mut Runs<'_>, segments: Vec<PackagedSegment>) -> Result<()> {
    if segments.is_empty() {
        return Ok(());
    }
    let init = AudioPackager::init().map_err(|error| Error::internal("the sound has no header", error))?;
    runs.take(init, segments).await?.map_err(|OtherInit| Error::internal("the sound's header has changed", "all sound has the same"))
}
