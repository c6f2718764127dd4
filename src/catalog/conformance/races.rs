//! Races: many tasks at once, each in transactions of its own, on what only one of them may win.

use super::{Db, LONG_MS, assert_one_wins, at_once, is_conflict, lease_of, on_both_databases, part, probe_of};
use crate::catalog::Catalog;
use crate::catalog::jobs::{Lease, Listing};
use crate::catalog::versions::Publication;
use crate::domain::Result;
use crate::domain::event::Kind as EventKind;
use crate::domain::ids::JobId;
use crate::domain::job::{NewJob, State};
use crate::domain::upload::{State as UploadState, Upload};
use crate::transaction;
use std::collections::HashSet;

on_both_databases!(
    every_job_is_claimed_once,
    one_settle_of_a_lease_wins,
    one_settle_of_the_last_chunk_sees_zero,
    a_version_is_published_once,
    an_upload_is_finished_once,
    a_part_is_received_before_it_is_declared_anew_or_not_at_all,
    a_finish_sees_every_part_or_is_not_first,
    an_expired_lease_is_requeued_or_settled,
    a_job_is_cancelled_or_settled,
    a_busy_version_counts_every_percent,
);

/// 16 claimers and 200 jobs: each job is claimed by one of them.
async fn every_job_is_claimed_once(db: &Db) -> Result<()> {
    const JOBS: usize = 200;
    let video = db.video_of("ada").await?;
    transaction!(db.catalog, |tx| {
        for number in 0..JOBS {
            tx.insert_job(&NewJob { priority: i64::try_from(number % 7).unwrap_or_default(), ..probe_of(&video) }).await?;
        }
        Ok(())
    })?;
    let claimed = at_once(16, |number| claim_until_none(db.catalog.clone(), format!("node/{number}"))).await;
    let claimed = claimed.into_iter().collect::<Result<Vec<_>>>()?.concat();
    assert_eq!(claimed.len(), JOBS);
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>().len(), JOBS);
    let running = db.catalog.jobs(&Listing { state: Some(State::Running), ..Listing::default() }).await?;
    assert!(running.len() == JOBS && running.iter().all(|job| job.epoch == 1));
    Ok(())
}

async fn claim_until_none(catalog: Catalog, owner: String) -> Result<Vec<JobId>> {
    let mut mine = Vec::new();
    while let Some(job) = transaction!(catalog, |tx| tx.claim(&owner, LONG_MS, false).await)? {
        mine.push(job.id);
    }
    Ok(mine)
}

/// invariant 2: leases are fenced: of many settles under one lease, one counts.
async fn one_settle_of_a_lease_wins(db: &Db) -> Result<()> {
    let (id, lease) = db.leased_job().await?;
    let video = db.catalog.job(&id).await?.video;
    let settled = at_once(16, |_| {
        let (catalog, lease, video) = (db.catalog.clone(), lease.clone(), video.clone());
        async move {
            transaction!(catalog, |tx| {
                tx.append_event(EventKind::VideoPlayable, &video, "{}").await?;
                tx.settle(&lease).await
            })
        }
    })
    .await;
    assert_one_wins(&settled);
    assert_eq!(db.catalog.events(&video).await?.len(), 1, "a transaction whose body fails leaves nothing");
    Ok(())
}

/// invariant 3: published once: "was that the last chunk?" is asked by UPDATE … RETURNING, never counted.
async fn one_settle_of_the_last_chunk_sees_zero(db: &Db) -> Result<()> {
    const CHUNKS: u64 = 32;
    let version = db.version(CHUNKS).await?;
    db.chunks_of(&version, CHUNKS).await?;
    let mut leases = Vec::new();
    while let Some(job) = db.claim(LONG_MS).await? {
        leases.push(lease_of(&job));
    }
    let remaining = at_once(leases.len(), |number| {
        let (catalog, lease, version) = (db.catalog.clone(), leases[number].clone(), version.clone());
        async move {
            transaction!(catalog, |tx| {
                tx.settle(&lease).await?;
                tx.raise_percent(&version.video, &version.id).await?;
                let remaining = tx.count_down(&version.id, 10).await?;
                if remaining == 0 {
                    tx.insert_job(&probe_of(&version.video)).await?;
                }
                Ok(remaining)
            })
        }
    })
    .await;
    let mut remaining = remaining.into_iter().collect::<Result<Vec<_>>>()?;
    remaining.sort_unstable();
    assert_eq!(remaining, (0..CHUNKS).collect::<Vec<_>>());
    assert_eq!(db.catalog.version(&version.id).await?.pictures_decoded, 320);
    assert_eq!(db.catalog.jobs(&Listing { state: Some(State::Queued), ..Listing::default() }).await?.len(), 1);
    Ok(())
}

