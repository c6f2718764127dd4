//! The life of an upload: declared, received, ended once; and the root key that ends with its video.

use super::{Db, Place, at_once, is_conflict, is_missing, on_both_databases, part, upload_of};
use crate::domain::ids::{UploadId, VideoId};
use crate::domain::upload::State;
use crate::domain::{ErrorKind, Result};
use crate::transaction;

on_both_databases!(
    an_upload_is_read_as_it_was_written,
    parts_are_listed_in_order,
    received_parts_are_counted,
    only_the_declared_digest_is_received,
    another_digest_makes_a_part_missing_again,
    a_part_sent_twice_supersedes_its_blob,
    nothing_is_declared_or_received_after_the_end,
    an_upload_ends_once,
    overdue_uploads_are_the_open_ones_whose_time_is_over,
    an_upload_given_up_is_to_be_cleared_until_its_parts_are_forgotten,
    a_shredded_root_key_is_gone,
    a_scrub_may_come_at_any_time,
);

async fn an_upload_is_read_as_it_was_written(db: &Db) -> Result<()> {
    let upload = upload_of("ada");
    transaction!(db.catalog, |tx| tx.insert_upload(&upload, "wrapped key").await)?;
    let read = db.catalog.upload(&upload.id).await?;
    assert_eq!(format!("{read:?}"), format!("{upload:?}"));
    let inside = transaction!(db.catalog, |tx| tx.upload(&upload.id).await)?;
    assert_eq!(format!("{inside:?}"), format!("{upload:?}"));
    assert!(is_missing(&db.catalog.upload(&UploadId::new()).await));
    assert!(is_missing(&db.catalog.upload_part(&upload.id, 1).await));
    Ok(())
}

async fn parts_are_listed_in_order(db: &Db) -> Result<()> {
    let upload = db.open_upload().await?;
    transaction!(db.catalog, |tx| {
        for number in [10, 2, 1] {
            tx.declare_part(&upload.id, &part(number, "aa")).await?;
        }
        Ok(())
    })?;
    let numbers = db.catalog.upload_parts(&upload.id).await?.iter().map(|part| part.number).collect::<Vec<_>>();
    assert_eq!(numbers, [1, 2, 10]);
    Ok(())
}

async fn received_parts_are_counted(db: &Db) -> Result<()> {
    let (upload, other) = (db.open_upload().await?, db.open_upload().await?);
    for (number, received) in [(1, 0), (2, 1), (3, 2)] {
        transaction!(db.catalog, |tx| tx.declare_part(&upload.id, &part(number, "aa")).await)?;
        assert_eq!(transaction!(db.catalog, |tx| tx.received_parts(&upload.id).await)?, received);
        transaction!(db.catalog, |tx| tx.receive_part(&upload.id, number, "aa", "md5", "blob").await)?;
    }
    assert_eq!(transaction!(db.catalog, |tx| tx.received_parts(&other.id).await)?, 0);
    Ok(())
}

async fn only_the_declared_digest_is_received(db: &Db) -> Result<()> {
    let upload = db.open_upload().await?;
    let early = transaction!(db.catalog, |tx| tx.receive_part(&upload.id, 1, "aa", "md5", "blob").await);
    assert!(is_conflict(&early), "{early:?}");
    transaction!(db.catalog, |tx| tx.declare_part(&upload.id, &part(1, "aa")).await)?;
    let other = transaction!(db.catalog, |tx| tx.receive_part(&upload.id, 1, "bb", "md5", "blob").await);
    assert!(is_conflict(&other), "{other:?}");
    assert_eq!(db.catalog.upload_part(&upload.id, 1).await?.blob, None);
    let superseded = transaction!(db.catalog, |tx| tx.receive_part(&upload.id, 1, "aa", "md5", "blob").await)?;
    assert_eq!(superseded, None);
    assert_eq!(db.catalog.upload_part(&upload.id, 1).await?.blob.as_deref(), Some("blob"));
    Ok(())
}

