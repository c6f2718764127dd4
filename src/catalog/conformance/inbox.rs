//! Access keys, and objects of the inbox: received while open, adopted once.

use super::{Db, assert_one_wins, at_once, is_conflict, is_missing, on_both_databases, upload_of};
use crate::catalog::inbox::Origin;
use crate::domain::access_key::{AccessKey, AccessKeyId, Prefix};
use crate::domain::checksum::{Algorithm, Scope};
use crate::domain::inbox::{Object, Part};
use crate::domain::quota::{Defaults, Holder};
use crate::domain::role::Role;
use crate::domain::upload::{State, Upload};
use crate::domain::{ErrorKind, Result};
use crate::transaction;

on_both_databases!(
    a_revoked_key_has_no_secret,
    keys_come_in_pages,
    a_key_is_revoked_once,
    parts_that_grow_at_once_stay_under_a_limit,
    an_object_is_its_owners_and_its_keys,
    an_object_is_as_large_as_its_parts,
    parts_that_were_not_chosen_are_forgotten,
    nothing_is_received_after_the_end,
    a_part_that_comes_twice_at_once_leaves_one_blob,
    a_repeated_call_finds_its_object_and_no_other,
    a_receipt_is_good_until_it_ends,
);

fn key_of(subject: &str) -> AccessKey {
    let prefix = Prefix::parse("a/b").expect("a folder");
    AccessKey { id: AccessKeyId::new(), subject: subject.to_owned(), role: Role::Author, prefix, created_at: 0, revoked_at: None }
}

fn part(number: u64, size_bytes: u64, blob: &str) -> Part {
    let (md5, checksum) = ("d4".repeat(16), "AAAAAA==".to_owned());
    Part { number, size_bytes, md5, checksum, blob: blob.to_owned(), received_at: 0 }
}

impl Db {
    /// An open object of `ada`, sent by the call `invocation`.
    async fn object(&self, key: &str, invocation: Option<&str>) -> Result<(Upload, Object, AccessKeyId)> {
        let upload = Upload { size_bytes: 0, part_size_bytes: 0, ..upload_of("ada") };
        let object = Object {
            upload: upload.id.clone(),
            video: upload.video.clone(),
            key: key.to_owned(),
            multipart: true,
            algorithm: Algorithm::Crc32,
            scope: Scope::Composite,
            state: State::Open,
            size_bytes: 0,
            etag: None,
            created_at: 0,
            received_at: None,
        };
        let id = AccessKeyId::new();
        let origin = Origin { access_key: &id, invocation };
        transaction!(self.catalog, |tx| tx.insert_inbox_object(&upload, &object, origin, "wrapped").await)?;
        Ok((upload, object, id))
    }

    async fn receive(&self, upload: &Upload, part: &Part) -> Result<Option<String>> {
        transaction!(self.catalog, |tx| {
            tx.expect_inbox_part(&upload.id, part.number, part.size_bytes).await?;
            tx.receive_inbox_part(&upload.id, part, "aa").await
        })
    }
}

async fn a_revoked_key_has_no_secret(db: &Db) -> Result<()> {
    let key = key_of("ada");
    let made = transaction!(db.catalog, |tx| tx.insert_access_key(&key, "wrapped").await)?;
    transaction!(db.catalog, |tx| tx.insert_access_key(&key_of("bob"), "wrapped").await)?;
    assert_eq!(format!("{:?}", db.catalog.access_key(&key.id).await?), format!("{made:?}"));
    assert_eq!(db.catalog.wrapped_secret(&key.id).await?, "wrapped");
    assert_eq!((db.catalog.access_keys(Some("ada"), None, 9).await?.len(), db.catalog.access_keys(None, None, 9).await?.len()), (1, 2));
    assert!(transaction!(db.catalog, |tx| tx.is_good(&key.id).await)?);
    transaction!(db.catalog, |tx| tx.revoke_access_key(&key.id).await)?;
    assert!(is_missing(&db.catalog.wrapped_secret(&key.id).await));
    assert!(!transaction!(db.catalog, |tx| tx.is_good(&key.id).await)?);
    assert!(db.catalog.access_key(&key.id).await?.revoked_at.is_some() && db.catalog.access_keys(Some("ada"), None, 9).await?.is_empty());
    Ok(())
}

