//! How a file comes in: begin, declare parts, receive them, finish, abort.
//!
//! Bytes go from the client to the S3 endpoint (`uploads`); this room keeps the rows. An upload becomes a video by one transaction
//! in [`Ingest::finish`], whose time does not depend on the file's size: every part was durable before.

mod inbox;
mod ledger;

use crate::blobs::{Blobs, Key, Prefix};
use crate::catalog::Catalog;
use crate::catalog::audit::Entry;
use crate::domain::event::Kind as EventKind;
use crate::domain::ids::{UploadId, VideoId};
use crate::domain::job::{Kind, NewJob, ProbePayload};
use crate::domain::replacement;
use crate::domain::upload::{Part, Request, State, Upload, part_size_bytes};
use crate::domain::video::Video;
use crate::domain::{Error, ErrorKind, Result};
use crate::doorbell::Doorbell;
use crate::failpoint;
use crate::keys::Keys;
use crate::storage::Storage;
use crate::transaction;
use crate::uploads::{PresignedPart, Presigner};
pub use inbox::Inbox;
pub use ledger::Ledger;
use std::sync::Arc;
use std::time::Duration;

/// Parts that one call may declare.
pub const MOST_DECLARED: usize = 100;
/// Missing parts that one answer names.
const MOST_NAMED: usize = 100;
const PROBE_PRIORITY: i64 = 0;
/// How long a part may still be on its way when its URL has ended.
const SLOWEST_PUT: Duration = Duration::from_secs(3600);

/// The operator's limits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest file.
    pub max_size_bytes: u64,
    /// The preferred part.
    pub part_size_bytes: u64,
    /// Until an unfinished upload is dropped.
    pub lifetime: Duration,
    /// Of a part's URL.
    pub url_lifetime: Duration,
}

/// The use cases of an upload. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// The rows.
    pub catalog: Catalog,
    /// Where parts lie.
    pub blobs: Blobs,
    /// Makes root keys.
    pub keys: Keys,
    /// Makes part URLs.
    pub presigner: Arc<Presigner>,
    /// Wakes workers.
    pub doorbell: Doorbell,
    /// Says whether there is room.
    pub storage: Storage,
    /// The operator's limits.
    pub limits: Limits,
}

/// A part that a client is about to send.
#[derive(Clone, Debug)]
pub struct Declared {
    /// From 1.
    pub number: u64,
    /// Its length.
    pub size_bytes: u64,
    /// Its digest, 64 hexadecimal digits.
    pub sha256: String,
}

/// What [`Ingest::finish`] gives.
#[derive(Clone, Debug)]
pub enum Finished {
    /// The upload is a video now, or was one before.
    Done(Upload),
    /// These parts have not arrived; the first hundred are named.
    Missing(Vec<u64>),
}

impl Ingest {
    /// Opens an upload for `owner`, or finds the one that the same request opened before (see [`Request::ids`]), and makes the root key of the
    /// video it will become. `OutOfSpace` when the disk has no room for it, or the quota of the owner or the collection: whatever way a file
    /// comes in, it is asked here.
    pub async fn begin(&self, owner: &str, request: Request) -> Result<Upload> {
        let _turn = self.storage.room_for(request.size_bytes).await?;
        let (id, video) = request.ids.clone().unwrap_or_else(|| (UploadId::new(), VideoId::new()));
        let (_, wrapped) = self.keys.make(&video).await?;
        let mut upload = self.new_upload(owner, request, id, video);
        transaction!(self.catalog, |tx| {
            tx.wait_turn().await?;
            if let Some(begun) = tx.find_upload(&upload.id).await? {
                return Ok(begun);
            }
            self.storage.within_quotas(&mut tx, &upload).await?;
            upload.expires_at = tx.now().await?.saturating_add(self.lifetime_ms());
            tx.insert_upload(&upload, &wrapped).await?;
            Ok(upload.clone())
        })
        .inspect(|_| failpoint::hit("begun"))
    }

