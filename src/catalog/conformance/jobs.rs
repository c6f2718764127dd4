//! Jobs: the order of claims, the end of leases, and the fence that a stale epoch meets.

use super::{Db, LONG_MS, is_conflict, is_missing, lease_of, on_both_databases, probe_of};
use crate::catalog::jobs::{Failure, Lease, Listing};
use crate::domain::Result;
use crate::domain::ids::{JobId, VideoId};
use crate::domain::job::{Kind, MAX_CLAIMS, NewJob, State};
use crate::transaction;

on_both_databases!(
    claims_follow_priority_then_age,
    light_claims_leave_encodes_to_others,
    a_job_is_not_claimed_before_its_time,
    a_newer_payload_is_left_alone,
    a_heartbeat_holds_the_lease,
    an_ended_lease_is_claimed_anew,
    a_job_that_kills_its_workers_is_buried,
    a_handed_back_job_loses_no_attempt,
    a_failure_is_counted_and_kept,
    a_dead_letter_is_redriven_with_all_its_attempts,
    only_what_the_video_needs_is_a_fatal_letter,
    nothing_is_redriven_for_a_video_that_is_gone,
    cancelling_fences_off_what_runs,
    a_former_life_is_forgotten,
    a_stale_epoch_changes_nothing,
    jobs_are_listed_by_state_video_and_owner,
);

fn broken() -> Failure {
    Failure { error: "ffmpeg ended with 1".into(), stderr_tail: Some("moov atom not found".into()) }
}

async fn state_of(db: &Db, id: &JobId) -> Result<State> {
    db.catalog.job(id).await.map(|job| job.state)
}

async fn claims_follow_priority_then_age(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    let mut inserted = Vec::new();
    for priority in [30, 10, 20, 10, i64::MAX, i64::MIN] {
        inserted.push((priority, db.job(NewJob { priority, ..probe_of(&video) }).await?));
    }
    inserted.sort_by_key(|(priority, _)| *priority);
    let mut claimed = Vec::new();
    while let Some(job) = db.claim(LONG_MS).await? {
        assert_eq!((job.state, job.epoch, job.failures), (State::Running, 1, 0));
        assert_eq!(job.lease_until.map(|until| until > job.run_at + LONG_MS - 60_000), Some(true));
        claimed.push(job.id);
    }
    assert_eq!(claimed, inserted.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    Ok(())
}

async fn light_claims_leave_encodes_to_others(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    let encode = db.job(NewJob { kind: Kind::Encode, priority: 1, ..probe_of(&video) }).await?;
    let publish = db.job(NewJob { kind: Kind::Publish, priority: 2, ..probe_of(&video) }).await?;
    let light = || async { transaction!(db.catalog, |tx| tx.claim("node/1", LONG_MS, true).await) };
    assert_eq!(light().await?.map(|job| job.id), Some(publish));
    assert!(light().await?.is_none());
    assert_eq!(db.claim(LONG_MS).await?.map(|job| job.id), Some(encode));
    Ok(())
}

async fn a_job_is_not_claimed_before_its_time(db: &Db) -> Result<()> {
    let (id, lease) = db.leased_job().await?;
    let now = transaction!(db.catalog, |tx| tx.now().await)?;
    transaction!(db.catalog, |tx| tx.retry(&lease, &broken(), now + LONG_MS).await)?;
    assert!(db.claim(LONG_MS).await?.is_none());
    let job = db.catalog.job(&id).await?;
    assert_eq!((job.state, job.run_at, job.lease_until), (State::Queued, now + LONG_MS, None));
    Ok(())
}

async fn a_newer_payload_is_left_alone(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    let id = db.job(probe_of(&video)).await?;
    transaction!(db.catalog, |tx| tx.execute("UPDATE jobs SET payload_version = 2 WHERE id = $1", crate::args![&id]).await)?;
    assert!(db.claim(LONG_MS).await?.is_none());
    Ok(())
}

async fn a_heartbeat_holds_the_lease(db: &Db) -> Result<()> {
    let (id, _) = db.leased_job().await?;
    let lease = Lease { job: id.clone(), epoch: 1 };
    assert!(transaction!(db.catalog, |tx| tx.heartbeat(&lease, 0, 40).await)?);
    assert!(transaction!(db.catalog, |tx| tx.heartbeat(&lease, LONG_MS, 41).await)?, "late, but nobody else has taken the job");
    assert_eq!(transaction!(db.catalog, |tx| tx.requeue_expired().await)?, 0);
    assert_eq!(db.catalog.job(&id).await?.progress_percent, 41);
    Ok(())
}

async fn an_ended_lease_is_claimed_anew(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    let id = db.job(probe_of(&video)).await?;
    let lost = lease_of(&db.claim(0).await?.expect("the job is free"));
    assert_eq!(transaction!(db.catalog, |tx| tx.requeue_expired().await)?, 1);
    assert_eq!(state_of(db, &id).await?, State::Queued);
    let again = db.claim(LONG_MS).await?.expect("the job is free again");
    assert_eq!((again.id.clone(), again.epoch, again.failures), (id, 2, 0));
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.settle(&lost).await)));
    transaction!(db.catalog, |tx| tx.settle(&lease_of(&again)).await)
}

