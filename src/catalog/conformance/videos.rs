//! Videos: how the library lists them, and how each of their states is left.

use super::{Db, is_conflict, is_missing, on_both_databases, rendition};
use crate::catalog::videos::{Filter, Listing, Unready};
use crate::domain::Result;
use crate::domain::ids::{VersionId, VideoId};
use crate::domain::job::{Kind, NewJob};
use crate::domain::video::{Placing, Refusal, Stage, State};
use crate::transaction;

on_both_databases!(
    the_newest_video_comes_first_and_a_cursor_goes_on,
    a_listing_holds_ready_videos_and_its_owners,
    a_filter_narrows_a_listing,
    an_edit_is_seen_by_what_lists_and_searches,
    a_refused_video_says_why_and_is_purged_later,
    a_failed_video_may_be_refused_and_a_ready_one_may_not,
    a_deleted_video_is_gone_and_purged_at_once,
    a_purge_that_is_put_off_lets_others_go_first,
    a_failed_video_may_be_processed_again,
    the_stage_moves_only_in_processing,
    the_percentage_never_falls_and_stops_at_99,
    the_poster_is_the_last_one_written,
);

const ALL: Listing = Listing { unready: Unready::Everyones, filter: Filter::NONE, before: None, limit: 100 };

async fn listed(db: &Db, listing: &Listing) -> Result<Vec<VideoId>> {
    Ok(db.catalog.videos(listing).await?.into_iter().map(|video| video.id).collect())
}

async fn the_newest_video_comes_first_and_a_cursor_goes_on(db: &Db) -> Result<()> {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, db.video_of("ada").await?);
    }
    assert_eq!(listed(db, &ALL).await?, ids);
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let page = listed(db, &Listing { before: before.clone(), limit: 2, ..ALL }).await?;
        let Some(last) = page.last().cloned() else { break };
        before = Some(last);
        pages.push(page);
    }
    assert_eq!(pages, [&ids[..2], &ids[2..4], &ids[4..]]);
    assert_eq!(listed(db, &Listing { limit: u64::MAX, ..ALL }).await?, ids);
    assert_eq!(listed(db, &Listing { limit: 0, ..ALL }).await?, []);
    Ok(())
}

async fn filtered(db: &Db, filter: Filter) -> Result<Vec<VideoId>> {
    listed(db, &Listing { filter, ..ALL }).await
}

async fn a_filter_narrows_a_listing(db: &Db) -> Result<()> {
    let mut titled = Vec::new();
    for title in ["Über 100 % Herz", "under_score", "ÜBER das Herz"] {
        let upload = crate::domain::upload::Upload { title: title.to_owned(), ..super::upload_of("ada") };
        transaction!(db.catalog, |tx| tx.insert_video(&upload).await)?;
        titled.insert(0, upload.video);
    }
    let bobs = db.video_of("bob").await?;
    for (part, expected) in [("über", vec![0, 2]), ("HERZ", vec![0, 2]), ("100 %", vec![2]), ("%", vec![2]), ("_", vec![1]), ("!", vec![])]
    {
        let expected: Vec<_> = expected.into_iter().map(|at: usize| titled[at].clone()).collect();
        assert_eq!(filtered(db, Filter { title: Some(part.to_owned()), ..Filter::NONE }).await?, expected, "{part}");
    }
    let mine = |owner: &str| Filter { owner: Some(owner.to_owned()), ..Filter::NONE };
    assert_eq!(filtered(db, mine("bob")).await?, std::slice::from_ref(&bobs));
    assert_eq!(filtered(db, mine("Bob")).await?, []);
    let in_state = |state| Filter { state: Some(state), ..Filter::NONE };
    assert_eq!(filtered(db, in_state(State::Processing)).await?.len(), 4);
    assert_eq!(filtered(db, in_state(State::Deleted)).await?, [], "what is deleted is in no list");
    let made = db.catalog.video(&bobs).await?.created_at;
    assert_eq!(filtered(db, Filter { created_after: Some(made), created_before: Some(made), ..Filter::NONE }).await?, []);
    assert_eq!(filtered(db, Filter { created_after: Some(made + 1), ..Filter::NONE }).await?, []);
    assert_eq!(filtered(db, Filter { created_before: Some(made + 1), ..Filter::NONE }).await?.len(), 4);
    Ok(())
}

