//! Copies of a whole catalog: what a snapshot sees, and that either database takes the rows of the other.

use super::{Db, on_both_databases, rendition, segment, upload_of};
use crate::catalog::{Catalog, Place as CatalogPlace, Table};
use crate::domain::event::Kind as EventKind;
use crate::domain::{Error, ErrorKind, Result};
use crate::transaction;
use serde_json::{Map, Value as Json};

on_both_databases!(
    a_snapshot_sees_what_was_there_when_it_began,
    rows_go_from_one_database_into_either,
    joining_makes_nothing_and_migrates_nothing,
    a_schema_from_the_future_is_not_made,
    a_video_without_its_key_has_not_ended,
);

type Rows = Vec<(String, Vec<Map<String, Json>>)>;

async fn copy(catalog: &Catalog) -> Result<Rows> {
    let mut snapshot = catalog.snapshot().await?;
    let mut copied = Vec::new();
    for table in snapshot.tables().to_vec() {
        let mut rows = Vec::new();
        let mut keep = |row: crate::catalog::Row| {
            rows.push(row.to_json());
            Ok(())
        };
        snapshot.for_each(&table, &mut keep).await?;
        copied.push((table.name().to_owned(), rows));
    }
    snapshot.end().await?;
    Ok(copied)
}

async fn paste(catalog: &Catalog, copied: &Rows) -> Result<()> {
    let mut tx = catalog.begin().await?;
    let tables = tx.tables().await?;
    for (name, rows) in copied {
        let table: &Table = tables.iter().find(|table| table.name() == name).expect("both databases have the same tables");
        assert!(tx.is_empty(table).await?);
        tx.insert_rows(table, rows).await?;
        tx.count_on(table).await?;
    }
    tx.commit().await
}

async fn a_snapshot_sees_what_was_there_when_it_began(db: &Db) -> Result<()> {
    let before = db.video_of("ada").await?;
    let mut snapshot = db.catalog.snapshot().await?;
    let after = db.video_of("bob").await?;
    transaction!(db.catalog, |tx| tx.delete_video(&before).await)?;
    let videos = snapshot.tables().iter().find(|table| table.name() == "videos").expect("a table").clone();
    let mut seen = Vec::new();
    let mut keep = |row: crate::catalog::Row| {
        seen.push((row.text("id")?, row.text("state")?));
        Ok(())
    };
    snapshot.for_each(&videos, &mut keep).await?;
    snapshot.end().await?;
    assert_eq!(seen, [(before.to_string(), "processing".to_owned())]);
    assert_eq!(db.catalog.video(&after).await?.owner, "bob", "writers went on");
    Ok(())
}

async fn rows_go_from_one_database_into_either(db: &Db) -> Result<()> {
    let version = db.version(2).await?;
    let mut odd = upload_of("O'Hara \"\\ \u{1f600}\n\t\u{7}; DROP TABLE videos; --");
    odd.size_bytes = i64::MAX as u64;
    let segments = (0..450).map(|number| segment(number, 3)).collect::<Vec<_>>();
    transaction!(db.catalog, |tx| {
        tx.insert_upload(&odd, "wrapped").await?;
        for segment in &segments {
            tx.adopt_segment(&version.id, segment).await?;
        }
        for _ in 0..3 {
            tx.append_event(EventKind::VideoReady, &version.video, "{}").await?;
        }
        Ok::<_, Error>(())
    })?;
    let copied = copy(&db.catalog).await?;
    for target in [Db::sqlite().await, Db::postgres().await] {
        paste(&target.catalog, &copied).await?;
        assert_eq!(copy(&target.catalog).await?, copied, "not one row differs");
        assert_eq!(target.catalog.upload(&odd.id).await?.owner, odd.owner);
        assert_eq!(target.catalog.segments(&version.id).await?.len(), 450);
        assert_eq!(target.catalog.renditions(&version.id).await?[0].name, rendition("360p"));
        transaction!(target.catalog, |tx| tx.append_event(EventKind::VideoReady, &version.video, "{}").await)?;
        assert_eq!(target.catalog.events(&version.video).await?.last().expect("appended").seq, 4, "it counts on");
        target.catalog.close().await;
    }
    Ok(())
}

fn place(db: &Db) -> CatalogPlace {
    match &db.place {
        super::Place::Sqlite(folder) => CatalogPlace::Sqlite(folder.path().join("catalog.db")),
        super::Place::Postgres(url) => CatalogPlace::Postgres(url.clone()),
    }
}

async fn joining_makes_nothing_and_migrates_nothing(db: &Db) -> Result<()> {
    let joined = Catalog::join(&place(db)).await?;
    joined.ping().await?;
    joined.close().await;
    let empty = match &db.place {
        super::Place::Sqlite(folder) => CatalogPlace::Sqlite(folder.path().join("none.db")),
        super::Place::Postgres(_) => CatalogPlace::Postgres(super::postgres_server::fresh_database().await),
    };
    for _ in 0..2 {
        assert_eq!(Catalog::join(&empty).await.expect_err("nothing there").kind(), ErrorKind::NotFound);
    }
    Ok(())
}

async fn a_schema_from_the_future_is_not_made(db: &Db) -> Result<()> {
    assert_eq!(Catalog::open_at(&place(db), 1_000).await.expect_err("unknown").code(), "catalog-newer");
    Ok(())
}

/// invariant 6: what a backup notes as deleted is gone for ever, so only an end counts as one.
async fn a_video_without_its_key_has_not_ended(db: &Db) -> Result<()> {
    let (video, upload) = (db.video_of("ada").await?, upload_of("ada"));
    transaction!(db.catalog, |tx| tx.insert_upload(&upload, "wrapped").await)?;
    for video in [&video, &upload.video] {
        transaction!(db.catalog, |tx| tx.shred_root_key(video).await)?;
        assert!(!db.catalog.has_key(video).await? && !db.catalog.has_ended(video).await?);
    }
    transaction!(db.catalog, |tx| {
        tx.delete_video(&video).await?;
        tx.end_upload(&upload.id, crate::domain::upload::State::Aborted).await
    })?;
    for video in [&video, &upload.video] {
        assert!(db.catalog.has_ended(video).await?);
    }
    Ok(())
}