    /// Opens an upload for `owner` that is to replace the source of `video`; `decided` goes into the audit log with it. `Conflict` when
    /// the video does not play, or is being replaced already; `OutOfSpace` as for [`Self::begin`], by the quotas of the video's owner and
    /// collection.
    pub async fn begin_replacement(&self, owner: &str, request: Request, video: &Video, decided: &Entry) -> Result<Upload> {
        let _turn = self.storage.room_for(request.size_bytes).await?;
        let id = request.ids.as_ref().map_or_else(UploadId::new, |(id, _)| id.clone());
        let upload = self.new_upload(owner, request, id, video.id.clone());
        let mut upload = Upload { title: video.title.clone(), collection: None, replaces: true, ..upload };
        transaction!(self.catalog, |tx| {
            tx.wait_turn().await?;
            if let Some(begun) = tx.find_upload(&upload.id).await? {
                return Ok(begun);
            }
            if tx.replacement(&video.id).await?.is_some_and(|other| other.state == replacement::State::Processing) {
                return Err(crate::catalog::replacements::in_progress(&video.id));
            }
            // Where it is by now: it may have been moved while others had their turn.
            let collection = tx.placing(&video.id).await?.collection;
            let counted = Upload { owner: video.owner.clone(), collection, ..upload.clone() };
            self.storage.within_quotas(&mut tx, &counted).await?;
            upload.expires_at = tx.now().await?.saturating_add(self.lifetime_ms());
            tx.insert_replacing_upload(&upload).await?;
            tx.append_audit(decided).await?;
            Ok(upload.clone())
        })
        .inspect(|_| failpoint::hit("begun"))
    }

    fn lifetime_ms(&self) -> i64 {
        i64::try_from(self.limits.lifetime.as_millis()).unwrap_or(i64::MAX)
    }

    fn new_upload(&self, owner: &str, request: Request, id: UploadId, video: VideoId) -> Upload {
        Upload {
            id,
            video,
            owner: owner.to_owned(),
            part_size_bytes: part_size_bytes(request.size_bytes, self.limits.part_size_bytes),
            filename: request.filename,
            title: request.title,
            collection: request.collection,
            replaces: false,
            size_bytes: request.size_bytes,
            state: State::Open,
            expires_at: 0,
        }
    }

    /// Declares parts and gives a URL for each, as often as wanted. The URL signs the digest, the row keeps the length.
    pub async fn declare(&self, id: &UploadId, declared: &[Declared]) -> Result<Vec<(u64, PresignedPart)>> {
        let upload = self.catalog.upload(id).await?;
        must_be_open(&upload)?;
        must_be_declared(&upload)?;
        if declared.is_empty() || declared.len() > MOST_DECLARED {
            return Err(Error::invalid("part-count", format!("declare 1 to {MOST_DECLARED} parts at once")));
        }
        let parts = declared.iter().map(|part| check(&upload, part)).collect::<Result<Vec<_>>>()?;
        let orphans = transaction!(self.catalog, |tx| {
            let mut orphans = Vec::new();
            for (part, _) in &parts {
                orphans.extend(tx.declare_part(id, part).await?);
            }
            Ok::<_, Error>(orphans)
        })?;
        for orphan in &orphans {
            self.drop_blob(orphan).await;
        }
        let mut presigned = Vec::with_capacity(parts.len());
        for (part, digest) in &parts {
            presigned.push((part.number, self.presign(&upload, part, digest).await?));
        }
        Ok(presigned)
    }

    /// An upload and its declared parts.
    pub async fn status(&self, id: &UploadId) -> Result<(Upload, Vec<Part>)> {
        Ok((self.catalog.upload(id).await?, self.catalog.upload_parts(id).await?))
    }