async fn a_job_that_kills_its_workers_is_buried(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    let id = db.job(probe_of(&video)).await?;
    for claim in 1..=MAX_CLAIMS {
        assert_eq!(db.claim(0).await?.map(|job| job.epoch), Some(claim));
        let (buried, requeued) = transaction!(db.catalog, |tx| Ok((tx.bury_expired().await?, tx.requeue_expired().await?)))?;
        assert_eq!((buried.len(), requeued), if claim < MAX_CLAIMS { (0, 1) } else { (1, 0) }, "claim {claim}");
    }
    let job = db.catalog.job(&id).await?;
    assert_eq!((job.state, job.lease_until), (State::Dead, None));
    assert!(job.finished_at.is_some() && job.last_error.is_some());
    assert!(db.claim(LONG_MS).await?.is_none());
    Ok(())
}

async fn a_handed_back_job_loses_no_attempt(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    let id = db.job(probe_of(&video)).await?;
    for epoch in 1..=MAX_CLAIMS + 5 {
        let lease = lease_of(&db.claim(LONG_MS).await?.expect("the job is free"));
        assert_eq!(lease.epoch, epoch);
        transaction!(db.catalog, |tx| tx.hand_back(&lease).await)?;
    }
    db.claim(0).await?;
    assert_eq!(transaction!(db.catalog, |tx| tx.requeue_expired().await)?, 1);
    assert_eq!(db.catalog.job(&id).await?.failures, 0);
    Ok(())
}

async fn a_failure_is_counted_and_kept(db: &Db) -> Result<()> {
    let (id, first) = db.leased_job().await?;
    transaction!(db.catalog, |tx| tx.retry(&first, &broken(), 0).await)?;
    let job = db.catalog.job(&id).await?;
    assert_eq!((job.state, job.failures, job.progress_percent), (State::Queued, 1, 0));
    assert_eq!((job.last_error, job.stderr_tail), (Some(broken().error), broken().stderr_tail));
    let second = lease_of(&db.claim(LONG_MS).await?.expect("the job is free"));
    transaction!(db.catalog, |tx| tx.settle(&second).await)?;
    let job = db.catalog.job(&id).await?;
    assert_eq!((job.state, job.progress_percent, job.last_error, job.stderr_tail), (State::Done, 100, None, None));
    assert!(job.finished_at.is_some() && job.lease_until.is_none());
    Ok(())
}

