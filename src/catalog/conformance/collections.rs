//! Collections: made once, however many name them at once, and seen by those who see a video in them.

use super::{Db, at_once, on_both_databases, upload_of};
use crate::catalog::videos::{Filter, Listing, Unready};
use crate::domain::Result;
use crate::domain::collection::Name;
use crate::domain::ids::VideoId;
use crate::transaction;

on_both_databases!(
    a_collection_is_made_once_by_all_who_name_it,
    collections_are_in_the_order_of_their_bytes,
    a_collection_is_seen_by_those_who_see_a_video_in_it,
    a_video_moves_between_collections,
);

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

impl Db {
    async fn video_in(&self, owner: &str, collection: &str) -> Result<VideoId> {
        let mut upload = upload_of(owner);
        upload.collection = Some(name(collection));
        transaction!(self.catalog, |tx| tx.insert_video(&upload).await)?;
        Ok(upload.video)
    }

    async fn seen_by(&self, unready: Unready) -> Result<Vec<(String, u64)>> {
        let seen = self.catalog.collections(&unready).await?.into_iter();
        Ok(seen.map(|collection| (collection.name.to_string(), collection.videos)).collect())
    }

    async fn listed_in(&self, collection: &str) -> Result<Vec<VideoId>> {
        let listing = Listing {
            unready: Unready::Everyones,
            filter: Filter { collection: Some(name(collection)), ..Filter::NONE },
            before: None,
            limit: 10,
        };
        Ok(self.catalog.videos(&listing).await?.into_iter().map(|video| video.id).collect())
    }
}

async fn a_collection_is_made_once_by_all_who_name_it(db: &Db) -> Result<()> {
    let made = at_once(8, |_| {
        let catalog = db.catalog.clone();
        async move { transaction!(catalog, |tx| tx.ensure_collection(&name("Cardiology/2026")).await) }
    });
    let mut ids = made.await.into_iter().collect::<Result<Vec<_>>>()?;
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    Ok(())
}

async fn collections_are_in_the_order_of_their_bytes(db: &Db) -> Result<()> {
    for collection in ["b", "Äther", "a-1", "B", "a1", "a", "A", "übung"] {
        db.video_in("ada", collection).await?;
    }
    let names = db.seen_by(Unready::Everyones).await?.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names, ["A", "B", "a", "a-1", "a1", "b", "Äther", "übung"]);
    Ok(())
}

/// invariant 9: deny by default: a collection's name may itself tell something.
async fn a_collection_is_seen_by_those_who_see_a_video_in_it(db: &Db) -> Result<()> {
    let first = db.video_in("ada", "a").await?;
    let second = db.video_in("ada", "a").await?;
    db.video_in("bob", "b").await?;
    let pairs = |pairs: &[(&str, u64)]| pairs.iter().map(|(name, videos)| ((*name).to_owned(), *videos)).collect::<Vec<_>>();
    assert_eq!(db.seen_by(Unready::Everyones).await?, pairs(&[("a", 2), ("b", 1)]));
    assert_eq!(db.seen_by(Unready::Of("bob".to_owned())).await?, pairs(&[("b", 1)]));
    assert_eq!(db.seen_by(Unready::Nobodys).await?, pairs(&[]));
    assert_eq!(db.listed_in("a").await?, [second, first.clone()]);
    assert_eq!(db.listed_in("A").await?, []);
    transaction!(db.catalog, |tx| tx.delete_video(&first).await)?;
    assert_eq!(db.seen_by(Unready::Everyones).await?, pairs(&[("a", 1), ("b", 1)]));
    Ok(())
}

async fn a_video_moves_between_collections(db: &Db) -> Result<()> {
    let video = db.video_in("ada", "a").await?;
    assert_eq!(db.catalog.video(&video).await?.collection, Some(name("a")));
    transaction!(db.catalog, |tx| tx.set_collection(&video, Some(&name("b"))).await)?;
    assert_eq!(db.catalog.video(&video).await?.collection, Some(name("b")));
    transaction!(db.catalog, |tx| tx.set_collection(&video, None).await)?;
    assert_eq!(db.catalog.video(&video).await?.collection, None);
    Ok(())
}
