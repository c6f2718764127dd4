//! One file's way: found again or begun, sent, finished, followed.

use super::patience::Patience;
use super::progress::FileProgress;
use super::report::{Outcome, Timings};
use super::source::LocalFile;
use super::state::Slot;
use super::transfer::Transfer;
use super::{About, Run, Wait};
use crate::cli::client::answers::{NewUpload, Upload, UploadState, Video};
use crate::cli::failure::Failure;
use crate::cli::text::Visible;
use crate::domain::ids::{UploadId, VideoId};
use crate::domain::video::{Refusal, State};
use std::cell::RefCell;
use std::path::Path;
use uuid::Uuid;

/// How often parts may vanish between their receipt and `finish` before something is wrong.
const ROUNDS: u32 = 3;

/// The publication of one file.
pub(super) struct Publication<'a> {
    pub(super) run: &'a Run,
    pub(super) file: &'a LocalFile,
    pub(super) progress: &'a FileProgress<'a>,
    pub(super) patience: &'a Patience<'a>,
    /// The video as soon as there is one, for whoever has to report an interruption.
    pub(super) known: &'a RefCell<Option<VideoId>>,
}

impl Publication<'_> {
    /// Publishes the file; `path` is what the caller called it.
    pub(super) async fn run(&self, path: &Path) -> Result<Outcome, Failure> {
        let mut slot = self.open_slot();
        let video = self.upload(&mut slot).await?;
        let mut timings = Timings { uploaded: self.run.elapsed_ms(), ..Timings::default() };
        let end = self.follow(&video, &mut timings).await?;
        let outcome = match end {
            Some(end) => self.outcome(path, end, timings).await?,
            None => Outcome::failed(path, Some(video), &Failure::new("deleted", "the video was deleted while it was being made")),
        };
        // Only now: until its outcome is known, an interrupted run can be repeated to learn it.
        forget(&mut slot);
        Ok(outcome)
    }

    /// The state file; without one the upload works, but cannot be resumed.
    fn open_slot(&self) -> Option<Slot> {
        let folder = self.run.states.as_deref()?;
        match Slot::open(folder, &self.run.client.connection().identity(), self.file) {
            Ok(Some(slot)) => Some(slot),
            Ok(None) => {
                self.progress.note("another run is sending this file; this one makes a video of its own and cannot be resumed");
                None
            }
            Err(error) => {
                self.progress.note(&format!("an interruption cannot be resumed: could not use {}: {error}", folder.display()));
                None
            }
        }
    }

    /// Brings the whole file to the server, whatever is there already.
    async fn upload(&self, slot: &mut Option<Slot>) -> Result<VideoId, Failure> {
        let upload = match self.resume(slot.as_ref().and_then(Slot::upload)).await? {
            Some(upload) => upload,
            None => self.begin(slot).await?,
        };
        self.known.replace(Some(upload.video.clone()));
        if upload.state == UploadState::Finished {
            return Ok(upload.video);
        }
        let id = upload.upload.clone();
        let sent = self.send(upload).await;
        if sent.as_ref().is_err_and(|failure| failure.code() == "file-changed") {
            // What was sent belongs to a file that no longer exists. If this fails, the server lets the upload expire.
            let _expires = self.run.client.abort_upload(&id).await;
            forget(slot);
        }
        sent
    }

    /// The upload an earlier run left behind, if it is still good for anything.
    async fn resume(&self, left_behind: Option<&UploadId>) -> Result<Option<Upload>, Failure> {
        let Some(id) = left_behind else { return Ok(None) };
        let found = self.patience.keep_trying(async || self.run.client.upload(id).await).await;
        let upload = match found {
            Ok(upload) => upload,
            // Unknown, or another subject's.
            Err(failure) if matches!(failure.status(), Some(403 | 404)) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let is_usable = match upload.state {
            UploadState::Open => upload.size_bytes == self.file.size_bytes(),
            UploadState::Finished => self.is_alive(&upload.video).await?,
            UploadState::Aborted | UploadState::Expired => false,
        };
        if !is_usable {
            return Ok(None);
        }
        self.progress.note(&format!("going on where an earlier run stopped, with {} parts already there", upload.received.len()));
        if let (Some(wanted), Some(first)) =
            (&self.run.about.title, upload.title.as_ref().filter(|title| self.run.about.title.as_ref() != Some(title)))
        {
            self.progress.note(&format!("the title stays as that run gave it, {}, not {}", Visible(first), Visible(wanted)));
        }
        Ok(Some(upload))
    }

    async fn is_alive(&self, video: &VideoId) -> Result<bool, Failure> {
        match self.patience.keep_trying(async || self.run.client.video(video).await).await {
            Ok(video) => Ok(video.state != State::Deleted),
            Err(failure) if failure.is_not_found() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn begin(&self, slot: &mut Option<Slot>) -> Result<Upload, Failure> {
        let (filename, size_bytes) = (self.file.name(), self.file.size_bytes());
        let About { title, collection } = &self.run.about;
        let wanted = NewUpload { filename, size_bytes, title: title.as_deref(), collection: collection.as_ref() };
        // One key for all tries: a lost answer makes no second upload.
        let key = Uuid::new_v4();
        let begun = self.patience.keep_trying(async || self.run.client.begin_upload(&wanted, &key).await).await?;
        if let Some(Err(error)) = slot.as_mut().map(|slot| slot.remember(&begun.upload)) {
            self.progress.note(&format!("an interruption cannot be resumed: {error}"));
        }
        Ok(Upload {
            upload: begun.upload,
            video: begun.video,
            title: None,
            size_bytes,
            part_size_bytes: begun.part_size_bytes,
            state: UploadState::Open,
            received: Vec::new(),
        })
    }

    async fn send(&self, mut upload: Upload) -> Result<VideoId, Failure> {
        let Self { file, progress, patience, .. } = *self;
        let Run { client, slots, .. } = self.run;
        for _ in 0..ROUNDS {
            Transfer { client, file, upload: &upload, slots, progress, patience }.run().await?;
            file.check_unchanged()?;
            match patience.keep_trying(async || client.finish_upload(&upload.upload).await).await {
                Ok(finished) => return Ok(finished.video),
                Err(failure) if failure.code() == "parts-missing" => {
                    upload = patience.keep_trying(async || client.upload(&upload.upload).await).await?;
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::new("parts-missing", "the server keeps losing parts it had received: look at its disk with `theatrum doctor`"))
    }

    async fn outcome(&self, path: &Path, video: Video, timings: Timings) -> Result<Outcome, Failure> {
        let failed = |code, message| Ok(Outcome::failed(path, Some(video.video.clone()), &Failure::new(code, message)));
        match video.state {
            State::Refused => {
                let unexplained = || Refusal { code: "refused".into(), message: "the server gave no reason".into() };
                let refusal = video.refusal.unwrap_or_else(unexplained);
                Ok(Outcome::Refused { file: path.to_owned(), video: Some(video.video), refusal })
            }
            State::Failed => failed("processing-failed", "its processing failed: see `theatrum dead list` for the reason and a remedy"),
            State::Deleted => failed("deleted", "the video was deleted while it was being made"),
            State::Ready | State::Processing => self.published(video, timings).await,
        }
    }

    async fn published(&self, video: Video, timings: Timings) -> Result<Outcome, Failure> {
        let client = &self.run.client;
        let playback = self.patience.keep_trying(async || client.playback(&video.video).await).await?;
        let state = if video.state == State::Ready { Wait::Ready } else { Wait::Playable };
        Ok(Outcome::Published {
            state,
            is_truncated: video.truncated,
            playback_url: playback.playback_url,
            watch_url: client.absolute(&video.watch_url)?,
            video: video.video,
            title: video.title,
            timings,
        })
    }
}

fn forget(slot: &mut Option<Slot>) {
    if let Some(slot) = slot {
        slot.forget();
    }
}