async fn an_edit_is_seen_by_what_lists_and_searches(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    let collection = Some(crate::domain::collection::Name::parse("Cardiology")?);
    let to = Placing { title: "Ärzte".to_owned(), collection: collection.clone() };
    transaction!(db.catalog, |tx| tx.place(&video, &to).await)?;
    assert_eq!(transaction!(db.catalog, |tx| tx.placing(&video).await)?, to);
    let found = Filter { title: Some("äRZ".to_owned()), collection, ..Filter::NONE };
    assert_eq!(filtered(db, found.clone()).await?, std::slice::from_ref(&video));
    transaction!(db.catalog, |tx| tx.place(&video, &Placing { collection: None, ..to.clone() }).await)?;
    assert_eq!(filtered(db, found).await?, []);
    assert!(is_missing(&transaction!(db.catalog, |tx| tx.placing(&VideoId::new()).await)));
    Ok(())
}

async fn a_listing_holds_ready_videos_and_its_owners(db: &Db) -> Result<()> {
    let (adas, bobs) = (db.video_of("ada").await?, db.video_of("bob").await?);
    let by = |owner: &str| Listing { unready: Unready::Of(owner.to_owned()), ..ALL };
    assert_eq!(listed(db, &by("ada")).await?, std::slice::from_ref(&adas));
    assert_eq!(listed(db, &by("Ada")).await?, []);
    assert_eq!(listed(db, &by("' OR 1=1 --")).await?, []);
    // Deny by default: nobody's name is no wildcard.
    assert_eq!(listed(db, &by("")).await?, []);
    let version = db.version(0).await?;
    assert!(transaction!(db.catalog, |tx| tx.publish_version(&version.id, &version.video, false).await)?);
    let ready = version.video;
    let nobodys = Listing { unready: Unready::Nobodys, ..ALL };
    assert_eq!(listed(db, &nobodys).await?, std::slice::from_ref(&ready));
    assert_eq!(listed(db, &by("")).await?, std::slice::from_ref(&ready));
    assert_eq!(listed(db, &by("bob")).await?, [ready.clone(), bobs.clone()]);
    assert_eq!(listed(db, &Listing { limit: 1, ..by("bob") }).await?, std::slice::from_ref(&ready));
    assert_eq!(listed(db, &Listing { before: Some(ready.clone()), ..by("bob") }).await?, std::slice::from_ref(&bobs));
    assert_eq!(listed(db, &Listing { before: Some(ready.clone()), ..nobodys }).await?, []);
    assert_eq!(listed(db, &ALL).await?, [ready.clone(), bobs, adas]);
    transaction!(db.catalog, |tx| tx.delete_video(&ready).await)?;
    assert_eq!(listed(db, &by("")).await?, []);
    Ok(())
}

async fn a_refused_video_says_why_and_is_purged_later(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    let refusal = Refusal { code: "no-pictures".into(), message: "this file holds neither pictures nor sound".into() };
    transaction!(db.catalog, |tx| tx.refuse_video(&video, &refusal, 2_000).await)?;
    let row = db.catalog.video(&video).await?;
    assert_eq!((row.state, row.stage, row.refusal.as_ref()), (State::Refused, Stage::Done, Some(&refusal)));
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.refuse_video(&video, &refusal, 1).await)));
    assert_eq!(db.catalog.videos_to_purge(1_999).await?, []);
    assert_eq!(db.catalog.videos_to_purge(2_000).await?, std::slice::from_ref(&video));
    transaction!(db.catalog, |tx| tx.purged(&video).await)?;
    assert_eq!(db.catalog.videos_to_purge(i64::MAX).await?, []);
    Ok(())
}

async fn a_failed_video_may_be_refused_and_a_ready_one_may_not(db: &Db) -> Result<()> {
    let refusal = Refusal { code: "undecodable".into(), message: "most of this file cannot be decoded".into() };
    let (failed, ready) = (db.video_of("ada").await?, db.version(0).await?);
    transaction!(db.catalog, |tx| {
        tx.set_failed(&failed, true).await?;
        tx.refuse_video(&failed, &refusal, 1).await
    })?;
    assert_eq!(db.catalog.video(&failed).await?.state, State::Refused);
    transaction!(db.catalog, |tx| tx.publish_version(&ready.id, &ready.video, false).await)?;
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.refuse_video(&ready.video, &refusal, 1).await)));
    assert_eq!(db.catalog.video(&ready.video).await?.state, State::Ready);
    Ok(())
}

async fn a_deleted_video_is_gone_and_purged_at_once(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    assert!(is_missing(&db.catalog.deleted_video(&video).await));
    let now = transaction!(db.catalog, |tx| {
        tx.delete_video(&video).await?;
        tx.now().await
    })?;
    assert!(is_missing(&db.catalog.video(&video).await));
    let left = db.catalog.deleted_video(&video).await?;
    assert_eq!((left.owner.as_str(), left.state, left.ready_at), ("ada", State::Deleted, None));
    assert!(is_missing(&transaction!(db.catalog, |tx| tx.delete_video(&video).await)));
    assert!(is_missing(&transaction!(db.catalog, |tx| tx.delete_video(&VideoId::new()).await)));
    assert_eq!(listed(db, &ALL).await?, []);
    assert_eq!(db.catalog.videos_to_purge(now).await?, [video]);
    Ok(())
}