async fn keys_come_in_pages(db: &Db) -> Result<()> {
    let mut made = Vec::new();
    for _ in 0..5 {
        let key = transaction!(db.catalog, |tx| tx.insert_access_key(&key_of("ada"), "wrapped").await)?;
        transaction!(db.catalog, |tx| tx.insert_access_key(&key_of("bob"), "wrapped").await)?;
        made.push((key.created_at, key.id));
    }
    // Those of one moment by their names: nothing is twice on the pages, and nothing missing.
    made.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| other.1.as_str().cmp(one.1.as_str())));
    let mut seen: Vec<AccessKeyId> = Vec::new();
    loop {
        let page = db.catalog.access_keys(Some("ada"), seen.last(), 2).await?;
        if page.is_empty() {
            break;
        }
        // The one that the next page begins after may be revoked meanwhile.
        transaction!(db.catalog, |tx| tx.revoke_access_key(&page[page.len() - 1].id).await)?;
        seen.extend(page.into_iter().map(|key| key.id));
    }
    assert_eq!(seen, made.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    Ok(())
}

async fn a_key_is_revoked_once(db: &Db) -> Result<()> {
    let key = key_of("ada");
    transaction!(db.catalog, |tx| tx.insert_access_key(&key, "wrapped").await)?;
    let outcomes = at_once(4, |_| {
        let (catalog, id) = (db.catalog.clone(), key.id.clone());
        async move { transaction!(catalog, |tx| tx.revoke_access_key(&id).await) }
    });
    let outcomes = outcomes.await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| is_missing(outcome)).count(), 3, "{outcomes:?}");
    Ok(())
}

async fn an_object_is_its_owners_and_its_keys(db: &Db) -> Result<()> {
    let (upload, object, _) = db.object("a/b.mp4", None).await?;
    let read = db.catalog.inbox_object("ada", "a/b.mp4", &upload.id).await?;
    assert_eq!((read.video, read.algorithm, read.scope, read.state), (object.video, object.algorithm, object.scope, State::Open));
    assert!(is_missing(&db.catalog.inbox_object("bob", "a/b.mp4", &upload.id).await));
    assert!(is_missing(&db.catalog.inbox_object("ada", "a/c.mp4", &upload.id).await));
    assert_eq!((db.catalog.open_multiparts("ada").await?.len(), db.catalog.open_multiparts("bob").await?.len()), (1, 0));
    let open = async |owner: &str| transaction!(db.catalog, |tx| tx.open_objects(owner).await);
    assert_eq!((open("ada").await?, open("bob").await?), (1, 0));
    transaction!(db.catalog, |tx| tx.end_upload(&upload.id, State::Aborted).await)?;
    assert_eq!(open("ada").await?, 0);
    Ok(())
}

