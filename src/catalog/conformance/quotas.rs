//! Quotas, and what was promised a place on the disk: what counts, and that nobody slips past a limit.

use super::{Db, LONG_MS, at_once, on_both_databases, part, probe_of, segment, upload_of};
use crate::catalog::room::Promised;
use crate::domain::ids::VideoId;
use crate::domain::job::Kind;
use crate::domain::quota::{Defaults, Holder, Quota};
use crate::domain::upload::{State, Upload};
use crate::domain::video::Refusal;
use crate::domain::{ErrorKind, Result, collection};
use crate::transaction;

on_both_databases!(
    what_people_brought_counts_until_it_is_gone,
    a_collection_counts_what_all_bring,
    a_replacement_counts_where_its_video_is,
    a_limit_is_given_changed_and_taken_back,
    everyone_who_has_anything_is_listed,
    one_upload_slips_under_a_limit,
    what_will_yet_be_written_is_promised,
);

const SIZE: u64 = 20 << 20;

fn ada() -> Holder {
    Holder::User("ada".to_owned())
}

fn cardiology() -> collection::Name {
    collection::Name::parse("Cardiology/2026").expect("a name")
}

/// A video with its source, in a collection if one is named.
async fn arrived(db: &Db, owner: &str, name: Option<&collection::Name>) -> Result<Upload> {
    let upload = Upload { collection: name.cloned(), ..upload_of(owner) };
    transaction!(db.catalog, |tx| {
        tx.insert_upload(&upload, "wrapped").await?;
        tx.end_upload(&upload.id, State::Finished).await?;
        tx.insert_video(&upload).await?;
        tx.insert_source(&upload).await
    })?;
    Ok(upload)
}

async fn refuse(db: &Db, video: &VideoId, purge_at: i64) -> Result<()> {
    let refusal = Refusal { code: "empty".to_owned(), message: "nothing in it".to_owned() };
    transaction!(db.catalog, |tx| tx.refuse_video(video, &refusal, purge_at).await)
}

async fn what_people_brought_counts_until_it_is_gone(db: &Db) -> Result<()> {
    let used = async || db.catalog.quota(&ada()).await.map(|quota| quota.used_bytes / SIZE);
    assert_eq!(used().await?, 0);
    let open = upload_of("ada");
    transaction!(db.catalog, |tx| tx.insert_upload(&open, "wrapped").await)?;
    assert_eq!(used().await?, 1, "the whole of an upload, from its first moment");
    transaction!(db.catalog, |tx| tx.end_upload(&open.id, State::Aborted).await)?;
    assert_eq!(used().await?, 0);
    let (deleted, refused) = (arrived(db, "ada", None).await?, arrived(db, "ada", None).await?);
    arrived(db, "bob", None).await?;
    assert_eq!(used().await?, 2);
    transaction!(db.catalog, |tx| tx.delete_video(&deleted.video).await)?;
    assert_eq!(used().await?, 1, "what is deleted is as good as gone");
    refuse(db, &refused.video, 0).await?;
    assert_eq!(used().await?, 1, "a refused source is kept for a while");
    transaction!(db.catalog, |tx| tx.purged(&refused.video).await)?;
    assert_eq!(used().await?, 0);
    Ok(())
}

async fn a_collection_counts_what_all_bring(db: &Db) -> Result<()> {
    let name = cardiology();
    let other = collection::Name::parse("Cardiology").expect("a name");
    for owner in ["ada", "bob"] {
        arrived(db, owner, Some(&name)).await?;
    }
    arrived(db, "ada", Some(&other)).await?;
    arrived(db, "ada", None).await?;
    let open = Upload { collection: Some(name.clone()), ..upload_of("eve") };
    transaction!(db.catalog, |tx| tx.insert_upload(&open, "wrapped").await)?;
    let inside = transaction!(db.catalog, |tx| tx.quota(&Holder::Collection(name.clone())).await)?;
    assert_eq!((inside.used_bytes / SIZE, db.catalog.quota(&ada()).await?.used_bytes / SIZE), (3, 3));
    Ok(())
}

/// Whoever sends it: what it replaces, and what it becomes, is another's.
async fn a_replacement_counts_where_its_video_is(db: &Db) -> Result<()> {
    let old = arrived(db, "ada", Some(&cardiology())).await?;
    let new = Upload { video: old.video.clone(), replaces: true, ..upload_of("bob") };
    transaction!(db.catalog, |tx| {
        tx.execute("UPDATE videos SET state = 'ready' WHERE id = $1", crate::args![&old.video]).await?;
        tx.insert_replacing_upload(&new).await
    })?;
    let (bob, inside) = (Holder::User("bob".to_owned()), Holder::Collection(cardiology()));
    for (holder, used) in [(ada(), 2), (bob, 0), (inside.clone(), 2)] {
        assert_eq!(db.catalog.quota(&holder).await?.used_bytes / SIZE, used, "{holder:?}");
    }
    let all: Vec<_> = db.catalog.quotas().await?.into_iter().map(|quota| (quota.holder, quota.used_bytes / SIZE)).collect();
    assert_eq!(all, [(ada(), 2), (inside, 2)]);
    let counted = async || transaction!(db.catalog, |tx| tx.counted_bytes(&old.video).await);
    assert_eq!(counted().await? / SIZE, 2, "it takes both along wherever it goes");
    transaction!(db.catalog, |tx| tx.end_upload(&new.id, State::Aborted).await)?;
    assert_eq!(counted().await? / SIZE, 1);
    Ok(())
}

