//! Objects that come in by any S3 client. Each is an upload from its first byte on, so whatever is cut short is expired as uploads are; it
//! becomes a video by one transaction (invariant 1), and only then its client hears that it was taken.

use super::{Ingest, probe};
use crate::audit::Entry;
use crate::blobs::Key;
use crate::catalog::Tx;
use crate::catalog::inbox::Origin;
use crate::domain::event::Kind as EventKind;
use crate::domain::ids::{UploadId, VideoId};
use crate::domain::inbox::{self, Object, Part};
use crate::domain::upload::{MIN_PART_SIZE_BYTES, State, Upload};
use crate::domain::{Error, ErrorKind, Result};
use crate::policy::{Action, Actor, decide};
use crate::transaction;
use crate::uploads::{Claim, ClaimedPart, Hold, NewObject, Sender, Slot, StoredPart, checksum};
use async_trait::async_trait;
use md5::{Digest as _, Md5};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an object that comes at once may be silent: a few times what the endpoint needs to say that it still comes.
const SILENCE: Duration = Duration::from_secs(90);
/// How long its sender is told that an object came in.
const RECEIPT: Duration = Duration::from_secs(3600);

/// The most objects that one person may be sending: whoever lists or counts them reads their rows.
const MOST_OPEN: u64 = 1_000;

/// The rows of the inbox, as the S3 endpoint may use them.
#[derive(Clone, Debug)]
pub struct Inbox(pub Ingest);

/// What an object is, once its parts are chosen.
struct Whole {
    size_bytes: u64,
    etag: String,
    numbers: Vec<u64>,
    /// Blobs of parts that were sent and not chosen.
    unwanted: Vec<String>,
}

#[async_trait]
impl crate::uploads::Inbox for Inbox {
    async fn begin(&self, sender: &Sender, new: &NewObject) -> Result<Slot> {
        must_cover(sender, &new.key)?;
        let request = inbox::request(&new.key, new.size_bytes.unwrap_or(1), self.0.limits.max_size_bytes)?;
        let _turn = self.0.storage.room_for(new.size_bytes.unwrap_or_default()).await?;
        let video = VideoId::new();
        let (_, root_key_wrapped) = self.0.keys.make(&video).await?;
        let lifetime = if new.size_bytes.is_some() { SILENCE } else { self.0.limits.lifetime };
        let mut upload = Upload {
            id: UploadId::new(),
            video,
            owner: sender.key.subject.clone(),
            filename: request.filename,
            title: request.title,
            collection: request.collection,
            replaces: false,
            size_bytes: new.size_bytes.unwrap_or_default(),
            part_size_bytes: 0,
            state: State::Open,
            expires_at: 0,
        };
        let mut object = Object {
            upload: upload.id.clone(),
            video: upload.video.clone(),
            key: new.key.clone(),
            multipart: new.size_bytes.is_none(),
            algorithm: new.algorithm,
            scope: new.scope,
            state: State::Open,
            size_bytes: upload.size_bytes,
            etag: None,
            created_at: 0,
            received_at: None,
        };
        transaction!(self.0.catalog, |tx| {
            tx.wait_turn().await?;
            object.created_at = tx.now().await?;
            if tx.open_objects(&upload.owner).await? >= MOST_OPEN {
                return Err(too_many());
            }
            upload.expires_at = object.created_at.saturating_add(millis(lifetime));
            self.0.storage.within_quotas(&mut tx, &upload).await?;
            tx.insert_inbox_object(&upload, &object, origin(sender), &root_key_wrapped).await?;
            if object.multipart { Ok(()) } else { tx.expect_inbox_part(&upload.id, 1, upload.size_bytes).await }
        })?;
        Ok(Slot { object, root_key_wrapped, hold: None })
    }

    async fn keep(&self, upload: &UploadId) -> Result<()> {
        transaction!(self.0.catalog, |tx| {
            let until = tx.now().await?.saturating_add(millis(SILENCE));
            tx.extend_upload(upload, until).await
        })
    }

    async fn multipart(&self, sender: &Sender, key: &str, upload: &str) -> Result<Object> {
        let none = || Error::not_found("there is no such upload of this object");
        let upload = UploadId::parse(upload).map_err(|_| none())?;
        let object = self.0.catalog.inbox_object(&sender.key.subject, key, &upload).await?;
        if object.multipart { Ok(object) } else { Err(none()) }
    }

