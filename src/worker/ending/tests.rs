//! Endings over real rows.

use super::super::fixture::{LONG_MS, catalog, claim, version};
use super::*;
use crate::catalog::jobs::Listing;
use crate::domain::job::{Kind, MAX_CLAIMS, State};
use crate::domain::video::State as VideoState;

fn refusal() -> Refusal {
    Refusal { code: "undecodable".to_owned(), message: "most of this file cannot be decoded".to_owned() }
}

fn ending<'a>(catalog: &'a Catalog, job: &'a Job) -> Ending<'a> {
    Ending { catalog, job, keep_refused: Duration::ZERO }
}

async fn states(catalog: &Catalog) -> Vec<(Kind, State)> {
    let jobs = catalog.jobs(&Listing::default()).await.expect("jobs");
    jobs.into_iter().rev().map(|job| (job.kind, job.state)).collect()
}

/// invariant 4: every job ends: one chunk died of the house, another then finds that the source is at fault.
#[tokio::test]
async fn a_source_is_refused_although_its_video_has_failed() {
    let (_folder, catalog) = catalog().await;
    let version = version(&catalog, &[Kind::Encode, Kind::Encode]).await;
    let (mut dying, hopeless) = (claim(&catalog, LONG_MS).await, claim(&catalog, LONG_MS).await);
    dying.failures = MAX_FAILURES - 1;
    ending(&catalog, &dying).fail(&Error::unavailable("no room", "test"), None).await.expect("buried");
    assert_eq!(catalog.video(&version.video).await.expect("a video").state, VideoState::Failed);
    ending(&catalog, &hopeless).refuse(&refusal()).await.expect("refused");
    assert_eq!(catalog.video(&version.video).await.expect("a video").state, VideoState::Refused);
    assert_eq!(states(&catalog).await, [(Kind::Encode, State::Cancelled), (Kind::Encode, State::Done)]);
}

/// invariant 4: every job ends: what cannot be said of it now is a failure of the attempt, with its true cause, and is tried again.
#[tokio::test]
async fn a_refusal_that_cannot_be_told_is_a_failed_attempt() {
    let (_folder, catalog) = catalog().await;
    let version = version(&catalog, &[Kind::Encode]).await;
    let job = claim(&catalog, LONG_MS).await;
    let state = async |state: &'static str| {
        let sql = "UPDATE videos SET state = $2 WHERE id = $1";
        transaction!(catalog, |tx| tx.execute(sql, crate::args![&version.video, state]).await).expect("changed");
    };
    state("ready").await;
    ending(&catalog, &job).refuse(&refusal()).await.expect("put back");
    let job = catalog.job(&job.id).await.expect("a job");
    assert_eq!((job.state, job.failures), (State::Queued, 1));
    assert!(job.last_error.as_ref().is_some_and(|cause| cause.contains("is not in processing")), "{job:?}");
}

#[tokio::test]
async fn a_death_that_cannot_be_told_is_told_later() {
    let (_folder, catalog) = catalog().await;
    version(&catalog, &[Kind::Encode]).await;
    let mut job = claim(&catalog, LONG_MS).await;
    job.failures = MAX_FAILURES - 1;
    let broken = "CREATE TRIGGER full_events BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no space'); END";
    transaction!(catalog, |tx| tx.execute(broken, Vec::new()).await).expect("a trigger");
    ending(&catalog, &job).fail(&Error::unavailable("no room", "test"), None).await.expect("put back");
    assert_eq!(states(&catalog).await, [(Kind::Encode, State::Queued)]);
    transaction!(catalog, |tx| tx.execute("DROP TRIGGER full_events", Vec::new()).await).expect("no trigger");
    transaction!(catalog, |tx| tx.execute("UPDATE jobs SET run_at = 0", Vec::new()).await).expect("due");
    let mut job = claim(&catalog, LONG_MS).await;
    job.failures = MAX_FAILURES;
    ending(&catalog, &job).fail(&Error::unavailable("no room", "test"), None).await.expect("buried");
    assert_eq!(states(&catalog).await, [(Kind::Encode, State::Dead)]);
}

/// invariant 4: every job ends: one that finds the disk full waits for room with all its attempts, however long that takes, and is done then.
#[tokio::test]
async fn a_full_disk_uses_up_no_attempt() {
    let (_folder, catalog) = catalog().await;
    version(&catalog, &[Kind::Encode]).await;
    for _ in 0..2 * MAX_CLAIMS {
        let job = claim(&catalog, LONG_MS).await;
        ending(&catalog, &job).fail(&Error::disk_full("the disk is full"), None).await.expect("put off");
        let job = catalog.job(&job.id).await.expect("a job");
        assert_eq!((job.state, job.failures, job.last_error.as_deref()), (State::Queued, 0, Some("the disk is full")));
        assert!(transaction!(catalog, |tx| tx.claim("node/1", LONG_MS, false).await).expect("rows").is_none(), "it waits");
        transaction!(catalog, |tx| tx.execute("UPDATE jobs SET run_at = 0", Vec::new()).await).expect("due");
        transaction!(catalog, |tx| tx.bury_expired().await).expect("nothing to bury");
    }
    let job = claim(&catalog, LONG_MS).await;
    transaction!(catalog, |tx| tx.settle(&Lease::of(&job)).await).expect("settled");
    assert_eq!(catalog.job(&job.id).await.expect("a job").last_error, None);
}

/// invariant 2: leases are fenced: whoever lost the lease says nothing at all.
#[tokio::test]
async fn a_lost_lease_says_nothing() {
    let (_folder, catalog) = catalog().await;
    version(&catalog, &[Kind::Encode]).await;
    let mut job = claim(&catalog, LONG_MS).await;
    job.epoch -= 1;
    for failures in [0, MAX_FAILURES - 1] {
        job.failures = failures;
        assert!(ending(&catalog, &job).refuse(&refusal()).await.is_err());
        assert!(ending(&catalog, &job).fail(&Error::unavailable("no room", "test"), None).await.is_err());
        assert!(ending(&catalog, &job).hand_back().await.is_err());
        assert_eq!(states(&catalog).await, [(Kind::Encode, State::Running)]);
    }
}