    /// Turns an upload into a video: source, probe and event in one transaction (invariant 1). A second call answers as the first did.
    pub async fn finish(&self, id: &UploadId) -> Result<Finished> {
        failpoint::hit("finish");
        loop {
            if let Some(upload) = self.try_finish(id).await? {
                failpoint::hit("finished");
                self.doorbell.ring_work();
                self.doorbell.video_changed(&upload.video);
                return Ok(Finished::Done(upload));
            }
            let (upload, parts) = self.status(id).await?;
            let missing = missing(&upload, &parts);
            // The last of them may have arrived just now.
            if !missing.is_empty() {
                return Ok(Finished::Missing(missing));
            }
        }
    }

    /// `None` when parts are missing. They are counted, not read: ten thousand rows would hold up every other writer. None can be there
    /// that the file does not have.
    async fn try_finish(&self, id: &UploadId) -> Result<Option<Upload>> {
        transaction!(self.catalog, |tx| {
            let upload = tx.upload(id).await?;
            if upload.state == State::Finished {
                return Ok(Some(upload));
            }
            must_be_open(&upload)?;
            must_be_declared(&upload)?;
            if tx.received_parts(id).await? < upload.parts() {
                return Ok(None);
            }
            tx.end_upload(id, State::Finished).await?;
            if !upload.replaces {
                tx.insert_video(&upload).await?;
            }
            let source = tx.insert_source(&upload).await?;
            if upload.replaces {
                tx.begin_replacement(&upload.video, &source, replacement::Kind::Source, None).await?;
            }
            tx.insert_job(&probe(&upload, source)?).await?;
            tx.append_event(EventKind::UploadFinished, &upload.video, "{}").await?;
            Ok(Some(Upload { state: State::Finished, ..upload }))
        })
    }

    /// Gives an upload up; its parts go at once. A finished one is `Conflict`; aborting twice is fine.
    pub async fn abort(&self, id: &UploadId) -> Result<()> {
        self.end(id, State::Aborted).await
    }

    /// Drops every upload whose time is over, and finishes what an earlier end left undone; gives how many were dropped. Each upload is
    /// on its own: one whose parts cannot be deleted stops no other. It may be cut short anywhere, and goes on with the next call.
    pub async fn expire(&self) -> Result<usize> {
        let now = transaction!(self.catalog, |tx| tx.now().await)?;
        let ended = self.catalog.uploads_to_clear().await?;
        let scrubbed = ended.is_empty() || self.catalog.scrub().await.inspect_err(unscrubbed).is_ok();
        for upload in ended {
            if let Err(error) = self.clear(&upload, now, scrubbed).await {
                tracing::warn!(upload = %upload.id, cause = %error.chain(), "could not delete an ended upload's parts; it is tried again");
            }
        }
        let mut expired = 0;
        for id in &self.catalog.overdue_uploads(now).await? {
            match self.end(id, State::Expired).await {
                Ok(()) => expired += 1,
                Err(error) => tracing::warn!(upload = %id, cause = %error.chain(), "could not expire an upload; it is tried again"),
            }
        }
        Ok(expired)
    }

    /// Ends an upload and deletes its parts. They stay declared until none can arrive any more, and so long [`Self::expire`] looks again:
    /// whoever is cut short here, and a part that was just arriving, leaves nothing for ever.
    async fn end(&self, id: &UploadId, end: State) -> Result<()> {
        let ended = transaction!(self.catalog, |tx| {
            let upload = tx.upload(id).await?;
            match upload.state {
                State::Open => tx.end_upload(id, end).await?,
                State::Finished => return Err(Error::conflict("upload-finished", "the upload is finished: delete its video instead")),
                State::Aborted | State::Expired => {}
            }
            // The key of a video that is there is its own, not the upload's.
            if !upload.replaces {
                tx.shred_root_key(&upload.video).await?;
            }
            Ok(upload)
        })?;
        if !ended.replaces {
            self.keys.forget(&ended.video);
        }
        failpoint::hit("ended");
        self.blobs.delete_prefix(&parts_of(&ended)).await.map(drop)
    }

