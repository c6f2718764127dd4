//! Copying the source's own picture as the top rendition: nothing is decoded, and segments count as soon as they are there.

use super::attempt::{Attempt, Failed, count_down};
use super::door::{BASE_URL, Output, SOURCE_URL};
use super::ffmpeg::{Finished, Limits, Program, Run, follow};
use super::growth;
use super::runs::{OtherInit, Runs};
use super::segments::adopt;
use super::source::{self, Material};
use crate::catalog::Tx;
use crate::domain::ids::VersionId;
use crate::domain::job::{Kind, NewJob};
use crate::domain::video::RenditionName;
use crate::domain::{Error, Result};
use crate::failpoint;
use crate::transaction;
use bytes::Bytes;
use std::time::Duration;
use theatrum_media::cmaf::{CmafError, VideoPackager};
use theatrum_media::command::copy_argv;
use theatrum_media::ladder::Rendition;
use theatrum_media::plan::VideoPlan;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const PIECES: usize = 32;
/// More than the boxes around the pictures need.
const LEAST_BYTES: u64 = 16 << 20;
const LEAST_WALL: Duration = Duration::from_secs(600);
/// As those of chunks that are not the first: whoever waits for a picture waits for a low rendition.
const PRIORITY: i64 = 10;
const TICKS_PER_WEIGHT: i64 = 9_000;

/// How a run of ffmpeg ended.
enum End<'a> {
    /// Every picture that was planned is there.
    Whole(Runs<'a>),
    /// The source is not what its header promised.
    Broken(CmafError),
}

/// What was taken of it: the runs, and the pictures of each segment; or the first complaint.
type Taken<'a> = Result<(Runs<'a>, Vec<u32>), CmafError>;

/// A job that copies.
struct Copying<'a> {
    attempt: &'a Attempt<'a>,
    version: &'a VersionId,
    material: &'a Material,
    top: &'a Rendition,
    rendition: RenditionName,
}

/// Runs the job.
pub(super) async fn run(attempt: &Attempt<'_>) -> Result<(), Failed> {
    let version = attempt.version()?;
    let material = source::material(attempt.state, version).await?;
    let video = material.plan.video.as_ref().ok_or_else(|| Error::internal("a copy's plan has no picture", version.to_string()))?;
    let top = video.copied.as_ref().ok_or_else(|| Error::internal("a copy's plan has nothing to copy", version.to_string()))?;
    let rendition = RenditionName::parse(&top.name)?;
    let runs = Runs::resume(attempt, version, &material, rendition.clone(), "copy-run").await?;
    let copying = Copying { attempt, version, material: &material, top, rendition };
    match copying.copy(video, runs).await? {
        End::Whole(runs) => copying.settle(runs).await?,
        End::Broken(why) => {
            tracing::warn!(job = %attempt.job.id, cause = %why, "what was to be copied is encoded instead");
            copying.encode_instead(video).await?;
        }
    }
    growth::grow(attempt, version, &material.plan).await;
    Ok(())
}