async fn another_digest_makes_a_part_missing_again(db: &Db) -> Result<()> {
    let upload = db.open_upload().await?;
    transaction!(db.catalog, |tx| {
        tx.declare_part(&upload.id, &part(1, "aa")).await?;
        tx.receive_part(&upload.id, 1, "aa", "md5", "blob").await
    })?;
    let same = transaction!(db.catalog, |tx| tx.declare_part(&upload.id, &part(1, "aa")).await)?;
    assert_eq!(same, None);
    assert!(db.catalog.upload_part(&upload.id, 1).await?.blob.is_some());
    let orphan = transaction!(db.catalog, |tx| tx.declare_part(&upload.id, &part(1, "bb")).await)?;
    assert_eq!(orphan.as_deref(), Some("blob"));
    let again = db.catalog.upload_part(&upload.id, 1).await?;
    assert_eq!((again.sha256.as_str(), again.blob), ("bb", None));
    Ok(())
}

async fn a_part_sent_twice_supersedes_its_blob(db: &Db) -> Result<()> {
    let upload = db.open_upload().await?;
    let superseded = transaction!(db.catalog, |tx| {
        tx.declare_part(&upload.id, &part(1, "aa")).await?;
        tx.receive_part(&upload.id, 1, "aa", "md5", "first").await?;
        tx.receive_part(&upload.id, 1, "aa", "md5", "second").await
    })?;
    assert_eq!(superseded.as_deref(), Some("first"));
    Ok(())
}

async fn nothing_is_declared_or_received_after_the_end(db: &Db) -> Result<()> {
    for end in [State::Finished, State::Aborted, State::Expired] {
        let upload = db.open_upload().await?;
        transaction!(db.catalog, |tx| {
            tx.declare_part(&upload.id, &part(1, "aa")).await?;
            tx.receive_part(&upload.id, 1, "aa", "md5", "blob").await?;
            tx.end_upload(&upload.id, end).await
        })?;
        let received = transaction!(db.catalog, |tx| tx.receive_part(&upload.id, 1, "aa", "md5", "late").await);
        assert!(is_conflict(&received), "{received:?}");
        let declared = transaction!(db.catalog, |tx| tx.declare_part(&upload.id, &part(1, "bb")).await);
        assert!(is_conflict(&declared), "a finished source would lose a part: {declared:?}");
        assert_eq!(db.catalog.upload_part(&upload.id, 1).await?.blob.as_deref(), Some("blob"));
    }
    Ok(())
}

async fn an_upload_ends_once(db: &Db) -> Result<()> {
    for end in [State::Finished, State::Aborted, State::Expired] {
        let upload = db.open_upload().await?;
        transaction!(db.catalog, |tx| tx.end_upload(&upload.id, end).await)?;
        for other in [State::Finished, State::Aborted, State::Expired] {
            assert!(is_conflict(&transaction!(db.catalog, |tx| tx.end_upload(&upload.id, other).await)));
        }
        let ended = db.catalog.upload(&upload.id).await?;
        let now = transaction!(db.catalog, |tx| tx.now().await)?;
        assert_eq!(ended.state, end);
        assert!(ended.expires_at <= now && ended.expires_at < upload.expires_at, "its time is over");
    }
    let unknown = UploadId::new();
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.end_upload(&unknown, State::Aborted).await)));
    Ok(())
}

async fn overdue_uploads_are_the_open_ones_whose_time_is_over(db: &Db) -> Result<()> {
    let expiring = |expires_at| {
        let mut upload = upload_of("ada");
        upload.expires_at = expires_at;
        upload
    };
    let (overdue, due_later, ended) = (expiring(1_000), expiring(1_001), expiring(10));
    transaction!(db.catalog, |tx| {
        for upload in [&overdue, &due_later, &ended] {
            tx.insert_upload(upload, "wrapped").await?;
        }
        tx.end_upload(&ended.id, State::Finished).await
    })?;
    assert_eq!(db.catalog.overdue_uploads(1_000).await?, [overdue.id]);
    Ok(())
}

