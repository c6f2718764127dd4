//! Guards against one another: two transactions want what excludes the other, and exactly one gets it, whichever is first.

use super::{Db, LONG_MS, at_once, is_conflict, is_missing, lease_of, on_both_databases, part, probe_of};
use crate::catalog::jobs::{Failure, Lease, Listing};
use crate::catalog::versions::Publication;
use crate::catalog::{Catalog, Tx};
use crate::domain::Result;
use crate::domain::ids::{JobId, VideoId};
use crate::domain::job::{Kind, MAX_CLAIMS, NewJob, State};
use crate::domain::upload::State as UploadState;
use crate::domain::video::{Refusal, State as VideoState};
use crate::transaction;
use std::pin::Pin;

on_both_databases!(
    an_upload_is_finished_or_given_up,
    a_part_is_received_or_its_upload_given_up,
    a_video_is_published_or_deleted,
    a_video_is_published_or_refused,
    a_video_is_refused_or_deleted,
    a_dead_letter_is_redriven_once,
    a_dead_letter_is_redriven_or_its_video_deleted,
    the_last_fatal_letter_makes_its_video_go_on,
    a_lease_is_handed_back_or_requeued,
    a_lease_is_settled_or_buried_when_it_ends,
    a_lease_is_extended_or_buried_when_it_ends,
);

const ROUNDS: usize = 12;

type Change<'a> = Pin<Box<dyn Future<Output = Result<bool>> + Send + 'a>>;

/// Runs two transactions at once; gives for each whether it got what it wanted. One that is told of a conflict, or that the thing is
/// gone, did not; any other error fails the test.
async fn against<T>(catalog: &Catalog, on: T, one: fn(&mut Tx, T) -> Change<'_>, other: fn(&mut Tx, T) -> Change<'_>) -> (bool, bool)
where
    T: Clone + Send + Sync + 'static,
{
    let outcomes = at_once(2, |number| {
        let (catalog, on) = (catalog.clone(), on.clone());
        let change = if number == 0 { one } else { other };
        async move {
            let outcome = transaction!(catalog, |tx| change(&mut tx, on.clone()).await);
            let lost = is_conflict(&outcome) || is_missing(&outcome);
            (number, !lost && outcome.expect("a race ends in a victory or a conflict"))
        }
    })
    .await;
    let won = |number| outcomes.iter().any(|(which, won)| *which == number && *won);
    (won(0), won(1))
}

fn refusal() -> Refusal {
    Refusal { code: "undecodable".into(), message: "most of this file cannot be decoded".into() }
}

fn broken() -> Failure {
    Failure { error: "no room".into(), stderr_tail: None }
}

fn refuse(tx: &mut Tx, video: VideoId) -> Change<'_> {
    Box::pin(async move {
        tx.refuse_video(&video, &refusal(), 1).await?;
        tx.abandon_versions(&video).await?;
        tx.cancel_jobs(&video).await.map(|_| true)
    })
}

fn delete(tx: &mut Tx, video: VideoId) -> Change<'_> {
    Box::pin(async move {
        tx.delete_video(&video).await?;
        tx.abandon_versions(&video).await?;
        tx.cancel_jobs(&video).await.map(|_| true)
    })
}

fn settle(tx: &mut Tx, lease: Lease) -> Change<'_> {
    Box::pin(async move { tx.settle(&lease).await.map(|()| true) })
}

fn bury_expired(tx: &mut Tx, _lease: Lease) -> Change<'_> {
    Box::pin(async move { Ok(!tx.bury_expired().await?.is_empty()) })
}

async fn an_upload_is_finished_or_given_up(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let upload = db.open_upload().await?;
        let (finished, given_up) = against(
            &db.catalog,
            upload.clone(),
            |tx, upload| {
                Box::pin(async move {
                    tx.insert_video(&upload).await?;
                    tx.insert_source(&upload).await?;
                    tx.insert_job(&probe_of(&upload.video)).await?;
                    tx.end_upload(&upload.id, UploadState::Finished).await.map(|()| true)
                })
            },
            |tx, upload| {
                Box::pin(async move {
                    tx.shred_root_key(&upload.video).await?;
                    tx.end_upload(&upload.id, UploadState::Aborted).await.map(|()| true)
                })
            },
        )
        .await;
        assert!(finished != given_up);
        let state = db.catalog.upload(&upload.id).await?.state;
        assert_eq!(state, if finished { UploadState::Finished } else { UploadState::Aborted });
        assert_eq!(db.catalog.video(&upload.video).await.is_ok(), finished);
        assert_eq!(db.catalog.wrapped_root_key(&upload.video).await.is_ok(), finished, "a video keeps its key, what was given up does not");
    }
    Ok(())
}

