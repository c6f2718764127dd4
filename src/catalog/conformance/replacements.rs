//! Replacements: a video that plays has at most one version in the making; switching is one compare-and-set; what plays no more goes.

use super::{Db, LONG_MS, assert_one_wins, at_once, is_conflict, is_missing, lease_of, on_both_databases, probe_of, rendition, upload_of};
use crate::catalog::Tx;
use crate::catalog::playback::Session;
use crate::catalog::versions::{NewRendition, Outline, Publication, Version};
use crate::domain::Result;
use crate::domain::ids::{LinkId, SessionId, SourceId, VersionId, VideoId};
use crate::domain::job::{Kind as JobKind, NewJob, State as JobState};
use crate::domain::replacement::{Kind, State, Trim};
use crate::domain::upload::{State as UploadState, Upload};
use crate::domain::video::{Refusal, Stage, State as VideoState};
use crate::transaction;

on_both_databases!(
    a_replaced_video_plays_on_until_the_switch,
    a_trim_is_read_as_it_was_written,
    two_replacements_exclude_each_other,
    only_a_video_that_plays_is_replaced,
    a_replacement_is_published_or_called_off,
    a_replacement_is_published_or_its_video_deleted,
    a_replacement_is_published_once,
    a_refused_replacement_leaves_the_video_alone,
    a_failed_replacement_goes_on_or_gives_way,
    the_old_version_goes_when_nobody_watches_it,
    the_old_version_goes_when_nobody_downloads_it,
    a_source_goes_with_the_last_version_that_needs_it,
    a_deleted_video_leaves_no_upload_open,
);

const ROUNDS: usize = 8;

impl Db {
    /// A video that plays, its version complete.
    async fn ready(&self) -> Result<Version> {
        let version = self.version(0).await?;
        let published = transaction!(self.catalog, |tx| tx.publish_version(&version.id, &version.video, false, 0).await)?;
        assert_eq!(published, Publication::First);
        Ok(version)
    }

    /// An upload that replaces the source of `video`, open.
    async fn replacing_upload(&self, video: &VideoId) -> Result<Upload> {
        let upload = Upload { video: video.clone(), replaces: true, ..upload_of("ada") };
        transaction!(self.catalog, |tx| tx.insert_replacing_upload(&upload).await)?;
        Ok(upload)
    }

    /// The same, finished: its source and its probe.
    async fn replacing(&self, video: &VideoId) -> Result<SourceId> {
        let upload = self.replacing_upload(video).await?;
        transaction!(self.catalog, |tx| {
            tx.end_upload(&upload.id, UploadState::Finished).await?;
            let source = tx.insert_source(&upload).await?;
            tx.begin_replacement(video, &source, Kind::Source, None).await?;
            tx.insert_job(&probe_of(video)).await?;
            Ok(source)
        })
    }

    /// A replacement whose probe has settled and for which `remaining` jobs are to settle.
    async fn planned(&self, video: &VideoId, remaining: u64) -> Result<Version> {
        let source = self.replacing(video).await?;
        let lease = lease_of(&self.claim(LONG_MS).await?.expect("the probe is free"));
        let made = version_of(video, source, None);
        transaction!(self.catalog, |tx| {
            tx.settle(&lease).await?;
            tx.insert_version(&made, &[NewRendition { name: rendition("360p"), size: Some((640, 360)) }], OUTLINE, remaining).await
        })?;
        Ok(made)
    }

    async fn publish(&self, version: &Version) -> Result<Publication> {
        transaction!(self.catalog, |tx| tx.publish_version(&version.id, &version.video, false, 0).await)
    }

    async fn state_of(&self, version: &VersionId) -> Result<String> {
        let row = self.catalog.fetch_optional("SELECT state FROM versions WHERE id = $1", crate::args![version]).await?;
        row.expect("a version").text("state")
    }

    async fn due(&self) -> Result<Vec<VersionId>> {
        let due = self.catalog.versions_to_purge(i64::MAX - 1).await?;
        Ok(due.into_iter().map(|(version, _)| version).collect())
    }
}