async fn a_limit_is_given_changed_and_taken_back(db: &Db) -> Result<()> {
    for limit in [Some(7), Some(0), Some(u64::from(u32::MAX)), None, None] {
        transaction!(db.catalog, |tx| tx.set_quota(&ada(), limit).await)?;
        assert_eq!(db.catalog.quota(&ada()).await?.own_limit_bytes, limit);
    }
    let namesake = Holder::Collection(collection::Name::parse("ada").expect("a name"));
    transaction!(db.catalog, |tx| tx.set_quota(&namesake, Some(9)).await)?;
    assert_eq!(db.catalog.quota(&ada()).await?.own_limit_bytes, None, "a collection may have a user's name");
    Ok(())
}

async fn everyone_who_has_anything_is_listed(db: &Db) -> Result<()> {
    arrived(db, "bob", Some(&cardiology())).await?;
    arrived(db, "bob", None).await?;
    let gone = arrived(db, "eve", None).await?;
    transaction!(db.catalog, |tx| {
        tx.delete_video(&gone.video).await?;
        tx.set_quota(&ada(), Some(7)).await?;
        tx.insert_upload(&upload_of("ada"), "wrapped").await
    })?;
    let quota = |holder, used: u64, own_limit_bytes| Quota { holder, used_bytes: used * SIZE, own_limit_bytes };
    let bob = Holder::User("bob".to_owned());
    assert_eq!(
        db.catalog.quotas().await?,
        [quota(ada(), 1, Some(7)), quota(bob, 2, None), quota(Holder::Collection(cardiology()), 1, None)]
    );
    Ok(())
}

/// Uploads that begin at once, under a limit that holds one of them: the others are refused, none slips past.
async fn one_upload_slips_under_a_limit(db: &Db) -> Result<()> {
    for (round, holder) in [ada(), Holder::Collection(cardiology())].into_iter().enumerate() {
        let owner = |number: usize| if round == 0 { "ada".to_owned() } else { format!("author {number}") };
        let limit = db.catalog.quota(&holder).await?.used_bytes + SIZE + SIZE / 2;
        transaction!(db.catalog, |tx| tx.set_quota(&holder, Some(limit)).await)?;
        let begun = at_once(8, |number| {
            let (catalog, holder) = (db.catalog.clone(), holder.clone());
            let upload = Upload { collection: Some(cardiology()), ..upload_of(&owner(number)) };
            async move {
                transaction!(catalog, |tx| {
                    tx.wait_turn().await?;
                    tx.quota(&holder).await?.admit(upload.size_bytes, &Defaults::default())?;
                    tx.insert_upload(&upload, "wrapped").await
                })
            }
        })
        .await;
        let refused = |outcome: &Result<()>| outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::OutOfSpace);
        assert_eq!(begun.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{begun:?}");
        assert_eq!(begun.iter().filter(|outcome| refused(outcome)).count(), 7, "{begun:?}");
    }
    Ok(())
}

async fn what_will_yet_be_written_is_promised(db: &Db) -> Result<()> {
    assert_eq!(db.catalog.promised().await?, Promised::default());
    let upload = db.open_upload().await?;
    transaction!(db.catalog, |tx| {
        tx.declare_part(&upload.id, &part(1, "aa")).await?;
        tx.declare_part(&upload.id, &part(2, "bb")).await?;
        tx.receive_part(&upload.id, 1, "aa", "md5", "blob").await
    })?;
    let open = Promised { uploads_bytes: SIZE - (8 << 20), declared_bytes: SIZE, ..Promised::default() };
    assert_eq!(db.catalog.promised().await?, open);
    let source = arrived(db, "bob", None).await?;
    db.job(probe_of(&source.video)).await?;
    assert_eq!(db.catalog.promised().await?, Promised { unprobed_bytes: SIZE, ..open });
    let probe = db.claim(LONG_MS).await?.expect("the probe");
    assert_eq!((probe.kind, db.catalog.promised().await?.unprobed_bytes), (Kind::Probe, SIZE));
    transaction!(db.catalog, |tx| tx.settle(&super::lease_of(&probe)).await)?;
    assert_eq!(db.catalog.promised().await?, open);
    // The version of yet another upload, which is open for good.
    let version = db.version(1).await?;
    let open = Promised { uploads_bytes: open.uploads_bytes + SIZE, declared_bytes: 2 * SIZE, ..open };
    transaction!(db.catalog, |tx| tx.expect_bytes(&version.id, 10_000).await)?;
    assert_eq!(db.catalog.promised().await?, Promised { versions_bytes: 10_000, ..open });
    for (number, left) in [(0, 10_000 - 4096), (1, 10_000 - 2 * 4096), (2, 0)] {
        transaction!(db.catalog, |tx| tx.adopt_segment(&version.id, &segment(number, 1)).await)?;
        assert_eq!(db.catalog.promised().await?.versions_bytes, left);
    }
    transaction!(db.catalog, |tx| tx.abandon_versions(&version.video).await)?;
    assert_eq!(db.catalog.promised().await?, open);
    Ok(())
}
