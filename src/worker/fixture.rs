//! Rows to begin a test with: a video, its version, and the version's jobs.

use crate::catalog::Catalog;
use crate::catalog::versions::{Outline, Version};
use crate::domain::Result;
use crate::domain::ids::{UploadId, VersionId, VideoId};
use crate::domain::job::{Job, Kind, NewJob};
use crate::domain::upload::{State as UploadState, Upload};
use crate::transaction;
use tempfile::TempDir;

/// Stands for the wrapped root key of every version.
pub(super) const WRAPPED: &str = "a-wrapped-root-key";
pub(super) const LONG_MS: i64 = 3_600_000;

/// A fresh catalog, and the folder it lives in.
pub(super) async fn catalog() -> (TempDir, Catalog) {
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = Catalog::open_sqlite(&folder.path().join("catalog.db")).await.expect("a catalog");
    (folder, catalog)
}

fn upload() -> Upload {
    Upload {
        id: UploadId::new(),
        video: VideoId::new(),
        owner: "ada".to_owned(),
        filename: "heart.mp4".to_owned(),
        title: "The heart".to_owned(),
        collection: None,
        size_bytes: 1,
        part_size_bytes: 1,
        state: UploadState::Open,
        expires_at: i64::MAX,
    }
}

/// A video in processing.
pub(super) async fn video(catalog: &Catalog) -> VideoId {
    let upload = upload();
    transaction!(catalog, |tx| tx.insert_video(&upload).await).expect("a video");
    upload.video
}

/// A version in processing that waits for one job of each of `kinds`.
pub(super) async fn version(catalog: &Catalog, kinds: &[Kind]) -> Version {
    let upload = upload();
    let made: Result<Version> = transaction!(catalog, |tx| {
        tx.insert_upload(&upload, WRAPPED).await?;
        tx.insert_video(&upload).await?;
        let source = tx.insert_source(&upload).await?;
        let (id, video, facts, plan) = (VersionId::new(), upload.video.clone(), "{}".to_owned(), "{}".to_owned());
        let version = Version { id, video, source, facts, plan, pictures_expected: 0, pictures_decoded: 0 };
        let outline = Outline { duration_ms: 1, size: None, truncated: false };
        tx.insert_version(&version, &[], outline, kinds.len() as u64).await?;
        for kind in kinds {
            let (video, version) = (version.video.clone(), Some(version.id.clone()));
            tx.insert_job(&NewJob { kind: *kind, payload: "{}".to_owned(), video, version, priority: 0, weight: 1 }).await?;
        }
        Ok(version)
    });
    made.expect("a version")
}

/// Claims the next job.
pub(super) async fn claim(catalog: &Catalog, lease_ms: i64) -> Job {
    transaction!(catalog, |tx| tx.claim("node/1", lease_ms, false).await).expect("claimed").expect("a free job")
}