/// Either the row hears of the part before the end, or its writer hears of the end, and deletes what it wrote.
async fn a_part_is_received_or_its_upload_given_up(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let upload = db.open_upload().await?;
        transaction!(db.catalog, |tx| tx.declare_part(&upload.id, &part(1, "aa")).await)?;
        let (received, given_up) = against(
            &db.catalog,
            upload.id.clone(),
            |tx, id| Box::pin(async move { tx.receive_part(&id, 1, "aa", "md5", "blob").await.map(|_| true) }),
            |tx, id| Box::pin(async move { tx.end_upload(&id, UploadState::Expired).await.map(|()| true) }),
        )
        .await;
        assert!(given_up);
        assert_eq!(db.catalog.upload_part(&upload.id, 1).await?.blob.is_some(), received);
    }
    Ok(())
}

/// invariant 3: published once, and never when it was deleted first.
async fn a_video_is_published_or_deleted(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let version = db.version(0).await?;
        let (published, deleted) = against(
            &db.catalog,
            version.clone(),
            |tx, version| {
                Box::pin(async move { Ok(tx.publish_version(&version.id, &version.video, false, 0).await? == Publication::First) })
            },
            |tx, version| delete(tx, version.video),
        )
        .await;
        assert!(deleted, "a video can be deleted at any time");
        assert!(is_missing(&db.catalog.video(&version.video).await));
        let again = transaction!(db.catalog, |tx| tx.publish_version(&version.id, &version.video, false, 0).await);
        assert!(matches!(again, Ok(Publication::None)), "published: {published}, again: {again:?}");
    }
    Ok(())
}

async fn a_video_is_published_or_refused(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let version = db.version(0).await?;
        let (published, refused) = against(
            &db.catalog,
            version.clone(),
            |tx, version| {
                Box::pin(async move { Ok(tx.publish_version(&version.id, &version.video, false, 0).await? == Publication::First) })
            },
            |tx, version| refuse(tx, version.video),
        )
        .await;
        assert!(published != refused);
        let state = db.catalog.video(&version.video).await?.state;
        assert_eq!(state, if published { VideoState::Ready } else { VideoState::Refused });
    }
    Ok(())
}

/// A video that is gone does not come back as refused.
async fn a_video_is_refused_or_deleted(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let video = db.video_of("ada").await?;
        db.job(probe_of(&video)).await?;
        let (_, deleted) = against(&db.catalog, video.clone(), refuse, delete).await;
        assert!(deleted, "a video can be deleted at any time");
        assert!(is_missing(&db.catalog.video(&video).await));
        let jobs = db.catalog.jobs(&Listing { video: Some(video), ..Listing::default() }).await?;
        assert_eq!(jobs.into_iter().map(|job| job.state).collect::<Vec<_>>(), [State::Cancelled]);
    }
    Ok(())
}

/// A dead letter of a version that waits for it alone.
async fn dead_letter(db: &Db, kind: Kind) -> Result<(JobId, VideoId)> {
    let version = db.version(0).await?;
    let new = NewJob { kind, version: Some(version.id.clone()), ..probe_of(&version.video) };
    let id = db.job(new).await?;
    let lease = lease_of(&db.claim(LONG_MS).await?.expect("the only job is free"));
    transaction!(db.catalog, |tx| {
        tx.bury(&lease, &broken()).await?;
        tx.set_failed(&version.video, None, true).await
    })?;
    Ok((id, version.video))
}

/// As the library does it: a second redrive would count one job twice.
async fn a_dead_letter_is_redriven_once(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let (id, _) = dead_letter(db, Kind::Stills).await?;
        let version = db.catalog.job(&id).await?.version.expect("a version");
        let redrive: fn(&mut Tx, JobId) -> Change<'_> = |tx, id| {
            Box::pin(async move {
                let sql = "SELECT version_id FROM jobs WHERE id = $1";
                let row = tx.fetch_optional(sql, crate::args![&id]).await?.expect("a job");
                tx.count_up(&crate::domain::ids::VersionId::parse(&row.text("version_id")?)?).await?;
                tx.redrive(&id).await.map(|()| true)
            })
        };
        let (one, other) = against(&db.catalog, id.clone(), redrive, redrive).await;
        assert!(one != other);
        assert_eq!(transaction!(db.catalog, |tx| tx.count_down(&version, 0).await)?, 0, "counted once");
        let lease = lease_of(&db.claim(LONG_MS).await?.expect("it is queued"));
        transaction!(db.catalog, |tx| tx.settle(&lease).await)?;
    }
    Ok(())
}

