//! What people do with videos: see, list, watch, delete, and repair.

mod credentials;
mod downloads;
mod editing;
mod embedding;
mod lease;
mod movie;
mod playback;
mod replacement;
mod sessions;
mod signing;

use crate::audit::{Entry, Log};
use crate::blobs::{Blobs, Key};
use crate::catalog::Catalog;
use crate::catalog::jobs::Listing as JobListing;
use crate::catalog::videos::{Filter, Listing, Unready};
use crate::domain::collection::Collection;
use crate::domain::error::public_part;
use crate::domain::event::Kind as EventKind;
use crate::domain::ids::{JobId, VideoId};
use crate::domain::job::{Job, State as JobState};
use crate::domain::role::Role;
use crate::domain::video::{Placing, Rendition, State, Video};
use crate::domain::{Error, ErrorKind, Result};
use crate::doorbell::Doorbell;
use crate::keys::Keys;
use crate::links::playback::Signer;
use crate::policy::{Action, Actor, Decision, decide};
use crate::storage::Storage;
use crate::transaction;
use bytes::Bytes;
pub use credentials::{Credentials, Made};
pub use downloads::{Bearer, Download, Item, Links, NewLink, Place};
pub use editing::Changes;
pub use embedding::{Embeds, LinkFor, Visitor};
pub use movie::Layouts;
pub use playback::{Playback, Viewer};
pub use signing::{Link, Signing, Wanted};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The use cases of a video. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Library {
    /// The rows.
    pub catalog: Catalog,
    /// Posters.
    pub blobs: Blobs,
    /// Says whether there is room.
    pub storage: Storage,
    /// Opens root keys.
    pub keys: Keys,
    /// The audit log.
    pub audit: Arc<Log>,
    /// Tells streams and workers.
    pub doorbell: Doorbell,
    /// Signs playback tokens.
    pub signer: Arc<Signer>,
    /// The least lifetime of a playback session.
    pub min_lifetime: Duration,
    /// Frames on other sites.
    pub embeds: Embeds,
    /// Signs links.
    pub signing: Signing,
    /// What the operator says about links.
    pub links: Links,
    /// Downloads whose layout is known.
    pub layouts: Arc<Layouts>,
}

/// Who calls, from where, as the audit log wants it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The person or machine.
    pub actor: Actor,
    /// The client's network address.
    pub address: String,
    /// The request's id.
    pub request_id: Option<String>,
}

/// A poster as its caller gets it.
#[derive(Clone, Debug)]
pub struct Poster {
    /// Names the picture: another one has another name.
    pub name: String,
    /// The JPEG; `None` for those who have it.
    pub picture: Option<Bytes>,
}

impl Caller {
    /// An entry for the audit log, to be completed by its use case.
    pub fn entry(&self, action: &str, decision: Decision) -> Entry {
        Entry {
            actor: self.actor.subject.clone(),
            role: self.actor.role.to_string(),
            address: Some(self.address.clone()),
            action: action.to_owned(),
            decision: decision.as_str(),
            reason: decision.reason().to_owned(),
            request_id: self.request_id.clone(),
            ..Entry::default()
        }
    }
}

impl Library {
    /// A video that the actor may see. One that they may not see is `NotFound`, as if it were not there.
    pub async fn see(&self, actor: &Actor, id: &VideoId) -> Result<Video> {
        let video = self.catalog.video(id).await?;
        visible(actor, &video)?;
        Ok(video)
    }

    /// Whether the actor could see a video, now deleted, at any time before.
    pub async fn could_see(&self, actor: &Actor, id: &VideoId) -> Result<bool> {
        let deleted = self.catalog.deleted_video(id).await?;
        let state = if deleted.playable_at.is_some() { State::Ready } else { State::Processing };
        Ok(decide(actor, Action::See(&Video { state, ..deleted })).permit().is_ok())
    }

    /// Lets an allowed action pass; a denied one is in the audit log before the caller hears of it (invariant 8).
    async fn permit(&self, caller: &Caller, action: &str, video: &Video, decision: Decision) -> Result<()> {
        if decision.permit().is_err() {
            self.audit.append(&Entry { video: Some(video.id.to_string()), ..caller.entry(action, decision) }).await?;
            visible(&caller.actor, video)?;
        }
        decision.permit()
    }

    /// A video's renditions; none before it is planned.
    pub async fn renditions(&self, video: &Video) -> Result<Vec<Rendition>> {
        match &video.version {
            Some(version) => self.catalog.renditions(version).await,
            None => Ok(Vec::new()),
        }
    }

    /// At most `limit` videos that the actor may see, newest first, after `before`.
    pub async fn list(&self, actor: &Actor, filter: Filter, before: Option<VideoId>, limit: u64) -> Result<Vec<Video>> {
        self.catalog.videos(&Listing { unready: unready(actor), filter, before, limit }).await
    }

    /// The collections in which the actor may see a video, by name.
    pub async fn collections(&self, actor: &Actor) -> Result<Vec<Collection>> {
        self.catalog.collections(&unready(actor)).await
    }