    async fn expect(&self, object: &Object, number: u32, size_bytes: u64) -> Result<Slot> {
        let (number, Ingest { catalog, storage, .. }) = (u64::from(number), &self.0);
        let turn = storage.turn().await;
        let more_bytes = size_bytes.saturating_sub(catalog.inbox_part_bytes(&object.upload, number).await?);
        if more_bytes > 0 {
            storage.admit(&turn, more_bytes).await?;
        }
        let hold = Some(Hold::new(storage.room_for_part(size_bytes).await?));
        transaction!(catalog, |tx| {
            tx.wait_turn().await?;
            self.may_grow(&mut tx, object, number, size_bytes).await?;
            tx.expect_inbox_part(&object.upload, number, size_bytes).await
        })?;
        let root_key_wrapped = self.0.catalog.wrapped_root_key(&object.video).await?;
        Ok(Slot { object: object.clone(), root_key_wrapped, hold })
    }

    async fn received(&self, object: &Object, number: u32, stored: &StoredPart, checksum: &str) -> Result<Option<Key>> {
        let part = Part {
            number: u64::from(number),
            size_bytes: stored.digests.size_bytes,
            md5: hex::encode(stored.digests.md5),
            checksum: checksum.to_owned(),
            blob: stored.key.path(),
            received_at: 0,
        };
        let sha256 = hex::encode(stored.digests.sha256);
        let superseded = transaction!(self.0.catalog, |tx| {
            self.may_grow(&mut tx, object, part.number, part.size_bytes).await?;
            tx.receive_inbox_part(&object.upload, &part, &sha256).await
        })?;
        superseded.as_deref().map(Key::parse).transpose()
    }

    async fn parts(&self, object: &Object) -> Result<Vec<Part>> {
        self.0.catalog.inbox_parts(&object.upload).await
    }

    async fn multiparts(&self, sender: &Sender) -> Result<Vec<Object>> {
        let mut objects = self.0.catalog.open_multiparts(&sender.key.subject).await?;
        objects.retain(|object| sender.key.prefix.covers(&object.key));
        objects.sort_by(|a, b| (&a.key, a.upload.as_str()).cmp(&(&b.key, b.upload.as_str())));
        Ok(objects)
    }

    async fn complete(&self, sender: &Sender, object: &Object, claim: &Claim) -> Result<Object> {
        let actor = Actor { subject: sender.key.subject.clone(), role: sender.key.role };
        let decision = decide(&actor, Action::UseInbox);
        decision.permit()?;
        let entry = Entry {
            actor: actor.subject,
            role: actor.role.to_string(),
            address: sender.address.map(|address| address.to_string()),
            action: "inbox-ingest".to_owned(),
            video: Some(object.video.to_string()),
            object: Some(sender.key.id.to_string()),
            decision: decision.as_str(),
            reason: decision.reason().to_owned(),
            ..Entry::default()
        };
        let (completed, unwanted) = transaction!(self.0.catalog, |tx| self.adopt(&mut tx, sender, object, claim, &entry).await)?;
        if completed.upload != object.upload
            && let Err(error) = self.abort(object).await
        {
            tracing::warn!(error = error.chain(), "could not drop an object that had come in before; its time ends by itself");
        }
        for blob in &unwanted {
            self.0.drop_blob(blob).await;
        }
        self.0.doorbell.ring_work();
        self.0.doorbell.video_changed(&completed.video);
        Ok(completed)
    }

    async fn abort(&self, object: &Object) -> Result<()> {
        let aborted = self.0.abort(&object.upload).await;
        // To S3, a transfer that became an object is one that is not there.
        aborted.map_err(|error| if error.kind() == ErrorKind::Conflict { Error::not_found("the upload is complete") } else { error })
    }

    async fn receipt(&self, sender: &Sender, key: &str) -> Result<Option<Object>> {
        let now = transaction!(self.0.catalog, |tx| tx.now().await)?;
        self.0.catalog.receipt(&sender.key.subject, key, now).await
    }

