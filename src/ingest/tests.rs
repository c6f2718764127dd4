//! Ingest over a real catalog and real blobs, with faults that a server can hardly be made to have.

mod objects;

use super::*;
use crate::domain::quota::Defaults;
use crate::kms::{Keyring, Kms};
use crate::storage::Reserve;
use bytes::Bytes;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use tempfile::TempDir;

const PART_BYTES: u64 = 5 << 20;

struct House {
    folder: TempDir,
    ingest: Ingest,
}

impl House {
    async fn new() -> Self {
        Self::with_quotas(Defaults::default()).await
    }

    async fn with_quotas(quotas: Defaults) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let keyring = Keyring::open_or_create(&folder.path().join("keyring.json")).expect("a keyring");
        let presigner = Presigner::new("http://127.0.0.1:9", keyring.s3_credentials()).expect("a presigner");
        let catalog = Catalog::open_sqlite(&folder.path().join("catalog.db")).await.expect("a catalog");
        let blobs = Blobs::open(&folder.path().join("blobs")).await.expect("blobs");
        let limits = crate::storage::Limits { reserve: Reserve::default(), quotas, orphan_age: Duration::ZERO };
        let ingest = Ingest {
            storage: Storage::new(catalog.clone(), blobs.clone(), limits),
            catalog,
            blobs,
            keys: Keys::new(Kms::Local(Arc::new(keyring))),
            presigner: Arc::new(presigner),
            doorbell: Doorbell::default(),
            limits: Limits {
                max_size_bytes: u64::MAX,
                part_size_bytes: PART_BYTES,
                lifetime: Duration::from_secs(3600),
                url_lifetime: Duration::from_secs(60),
            },
        };
        Self { folder, ingest }
    }

    async fn begin(&self, parts: u64) -> Upload {
        let request = Request::new("heart.mp4", None, parts * PART_BYTES, u64::MAX).expect("a request");
        let upload = self.ingest.begin("ada", request).await.expect("an upload");
        assert_eq!(upload.parts(), parts);
        upload
    }

    /// As a client and the S3 endpoint do, but for the bytes.
    async fn receive(&self, upload: &Upload, number: u32) -> Key {
        let key = Key::source_part(upload.video.clone(), upload.id.clone(), number);
        self.ingest.blobs.put_new(&key, Bytes::from_static(b"sealed")).await.expect("a blob");
        let part = Part { number: u64::from(number), size_bytes: PART_BYTES, sha256: "ab".repeat(32), blob: None };
        transaction!(self.ingest.catalog, |tx| {
            tx.declare_part(&upload.id, &part).await?;
            tx.receive_part(&upload.id, part.number, &part.sha256, "md5", &key.path()).await
        })
        .expect("received");
        key
    }

    /// Someone who reads the catalog, and is not done yet.
    async fn reader(&self) -> SqliteConnection {
        let place = SqliteConnectOptions::new().filename(self.folder.path().join("catalog.db"));
        let mut reader = place.connect().await.expect("a connection");
        for sql in ["BEGIN", "SELECT COUNT(*) FROM uploads"] {
            sqlx::raw_sql(sql).execute(&mut reader).await.expect("a snapshot");
        }
        reader
    }

    fn sources(&self, upload: &Upload) -> PathBuf {
        self.folder.path().join("blobs/sources").join(upload.video.as_str())
    }
}

/// invariant 6: an upload that was given up leaves no blob, whatever came between; and one that cannot be cleared stops no other.
#[tokio::test]
async fn an_end_that_was_cut_short_is_made_good() {
    let house = House::new().await;
    let (stuck, next) = (house.begin(1).await, house.begin(1).await);
    for upload in [&stuck, &next] {
        house.receive(upload, 1).await;
    }
    // A folder that cannot be listed, not even by root.
    let (place, aside) = (house.sources(&stuck), house.folder.path().join("aside"));
    std::fs::rename(&place, &aside).expect("moved");
    symlink(&place, &place).expect("a link to itself");
    assert!(house.ingest.abort(&stuck.id).await.is_err());
    assert_eq!(house.ingest.catalog.upload(&stuck.id).await.expect("a row").state, State::Aborted);
    // What a kill leaves right after the commit.
    transaction!(house.ingest.catalog, |tx| {
        tx.end_upload(&next.id, State::Aborted).await?;
        tx.shred_root_key(&next.video).await
    })
    .expect("ended");
    house.ingest.expire().await.expect("a pass");
    assert!(!house.sources(&next).exists());
    std::fs::remove_file(&place).expect("untied");
    std::fs::rename(&aside, &place).expect("moved back");
    house.ingest.expire().await.expect("a pass");
    assert!(!house.sources(&stuck).exists());
    // A part that was on its way all the time, and whose end nobody saw.
    let late = Key::source_part(next.video.clone(), next.id.clone(), 1);
    house.ingest.blobs.put_new(&late, Bytes::from_static(b"sealed")).await.expect("a blob");
    house.ingest.expire().await.expect("a pass");
    assert!(!house.sources(&next).exists());
    let to_clear = async || house.ingest.catalog.uploads_to_clear().await.expect("rows").len();
    assert_eq!(to_clear().await, 2, "more might come");
    let long_ago = "UPDATE uploads SET expires_at = expires_at - $1";
    let passed = i64::try_from((Duration::from_secs(60) + SLOWEST_PUT).as_millis()).expect("small");
    transaction!(house.ingest.catalog, |tx| tx.execute(long_ago, crate::args![passed]).await).expect("rows");
    let reader = house.reader().await;
    house.ingest.expire().await.expect("a pass");
    assert_eq!(to_clear().await, 2, "a reader keeps the files as they were, wrapped keys included");
    reader.close().await.expect("closed");
    house.ingest.expire().await.expect("a pass");
    assert_eq!(to_clear().await, 0, "none is looked at again");
}

/// `finish` takes the same whatever the size: it counts the parts and reads none. Each of these would be an error to read.
#[tokio::test]
async fn a_finish_reads_no_part() {
    const PARTS: u64 = 10_000;
    let house = House::new().await;
    let catalog = &house.ingest.catalog;
    // Larger than it was declared: no disk of ours has room for so much.
    let upload = house.begin(1).await;
    let larger = "UPDATE uploads SET size_bytes = size_bytes * $2 WHERE id = $1";
    transaction!(catalog, |tx| tx.execute(larger, crate::args![&upload.id, PARTS]).await).expect("a row");
    let rows = "INSERT INTO upload_parts (upload_id, number, size_bytes, sha256, blob)
        WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < $2)
        SELECT $1, number, -1, 'ab', CASE WHEN number = $2 THEN NULL ELSE 'blob' END FROM numbers";
    transaction!(catalog, |tx| tx.execute(rows, crate::args![&upload.id, PARTS]).await).expect("rows");
    assert!(catalog.upload_parts(&upload.id).await.is_err(), "they cannot be read");
    assert!(house.ingest.finish(&upload.id).await.is_err(), "only to name those that are missing are they read");
    let received = "UPDATE upload_parts SET blob = 'blob' WHERE upload_id = $1";
    transaction!(catalog, |tx| tx.execute(received, crate::args![&upload.id]).await).expect("rows");
    for _ in 0..2 {
        let finished = house.ingest.finish(&upload.id).await.expect("finished");
        assert!(matches!(finished, Finished::Done(done) if done.video == upload.video));
    }
}
