//! Embeddings: nowhere by default, where it was said last otherwise, and nowhere again once the video is gone.

use super::{Db, is_missing, on_both_databases};
use crate::catalog::embeddings::Embedding;
use crate::domain::Result;
use crate::domain::ids::VideoId;
use crate::domain::origin::Origin;
use crate::transaction;

on_both_databases!(a_video_is_embedded_where_it_was_said_last);

async fn a_video_is_embedded_where_it_was_said_last(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    assert_eq!(db.catalog.embedding(&video).await?, Embedding::default());
    let origins = |texts: &[&str]| texts.iter().map(|text| Origin::parse(text)).collect::<Result<Vec<_>>>();
    for said in [
        Embedding { origins: origins(&["https://a.example", "http://b.example:8080"])?, oembed: true },
        Embedding { origins: origins(&["https://c.example"])?, oembed: false },
        Embedding::default(),
        Embedding { origins: origins(&["https://a.example"])?, oembed: true },
    ] {
        transaction!(db.catalog, |tx| tx.set_embedding(&video, &said).await)?;
        assert_eq!(db.catalog.embedding(&video).await?, said);
    }
    transaction!(db.catalog, |tx| tx.delete_video(&video).await)?;
    assert_eq!(db.catalog.embedding(&video).await?, Embedding::default());
    for gone in [video, VideoId::new()] {
        assert!(is_missing(&transaction!(db.catalog, |tx| tx.set_embedding(&gone, &Embedding::default()).await)));
    }
    Ok(())
}