const OUTLINE: Outline = Outline { duration_ms: 9_000, size: Some((640, 360)), truncated: true, source_duration_ms: 10_000 };

fn version_of(video: &VideoId, source: SourceId, trim: Option<Trim>) -> Version {
    let (facts, plan) = ("{}".to_owned(), "{}".to_owned());
    Version { id: VersionId::new(), video: video.clone(), source, facts, plan, trim, pictures_expected: 0, pictures_decoded: 0 }
}

fn refusal() -> Refusal {
    Refusal { code: "no-media-data".into(), message: "this file holds no picture and no sound".into() }
}

/// invariant 3: published once: until the switch nothing of the video changes but its replacement, at the switch all of it does.
async fn a_replaced_video_plays_on_until_the_switch(db: &Db) -> Result<()> {
    let old = db.ready().await?;
    let video = &old.video;
    let before = format!("{:?}", db.catalog.video(video).await?);
    let new = db.planned(video, 1).await?;
    transaction!(db.catalog, |tx| {
        tx.set_stage(video, Some(&new.id), Stage::Publishing).await?;
        tx.set_poster(video, &new.id, 7).await?;
        // What the old version's jobs say is not the replacement's.
        tx.set_stage(video, Some(&old.id), Stage::Probing).await?;
        tx.set_failed(video, Some(&old.id), true).await
    })?;
    assert_eq!(format!("{:?}", db.catalog.video(video).await?), before);
    let replacement = db.catalog.replacement(video).await?.expect("a replacement");
    assert_eq!((replacement.state, replacement.stage, replacement.version.as_ref()), (State::Processing, Stage::Publishing, Some(&new.id)));
    assert_eq!(db.publish(&new).await?, Publication::None, "a job remains");
    transaction!(db.catalog, |tx| tx.count_down(&new.id, 0).await)?;
    assert_eq!(db.publish(&new).await?, Publication::Replacement);
    let now = db.catalog.video(video).await?;
    assert_eq!((now.state, now.version.as_ref(), now.duration_ms, now.width), (VideoState::Ready, Some(&new.id), Some(9_000), Some(640)));
    assert_eq!((now.truncated, now.poster_epoch), (true, Some(7)));
    assert!(db.catalog.replacement(video).await?.is_none());
    assert!(db.catalog.plays_on(&old.id).await? && !db.catalog.plays_on(&new.id).await?);
    Ok(())
}

async fn a_trim_is_read_as_it_was_written(db: &Db) -> Result<()> {
    let old = db.ready().await?;
    for trim in [Some(Trim { in_ms: 0, out_ms: Some(8_000) }), Some(Trim { in_ms: 1_000, out_ms: None }), None] {
        transaction!(db.catalog, |tx| tx.begin_replacement(&old.video, &old.source, Kind::Trim, trim).await)?;
        assert_eq!(db.catalog.replacement(&old.video).await?.expect("a replacement").trim, trim);
        let new = version_of(&old.video, old.source.clone(), trim);
        transaction!(db.catalog, |tx| tx.insert_version(&new, &[], OUTLINE, 0).await)?;
        assert_eq!(db.catalog.version(&new.id).await?.trim, trim);
        assert_eq!(db.catalog.shown(&new.id).await?, (trim, Some(10_000)));
        assert_eq!(db.publish(&new).await?, Publication::Replacement);
    }
    Ok(())
}

async fn two_replacements_exclude_each_other(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let old = db.ready().await?;
        let outcomes = at_once(4, |_| {
            let (catalog, old) = (db.catalog.clone(), old.clone());
            async move { transaction!(catalog, |tx| tx.begin_replacement(&old.video, &old.source, Kind::Trim, None).await) }
        })
        .await;
        assert_one_wins(&outcomes);
    }
    Ok(())
}