/// invariant 3: published once: one compare-and-set decides, and its event is written once.
async fn a_version_is_published_once(db: &Db) -> Result<()> {
    let version = db.version(0).await?;
    let published = at_once(16, |_| {
        let (catalog, version) = (db.catalog.clone(), version.clone());
        async move {
            transaction!(catalog, |tx| {
                let first = tx.publish_version(&version.id, &version.video, false, 0).await? == Publication::First;
                if first {
                    tx.append_event(EventKind::VideoReady, &version.video, "{}").await?;
                }
                Ok(first)
            })
        }
    })
    .await;
    let published = published.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(published.iter().filter(|first| **first).count(), 1);
    assert_eq!(db.catalog.events(&version.video).await?.len(), 1);
    Ok(())
}

/// As `ingest` does it, but in the order that leaves the guard for last.
async fn finish(catalog: Catalog, upload: Upload) -> Result<()> {
    transaction!(catalog, |tx| {
        tx.insert_video(&upload).await?;
        tx.insert_source(&upload).await?;
        tx.insert_job(&probe_of(&upload.video)).await?;
        tx.append_event(EventKind::UploadFinished, &upload.video, "{}").await?;
        tx.end_upload(&upload.id, UploadState::Finished).await
    })
}

/// invariant 1: the row is the truth: a job is inserted in the transaction of the change that calls for it, so one finish, one job.
async fn an_upload_is_finished_once(db: &Db) -> Result<()> {
    for _ in 0..4 {
        let upload = db.open_upload().await?;
        let finished = at_once(16, |_| finish(db.catalog.clone(), upload.clone())).await;
        assert_one_wins(&finished);
        let video = Some(upload.video.clone());
        assert_eq!(db.catalog.jobs(&Listing { video, ..Listing::default() }).await?.len(), 1);
        assert_eq!(db.catalog.events(&upload.video).await?.len(), 1);
        assert_eq!(db.catalog.upload(&upload.id).await?.state, UploadState::Finished);
    }
    Ok(())
}

async fn a_part_is_received_before_it_is_declared_anew_or_not_at_all(db: &Db) -> Result<()> {
    for round in 0..20 {
        let upload = db.open_upload().await?;
        transaction!(db.catalog, |tx| tx.declare_part(&upload.id, &part(1, "aa")).await)?;
        let outcomes = at_once(2, |number| {
            let (catalog, id) = (db.catalog.clone(), upload.id.clone());
            async move {
                match number {
                    0 => transaction!(catalog, |tx| tx.receive_part(&id, 1, "aa", "md5", "blob").await),
                    _ => transaction!(catalog, |tx| tx.declare_part(&id, &part(1, "bb")).await),
                }
            }
        })
        .await;
        let received_first = outcomes.iter().any(|outcome| matches!(outcome, Ok(Some(blob)) if blob == "blob"));
        let refused = outcomes.iter().any(is_conflict);
        assert!(received_first != refused, "round {round}: {outcomes:?}");
        let part = db.catalog.upload_part(&upload.id, 1).await?;
        assert_eq!((part.sha256.as_str(), part.blob), ("bb", None), "round {round}");
    }
    Ok(())
}

