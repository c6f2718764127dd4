//! Opening: a catalog is made once, however many open it, and found again as it was.

use super::{Db, Place, at_once, on_both_databases, postgres_server};
use crate::domain::Result;
use std::sync::Arc;

on_both_databases!(opening_again_changes_nothing, opening_at_once_makes_one_catalog);

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
        let untouched = match db.place {
            Place::Sqlite(_) => Place::Sqlite(tempfile::tempdir().expect("a temporary folder")),
            Place::Postgres(_) => Place::Postgres(postgres_server::fresh_database().await),
        };
        let place = Arc::new(untouched);
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