async fn an_object_is_as_large_as_its_parts(db: &Db) -> Result<()> {
    let (upload, ..) = db.object("a", None).await?;
    db.receive(&upload, &part(1, 100, "one")).await?;
    transaction!(db.catalog, |tx| tx.expect_inbox_part(&upload.id, 2, 50).await)?;
    assert_eq!(db.catalog.upload(&upload.id).await?.size_bytes, 150, "what is coming counts");
    assert_eq!(db.catalog.inbox_parts(&upload.id).await?.len(), 1, "and is not there");
    assert_eq!(db.receive(&upload, &part(1, 70, "again")).await?.as_deref(), Some("one"));
    assert_eq!(db.catalog.upload(&upload.id).await?.size_bytes, 120);
    assert_eq!(transaction!(db.catalog, |tx| tx.inbox_part_bytes(&upload.id, 2).await)?, 50);
    transaction!(db.catalog, |tx| tx.expect_inbox_part(&upload.id, 2, 20).await)?;
    assert_eq!(db.catalog.inbox_part_bytes(&upload.id, 2).await?, 50, "the larger one may be on its way still");
    transaction!(db.catalog, |tx| tx.expect_inbox_part(&upload.id, 2, 60).await)?;
    transaction!(db.catalog, |tx| tx.expect_inbox_part(&upload.id, 1, 90).await)?;
    let one = db.catalog.inbox_parts(&upload.id).await?;
    assert_eq!((one[0].size_bytes, db.catalog.upload(&upload.id).await?.size_bytes), (70, 130), "what has come has the size it has");
    transaction!(db.catalog, |tx| tx.receive_inbox_part(&upload.id, &part(2, 20, "two"), "aa").await)?;
    assert_eq!(db.catalog.upload(&upload.id).await?.size_bytes, 90);
    Ok(())
}

/// Small parts that are sent again at once, each larger than the limit leaves room for twice: none slips past it.
async fn parts_that_grow_at_once_stay_under_a_limit(db: &Db) -> Result<()> {
    const PARTS: u64 = 6;
    let (upload, ..) = db.object("a", None).await?;
    for number in 1..=PARTS {
        db.receive(&upload, &part(number, 10, "small")).await?;
    }
    let ada = Holder::User("ada".to_owned());
    transaction!(db.catalog, |tx| tx.set_quota(&ada, Some(PARTS * 10 + 150)).await)?;
    let grown = at_once(PARTS as usize, |number| {
        let (catalog, upload, ada) = (db.catalog.clone(), upload.id.clone(), ada.clone());
        async move {
            let part = part(number as u64 + 1, 110, "large");
            transaction!(catalog, |tx| {
                let more_bytes = part.size_bytes - tx.inbox_part_bytes(&upload, part.number).await?;
                tx.quota(&ada).await?.admit(more_bytes, &Defaults::default())?;
                tx.receive_inbox_part(&upload, &part, "aa").await
            })
        }
    })
    .await;
    let refused = |outcome: &Result<_>| outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::OutOfSpace);
    let won = grown.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!((won, grown.iter().filter(|outcome| refused(outcome)).count()), (1, 5), "{grown:?}");
    assert_eq!(db.catalog.quota(&ada).await?.used_bytes, PARTS * 10 + 100);
    Ok(())
}

async fn parts_that_were_not_chosen_are_forgotten(db: &Db) -> Result<()> {
    let (upload, ..) = db.object("a", None).await?;
    for number in [1, 2, 3] {
        db.receive(&upload, &part(number, 10, "blob")).await?;
    }
    transaction!(db.catalog, |tx| tx.expect_inbox_part(&upload.id, 4, 10).await)?;
    transaction!(db.catalog, |tx| {
        tx.keep_inbox_parts(&upload.id, &[1, 3]).await?;
        tx.inbox_received(&upload.id, 20, "tag-2", 1_000).await
    })?;
    let numbers: Vec<_> = db.catalog.upload_parts(&upload.id).await?.into_iter().map(|part| part.number).collect();
    assert_eq!((numbers, db.catalog.upload(&upload.id).await?.size_bytes), (vec![1, 3], 20));
    Ok(())
}

async fn nothing_is_received_after_the_end(db: &Db) -> Result<()> {
    let (upload, ..) = db.object("a", None).await?;
    db.receive(&upload, &part(1, 10, "blob")).await?;
    transaction!(db.catalog, |tx| tx.end_upload(&upload.id, State::Finished).await)?;
    assert!(is_conflict(&db.receive(&upload, &part(2, 10, "late")).await));
    let late = transaction!(db.catalog, |tx| tx.receive_inbox_part(&upload.id, &part(1, 10, "late"), "aa").await);
    assert!(is_conflict(&late));
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.extend_upload(&upload.id, i64::MAX).await)));
    assert_eq!(db.catalog.inbox_parts(&upload.id).await?[0].blob, "blob");
    Ok(())
}

