//! Objects of the inbox, by the port that the S3 endpoint has.

use super::*;
use crate::blobs::Digests;
use crate::domain::access_key::{AccessKey, AccessKeyId, Prefix};
use crate::domain::checksum::{Algorithm, Scope};
use crate::domain::inbox::Object;
use crate::domain::role::Role;
use crate::uploads::{Claim, ClaimedPart, Inbox as _, NewObject, Sender, StoredPart};

async fn sender(house: &House, prefix: &str) -> Sender {
    let prefix = Prefix::parse(prefix).expect("a folder");
    let key = AccessKey { id: AccessKeyId::new(), subject: "ada".to_owned(), role: Role::Author, prefix, created_at: 0, revoked_at: None };
    let key = transaction!(house.ingest.catalog, |tx| tx.insert_access_key(&key, "wrapped").await).expect("a key");
    Sender { key, address: None, invocation: None }
}

fn in_parts(key: &str) -> NewObject {
    NewObject { key: key.to_owned(), size_bytes: None, algorithm: Algorithm::Crc64Nvme, scope: Scope::FullObject }
}

/// A part of `size_bytes`, as the endpoint has stored it.
fn stored(object: &Object, number: u32, size_bytes: u64) -> StoredPart {
    let digests = Digests { size_bytes, ..Digests::of(b"") };
    StoredPart { key: Key::source_part(object.video.clone(), object.upload.clone(), number), digests }
}

/// invariant 9: the key that an object is going to have is looked at where its row is made, whatever the endpoint looked at.
#[tokio::test]
async fn no_object_begins_outside_its_senders_folder() {
    let house = House::new().await;
    let (inbox, sender) = (Inbox(house.ingest.clone()), sender(&house, "cardiology").await);
    let refused = inbox.begin(&sender, &in_parts("surgery/a.mp4")).await.expect_err("another folder");
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Forbidden, "outside-prefix"));
    let Object { key, .. } = inbox.begin(&sender, &in_parts("cardiology/a.mp4")).await.expect("its own").object;
    assert_eq!(key, "cardiology/a.mp4");
}

/// Parts that are there and are sent again, larger, at once: while they come they count for nothing, so each is asked again when it is there.
#[tokio::test]
async fn parts_sent_again_at_once_pass_no_limit() {
    for (quota, largest, code) in [(10_000, u64::MAX, "quota-exceeded"), (0, 10_000, "file-too-large")] {
        let mut house = House::with_quotas(Defaults { user_bytes: quota, collection_bytes: 0 }).await;
        house.ingest.limits.max_size_bytes = largest;
        let (inbox, sender) = (Inbox(house.ingest.clone()), sender(&house, "").await);
        let object = inbox.begin(&sender, &in_parts("a.mp4")).await.expect("begun").object;
        for number in 1..=4 {
            inbox.expect(&object, number, 10).await.expect("room");
            inbox.received(&object, number, &stored(&object, number, 10), "").await.expect("recorded");
        }
        for number in 1..=4 {
            inbox.expect(&object, number, 4_000).await.expect("room for this one");
        }
        let mut outcomes = Vec::new();
        for number in 1..=4 {
            let received = inbox.received(&object, number, &stored(&object, number, 4_000), "").await;
            outcomes.push(received.map(|superseded| superseded.is_some()).map_err(|error| error.code()));
        }
        assert_eq!(outcomes, [Ok(true), Ok(true), Err(code), Err(code)]);
        let sizes: Vec<_> = inbox.parts(&object).await.expect("parts").iter().map(|part| part.size_bytes).collect();
        assert_eq!(sizes, [4_000, 4_000, 10, 10], "what was there stays");
        let again = inbox.received(&object, 1, &stored(&object, 1, 3_000), "").await;
        assert!(again.is_ok_and(|superseded| superseded.is_some()), "a smaller one always fits");
    }
}

/// Nobody keeps more transfers open than a listing can hold; whoever ends one may begin another.
#[tokio::test]
async fn a_thousand_objects_may_be_on_their_way() {
    let house = House::new().await;
    let (inbox, sender) = (Inbox(house.ingest.clone()), sender(&house, "").await);
    let object = inbox.begin(&sender, &in_parts("a.mp4")).await.expect("the first").object;
    let upload = house.ingest.catalog.upload(&object.upload).await.expect("a row");
    transaction!(house.ingest.catalog, |tx| {
        for _ in 1..1_000 {
            let upload = Upload { id: UploadId::new(), video: VideoId::new(), ..upload.clone() };
            let object = Object { upload: upload.id.clone(), video: upload.video.clone(), ..object.clone() };
            let origin = crate::catalog::inbox::Origin { access_key: &sender.key.id, invocation: None };
            tx.insert_inbox_object(&upload, &object, origin, "wrapped").await?;
        }
        Ok::<_, Error>(())
    })
    .expect("rows");
    for new in [in_parts("b.mp4"), NewObject { size_bytes: Some(1), ..in_parts("b.mp4") }] {
        assert_eq!(inbox.begin(&sender, &new).await.expect_err("one more").code(), "too-many-transfers");
    }
    inbox.abort(&object).await.expect("aborted");
    inbox.begin(&sender, &in_parts("b.mp4")).await.expect("one less");
}

/// invariant 9: an object whose key was revoked while it came becomes no video.
#[tokio::test]
async fn nothing_comes_in_by_a_key_that_was_revoked_meanwhile() {
    let house = House::new().await;
    let (inbox, sender) = (Inbox(house.ingest.clone()), sender(&house, "").await);
    let new = NewObject { size_bytes: Some(10), ..in_parts("a.mp4") };
    let object = inbox.begin(&sender, &new).await.expect("begun").object;
    let part = stored(&object, 1, 10);
    inbox.received(&object, 1, &part, "").await.expect("recorded");
    transaction!(house.ingest.catalog, |tx| tx.revoke_access_key(&sender.key.id).await).expect("revoked");
    let claimed = ClaimedPart { number: 1, etag: hex::encode(part.digests.md5), checksum: None };
    let refused = inbox.complete(&sender, &object, &Claim { parts: vec![claimed], ..Claim::default() }).await.expect_err("revoked");
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Forbidden, "access-key-revoked"));
    assert!(house.ingest.catalog.video(&object.video).await.is_err());
}