/// A finish that found the old part complete must not win against the declaration that takes it away.
async fn a_finish_sees_every_part_or_is_not_first(db: &Db) -> Result<()> {
    for round in 0..20 {
        let upload = db.open_upload().await?;
        transaction!(db.catalog, |tx| {
            tx.declare_part(&upload.id, &part(1, "aa")).await?;
            tx.receive_part(&upload.id, 1, "aa", "md5", "blob").await
        })?;
        at_once(2, |number| {
            let (catalog, id) = (db.catalog.clone(), upload.id.clone());
            async move {
                match number {
                    0 => transaction!(catalog, |tx| tx.declare_part(&id, &part(1, "bb")).await.map(drop)),
                    _ => transaction!(catalog, |tx| {
                        let complete = tx.received_parts(&id).await? == 1;
                        if complete { tx.end_upload(&id, UploadState::Finished).await } else { Ok(()) }
                    }),
                }
            }
        })
        .await;
        let finished = db.catalog.upload(&upload.id).await?.state == UploadState::Finished;
        let complete = db.catalog.upload_part(&upload.id, 1).await?.blob.is_some();
        assert_eq!(finished, complete, "round {round}");
    }
    Ok(())
}

/// Runs `settle` against `other` for fresh leases, twenty times; the settle wins exactly when `other` finds nothing to do.
async fn settle_against<F>(db: &Db, lease_ms: i64, other: impl Fn(Catalog, Lease) -> F) -> Result<()>
where
    F: Future<Output = Result<u64>> + Send + 'static,
{
    for round in 0..20 {
        let video = db.video_of("ada").await?;
        db.job(probe_of(&video)).await?;
        let lease = lease_of(&db.claim(lease_ms).await?.expect("the only job is free"));
        let settle = {
            let (catalog, lease) = (db.catalog.clone(), lease.clone());
            tokio::spawn(async move { transaction!(catalog, |tx| tx.settle(&lease).await) })
        };
        let other = tokio::spawn(other(db.catalog.clone(), lease.clone()));
        let settled = settle.await.expect("no panic");
        let changed = other.await.expect("no panic")?;
        assert!(settled.is_ok() || is_conflict(&settled), "{settled:?}");
        assert_eq!(settled.is_ok(), changed == 0, "round {round}");
        let state = db.catalog.job(&lease.job).await?.state;
        assert_eq!(settled.is_ok(), state == State::Done, "round {round}: {state:?}");
        transaction!(db.catalog, |tx| tx.cancel_jobs(&video).await)?;
    }
    Ok(())
}

async fn an_expired_lease_is_requeued_or_settled(db: &Db) -> Result<()> {
    settle_against(db, 0, |catalog, _| async move { transaction!(catalog, |tx| tx.requeue_expired().await) }).await
}

async fn a_job_is_cancelled_or_settled(db: &Db) -> Result<()> {
    settle_against(db, LONG_MS, |catalog, lease| async move {
        let video = catalog.job(&lease.job).await?.video;
        transaction!(catalog, |tx| tx.cancel_jobs(&video).await)
    })
    .await
}

/// Heartbeats of one version read each other's rows, the worst case for a serializable database: all must come through.
async fn a_busy_version_counts_every_percent(db: &Db) -> Result<()> {
    const CHUNKS: usize = 16;
    let version = db.version(1).await?;
    db.chunks_of(&version, 16).await?;
    let mut leases = Vec::new();
    while let Some(job) = db.claim(LONG_MS).await? {
        leases.push(lease_of(&job));
    }
    let beats = at_once(CHUNKS, |number| {
        let (catalog, lease, version) = (db.catalog.clone(), leases[number].clone(), version.clone());
        async move {
            for percent in [20, 40, 60] {
                let alive = transaction!(catalog, |tx| {
                    let alive = tx.heartbeat(&lease, LONG_MS, percent).await?;
                    tx.raise_percent(&version.video, &version.id).await?;
                    Ok(alive)
                })?;
                assert!(alive);
            }
            Ok(())
        }
    })
    .await;
    beats.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(db.catalog.video(&version.video).await?.percent, 60, "the last heartbeat saw all others");
    Ok(())
}