    async fn forget(&self, sender: &Sender, key: &str) -> Result<()> {
        transaction!(self.0.catalog, |tx| tx.end_receipts(&sender.key.subject, key).await)
    }
}

impl Inbox {
    /// Whether an object may have a part of `size_bytes` in place of what counts of it so far. Asked when a part is expected, and again when it
    /// is there: until then, one that takes the place of another counts for nothing.
    async fn may_grow(&self, tx: &mut Tx, object: &Object, number: u64, size_bytes: u64) -> Result<()> {
        let (more_bytes, most) =
            (size_bytes.saturating_sub(tx.inbox_part_bytes(&object.upload, number).await?), self.0.limits.max_size_bytes);
        if more_bytes == 0 {
            return Ok(());
        }
        let upload = tx.upload(&object.upload).await?;
        if upload.size_bytes.saturating_add(more_bytes) > most {
            return Err(too_large(most));
        }
        self.0.storage.within_quotas(tx, &Upload { size_bytes: more_bytes, ..upload }).await
    }

    /// The one transaction: source, video, probe, event and audit entry. Gives the object, and the blobs that it does not need.
    async fn adopt(&self, tx: &mut Tx, sender: &Sender, object: &Object, claim: &Claim, entry: &Entry) -> Result<(Object, Vec<String>)> {
        // It may have been revoked while the object came.
        if !tx.is_good(&sender.key.id).await? {
            return Err(Error::new(ErrorKind::Forbidden, "access-key-revoked", "the access key was revoked"));
        }
        let upload = tx.upload(&object.upload).await?;
        let parts = tx.inbox_parts(&object.upload).await?;
        if matches!(upload.state, State::Aborted | State::Expired) {
            return Err(Error::conflict("upload-ended", "the upload has ended: begin a new one"));
        }
        let whole = Whole::of(object, &parts, claim)?;
        if upload.state == State::Finished {
            // A client that missed the answer asks again.
            return same(tx.inbox_object(&object.upload).await?, &whole);
        }
        if let Some(earlier) = tx.repeated_object(origin(sender), &object.key, &whole.etag).await? {
            return Ok((earlier, Vec::new()));
        }
        let most = self.0.limits.max_size_bytes;
        if whole.size_bytes > most {
            return Err(too_large(most));
        }
        inbox::request(&object.key, whole.size_bytes, most)?;
        tx.keep_inbox_parts(&object.upload, &whole.numbers).await?;
        tx.inbox_received(&object.upload, whole.size_bytes, &whole.etag, millis(RECEIPT)).await?;
        tx.end_upload(&object.upload, State::Finished).await?;
        let upload = Upload { size_bytes: whole.size_bytes, ..upload };
        tx.insert_video(&upload).await?;
        let source = tx.insert_source(&upload).await?;
        tx.insert_job(&probe(&upload, source)?).await?;
        tx.append_event(EventKind::UploadFinished, &upload.video, "{}").await?;
        tx.append_audit(entry).await?;
        Ok((tx.inbox_object(&object.upload).await?, whole.unwanted))
    }
}

impl Whole {
    /// What the claimed parts make, if they are there and are what the client says of them (S3, CompleteMultipartUpload).
    fn of(object: &Object, parts: &[Part], claim: &Claim) -> Result<Self> {
        if !claim.parts.is_sorted_by(|a, b| a.number < b.number) {
            return Err(Error::invalid("part-order", "name the parts in the order of their numbers, each once"));
        }
        let mut there: BTreeMap<u64, &Part> = parts.iter().map(|part| (part.number, part)).collect();
        let chosen =
            claim.parts.iter().map(|claimed| choose(object, there.remove(&claimed.number), claimed)).collect::<Result<Vec<_>>>()?;
        let Some((_, all_but_last)) = chosen.split_last() else { return Err(Error::invalid("invalid-part", "name the parts")) };
        if let Some(small) = all_but_last.iter().find(|part| part.size_bytes < MIN_PART_SIZE_BYTES) {
            let message =
                format!("part {} has {} bytes; every part but the last needs {MIN_PART_SIZE_BYTES}", small.number, small.size_bytes);
            return Err(Error::invalid("part-too-small", message));
        }
        let size_bytes = chosen.iter().map(|part| part.size_bytes).sum();
        if claim.size_bytes.is_some_and(|claimed| claimed != size_bytes) {
            return Err(Error::invalid(
                "object-size",
                format!("the parts have {size_bytes} bytes together, not what x-amz-mp-object-size says"),
            ));
        }
        verify(object, &chosen, claim)?;
        let (numbers, unwanted) =
            (chosen.iter().map(|part| part.number).collect(), there.into_values().map(|part| part.blob.clone()).collect());
        Ok(Self { size_bytes, etag: etag(object, &chosen)?, numbers, unwanted })
    }
}