    /// A video's poster, decrypted unless the caller has the one of this name already; `NotFound` before it is made. It is in the audit
    /// log before it leaves, and without that it does not leave (invariant 8).
    pub async fn poster(&self, caller: &Caller, id: &VideoId, known: impl FnOnce(&str) -> bool) -> Result<Poster> {
        let video = self.see(&caller.actor, id).await?;
        let none = || Error::not_found(format!("video {id} has no poster"));
        let (version, epoch) = video.version.zip(video.poster_epoch).ok_or_else(none)?;
        // A poster's blob is never overwritten, so its place names what it shows.
        let name = format!("{version}-{epoch}");
        let picture = if known(&name) {
            None
        } else {
            let root = self.keys.open(id, &self.catalog.wrapped_root_key(id).await?).await?;
            let key = Key::Poster { video: id.clone(), version, epoch: epoch.cast_unsigned() };
            Some(self.blobs.get_sealed(&key, &root).await?)
        };
        let bytes = picture.as_ref().map_or(0, Bytes::len) as u64;
        let unwritten = |error| {
            let message = "the poster cannot be shown: its audit entry cannot be written";
            Error::new(ErrorKind::Unavailable, "audit-unavailable", message).with_source(error)
        };
        self.audit.poster_shown(&caller.actor.subject, id, bytes).await.map_err(unwritten)?;
        Ok(Poster { name, picture })
    }

    /// Deletes a video: its key and jobs in one transaction, its blobs soon after (invariant 6). With `seen`, only if that is what the video
    /// has now: `false` says that it has not, and that nothing was deleted.
    pub async fn delete(&self, caller: &Caller, id: &VideoId, seen: Option<&Placing>) -> Result<bool> {
        let video = self.catalog.video(id).await?;
        let decision = decide(&caller.actor, Action::Delete(&video));
        self.permit(caller, "delete", &video, decision).await?;
        let entry = Entry { video: Some(id.to_string()), ..caller.entry("delete", decision) };
        let is_deleted = transaction!(self.catalog, |tx| {
            if let Some(seen) = seen
                && *seen != tx.placing(id).await?
            {
                return Ok::<_, Error>(false);
            }
            tx.delete_video(id).await?;
            tx.shred_root_key(id).await?;
            tx.abandon_versions(id).await?;
            tx.cancel_jobs(id).await?;
            tx.append_event(EventKind::VideoDeleted, id, "{}").await?;
            tx.append_audit(&entry).await?;
            Ok(true)
        })?;
        if is_deleted {
            self.keys.forget(id);
            self.doorbell.video_changed(id);
            self.doorbell.ring_upkeep();
        }
        Ok(is_deleted)
    }

    /// Those jobs of a listing that the actor may see. What a failure was caused by is for operators: the rest hear its public part.
    pub async fn jobs(&self, actor: &Actor, listing: JobListing) -> Result<Vec<Job>> {
        decide(actor, Action::ListJobs).permit()?;
        let owner = (actor.role != Role::Admin).then(|| actor.subject.clone());
        let jobs = self.catalog.jobs(&JobListing { owner, ..listing }).await?;
        let is_operator = decide(actor, Action::Operate).permit().is_ok();
        Ok(if is_operator { jobs } else { jobs.into_iter().map(without_causes).collect() })
    }

    /// At most `limit` dead letters, newest first, after `before`.
    pub async fn dead(&self, actor: &Actor, before: Option<JobId>, limit: u64) -> Result<Vec<Job>> {
        decide(actor, Action::Operate).permit()?;
        let listing = JobListing { state: Some(JobState::Dead), before, limit: Some(limit), ..JobListing::default() };
        self.catalog.jobs(&listing).await
    }

    /// One dead letter.
    pub async fn dead_letter(&self, actor: &Actor, id: &JobId) -> Result<Job> {
        decide(actor, Action::Operate).permit()?;
        let job = self.catalog.job(id).await?;
        if job.state == JobState::Dead { Ok(job) } else { Err(Error::not_found(format!("there is no dead letter {id}"))) }
    }

    /// Queues a dead job again. Its video is in processing once no other dead letter stands in its way.
    pub async fn redrive(&self, caller: &Caller, id: &JobId) -> Result<()> {
        let decision = decide(&caller.actor, Action::Operate);
        decision.permit()?;
        let job = self.catalog.job(id).await?;
        let entry = Entry { video: Some(job.video.to_string()), object: Some(id.to_string()), ..caller.entry("redrive", decision) };
        transaction!(self.catalog, |tx| {
            tx.redrive(id).await?;
            if let (Some(version), true) = (&job.version, job.kind.is_optional()) {
                tx.count_up(version).await?;
            }
            if !tx.has_fatal_letter(&job.video, job.version.as_ref()).await? {
                tx.set_failed(&job.video, job.version.as_ref(), false).await?;
            }
            tx.append_audit(&entry).await
        })?;
        self.doorbell.ring_work();
        self.doorbell.video_changed(&job.video);
        Ok(())
    }
}

/// As the policy says of [`Action::See`], in one query.
fn unready(actor: &Actor) -> Unready {
    match actor.role {
        Role::Admin => Unready::Everyones,
        Role::Author => Unready::Of(actor.subject.clone()),
        Role::Viewer => Unready::Nobodys,
    }
}

fn without_causes(job: Job) -> Job {
    let last_error = job.last_error.map(|chain| public_part(&chain).to_owned());
    Job { last_error, stderr_tail: None, ..job }
}

/// `NotFound`, as if it were not there, when the actor may not see the video.
fn visible(actor: &Actor, video: &Video) -> Result<()> {
    decide(actor, Action::See(video)).permit().map_err(|_| Error::hidden(format!("there is no video {}", video.id)))
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