    /// May be cut short anywhere: the upload is to be cleared until its last statement, and until the catalog's files hold its key no more.
    async fn clear(&self, ended: &Upload, now: i64, scrubbed: bool) -> Result<()> {
        let last_arrival = self.limits.url_lifetime.saturating_add(SLOWEST_PUT);
        let is_over = i64::try_from(last_arrival.as_millis()).is_ok_and(|after_ms| now >= ended.expires_at.saturating_add(after_ms));
        self.blobs.delete_prefix(&parts_of(ended)).await?;
        if is_over && scrubbed { transaction!(self.catalog, |tx| tx.forget_parts(&ended.id).await) } else { Ok(()) }
    }

    async fn presign(&self, upload: &Upload, part: &Part, digest: &[u8; 32]) -> Result<PresignedPart> {
        let number = u32::try_from(part.number).map_err(|error| Error::internal("a part number is out of range", error))?;
        self.presigner.part(&upload.id, number, digest, self.limits.url_lifetime).await
    }

    async fn drop_blob(&self, path: &str) {
        let deleted = match Key::parse(path) {
            Ok(key) => self.blobs.delete(&key).await,
            Err(error) => Err(error),
        };
        if let Err(error) = deleted {
            // It is nobody's blob; it goes with its video's folder at the latest.
            tracing::warn!(cause = %error.chain(), "could not delete a superseded part");
        }
    }
}

/// All that an upload has written, and no more: a video that is there has sources besides.
fn parts_of(upload: &Upload) -> Prefix {
    if upload.replaces { Prefix::Upload(upload.video.clone(), upload.id.clone()) } else { Prefix::Sources(upload.video.clone()) }
}

fn unscrubbed(error: &Error) {
    tracing::warn!(cause = %error.chain(), "could not scrub the catalog; it is tried again");
}

fn must_be_open(upload: &Upload) -> Result<()> {
    match upload.state {
        State::Open => Ok(()),
        State::Finished => Err(Error::conflict("upload-finished", "this upload is already finished")),
        State::Aborted | State::Expired => {
            Err(Error::new(ErrorKind::Conflict, "upload-ended", format!("this upload is {}: begin a new one", upload.state.as_str())))
        }
    }
}

/// An object of the inbox has parts as its client likes, and is completed where it is sent.
fn must_be_declared(upload: &Upload) -> Result<()> {
    if upload.is_of_inbox() {
        Err(Error::conflict("inbox-upload", "this upload comes in over S3: complete or abort it there"))
    } else {
        Ok(())
    }
}

fn check(upload: &Upload, declared: &Declared) -> Result<(Part, [u8; 32])> {
    let size_bytes = upload.part_size(declared.number)?;
    if declared.size_bytes != size_bytes {
        let message = format!("part {} must have {size_bytes} bytes, not {}", declared.number, declared.size_bytes);
        return Err(Error::invalid("part-size", message));
    }
    let malformed = || Error::invalid("part-digest", format!("the sha256 of part {} must be 64 hexadecimal digits", declared.number));
    let digest = hex::decode(&declared.sha256).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or_else(malformed)?;
    Ok((Part { number: declared.number, size_bytes, sha256: hex::encode(digest), blob: None }, digest))
}

fn missing(upload: &Upload, parts: &[Part]) -> Vec<u64> {
    let received: std::collections::HashSet<u64> = parts.iter().filter(|part| part.blob.is_some()).map(|part| part.number).collect();
    (1..=upload.parts()).filter(|number| !received.contains(number)).take(MOST_NAMED).collect()
}

fn probe(upload: &Upload, source: crate::domain::ids::SourceId) -> Result<NewJob> {
    let payload =
        serde_json::to_string(&ProbePayload { source, trim: None }).map_err(|error| Error::internal("could not write a payload", error))?;
    Ok(NewJob { kind: Kind::Probe, payload, video: upload.video.clone(), version: None, priority: PROBE_PRIORITY, weight: 1 })
}

#[cfg(test)]
mod tests;
