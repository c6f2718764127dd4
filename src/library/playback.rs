//! Watching: a session is decided on once, and again for each key.

use super::{Caller, Library, now_ms};
use crate::audit::Entry;
use crate::catalog::playback::Session;
use crate::domain::ids::{SessionId, VersionId, VideoId};
use crate::domain::role::Role;
use crate::domain::video::{RenditionName, State, Video};
use crate::domain::{Error, ErrorKind, Result};
use crate::links::Token;
use crate::links::cloudfront::{Cookies, Policy};
use crate::links::playback::{Grant, Pass};
use crate::policy::{Action, Actor, Decision, decide};
use crate::transaction;
use std::time::Duration;
use theatrum_media::crypt::ContentKey;

/// A session that may begin.
#[derive(Clone, Debug)]
pub struct Playback {
    /// Its id.
    pub session: SessionId,
    /// The token that carries it in the path.
    pub token: Token,
    /// The video.
    pub video: VideoId,
    /// The version that plays.
    pub version: VersionId,
    /// Epoch milliseconds.
    pub expires_at: i64,
}

/// Who asks for a key: what a valid playback token said, and from where.
#[derive(Clone, Debug)]
pub struct Viewer<'a> {
    /// The token's content.
    pub pass: &'a Pass,
    /// The client's network address.
    pub address: String,
    /// The request's id.
    pub request_id: Option<String>,
}

impl Library {
    /// Decides whether the caller may watch, writes that down, and opens a session (invariant 8: the entry is durable first).
    pub async fn watch(&self, caller: &Caller, id: &VideoId) -> Result<Playback> {
        let video = self.catalog.video(id).await?;
        let decision = decide(&caller.actor, Action::Watch(&video));
        self.permit(caller, "playback", &video, decision).await?;
        self.open_session(caller, &video, decision, None).await
    }

    /// Opens a session that was decided on; `object` says more of it in the audit log.
    pub(super) async fn open_session(
        &self,
        caller: &Caller,
        video: &Video,
        decision: Decision,
        object: Option<String>,
    ) -> Result<Playback> {
        let (id, version) = (&video.id, playable_version(video)?);
        let grant = Grant { session: SessionId::new(), video: id.clone(), version: version.clone() };
        let signed = self.signer.sign(&grant, self.lifetime(video), now_ms())?;
        let session = Session {
            id: grant.session.clone(),
            video: id.clone(),
            version: version.clone(),
            subject: caller.actor.subject.clone(),
            role: caller.actor.role.to_string(),
            created_at: 0,
            expires_at: signed.expires_at_ms,
            revoked_at: None,
        };
        let entry = Entry {
            session: Some(grant.session.to_string()),
            video: Some(id.to_string()),
            version: Some(version.to_string()),
            object,
            ..caller.entry("playback", decision)
        };
        transaction!(self.catalog, |tx| {
            tx.insert_playback_session(&session).await?;
            tx.append_audit(&entry).await
        })?;
        Ok(Playback { session: grant.session, token: signed.token, video: id.clone(), version, expires_at: signed.expires_at_ms })
    }

    /// CloudFront's cookies for the playlists and segments of a session that may begin: a custom policy for all of its version, until its end.
    /// They open no key.
    pub async fn stream_cookies(&self, playback: &Playback) -> Result<Cookies> {
        let resource = format!("{}/v/{}/{}/*", self.links.origin, playback.video, playback.version);
        let policy = Policy::new(resource, playback.expires_at.div_euclid(1000));
        self.signing.signer(None).await?.cookies(&policy.text())
    }

    /// Releases one content key. The decision is made anew and is in the audit log before the key leaves; without its entry there is
    /// no key, only `Unavailable` (invariant 8).
    pub async fn release_key(&self, viewer: &Viewer<'_>, rendition: &RenditionName, index: u32) -> Result<ContentKey> {
        let outcome = self.decide_key(viewer.pass).await;
        let (subject, role, decision) = match &outcome {
            Ok((session, decision)) => (session.subject.clone(), session.role.clone(), *decision),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                ("unknown".to_owned(), "none".to_owned(), Decision::Deny("session-unknown"))
            }
            Err(_) => return outcome.and(Err(Error::unavailable("the key cannot be released now", "no decision"))),
        };
        let entry = Entry {
            actor: subject,
            role,
            session: Some(viewer.pass.session.to_string()),
            address: Some(viewer.address.clone()),
            action: "key".to_owned(),
            video: Some(viewer.pass.video.to_string()),
            version: Some(viewer.pass.version.to_string()),
            object: Some(format!("{rendition}/{index}")),
            decision: decision.as_str(),
            reason: decision.reason().to_owned(),
            request_id: viewer.request_id.clone(),
        };
        let unwritten = |error| {
            Error::new(ErrorKind::Unavailable, "audit-unavailable", "the key cannot be released: its audit entry cannot be written")
                .with_source(error)
        };
        self.audit.append(&entry).await.map_err(unwritten)?;
        if let Decision::Deny(reason) = decision {
            return Err(refusal(reason));
        }
        let (video, version) = (&viewer.pass.video, &viewer.pass.version);
        let root = self.keys.open(video, &self.catalog.wrapped_root_key(video).await?).await?;
        theatrum_media::crypt::content_key(root.expose(), version.as_str(), rendition.as_str(), index)
            .map_err(|error| Error::internal("could not derive a content key", error))
    }

    async fn decide_key(&self, pass: &Pass) -> Result<(Session, Decision)> {
        let session = self.catalog.playback_session(&pass.session).await?;
        let video = match self.catalog.video(&pass.video).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((session, Decision::Deny("video-gone"))),
            video => video?,
        };
        let actor = Actor { subject: session.subject.clone(), role: Role::parse(&session.role)? };
        let decision = if session.revoked_at.is_some() {
            Decision::Deny("session-revoked")
        } else if !self.plays(&video, &pass.version).await? {
            Decision::Deny("version-gone")
        } else {
            decide(&actor, Action::Watch(&video))
        };
        Ok((session, decision))
    }

    /// Whether a version may still be watched: it is the video's, or was until it was replaced, and whoever watches it sees the end.
    async fn plays(&self, video: &Video, version: &VersionId) -> Result<bool> {
        let is_current = video.version.as_ref() == Some(version);
        Ok(video.playable_at.is_some() && (is_current || self.catalog.plays_on(version).await?))
    }

    /// max(the operator's least, three times the video): DESIGN.md §5.
    fn lifetime(&self, video: &Video) -> Duration {
        let duration_ms = u64::try_from(video.duration_ms.unwrap_or(0)).unwrap_or(0);
        self.min_lifetime.max(Duration::from_millis(duration_ms.saturating_mul(3)))
    }
}

fn playable_version(video: &Video) -> Result<VersionId> {
    let not_yet = || Error::conflict("not-playable", "the video cannot be played yet: wait until it is ready");
    match video.state {
        _ if video.is_playable() => video.version.clone().ok_or_else(not_yet),
        State::Refused => Err(Error::conflict("refused", "the video was refused and cannot be played")),
        _ => Err(not_yet()),
    }
}

/// What is over is told apart from what is not allowed, so that a player knows that it may begin anew.
fn refusal(reason: &'static str) -> Error {
    match reason {
        "session-unknown" | "session-revoked" | "version-gone" | "video-gone" => {
            Error::new(ErrorKind::Forbidden, "session-ended", "this playback session has ended: open the video again")
        }
        _ => Error::new(ErrorKind::Forbidden, "not-allowed", "whoever this session was opened for may not watch this video any more"),
    }
}