async fn a_dead_letter_is_redriven_with_all_its_attempts(db: &Db) -> Result<()> {
    let (id, lease) = db.leased_job().await?;
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.redrive(&id).await)));
    transaction!(db.catalog, |tx| tx.bury(&lease, &broken()).await)?;
    let dead = db.catalog.job(&id).await?;
    assert_eq!((dead.state, dead.failures, dead.last_error), (State::Dead, 1, Some(broken().error)));
    assert!(db.claim(LONG_MS).await?.is_none());
    transaction!(db.catalog, |tx| tx.redrive(&id).await)?;
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.redrive(&id).await)));
    let again = db.claim(LONG_MS).await?.expect("a redriven job is free");
    assert_eq!((again.id, again.epoch, again.failures, again.finished_at), (id, 2, 0, None));
    Ok(())
}

async fn only_what_the_video_needs_is_a_fatal_letter(db: &Db) -> Result<()> {
    let (video, other) = (db.video_of("ada").await?, db.video_of("ada").await?);
    let fatal = |video: VideoId| async move { transaction!(db.catalog, |tx| tx.has_fatal_letter(&video).await) };
    for (kind, is_fatal) in [(Kind::Stills, false), (Kind::Publish, false), (Kind::Encode, true), (Kind::Audio, true)] {
        db.job(NewJob { kind, ..probe_of(&video) }).await?;
        let lease = lease_of(&db.claim(LONG_MS).await?.expect("the only job is free"));
        transaction!(db.catalog, |tx| tx.bury(&lease, &broken()).await)?;
        assert_eq!(fatal(video.clone()).await?, is_fatal, "{kind:?}");
        assert!(!fatal(other.clone()).await?);
    }
    Ok(())
}

async fn nothing_is_redriven_for_a_video_that_is_gone(db: &Db) -> Result<()> {
    let (id, lease) = db.leased_job().await?;
    let video = db.catalog.job(&id).await?.video;
    transaction!(db.catalog, |tx| {
        tx.bury(&lease, &broken()).await?;
        tx.delete_video(&video).await
    })?;
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.redrive(&id).await)));
    assert_eq!(state_of(db, &id).await?, State::Dead);
    Ok(())
}

async fn cancelling_fences_off_what_runs(db: &Db) -> Result<()> {
    let (running, lease) = db.leased_job().await?;
    let video = db.catalog.job(&running).await?.video;
    let dead = db.job(probe_of(&video)).await?;
    let dying = lease_of(&db.claim(LONG_MS).await?.expect("the job is free"));
    transaction!(db.catalog, |tx| tx.bury(&dying, &broken()).await)?;
    let queued = db.job(probe_of(&video)).await?;
    let others = db.job(probe_of(&db.video_of("bob").await?)).await?;
    assert_eq!(transaction!(db.catalog, |tx| tx.cancel_jobs(&video).await)?, 3);
    assert_eq!(transaction!(db.catalog, |tx| tx.cancel_jobs(&video).await)?, 0);
    for id in [&running, &queued, &dead] {
        assert_eq!(state_of(db, id).await?, State::Cancelled);
    }
    assert_eq!(db.catalog.job(&running).await?.epoch, lease.epoch + 1);
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.settle(&lease).await)));
    let now = transaction!(db.catalog, |tx| {
        tx.delete_video(&video).await?;
        tx.now().await
    })?;
    assert_eq!(db.catalog.videos_to_purge(now).await?, [], "the worker may still be writing");
    assert_eq!(db.catalog.videos_to_purge(now + 2 * LONG_MS).await?, [video]);
    assert_eq!(db.claim(LONG_MS).await?.map(|job| job.id), Some(others));
    Ok(())
}

async fn a_former_life_is_forgotten(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    let owners = ["node_1/old", "node_1/new", "nodeX1/old", "NODE_1/old", "node_10/old"];
    for owner in owners {
        db.job(probe_of(&video)).await?;
        assert!(transaction!(db.catalog, |tx| tx.claim(owner, LONG_MS, false).await)?.is_some());
    }
    let forget = || async { transaction!(db.catalog, |tx| tx.forget_former_life("node_1", "node_1/new").await) };
    assert_eq!(forget().await?, 1, "only this node's former life: names are no patterns");
    assert_eq!(transaction!(db.catalog, |tx| tx.requeue_expired().await)?, 1);
    assert_eq!(forget().await?, 0);
    Ok(())
}

