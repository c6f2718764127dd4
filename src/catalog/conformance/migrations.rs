//! Opening: a catalog is made once, however many open it, and found again as it was.

use super::{Db, Place, at_once, on_both_databases, postgres_server};
use crate::args;
use crate::catalog::videos::{Filter, Listing, Unready};
use crate::catalog::{Catalog, Place as CatalogPlace};
use crate::domain::ids::{SourceId, UploadId, VersionId, VideoId};
use crate::domain::video::State;
use crate::domain::{Error, Result};
use crate::transaction;
use std::sync::Arc;

on_both_databases!(opening_again_changes_nothing, opening_at_once_makes_one_catalog, every_older_schema_keeps_its_rows);

async fn opening_again_changes_nothing(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    let again = db.place.open().await?;
    assert_eq!(again.video(&video).await?.owner, "ada");
    again.ping().await?;
    again.close().await;
    db.catalog.ping().await
}

async fn opening_at_once_makes_one_catalog(db: &Db) -> Result<()> {
    for _ in 0..8 {
        let place = Arc::new(untouched(db).await);
        let opened = at_once(8, |_| {
            let place = place.clone();
            async move { place.open().await }
        })
        .await;
        for catalog in opened {
            let catalog = catalog?;
            catalog.ping().await?;
            catalog.close().await;
        }
    }
    Ok(())
}

async fn untouched(db: &Db) -> Place {
    match db.place {
        Place::Sqlite(_) => Place::Sqlite(tempfile::tempdir().expect("a temporary folder")),
        Place::Postgres(_) => Place::Postgres(postgres_server::fresh_database().await),
    }
}

/// A ready video of the first schema: what every later one has to bring along.
async fn insert_first(catalog: &Catalog, video: &VideoId, title: &str) -> Result<VersionId> {
    let (upload, source, version) = (UploadId::new(), SourceId::new(), VersionId::new());
    transaction!(catalog, |tx| {
        let sql =
            "INSERT INTO videos (id, owner, title, state, stage, version_id, created_at, ready_at, duration_ms, width, height, truncated)
            VALUES ($1, 'ada', $2, 'ready', 'done', $3, 1, 2, 6000, 640, 360, 1)";
        tx.execute(sql, args![video, title, &version]).await?;
        let sql = "INSERT INTO uploads (id, video_id, owner, filename, title, size_bytes, part_size_bytes, state, created_at, expires_at)
            VALUES ($1, $2, 'ada', 'a.mp4', $3, 9, 9, 'finished', 1, 2)";
        tx.execute(sql, args![&upload, video, title]).await?;
        let sql = "INSERT INTO upload_parts (upload_id, number, size_bytes, sha256) VALUES ($1, 1, 9, 'abc')";
        tx.execute(sql, args![&upload]).await?;
        let sql = "INSERT INTO sources (id, video_id, upload_id, size_bytes, created_at) VALUES ($1, $2, $3, 9, 1)";
        tx.execute(sql, args![&source, video, &upload]).await?;
        let sql =
            "INSERT INTO versions (id, video_id, source_id, state, facts, plan, remaining, pictures_expected, created_at, published_at)
            VALUES ($1, $2, $3, 'published', '{}', '{}', 0, 150, 1, 2)";
        tx.execute(sql, args![&version, video, &source]).await?;
        tx.append_event(crate::domain::event::Kind::VideoReady, video, "{}").await?;
        Ok::<_, Error>(())
    })?;
    Ok(version)
}

async fn found(catalog: &Catalog, title: &str) -> Result<Vec<VideoId>> {
    let filter = Filter { title: Some(title.to_owned()), ..Filter::NONE };
    let listing = Listing { unready: Unready::Everyones, filter, before: None, limit: 10 };
    Ok(catalog.videos(&listing).await?.into_iter().map(|video| video.id).collect())
}

async fn every_older_schema_keeps_its_rows(db: &Db) -> Result<()> {
    let newest = db.catalog.snapshot().await?.schema();
    for schema in 1..=newest {
        let place = untouched(db).await;
        let at = match &place {
            Place::Sqlite(folder) => CatalogPlace::Sqlite(folder.path().join("catalog.db")),
            Place::Postgres(url) => CatalogPlace::Postgres(url.clone()),
        };
        let older = Catalog::open_at(&at, schema).await?;
        let video = VideoId::new();
        let version = insert_first(&older, &video, "Übersicht ΑΣ É").await?;
        older.close().await;
        let catalog = place.open().await?;
        assert_eq!(catalog.snapshot().await?.schema(), newest);
        let row = catalog.video(&video).await?;
        assert_eq!(
            (row.title.as_str(), row.state, &row.version),
            ("Übersicht ΑΣ É", State::Ready, &Some(version.clone())),
            "from {schema}"
        );
        for title in ["übersicht", "ÜBER", "ας", "é"] {
            assert_eq!(found(&catalog, title).await?, std::slice::from_ref(&video), "{title} from {schema}");
        }
        let sql = "SELECT duration_ms, width, truncated, source_duration_ms FROM versions WHERE id = $1";
        let row = catalog.fetch_optional(sql, args![&version]).await?.expect("a version");
        let taken_over = ["duration_ms", "width", "truncated", "source_duration_ms"].map(|column| row.opt_int(column));
        if schema < 7 {
            assert_eq!(taken_over.into_iter().collect::<Result<Vec<_>>>()?, [Some(6000), Some(640), Some(1), Some(6000)], "from {schema}");
        }
        assert_eq!(catalog.events(&video).await?.len(), 1);
        catalog.close().await;
    }
    Ok(())
}