async fn a_purge_that_is_put_off_lets_others_go_first(db: &Db) -> Result<()> {
    let (stuck, next, kept) = (db.video_of("ada").await?, db.video_of("ada").await?, db.video_of("ada").await?);
    let now = transaction!(db.catalog, |tx| {
        tx.delete_video(&stuck).await?;
        tx.delete_video(&next).await?;
        tx.now().await
    })?;
    assert_eq!(db.catalog.videos_to_purge(now).await?, [stuck.clone(), next.clone()]);
    transaction!(db.catalog, |tx| {
        tx.postpone_purge(&stuck, now + 1_000).await?;
        tx.postpone_purge(&kept, now).await
    })?;
    assert_eq!(db.catalog.videos_to_purge(now).await?, std::slice::from_ref(&next), "and what is not due never is");
    assert_eq!(db.catalog.videos_to_purge(now + 1_000).await?, [next, stuck]);
    Ok(())
}

async fn a_failed_video_may_be_processed_again(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    for (failed, state) in [(false, State::Processing), (true, State::Failed), (true, State::Failed), (false, State::Processing)] {
        transaction!(db.catalog, |tx| tx.set_failed(&video, failed).await)?;
        assert_eq!(db.catalog.video(&video).await?.state, state);
    }
    transaction!(db.catalog, |tx| {
        tx.delete_video(&video).await?;
        tx.set_failed(&video, false).await
    })?;
    assert!(is_missing(&db.catalog.video(&video).await));
    Ok(())
}

async fn the_stage_moves_only_in_processing(db: &Db) -> Result<()> {
    let version = db.version(0).await?;
    let stage = |stage| {
        let video = version.video.clone();
        async move {
            transaction!(db.catalog, |tx| tx.set_stage(&video, stage).await)?;
            db.catalog.video(&video).await.map(|video| video.stage)
        }
    };
    assert_eq!(stage(Stage::Publishing).await?, Stage::Publishing);
    transaction!(db.catalog, |tx| tx.publish_version(&version.id, &version.video, false).await)?;
    assert_eq!(stage(Stage::Encoding).await?, Stage::Done);
    Ok(())
}

async fn the_percentage_never_falls_and_stops_at_99(db: &Db) -> Result<()> {
    let version = db.version(2).await?;
    db.chunks_of(&version, 2).await?;
    let percent = || async {
        transaction!(db.catalog, |tx| tx.raise_percent(&version.video, &version.id).await)?;
        db.catalog.video(&version.video).await.map(|video| video.percent)
    };
    assert_eq!(percent().await?, 0);
    let first = super::lease_of(&db.claim(super::LONG_MS).await?.expect("a chunk"));
    let mut beat = Vec::new();
    for progress in [50, 90, 10, 1_000, -5] {
        assert!(transaction!(db.catalog, |tx| tx.heartbeat(&first, super::LONG_MS, progress).await)?);
        beat.push(percent().await?);
    }
    assert_eq!(beat, [25, 45, 45, 49, 49]);
    transaction!(db.catalog, |tx| tx.hand_back(&first).await)?;
    assert_eq!(percent().await?, 49);
    for _ in 0..2 {
        let lease = super::lease_of(&db.claim(super::LONG_MS).await?.expect("a chunk"));
        transaction!(db.catalog, |tx| tx.settle(&lease).await)?;
    }
    assert_eq!(percent().await?, 99);
    // More work may be found: the percentage stays.
    let (video, more) = (version.video.clone(), Some(version.id.clone()));
    db.job(NewJob { kind: Kind::Audio, payload: "{}".into(), video, version: more, priority: 1, weight: 500 }).await?;
    assert_eq!(percent().await?, 99);
    let nobodys = VersionId::new();
    transaction!(db.catalog, |tx| tx.raise_percent(&version.video, &nobodys).await)?;
    assert_eq!(percent().await?, 99);
    Ok(())
}

async fn the_poster_is_the_last_one_written(db: &Db) -> Result<()> {
    let version = db.version(1).await?;
    assert_eq!(db.catalog.video(&version.video).await?.poster_epoch, None);
    for epoch in [1, 4] {
        transaction!(db.catalog, |tx| tx.set_poster(&version.video, epoch).await)?;
        assert_eq!(db.catalog.video(&version.video).await?.poster_epoch, Some(epoch));
    }
    let names = db.catalog.renditions(&version.id).await?.into_iter().map(|rendition| rendition.name).collect::<Vec<_>>();
    assert_eq!(names, ["360p", "720p", "audio"].map(rendition));
    Ok(())
}
