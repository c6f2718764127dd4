//! The poster: one picture from about a tenth of the way in, encrypted like the source.

use super::attempt::{Attempt, Failed, segments_left};
use super::door::{BASE_URL, Output, SOURCE_URL};
use super::ffmpeg::{Finished, Limits, Program, Run};
use super::source::{self, Material};
use crate::blobs::{Accept, Key};
use crate::domain::{Error, Result};
use crate::failpoint;
use crate::transaction;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use theatrum_media::command::{StartLevel, still_argv};
use theatrum_media::plan::VideoPlan;
use tokio::sync::mpsc;

const PIECES: usize = 8;
const MAX_POSTER_BYTES: u64 = 8 << 20;
const NAME: &str = "poster";
/// Start of image (ITU-T T.81 annex B).
const JPEG_MAGIC: [u8; 3] = [0xff, 0xd8, 0xff];

/// Runs the job. A source of which no picture makes a poster is published without one.
pub(super) async fn run(attempt: &Attempt<'_>) -> Result<(), Failed> {
    let version = attempt.version()?;
    let material = source::material(attempt.state, version).await?;
    let video = material.plan.video.as_ref().ok_or_else(|| Error::internal("a stills job's plan has no picture", version.to_string()))?;
    let poster = picture(attempt, &material, video).await?;
    if let Some(poster) = poster.clone() {
        let key = Key::Poster { video: attempt.job.video.clone(), version: version.clone(), epoch: attempt.job.epoch.cast_unsigned() };
        let bytes = stream::iter([Ok(poster)]);
        attempt.state.blobs.write_sealed(&key, &material.root, bytes, &Accept::UpTo(MAX_POSTER_BYTES)).await?;
    }
    failpoint::hit("stills-settle");
    transaction!(attempt.state.catalog, |tx| {
        tx.settle(&attempt.lease).await?;
        if poster.is_some() {
            tx.set_poster(&attempt.job.video, version, attempt.job.epoch).await?;
        }
        segments_left(&mut tx, &attempt.job, version).await
    })?;
    Ok(())
}

async fn picture(attempt: &Attempt<'_>, material: &Material, video: &VideoPlan) -> Result<Option<Bytes>, Failed> {
    for level in [StartLevel::Near, StartLevel::FromStart] {
        let (finished, bytes) = grab(attempt, material, video, level).await?;
        if finished.success && bytes.starts_with(&JPEG_MAGIC) {
            return Ok(Some(bytes));
        }
        if finished.host_failed || finished.lacked_memory() {
            return Err(Failed::by_host(&finished));
        }
        tracing::debug!(job = %attempt.job.id, ?level, exit = %finished.exit, "no poster from here");
    }
    Ok(None)
}

async fn grab(attempt: &Attempt<'_>, material: &Material, video: &VideoPlan, level: StartLevel) -> Result<(Finished, Bytes)> {
    let (sender, mut pieces) = mpsc::channel::<Bytes>(PIECES);
    let args = still_argv(&material.plan, video, level, SOURCE_URL, &format!("{BASE_URL}out"));
    let limits = &attempt.state.limits;
    let limits = Limits { stall: limits.stall, memory_bytes: limits.memory_bytes, ..Limits::default() };
    let outputs = vec![Output { name: NAME.to_owned(), sender, max_bytes: MAX_POSTER_BYTES }];
    let run = Run { program: Program::Ffmpeg, args, source: material.source.clone(), outputs, stdout: None, limits };
    let read = async {
        let mut bytes = BytesMut::new();
        while let Some(piece) = pieces.recv().await {
            bytes.extend_from_slice(&piece);
        }
        bytes.freeze()
    };
    let (finished, bytes) = tokio::join!(attempt.state.sandbox.run(run, attempt.cancel.clone()), read);
    Ok((finished?, bytes))
}
