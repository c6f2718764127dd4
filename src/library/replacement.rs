//! Replacing what a video shows: by a new source, or by another cut of its own. The version before plays until the new one is ready.

use super::{Caller, Library};
use crate::audit::Entry;
use crate::domain::event::Kind as EventKind;
use crate::domain::ids::VideoId;
use crate::domain::job::{Kind as JobKind, NewJob, ProbePayload};
use crate::domain::replacement::{Kind, Replacement, Trim};
use crate::domain::video::Video;
use crate::domain::{Error, Result};
use crate::policy::{Action, Actor, decide};
use crate::transaction;

const PROBE_PRIORITY: i64 = 0;

impl Library {
    /// Decides whether the caller may replace a video's source; gives the video, and the entry that goes into the audit log with what
    /// follows.
    pub async fn may_replace(&self, caller: &Caller, id: &VideoId, action: &str) -> Result<(Video, Entry)> {
        let video = self.catalog.video(id).await?;
        let decision = decide(&caller.actor, Action::Replace(&video));
        self.permit(caller, action, &video, decision).await?;
        let version = video.version.as_ref().map(ToString::to_string);
        let entry = Entry { video: Some(id.to_string()), version, ..caller.entry(action, decision) };
        Ok((video, entry))
    }

    /// A video's replacement, for those who could call it off; nobody else hears of it.
    pub async fn replacement(&self, actor: &Actor, video: &Video) -> Result<Option<Replacement>> {
        match decide(actor, Action::Replace(video)).permit() {
            Ok(()) => self.catalog.replacement(&video.id).await,
            Err(_) => Ok(None),
        }
    }

    /// What of its source a video shows, with the source's length in milliseconds; `None` before it is planned, and for those who may not
    /// trim it: what was cut away is nobody else's business.
    pub async fn trim(&self, actor: &Actor, video: &Video) -> Result<Option<(Option<Trim>, u64)>> {
        let Some(version) = video.version.as_ref().filter(|_| decide(actor, Action::Replace(video)).permit().is_ok()) else {
            return Ok(None);
        };
        let (trim, source_ms) = self.catalog.shown(version).await?;
        Ok(source_ms.map(|source_ms| (trim, source_ms)))
    }

    /// Begins a version of a video's own source between two points, which replaces the one that plays once it is ready (invariant 1: its
    /// probe is inserted with it). The points count from the source's beginning, whatever was trimmed before; an absent out point is the
    /// source's end. `Invalid` for points that cannot be, `Conflict` when they are what plays already, or when the video is being replaced.
    pub async fn begin_trim(&self, caller: &Caller, id: &VideoId, in_ms: u64, out_ms: Option<u64>) -> Result<()> {
        let (video, entry) = self.may_replace(caller, id, "trim").await?;
        let version = video.version.as_ref().ok_or_else(|| crate::catalog::replacements::not_ready(id))?;
        let version = self.catalog.version(version).await?;
        let (_, source_ms) = self.catalog.shown(&version.id).await?;
        let trim = Trim::new(in_ms, out_ms, source_ms.unwrap_or(0))?;
        if trim == version.trim {
            return Err(Error::conflict("trim-unchanged", "the video has these in and out points already: choose others"));
        }
        let points = trim.map_or_else(|| "whole".to_owned(), |trim| points(&trim));
        let entry = Entry { object: Some(points), ..entry };
        let probe = probe(id, &ProbePayload { source: version.source.clone(), trim })?;
        transaction!(self.catalog, |tx| {
            tx.must_play(id, &version.id).await?;
            tx.begin_replacement(id, &version.source, Kind::Trim, trim).await?;
            tx.insert_job(&probe).await?;
            tx.append_audit(&entry).await
        })?;
        self.doorbell.ring_work();
        self.doorbell.video_changed(id);
        Ok(())
    }

    /// Calls off what is being made to replace a video; what plays is left alone. `NotFound` when nothing is.
    pub async fn cancel_replacement(&self, caller: &Caller, id: &VideoId) -> Result<()> {
        let (_, entry) = self.may_replace(caller, id, "replace-cancel").await?;
        transaction!(self.catalog, |tx| {
            tx.cancel_replacement(id).await?;
            tx.append_event(EventKind::ReplacementCancelled, id, "{}").await?;
            tx.append_audit(&entry).await
        })?;
        self.doorbell.video_changed(id);
        self.doorbell.ring_upkeep();
        Ok(())
    }
}

fn points(trim: &Trim) -> String {
    let end = trim.out_ms.map_or_else(|| "end".to_owned(), |out_ms| out_ms.to_string());
    format!("{}-{end}", trim.in_ms)
}

fn probe(video: &VideoId, payload: &ProbePayload) -> Result<NewJob> {
    let payload = serde_json::to_string(payload).map_err(|error| Error::internal("could not write a payload", error))?;
    Ok(NewJob { kind: JobKind::Probe, payload, video: video.clone(), version: None, priority: PROBE_PRIORITY, weight: 1 })
}