async fn only_a_video_that_plays_is_replaced(db: &Db) -> Result<()> {
    let made = db.version(0).await?;
    let begun = transaction!(db.catalog, |tx| tx.begin_replacement(&made.video, &made.source, Kind::Trim, None).await);
    assert!(is_conflict(&begun), "{begun:?}");
    let upload = Upload { video: made.video.clone(), replaces: true, ..upload_of("ada") };
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.insert_replacing_upload(&upload).await)));
    assert!(is_missing(&db.catalog.upload(&upload.id).await));
    Ok(())
}

type Change = fn(&mut Tx, Version) -> std::pin::Pin<Box<dyn Future<Output = Result<bool>> + Send + '_>>;

/// Publishes a replacement, and does `other` at the same moment; gives what each came to.
async fn publish_against(db: &Db, new: &Version, other: Change) -> Result<(bool, bool)> {
    let publish: Change =
        |tx, new| Box::pin(async move { Ok(tx.publish_version(&new.id, &new.video, false, 0).await? == Publication::Replacement) });
    let outcomes = at_once(2, |number| {
        let (catalog, new, change) = (db.catalog.clone(), new.clone(), if number == 0 { publish } else { other });
        async move {
            let outcome = transaction!(catalog, |tx| change(&mut tx, new.clone()).await);
            let lost = is_conflict(&outcome) || is_missing(&outcome);
            (number, !lost && outcome.expect("a race ends in a victory or a conflict"))
        }
    })
    .await;
    let won = |number| outcomes.iter().any(|(which, won)| *which == number && *won);
    Ok((won(0), won(1)))
}

async fn a_replacement_is_published_or_called_off(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let old = db.ready().await?;
        let new = db.planned(&old.video, 0).await?;
        let cancel: Change = |tx, new| Box::pin(async move { tx.cancel_replacement(&new.video).await.map(|()| true) });
        let (published, cancelled) = publish_against(db, &new, cancel).await?;
        assert!(published != cancelled);
        let plays = db.catalog.video(&old.video).await?.version;
        assert_eq!(plays, Some(if published { new.id } else { old.id }));
    }
    Ok(())
}

/// invariant 3: published once, and never when the video was deleted first.
async fn a_replacement_is_published_or_its_video_deleted(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let old = db.ready().await?;
        let new = db.planned(&old.video, 0).await?;
        let delete: Change = |tx, new| {
            Box::pin(async move {
                tx.delete_video(&new.video).await?;
                tx.abandon_versions(&new.video).await?;
                tx.cancel_jobs(&new.video).await.map(|_| true)
            })
        };
        let (_, deleted) = publish_against(db, &new, delete).await?;
        assert!(deleted, "a video can be deleted at any time");
        assert!(is_missing(&db.catalog.video(&old.video).await));
        assert!(db.catalog.replacement(&old.video).await?.is_none());
        assert_eq!(db.publish(&new).await?, Publication::None);
    }
    Ok(())
}

/// invariant 3: published once, however many try.
async fn a_replacement_is_published_once(db: &Db) -> Result<()> {
    let old = db.ready().await?;
    let new = db.planned(&old.video, 0).await?;
    let published = at_once(8, |_| {
        let (catalog, new) = (db.catalog.clone(), new.clone());
        async move { transaction!(catalog, |tx| tx.publish_version(&new.id, &new.video, false, 0).await) }
    })
    .await;
    let published = published.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(published.iter().filter(|one| **one == Publication::Replacement).count(), 1, "{published:?}");
    assert_eq!(published.iter().filter(|one| **one == Publication::None).count(), 7, "{published:?}");
    Ok(())
}

