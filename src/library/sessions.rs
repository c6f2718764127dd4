//! Playback sessions of a video: who may fetch its keys now, and the end of one of them.

use super::{Caller, Library, now_ms};
use crate::audit::Entry;
use crate::catalog::playback::Session;
use crate::domain::Result;
use crate::domain::ids::{SessionId, VideoId};
use crate::policy::{Action, decide};
use crate::transaction;

impl Library {
    /// At most `limit` sessions of a video that have not expired, newest first, after `before`; revoked ones too.
    pub async fn sessions(&self, caller: &Caller, id: &VideoId, before: Option<&SessionId>, limit: u64) -> Result<Vec<Session>> {
        let video = self.catalog.video(id).await?;
        self.permit(caller, "playback-sessions", &video, decide(&caller.actor, Action::KeepSessions(&video))).await?;
        self.catalog.playback_sessions(id, now_ms(), before, limit).await
    }

    /// Revokes a session: it gets no key from then on. Revoked again it stays what it is; that it was asked for is in the audit log each time.
    pub async fn revoke_session(&self, caller: &Caller, id: &SessionId) -> Result<()> {
        let session = self.catalog.playback_session(id).await?;
        let video = self.catalog.video(&session.video).await?;
        let decision = decide(&caller.actor, Action::KeepSessions(&video));
        self.permit(caller, "playback-revoke", &video, decision).await?;
        let entry = Entry {
            session: Some(id.to_string()),
            video: Some(session.video.to_string()),
            version: Some(session.version.to_string()),
            object: Some(session.subject),
            ..caller.entry("playback-revoke", decision)
        };
        transaction!(self.catalog, |tx| {
            tx.revoke_playback_session(id).await?;
            tx.append_audit(&entry).await
        })
    }
}