/// invariant 4: every job ends: none is left in the queue for a video that is gone.
async fn a_dead_letter_is_redriven_or_its_video_deleted(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let (id, video) = dead_letter(db, Kind::Encode).await?;
        let (_, deleted) = against(
            &db.catalog,
            (id.clone(), video),
            |tx, (id, _)| Box::pin(async move { tx.redrive(&id).await.map(|()| true) }),
            |tx, (_, video)| delete(tx, video),
        )
        .await;
        assert!(deleted, "a video can be deleted at any time");
        assert_eq!(db.catalog.job(&id).await?.state, State::Cancelled);
    }
    Ok(())
}

/// Two people redrive one letter each. Neither may think that the other's is still dead.
async fn the_last_fatal_letter_makes_its_video_go_on(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let (first, video) = dead_letter(db, Kind::Encode).await?;
        let second = db.job(probe_of(&video)).await?;
        let lease = lease_of(&db.claim(LONG_MS).await?.expect("the only job is free"));
        transaction!(db.catalog, |tx| tx.bury(&lease, &broken()).await)?;
        let outcomes = at_once(2, |number| {
            let (catalog, video) = (db.catalog.clone(), video.clone());
            let letter = if number == 0 { first.clone() } else { second.clone() };
            async move {
                transaction!(catalog, |tx| {
                    tx.redrive(&letter).await?;
                    if !tx.has_fatal_letter(&video, None).await? {
                        tx.set_failed(&video, None, false).await?;
                    }
                    Ok::<_, crate::domain::Error>(())
                })
            }
        })
        .await;
        outcomes.into_iter().collect::<Result<Vec<_>>>()?;
        assert_eq!(db.catalog.video(&video).await?.state, VideoState::Processing);
        transaction!(db.catalog, |tx| tx.cancel_jobs(&video).await)?;
    }
    Ok(())
}

/// A lease that has ended, of a job that was claimed `claims` times.
async fn ended_lease(db: &Db, claims: i64) -> Result<Lease> {
    let video = db.video_of("ada").await?;
    let id = db.job(probe_of(&video)).await?;
    let lease = lease_of(&db.claim(0).await?.expect("the only job is free"));
    transaction!(db.catalog, |tx| tx.execute("UPDATE jobs SET claims = $2 WHERE id = $1", crate::args![&id, claims]).await)?;
    Ok(lease)
}

/// invariant 2: leases are fenced: either way the job waits once more, and only the one who gave it back gets its claim back.
async fn a_lease_is_handed_back_or_requeued(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let lease = ended_lease(db, 2).await?;
        let (handed_back, requeued) = against(
            &db.catalog,
            lease.clone(),
            |tx, lease| Box::pin(async move { tx.hand_back(&lease).await.map(|()| true) }),
            |tx, _| Box::pin(async move { Ok(tx.requeue_expired().await? == 1) }),
        )
        .await;
        assert!(handed_back != requeued);
        let rows = db.catalog.fetch_all("SELECT claims, state FROM jobs WHERE id = $1", crate::args![&lease.job]).await?;
        let (claims, state) = (rows[0].int("claims")?, rows[0].text("state")?);
        assert_eq!((claims, state.as_str()), (if handed_back { 1 } else { 2 }, "queued"));
        let video = db.catalog.job(&lease.job).await?.video;
        transaction!(db.catalog, |tx| tx.cancel_jobs(&video).await)?;
    }
    Ok(())
}

/// invariant 4: every job ends once.
async fn a_lease_is_settled_or_buried_when_it_ends(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let lease = ended_lease(db, MAX_CLAIMS).await?;
        let (settled, buried) = against(&db.catalog, lease.clone(), settle, bury_expired).await;
        assert!(settled != buried);
        assert_eq!(db.catalog.job(&lease.job).await?.state, if settled { State::Done } else { State::Dead });
    }
    Ok(())
}

async fn a_lease_is_extended_or_buried_when_it_ends(db: &Db) -> Result<()> {
    for _ in 0..ROUNDS {
        let lease = ended_lease(db, MAX_CLAIMS).await?;
        let beat: fn(&mut Tx, Lease) -> Change<'_> = |tx, lease| Box::pin(async move { tx.heartbeat(&lease, LONG_MS, 1).await });
        let (extended, buried) = against(&db.catalog, lease.clone(), beat, bury_expired).await;
        assert!(extended != buried);
        let job = db.catalog.job(&lease.job).await?;
        assert_eq!(job.state, if extended { State::Running } else { State::Dead });
        transaction!(db.catalog, |tx| tx.cancel_jobs(&job.video).await)?;
    }
    Ok(())
}