async fn a_refused_replacement_leaves_the_video_alone(db: &Db) -> Result<()> {
    let old = db.ready().await?;
    let new = db.planned(&old.video, 1).await?;
    let letter = db.job(NewJob { kind: JobKind::Stills, version: Some(old.id.clone()), ..probe_of(&old.video) }).await?;
    let other = transaction!(db.catalog, |tx| tx.refuse_replacement(&old.video, Some(&old.id), &refusal(), 1).await)?;
    assert!(!other, "the version that plays is no replacement");
    assert!(transaction!(db.catalog, |tx| tx.refuse_replacement(&old.video, Some(&new.id), &refusal(), 1).await)?);
    let video = db.catalog.video(&old.video).await?;
    assert_eq!((video.state, video.version.as_ref(), video.refusal), (VideoState::Ready, Some(&old.id), None));
    let replacement = db.catalog.replacement(&old.video).await?.expect("it says why");
    assert_eq!((replacement.state, replacement.refusal), (State::Refused, Some(refusal())));
    assert_eq!(db.catalog.job(&letter).await?.state, JobState::Queued, "the old version's job goes on");
    assert_eq!(db.due().await?, std::slice::from_ref(&new.id));
    let sources = db.catalog.sources_to_purge(1).await?;
    assert_eq!(sources.iter().map(|source| &source.id).collect::<Vec<_>>(), [&new.source]);
    assert_eq!(db.publish(&new).await?, Publication::None);
    db.replacing(&old.video).await.map(drop)
}

/// invariant 4: every job ends: a failed replacement is redriven, or those of its jobs that are left are cancelled by the next one.
async fn a_failed_replacement_goes_on_or_gives_way(db: &Db) -> Result<()> {
    let old = db.ready().await?;
    let first = db.planned(&old.video, 1).await?;
    let left = db.job(NewJob { kind: JobKind::Encode, version: Some(first.id.clone()), ..probe_of(&old.video) }).await?;
    let fail = async |failed| {
        transaction!(db.catalog, |tx| tx.set_failed(&old.video, Some(&first.id), failed).await)?;
        Ok::<_, crate::domain::Error>(db.catalog.replacement(&old.video).await?.expect("a replacement").state)
    };
    assert_eq!(fail(true).await?, State::Failed);
    assert_eq!(db.publish(&first).await?, Publication::None, "a job remains");
    assert_eq!(fail(false).await?, State::Processing);
    assert_eq!(fail(true).await?, State::Failed);
    let upload = db.replacing_upload(&old.video).await?;
    let source = transaction!(db.catalog, |tx| {
        let source = tx.insert_source(&upload).await?;
        tx.begin_replacement(&old.video, &source, Kind::Source, None).await?;
        Ok::<_, crate::domain::Error>(source)
    })?;
    let second = db.catalog.replacement(&old.video).await?.expect("a replacement");
    assert_eq!((second.state, second.source, second.version), (State::Processing, source, None));
    assert_eq!(db.catalog.job(&left).await?.state, JobState::Cancelled);
    assert_eq!(db.state_of(&first.id).await?, "abandoned");
    assert_eq!(db.catalog.video(&old.video).await?.version, Some(old.id));
    Ok(())
}

async fn the_old_version_goes_when_nobody_watches_it(db: &Db) -> Result<()> {
    let old = db.ready().await?;
    let session = |expires_at| Session {
        id: SessionId::new(),
        video: old.video.clone(),
        version: old.id.clone(),
        subject: "eve".into(),
        role: "viewer".into(),
        created_at: 0,
        expires_at,
        revoked_at: None,
    };
    let watch = async |expires_at| transaction!(db.catalog, |tx| tx.insert_playback_session(&session(expires_at)).await);
    watch(i64::MAX).await?;
    let new = db.planned(&old.video, 0).await?;
    assert_eq!(db.publish(&new).await?, Publication::Replacement);
    assert_eq!(db.due().await?, [], "somebody watches it");
    let end = "UPDATE playback_sessions SET expires_at = 5 WHERE version_id = $1";
    transaction!(db.catalog, |tx| tx.execute(end, crate::args![&old.id]).await)?;
    assert_eq!(db.due().await?, std::slice::from_ref(&old.id));
    transaction!(db.catalog, |tx| tx.version_purged(&old.id).await)?;
    assert_eq!((db.due().await?.len(), db.state_of(&old.id).await?.as_str()), (0, "purged"));
    assert!(is_conflict(&watch(i64::MAX).await), "nobody begins to watch what is gone");
    assert!(!db.catalog.plays_on(&old.id).await?);
    assert_eq!(db.catalog.renditions(&old.id).await?.len(), 0);
    assert_eq!(db.catalog.renditions(&new.id).await?.len(), 1);
    Ok(())
}

