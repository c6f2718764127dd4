//! Nothing corrupt: the catalog's file is sound, and every blob that a row points at has the digest that the row says.

use super::server::Server;
use aws_lc_rs::digest::{Context, SHA256, digest};
use futures_util::TryStreamExt;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use theatrum::blobs::{Blobs, Key, Source};
use theatrum::catalog::Catalog;
use theatrum::domain::ids::VideoId;
use theatrum::keys::Keys;
use theatrum::kms::{Keyring, Kms};

/// Kills the server and examines a copy of its data: the catalog, and the sources and segments of these videos.
pub async fn assert_intact(server: &mut Server, videos: &[VideoId]) {
    server.kill();
    let copy = server.scratch().join("copy");
    let copied = Command::new("cp").arg("-a").arg(server.data()).arg(&copy).status().expect("cp is installed");
    assert!(copied.success());
    let file = copy.join("catalog.db");
    let mut rows = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file)).await.expect("a catalog");
    let verdict: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut rows).await.expect("a verdict");
    assert_eq!(verdict, "ok");
    rows.close().await.expect("closed");
    let catalog = Catalog::open_sqlite(&file).await.expect("a catalog");
    let keyring = Keyring::open_or_create(&copy.join("keyring.json")).expect("the keyring");
    let keys = Keys::new(Kms::Local(Arc::new(keyring)));
    let root = copy.join("blobs");
    let unfinished = Command::new("find").arg(&root).args(["-name", "*#*"]).output().expect("find is installed").stdout;
    let blobs = Blobs::open(&root).await.expect("blobs");
    assert_eq!(String::from_utf8_lossy(&unfinished), "", "no unfinished write is left of whatever failed");
    for video in videos {
        assert_segments(&catalog, &root, video).await;
        assert_source(&catalog, &blobs, &keys, video).await;
    }
}

async fn assert_segments(catalog: &Catalog, root: &Path, video: &VideoId) {
    let version = catalog.video(video).await.expect("a video").version.expect("a version");
    let segments = catalog.segments(&version).await.expect("segments");
    assert!(!segments.is_empty());
    for it in segments {
        let path = root.join(format!("videos/{video}/{version}/{}/{:06}-{}.m4s", it.rendition, it.number, it.epoch));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(hex::encode(digest(&SHA256, &bytes)), it.sha256, "{}", path.display());
    }
}

async fn assert_source(catalog: &Catalog, blobs: &Blobs, keys: &Keys, video: &VideoId) {
    let version = catalog.video(video).await.expect("a video").version.expect("a version");
    let source = catalog.version(&version).await.expect("a version").source;
    let upload = catalog.source(&source).await.expect("a source").upload;
    let root = keys.open(video, &catalog.wrapped_root_key(video).await.expect("a key")).await.expect("opens");
    for part in catalog.upload_parts(&upload).await.expect("parts") {
        let key = Key::parse(&part.blob.expect("received")).expect("a key");
        let plain = Source::new(blobs.clone(), root.clone(), [(key, part.size_bytes)]);
        let mut context = Context::new(&SHA256);
        let mut pieces = plain.read(0..part.size_bytes);
        while let Some(piece) = pieces.try_next().await.expect("authentic") {
            context.update(&piece);
        }
        assert_eq!(hex::encode(context.finish()), part.sha256, "part {} of {video}", part.number);
    }
}
