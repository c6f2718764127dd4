//! Damage and verifications: only a row that is marked takes another blob, and one worker at a time carries a verification out.

use super::{Db, LONG_MS, assert_one_wins, at_once, is_conflict, on_both_databases, rendition, segment};
use crate::catalog::verifications::NewVerification;
use crate::catalog::versions::{Init, Segment};
use crate::domain::Result;
use crate::domain::ids::VideoId;
use crate::domain::verification::{State, Verification};
use crate::transaction;

on_both_databases!(
    a_damaged_segment_takes_one_successor_that_fits,
    a_damaged_init_segment_takes_one_that_is_the_same,
    a_verification_is_carried_out_by_one_and_kept_by_nobody_else,
    one_verification_of_everything_at_a_time,
);

/// invariant 2: of many that would stand in for a damaged segment, one does; none for a whole one, and none that does not fit.
async fn a_damaged_segment_takes_one_successor_that_fits(db: &Db) -> Result<()> {
    let version = db.version(1).await?;
    transaction!(db.catalog, |tx| tx.adopt_segment(&version.id, &segment(0, 1)).await)?;
    let adopt = |new: Segment| {
        let (catalog, id) = (db.catalog.clone(), version.id.clone());
        async move { transaction!(catalog, |tx| tx.adopt_segment(&id, &new).await) }
    };
    let name = rendition("360p");
    let mark = async |epoch| transaction!(db.catalog, |tx| tx.mark_segment_damaged(&version.id, &name, 0, epoch).await);
    assert!(!mark(2).await?, "its blob is another one by now");
    assert!(is_conflict(&adopt(segment(0, 2)).await), "a whole one is never replaced");
    assert!(mark(1).await?);
    let damage = db.catalog.damage(&version.id, &name).await?;
    assert_eq!((damage.segments.len(), damage.init), (1, false));
    for misfit in [
        Segment { duration_ticks: 1, ..segment(0, 2) },
        Segment { key_index: 1, ..segment(0, 2) },
        Segment { init_sha256: "other".to_owned(), ..segment(0, 2) },
    ] {
        assert!(is_conflict(&adopt(misfit).await));
    }
    assert_one_wins(&at_once(8, |number| adopt(Segment { sha256: "new".to_owned(), ..segment(0, 2 + number as i64) })).await);
    let rows = db.catalog.segments(&version.id).await?;
    assert!(rows.len() == 1 && rows[0].epoch >= 2 && rows[0].sha256 == "new", "{rows:?}");
    assert!(db.catalog.damage(&version.id, &name).await?.segments.is_empty());
    Ok(())
}

async fn a_damaged_init_segment_takes_one_that_is_the_same(db: &Db) -> Result<()> {
    let (version, name) = (db.version(1).await?, rendition("720p"));
    let init = |epoch, sha256: &str| Init {
        epoch,
        size_bytes: 700,
        md5: "a".to_owned(),
        sha256: sha256.to_owned(),
        codecs: "avc1.64001f".to_owned(),
    };
    let adopt = |new: Init| {
        let (catalog, id, name) = (db.catalog.clone(), version.id.clone(), name.clone());
        async move { transaction!(catalog, |tx| tx.adopt_init(&id, &name, &new).await) }
    };
    adopt(init(1, "b")).await?;
    assert!(transaction!(db.catalog, |tx| tx.mark_init_damaged(&version.id, &name, 1).await)?);
    assert!(db.catalog.damage(&version.id, &name).await?.init);
    assert!(is_conflict(&adopt(init(2, "other")).await), "segments need the one they were made with");
    assert_one_wins(&at_once(8, |number| adopt(init(2 + number as i64, "b"))).await);
    assert!(!db.catalog.damage(&version.id, &name).await?.init);
    Ok(())
}

fn of(video: Option<VideoId>) -> NewVerification {
    NewVerification { actor: "ada".to_owned(), video, repairs: true }
}

/// invariant 2: a lease that is over changes nothing; whoever has the next goes on where the last one was.
async fn a_verification_is_carried_out_by_one_and_kept_by_nobody_else(db: &Db) -> Result<()> {
    let id = transaction!(db.catalog, |tx| tx.insert_verification(&of(None)).await)?;
    let claim = |owner: String, lease_ms| {
        let catalog = db.catalog.clone();
        async move { transaction!(catalog, |tx| tx.claim_verification(&owner, lease_ms, false).await) }
    };
    let claimed = at_once(8, |number| claim(format!("node/{number}"), 0)).await.into_iter().collect::<Result<Vec<_>>>()?;
    let mut claimed: Vec<Verification> = claimed.into_iter().flatten().collect();
    claimed.sort_by_key(|claimed| claimed.epoch);
    assert!(claimed.windows(2).all(|pair| pair[0].epoch < pair[1].epoch), "each claim has an epoch of its own");
    let mut old = claimed.pop().expect("one at least");
    old.cursor = Some(VideoId::new());
    assert!(transaction!(db.catalog, |tx| tx.keep_verification(&old, false).await)?);
    let new = claim("node/next".to_owned(), LONG_MS).await?.expect("the lease is over");
    assert_eq!((new.cursor.clone(), new.state), (old.cursor.clone(), State::Running));
    assert!(!transaction!(db.catalog, |tx| tx.keep_verification(&old, true).await)?, "a stale epoch keeps nothing");
    assert!(!transaction!(db.catalog, |tx| tx.extend_verification(&old, LONG_MS).await)?);
    assert!(claim("node/third".to_owned(), LONG_MS).await?.is_none(), "it is leased");
    transaction!(db.catalog, |tx| tx.free_verifications("node", "node/life").await)?;
    let freed = claim("node/life".to_owned(), LONG_MS).await?.expect("the former life is over");
    assert!(transaction!(db.catalog, |tx| tx.keep_verification(&freed, true).await)?);
    let done = db.catalog.verification(&id).await?;
    assert_eq!(done.state, State::Done);
    assert!(done.ended_at.is_some() && claim("node/life".to_owned(), LONG_MS).await?.is_none());
    Ok(())
}

async fn one_verification_of_everything_at_a_time(db: &Db) -> Result<()> {
    let insert = |video: Option<VideoId>| {
        let catalog = db.catalog.clone();
        async move { transaction!(catalog, |tx| tx.insert_verification(&of(video.clone())).await) }
    };
    assert_one_wins(&at_once(8, |_| insert(None)).await);
    for _ in 0..2 {
        insert(Some(VideoId::new())).await?;
    }
    let single = transaction!(db.catalog, |tx| tx.claim_verification("node/1", LONG_MS, true).await)?.expect("one of a single video");
    assert!(single.video.is_some());
    let listed = db.catalog.verifications(Some("ada"), None, 10).await?;
    assert_eq!((listed.len(), db.catalog.verifications(Some("bob"), None, 10).await?.len()), (3, 0));
    assert_eq!(db.catalog.verifications(None, Some(&listed[0].id), 1).await?[0].id, listed[1].id);
    assert!(db.catalog.last_verification("ada").await?.is_some() && db.catalog.last_verification("bob").await?.is_none());
    Ok(())
}