/// invariant 2: leases are fenced: by the database's clock, and what has gone is held by nobody.
async fn the_old_version_goes_when_nobody_downloads_it(db: &Db) -> Result<()> {
    let old = db.ready().await?;
    let (first, second) = (LinkId::new(), LinkId::new());
    let keep = async |id| transaction!(db.catalog, |tx| tx.keep_for_download(id, &old.id).await);
    keep(&first).await?;
    let new = db.planned(&old.video, 0).await?;
    assert_eq!(db.publish(&new).await?, Publication::Replacement);
    keep(&second).await?;
    let due = async || {
        let now = transaction!(db.catalog, |tx| tx.now().await)?;
        db.catalog.versions_to_purge(now).await
    };
    assert_eq!(due().await?, []);
    transaction!(db.catalog, |tx| tx.end_download(&first).await)?;
    assert_eq!(due().await?, [], "somebody downloads it");
    let silent = "UPDATE downloads SET lease_until = 5";
    transaction!(db.catalog, |tx| tx.execute(silent, crate::args![]).await)?;
    assert_eq!(due().await?, [(old.id.clone(), old.video.clone())], "nothing was heard of it for long");
    keep(&second).await?;
    assert_eq!(due().await?, [], "it goes on");
    transaction!(db.catalog, |tx| tx.end_download(&second).await)?;
    transaction!(db.catalog, |tx| tx.version_purged(&old.id).await)?;
    assert!(is_conflict(&keep(&second).await));
    // The original of what does not play, perhaps never will.
    let making = db.version(1).await?;
    transaction!(db.catalog, |tx| tx.keep_for_download(&first, &making.id).await)
}

async fn a_source_goes_with_the_last_version_that_needs_it(db: &Db) -> Result<()> {
    let first = db.ready().await?;
    let trimmed = version_of(&first.video, first.source.clone(), Some(Trim { in_ms: 1_000, out_ms: None }));
    transaction!(db.catalog, |tx| {
        tx.begin_replacement(&first.video, &first.source, Kind::Trim, trimmed.trim).await?;
        tx.insert_version(&trimmed, &[], OUTLINE, 0).await
    })?;
    assert_eq!(db.publish(&trimmed).await?, Publication::Replacement);
    let sources = async || Ok::<_, crate::domain::Error>(db.catalog.sources_to_purge(i64::MAX).await?);
    transaction!(db.catalog, |tx| tx.version_purged(&first.id).await)?;
    assert_eq!(sources().await?.len(), 0, "the trimmed version is made of it");
    let other = db.planned(&first.video, 0).await?;
    assert_eq!(db.publish(&other).await?, Publication::Replacement);
    assert_eq!(sources().await?.len(), 0, "somebody may still watch the trimmed one");
    transaction!(db.catalog, |tx| tx.version_purged(&trimmed.id).await)?;
    let due = sources().await?;
    assert_eq!(due.iter().map(|source| &source.id).collect::<Vec<_>>(), [&first.source]);
    transaction!(db.catalog, |tx| tx.source_purged(&due[0]).await)?;
    assert_eq!(sources().await?.len(), 0);
    assert_eq!(db.catalog.upload_parts(&due[0].upload).await?.len(), 0);
    Ok(())
}

async fn a_deleted_video_leaves_no_upload_open(db: &Db) -> Result<()> {
    let old = db.ready().await?;
    let upload = db.replacing_upload(&old.video).await?;
    transaction!(db.catalog, |tx| tx.delete_video(&old.video).await)?;
    assert_eq!(db.catalog.upload(&upload.id).await?.state, UploadState::Aborted);
    Ok(())
}
