//! Transactions: all or nothing, whatever ends them: an error, a panic, a future that is dropped.

use super::{Db, Place, at_once, is_missing, on_both_databases, upload_of};
use crate::catalog::Catalog;
use crate::catalog::videos::{Filter, Listing, Unready};
use crate::domain::ids::VideoId;
use crate::domain::{Error, ErrorKind, Result};
use crate::{args, transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

on_both_databases!(
    a_failed_body_leaves_nothing,
    a_swallowed_failure_is_not_committed,
    a_dropped_transaction_leaves_nothing,
    an_uncommitted_change_is_seen_by_nobody_else,
    a_cancelled_task_leaves_no_transaction_behind,
    a_cancelled_begin_leaves_no_transaction_behind,
    contention_is_repeated_until_it_ends,
    two_processes_share_one_database,
    a_defect_is_no_outage,
);

const ALL: Listing = Listing { unready: Unready::Everyones, filter: Filter::NONE, before: None, limit: 1_000 };

async fn a_failed_body_leaves_nothing(db: &Db) -> Result<()> {
    let upload = upload_of("ada");
    let outcome: Result<()> = transaction!(db.catalog, |tx| {
        tx.insert_upload(&upload, "wrapped").await?;
        tx.insert_video(&upload).await?;
        Err(Error::conflict("changed-my-mind", "no"))
    });
    assert_eq!(outcome.expect_err("the body failed").code(), "changed-my-mind");
    assert!(is_missing(&db.catalog.video(&upload.video).await));
    assert!(is_missing(&db.catalog.wrapped_root_key(&upload.video).await));
    Ok(())
}

/// PostgreSQL answers the COMMIT of a broken transaction with a silent rollback; that must not look like success.
async fn a_swallowed_failure_is_not_committed(db: &Db) -> Result<()> {
    let (upload, twin) = (upload_of("ada"), db.video_of("bob").await?);
    let mut double = upload_of("bob");
    double.video = twin;
    let outcome = transaction!(db.catalog, |tx| {
        tx.insert_video(&upload).await?;
        let _ = tx.insert_video(&double).await;
        Ok(())
    });
    assert!(outcome.is_err(), "a commit that keeps nothing must not succeed");
    assert!(is_missing(&db.catalog.video(&upload.video).await));
    Ok(())
}

async fn a_dropped_transaction_leaves_nothing(db: &Db) -> Result<()> {
    for _ in 0..40 {
        let upload = upload_of("ada");
        let mut tx = db.catalog.begin().await?;
        tx.insert_video(&upload).await?;
        drop(tx);
        assert!(is_missing(&db.catalog.video(&upload.video).await));
    }
    db.video_of("ada").await.map(drop)
}

async fn an_uncommitted_change_is_seen_by_nobody_else(db: &Db) -> Result<()> {
    let upload = upload_of("ada");
    let mut tx = db.catalog.begin().await?;
    tx.insert_video(&upload).await?;
    assert!(is_missing(&db.catalog.video(&upload.video).await));
    tx.commit().await?;
    db.catalog.video(&upload.video).await.map(drop)
}

/// Adds one video and, in the same transaction, one event about it.
async fn add_video(catalog: Catalog) -> Result<VideoId> {
    let upload = upload_of("ada");
    transaction!(catalog, |tx| {
        tx.insert_video(&upload).await?;
        tx.append_event(crate::domain::event::Kind::VideoReady, &upload.video, "{}").await
    })?;
    Ok(upload.video)
}

/// A client that hangs up drops its request's future at any await: what it did is whole or nothing, and nobody waits for it.
async fn a_cancelled_task_leaves_no_transaction_behind(db: &Db) -> Result<()> {
    for round in 0..60_u64 {
        let tasks = (0..8).map(|_| tokio::spawn(add_video(db.catalog.clone()))).collect::<Vec<_>>();
        let _ = tokio::time::timeout(Duration::from_micros(round * 97), std::future::pending::<()>()).await;
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
    assert_usable(db).await?;
    for video in db.catalog.videos(&ALL).await? {
        assert_eq!(db.catalog.events(&video.id).await?.len(), 1, "half a transaction of {}", video.id);
    }
    Ok(())
}

/// The moment of the BEGIN itself: a future dropped there must not hand an open transaction back to the pool, where it would block
/// writers, or show its old snapshot to every later reader.
async fn a_cancelled_begin_leaves_no_transaction_behind(db: &Db) -> Result<()> {
    let (video, elsewhere) = (db.video_of("ada").await?, db.place.open().await?);
    for percent in 0..600_i64 {
        let limit = Duration::from_micros(percent.unsigned_abs());
        let (mut begin, begun) = (Box::pin(db.catalog.begin()), Instant::now());
        // Timers are too coarse to hit that moment.
        while begun.elapsed() < limit && futures_util::poll!(&mut begin).is_pending() {
            tokio::task::yield_now().await;
        }
        drop(begin);
        db.catalog.video(&video).await?;
        let sql = "UPDATE videos SET percent = $2 WHERE id = $1";
        transaction!(elsewhere, |tx| tx.execute(sql, args![&video, percent]).await)?;
        assert_eq!(db.catalog.video(&video).await?.percent, percent);
    }
    elsewhere.close().await;
    assert_usable(db).await
}

/// Every connection answers with what is committed now, and none holds a lock against another process.
async fn assert_usable(db: &Db) -> Result<()> {
    let elsewhere = db.place.open().await?;
    for _ in 0..3 {
        let added = at_once(8, |_| add_video(elsewhere.clone())).await.into_iter().collect::<Result<Vec<_>>>()?;
        let seen = at_once(24, |_| {
            let catalog = db.catalog.clone();
            async move { catalog.videos(&ALL).await.map(|videos| videos.into_iter().map(|video| video.id).collect::<Vec<_>>()) }
        })
        .await;
        for seen in seen {
            let seen = seen?;
            assert!(added.iter().all(|video| seen.contains(video)), "a connection reads from an old snapshot");
        }
    }
    elsewhere.close().await;
    let added = at_once(24, |_| add_video(db.catalog.clone())).await.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(added.len(), 24);
    Ok(())
}

/// Read, think, write: the worst transaction there is. Nobody's addition is lost, and every task comes to its end.
async fn contention_is_repeated_until_it_ends(db: &Db) -> Result<()> {
    const TASKS: usize = 32;
    let (video, runs) = (db.video_of("ada").await?, Arc::new(AtomicUsize::new(0)));
    let added = at_once(TASKS, |_| {
        let (catalog, video, runs) = (db.catalog.clone(), video.clone(), runs.clone());
        async move {
            transaction!(catalog, |tx| {
                runs.fetch_add(1, Ordering::Relaxed);
                let row = tx.fetch_optional("SELECT percent FROM videos WHERE id = $1", args![&video]).await?;
                let percent = row.map_or(Ok(0), |row| row.int("percent"))?;
                tokio::task::yield_now().await;
                tx.execute("UPDATE videos SET percent = $2 WHERE id = $1", args![&video, percent + 1]).await
            })
        }
    })
    .await;
    added.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(db.catalog.video(&video).await?.percent, 32);
    let repeated = runs.load(Ordering::Relaxed) - TASKS;
    match db.place {
        Place::Sqlite(_) => assert_eq!(repeated, 0, "one writer never meets another"),
        Place::Postgres(_) => assert!(repeated > 0, "{TASKS} transactions met, and none was repeated"),
    }
    Ok(())
}

/// As `theatrum jobs` beside a server on SQLite, or many servers on PostgreSQL: nobody is told that the catalog is busy.
async fn two_processes_share_one_database(db: &Db) -> Result<()> {
    let elsewhere = db.place.open().await?;
    let added = at_once(32, |number| add_video(if number % 2 == 0 { db.catalog.clone() } else { elsewhere.clone() })).await;
    let added = added.into_iter().collect::<Result<Vec<_>>>()?;
    for catalog in [&db.catalog, &elsewhere] {
        assert_eq!(catalog.videos(&ALL).await?.len(), added.len());
    }
    elsewhere.close().await;
    Ok(())
}

/// What will fail again in the same way must not be retried as if the database were away.
async fn a_defect_is_no_outage(db: &Db) -> Result<()> {
    let unplanned = upload_of("ada");
    let orphan = transaction!(db.catalog, |tx| tx.insert_source(&unplanned).await).expect_err("no such video");
    let nonsense = db.catalog.fetch_all("SELECT nothing FROM nowhere", args![]).await.expect_err("no such table");
    let null = transaction!(db.catalog, |tx| tx.execute("INSERT INTO root_keys (video_id) VALUES ('x')", args![]).await).expect_err("null");
    for error in [orphan, nonsense, null] {
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Internal, false), "{}", error.chain());
    }
    Ok(())
}