/// Each but the last to be recorded is told of as superseded, just once: so none stays on the disk.
async fn a_part_that_comes_twice_at_once_leaves_one_blob(db: &Db) -> Result<()> {
    let (upload, ..) = db.object("a", None).await?;
    let outcomes = at_once(6, |number| {
        let (catalog, upload) = (db.catalog.clone(), upload.id.clone());
        async move {
            let part = part(1, 10, &format!("blob {number}"));
            transaction!(catalog, |tx| {
                tx.expect_inbox_part(&upload, 1, 10).await?;
                tx.receive_inbox_part(&upload, &part, "aa").await
            })
        }
    });
    let mut blobs = outcomes.await.into_iter().collect::<Result<Vec<_>>>()?;
    blobs.push(db.catalog.inbox_parts(&upload.id).await?.into_iter().map(|part| part.blob).next());
    let mut blobs: Vec<_> = blobs.into_iter().flatten().collect();
    blobs.sort_unstable();
    assert_eq!(blobs, (0..6).map(|number| format!("blob {number}")).collect::<Vec<_>>());
    let ends = at_once(4, |_| {
        let (catalog, upload) = (db.catalog.clone(), upload.id.clone());
        async move { transaction!(catalog, |tx| tx.end_upload(&upload, State::Finished).await) }
    });
    assert_one_wins(&ends.await);
    Ok(())
}

async fn a_repeated_call_finds_its_object_and_no_other(db: &Db) -> Result<()> {
    let (upload, _, id) = db.object("a", Some("call")).await?;
    let find = async |access_key: &AccessKeyId, invocation: Option<&str>, key: &str, etag: &str| {
        let origin = Origin { access_key, invocation };
        transaction!(db.catalog, |tx| tx.repeated_object(origin, key, etag).await)
    };
    assert!(find(&id, Some("call"), "a", "tag").await?.is_none(), "it has not come in yet");
    transaction!(db.catalog, |tx| tx.inbox_received(&upload.id, 1, "tag", 0).await)?;
    assert_eq!(find(&id, Some("call"), "a", "tag").await?.map(|object| object.upload), Some(upload.id));
    let stranger = AccessKeyId::new();
    for (who, call, key, etag) in [
        (&stranger, Some("call"), "a", "tag"),
        (&id, Some("other"), "a", "tag"),
        (&id, None, "a", "tag"),
        (&id, Some("call"), "b", "tag"),
        (&id, Some("call"), "a", "other"),
    ] {
        assert!(find(who, call, key, etag).await?.is_none(), "{call:?} {key} {etag}");
    }
    Ok(())
}

async fn a_receipt_is_good_until_it_ends(db: &Db) -> Result<()> {
    let (upload, ..) = db.object("a", None).await?;
    let now = transaction!(db.catalog, |tx| tx.now().await)?;
    assert!(db.catalog.receipt("ada", "a", now).await?.is_none());
    transaction!(db.catalog, |tx| tx.inbox_received(&upload.id, 7, "tag", 60_000).await)?;
    let receipt = db.catalog.receipt("ada", "a", now).await?.expect("a receipt");
    assert_eq!((receipt.size_bytes, receipt.etag.as_deref()), (7, Some("tag")));
    assert!(db.catalog.receipt("bob", "a", now).await?.is_none() && db.catalog.receipt("ada", "a", now + 120_000).await?.is_none());
    transaction!(db.catalog, |tx| tx.end_receipts("ada", "a").await)?;
    assert!(db.catalog.receipt("ada", "a", now).await?.is_none());
    Ok(())
}