impl<'a> Copying<'a> {
    async fn copy(&self, video: &VideoPlan, runs: Runs<'a>) -> Result<End<'a>, Failed> {
        failpoint::hit("copy");
        let (attempt, plan, top) = (self.attempt, &self.material.plan, self.top);
        let (sender, pieces) = mpsc::channel(PIECES);
        let wall = LEAST_WALL.max(Duration::from_millis(6 * plan.duration_ms()));
        let limits = &attempt.state.limits;
        let limits = Limits { wall, stall: limits.stall, memory_bytes: limits.memory_bytes, cpu_s: wall.as_secs(), ..Limits::default() };
        let max_bytes = LEAST_BYTES + self.material.source.size_bytes().saturating_mul(2);
        let (stdout, mut progress) = follow();
        let run = Run {
            program: Program::Ffmpeg,
            args: copy_argv(plan, video, &top.name, SOURCE_URL, &format!("{BASE_URL}out")),
            source: self.material.source.clone(),
            outputs: vec![Output { name: top.name.clone(), sender, max_bytes }],
            stdout: Some(stdout),
            limits,
        };
        let duration_us = i64::try_from(plan.duration_ms()).unwrap_or(i64::MAX).saturating_mul(1000).max(1);
        let watch = async {
            while progress.changed().await.is_ok() {
                let done_us = progress.borrow().out_time_us.unwrap_or(0);
                attempt.progress(done_us.saturating_mul(100) / duration_us);
            }
        };
        // What is broken need not be read to its end.
        let stop = attempt.cancel.child_token();
        let (finished, taken, ()) = tokio::join!(attempt.state.sandbox.run(run, stop.clone()), self.take(pieces, runs, &stop), watch);
        match (finished, taken?) {
            // It was we who stopped it.
            (Err(_), Err(broken)) if stop.is_cancelled() && !attempt.cancel.is_cancelled() => Ok(End::Broken(broken)),
            (finished, taken) => self.judge(&finished?, taken),
        }
    }

    fn judge(&self, finished: &Finished, taken: Taken<'a>) -> Result<End<'a>, Failed> {
        if finished.host_failed || finished.lacked_memory() {
            return Err(Failed::by_host(finished));
        }
        let (runs, pictures) = match taken {
            Ok(taken) => taken,
            Err(broken) => return Ok(End::Broken(broken)),
        };
        if finished.limit.is_some() {
            let error = Error::internal(format!("ffmpeg did not copy the picture ({})", finished.exit), "a limit");
            return Err(Failed::Trouble { error, stderr_tail: Some(finished.stderr_tail.clone()) });
        }
        let is_whole = pictures.iter().eq(self.material.plan.segments.iter().map(|segment| &segment.pictures));
        Ok(if is_whole { End::Whole(runs) } else { End::Broken(CmafError::Empty) })
    }

    /// Takes the copied pictures as they come: each segment is written as soon as it is whole, and adopted with its run. Where that ends in a
    /// complaint, ffmpeg has been told to stop.
    async fn take(&self, mut pieces: mpsc::Receiver<Bytes>, mut runs: Runs<'a>, stop: &CancellationToken) -> Result<Taken<'a>> {
        let mut packager = VideoPackager::copying(&self.material.plan.segments, self.top.width, self.top.height);
        while let Some(piece) = pieces.recv().await {
            let done = packager.push(&piece).and_then(|segments| match segments.is_empty() {
                true => Ok(None),
                false => packager.init().map(|init| Some((init, segments))),
            });
            let taken = match done {
                Ok(None) => Ok(()),
                Ok(Some((init, segments))) => runs.take(init, segments).await?.map_err(other_init),
                Err(broken) => Err(broken),
            };
            if let Err(broken) = taken {
                stop.cancel();
                // An output that nobody takes would hold ffmpeg up.
                while pieces.recv().await.is_some() {}
                return Ok(Err(broken));
            }
        }
        let end = match packager.finish() {
            Ok(end) => end,
            Err(broken) => return Ok(Err(broken)),
        };
        let taken = runs.take(end.init, end.segments).await?;
        Ok(taken.map(|()| (runs, end.pictures)).map_err(other_init))
    }

    async fn settle(&self, runs: Runs<'_>) -> Result<()> {
        let written = [runs.rest()];
        failpoint::hit("copy-settle");
        transaction!(self.attempt.state.catalog, |tx| {
            tx.settle(&self.attempt.lease).await?;
            adopt(&mut tx, self.version, &written).await?;
            count_down(&mut tx, &self.attempt.job, self.version, 0).await
        })
    }

    /// What was copied is forsaken, and the rendition encoded chunk by chunk like those below it, on the same timeline.
    async fn encode_instead(&self, video: &VideoPlan) -> Result<()> {
        let jobs: Vec<NewJob> =
            video.chunks.iter().map(|chunk| self.encode_job(chunk.index, chunk.end_ticks() - chunk.start_ticks())).collect();
        transaction!(self.attempt.state.catalog, |tx| {
            tx.settle(&self.attempt.lease).await?;
            tx.forsake_rendition(self.version, &self.rendition).await?;
            self.insert(&mut tx, &jobs).await?;
            count_down(&mut tx, &self.attempt.job, self.version, 0).await
        })
    }

    async fn insert(&self, tx: &mut Tx, jobs: &[NewJob]) -> Result<()> {
        for job in jobs {
            // Their blobs have the names of those that were copied, but for the epoch.
            tx.insert_job_after(job, self.attempt.job.epoch).await?;
            tx.count_up(self.version).await?;
        }
        Ok(())
    }

    fn encode_job(&self, chunk: u32, ticks: i64) -> NewJob {
        NewJob {
            kind: Kind::Encode,
            payload: serde_json::json!({"chunk": chunk, "only": [self.rendition.as_str()], "uncounted": true}).to_string(),
            video: self.attempt.job.video.clone(),
            version: Some(self.version.clone()),
            priority: PRIORITY,
            weight: (ticks / TICKS_PER_WEIGHT).max(1),
        }
    }
}

fn other_init(_: OtherInit) -> CmafError {
    CmafError::Malformed("parameter sets other than those of an attempt before")
}