async fn an_upload_given_up_is_to_be_cleared_until_its_parts_are_forgotten(db: &Db) -> Result<()> {
    for end in [None, Some(State::Finished), Some(State::Aborted), Some(State::Expired)] {
        let (upload, bare) = (db.open_upload().await?, db.open_upload().await?);
        transaction!(db.catalog, |tx| {
            tx.declare_part(&upload.id, &part(1, "aa")).await?;
            if let Some(end) = end {
                tx.end_upload(&upload.id, end).await?;
                tx.end_upload(&bare.id, end).await?;
            }
            Ok(())
        })?;
        let given_up = matches!(end, Some(State::Aborted | State::Expired));
        let to_clear = db.catalog.uploads_to_clear().await?.into_iter().map(|upload| upload.id).collect::<Vec<_>>();
        assert_eq!(to_clear, if given_up { vec![upload.id.clone()] } else { Vec::new() }, "{end:?}");
        transaction!(db.catalog, |tx| tx.forget_parts(&upload.id).await)?;
        assert_eq!(db.catalog.uploads_to_clear().await?.len(), 0, "{end:?}");
        assert_eq!(db.catalog.upload_parts(&upload.id).await?.is_empty(), given_up, "{end:?}: an open or finished upload keeps its parts");
    }
    Ok(())
}

async fn a_shredded_root_key_is_gone(db: &Db) -> Result<()> {
    let upload = db.open_upload().await?;
    assert_eq!(db.catalog.wrapped_root_key(&upload.video).await?, "wrapped");
    for _ in 0..2 {
        transaction!(db.catalog, |tx| tx.shred_root_key(&upload.video).await)?;
        assert!(is_missing(&db.catalog.wrapped_root_key(&upload.video).await));
    }
    assert!(is_missing(&db.catalog.wrapped_root_key(&VideoId::new()).await));
    Ok(())
}

async fn a_scrub_may_come_at_any_time(db: &Db) -> Result<()> {
    db.catalog.scrub().await?;
    let outcomes = at_once(8, |number| {
        let catalog = db.catalog.clone();
        async move {
            match number {
                0 | 1 => match catalog.scrub().await {
                    Err(error) if error.kind() == ErrorKind::Unavailable => Ok(()),
                    scrubbed => scrubbed,
                },
                _ => transaction!(catalog, |tx| tx.insert_upload(&upload_of("ada"), "wrapped").await),
            }
        }
    })
    .await;
    outcomes.into_iter().collect()
}

/// invariant 6: deleting a video deletes its wrapped root key: no file of the database holds it any more, though others are written
/// before and after it.
#[tokio::test]
async fn a_shredded_root_key_is_in_no_file() {
    let db = Db::sqlite().await;
    let Place::Sqlite(folder) = &db.place else { panic!("not on SQLite") };
    let holds = |text: &str| {
        let files = std::fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("a file").path());
        files.filter(|file| contains(&std::fs::read(file).expect("bytes"), text.as_bytes())).count()
    };
    let mut videos = Vec::new();
    for number in 0..40 {
        let upload = upload_of("ada");
        transaction!(db.catalog, |tx| tx.insert_upload(&upload, &format!("wrapped-{number:03}-{}", "x".repeat(300))).await)
            .expect("an upload");
        videos.push(upload.video);
    }
    db.catalog.scrub().await.expect("scrubbed");
    assert_eq!((holds("wrapped-017-"), holds("wrapped-018-")), (1, 1));
    transaction!(db.catalog, |tx| tx.shred_root_key(&videos[17]).await).expect("shredded");
    db.catalog.scrub().await.expect("scrubbed");
    assert_eq!((holds("wrapped-017-"), holds("wrapped-018-")), (0, 1));
    for video in &videos {
        transaction!(db.catalog, |tx| tx.shred_root_key(video).await).expect("shredded");
    }
    db.catalog.scrub().await.expect("scrubbed");
    assert_eq!(holds("wrapped-"), 0);
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