fn choose<'a>(object: &Object, part: Option<&'a Part>, claimed: &ClaimedPart) -> Result<&'a Part> {
    let wrong = || Error::invalid("invalid-part", format!("part {} is not there, or not as it is named: send it again", claimed.number));
    let part = part.filter(|part| part.md5 == claimed.etag).ok_or_else(wrong)?;
    match &claimed.checksum {
        Some((algorithm, _)) if *algorithm != object.algorithm => Err(other_algorithm(object)),
        Some((_, value)) if *value != part.checksum => Err(wrong()),
        _ => Ok(part),
    }
}

fn verify(object: &Object, chosen: &[&Part], claim: &Claim) -> Result<()> {
    if claim.scope.is_some_and(|scope| scope != object.scope) {
        let message = format!("the upload was created for a checksum of type {}", object.scope.as_str());
        return Err(Error::invalid("checksum-type", message));
    }
    let Some((algorithm, claimed)) = &claim.checksum else { return Ok(()) };
    if *algorithm != object.algorithm {
        return Err(other_algorithm(object));
    }
    let values: Vec<(&str, u64)> = chosen.iter().map(|part| (part.checksum.as_str(), part.size_bytes)).collect();
    let whole = checksum::whole(object.algorithm, object.scope, &values)?;
    // The number of parts behind a composite value may be left out.
    if *claimed == whole || whole.strip_suffix(&format!("-{}", chosen.len())) == Some(claimed) {
        return Ok(());
    }
    Err(Error::invalid("checksum-mismatch", format!("the parts do not make the {} that was sent for the whole", algorithm.as_str())))
}

/// S3's tag: the MD5 of an object that came at once, else that of its parts' MD5s with their number.
fn etag(object: &Object, chosen: &[&Part]) -> Result<String> {
    if let (false, [part]) = (object.multipart, chosen) {
        return Ok(part.md5.clone());
    }
    let mut md5 = Md5::new();
    for part in chosen {
        md5.update(hex::decode(&part.md5).map_err(|error| Error::internal("the catalog holds a malformed digest", error))?);
    }
    Ok(format!("{}-{}", hex::encode(md5.finalize()), chosen.len()))
}

fn same(object: Object, whole: &Whole) -> Result<(Object, Vec<String>)> {
    if object.etag.as_deref() == Some(&whole.etag) {
        return Ok((object, Vec::new()));
    }
    Err(Error::conflict("upload-ended", "the upload is complete, of other parts"))
}

/// The endpoint has asked already, by the path of the request; this is the key that the object is going to have.
fn must_cover(sender: &Sender, key: &str) -> Result<()> {
    if sender.key.prefix.covers(key) {
        return Ok(());
    }
    let message = format!("this access key is good for keys that begin with {}", sender.key.prefix.as_str());
    Err(Error::new(ErrorKind::Forbidden, "outside-prefix", message))
}

fn origin(sender: &Sender) -> Origin<'_> {
    Origin { access_key: &sender.key.id, invocation: sender.invocation.as_deref() }
}

fn other_algorithm(object: &Object) -> Error {
    Error::invalid("checksum-algorithm", format!("the upload was created for checksums of type {}", object.algorithm.as_str()))
}

fn too_large(most: u64) -> Error {
    Error::new(ErrorKind::TooLarge, "file-too-large", format!("this server takes objects of at most {most} bytes"))
}

fn too_many() -> Error {
    let message = format!("{MOST_OPEN} objects are being sent already: complete or abort some of them, then try again");
    Error::new(ErrorKind::OutOfSpace, "too-many-transfers", message)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