/// invariant 2: leases are fenced: every way to speak for a job carries the epoch of its claim, and a stale one changes nothing.
async fn a_stale_epoch_changes_nothing(db: &Db) -> Result<()> {
    let (id, lease) = db.leased_job().await?;
    let before = format!("{:?}", db.catalog.job(&id).await?);
    for epoch in [lease.epoch - 1, lease.epoch + 1, i64::MAX, i64::MIN] {
        let stale = Lease { job: id.clone(), epoch };
        assert!(is_conflict(&transaction!(db.catalog, |tx| tx.settle(&stale).await)));
        assert!(is_conflict(&transaction!(db.catalog, |tx| tx.retry(&stale, &broken(), 0).await)));
        assert!(is_conflict(&transaction!(db.catalog, |tx| tx.bury(&stale, &broken()).await)));
        assert!(is_conflict(&transaction!(db.catalog, |tx| tx.hand_back(&stale).await)));
        assert!(!transaction!(db.catalog, |tx| tx.heartbeat(&stale, 1, 77).await)?);
        assert_eq!(format!("{:?}", db.catalog.job(&id).await?), before);
    }
    transaction!(db.catalog, |tx| tx.settle(&lease).await)?;
    assert!(!transaction!(db.catalog, |tx| tx.heartbeat(&lease, LONG_MS, 1).await)?, "a settled job is not alive any more");
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.settle(&lease).await)));
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.hand_back(&lease).await)));
    assert_eq!(state_of(db, &id).await?, State::Done);
    Ok(())
}

async fn jobs_are_listed_by_state_video_and_owner(db: &Db) -> Result<()> {
    let (adas, bobs) = (db.video_of("ada").await?, db.video_of("bob").await?);
    let (old, new, other) = (db.job(probe_of(&adas)).await?, db.job(probe_of(&adas)).await?, db.job(probe_of(&bobs)).await?);
    let listed = |state: Option<State>, video: Option<&VideoId>, owner: Option<&str>| {
        let listing = Listing { state, video: video.cloned(), owner: owner.map(str::to_owned), ..Listing::default() };
        async move { Ok::<_, crate::domain::Error>(db.catalog.jobs(&listing).await?.into_iter().map(|job| job.id).collect::<Vec<_>>()) }
    };
    assert_eq!(listed(None, None, None).await?, [&other, &new, &old].map(JobId::clone));
    assert_eq!(listed(None, Some(&adas), None).await?, [&new, &old].map(JobId::clone));
    assert_eq!(listed(None, None, Some("bob")).await?, std::slice::from_ref(&other));
    assert_eq!(listed(None, None, Some("")).await?, [], "nobody's name is no wildcard");
    db.claim(LONG_MS).await?;
    assert_eq!(listed(Some(State::Running), None, None).await?, std::slice::from_ref(&old));
    assert_eq!(listed(Some(State::Running), Some(&bobs), None).await?, []);
    let narrowed = |kind, before: Option<&JobId>, limit| {
        let listing = Listing { kind, before: before.cloned(), limit, ..Listing::default() };
        async move { Ok::<_, crate::domain::Error>(db.catalog.jobs(&listing).await?.into_iter().map(|job| job.id).collect::<Vec<_>>()) }
    };
    assert_eq!(narrowed(Some(Kind::Encode), None, None).await?, []);
    assert_eq!(narrowed(Some(Kind::Probe), None, Some(2)).await?, [&other, &new].map(JobId::clone));
    assert_eq!(narrowed(None, Some(&new), None).await?, std::slice::from_ref(&old));
    assert!(is_missing(&db.catalog.job(&JobId::new()).await));
    Ok(())
}
