//! One suite for both databases: each test body below runs over SQLite and over a real PostgreSQL.

mod collections;
mod copies;
mod damage;
mod embeddings;
mod guards;
mod idempotency;
mod inbox;
mod isolation;
mod jobs;
mod migrations;
mod quotas;
mod races;
mod replacements;
mod rows;
mod signing_keys;
mod text;
mod uploads;
mod versions;
mod videos;
mod webhooks;

#[path = "../../tests/it/support/postgres.rs"]
mod postgres_server;

use super::jobs::Lease;
use super::versions::{NewRendition, Outline, Version};
use super::{Catalog, versions::Segment};
use crate::domain::ids::{JobId, UploadId, VersionId, VideoId};
use crate::domain::job::{Job, Kind, NewJob};
use crate::domain::upload::{Part, State as UploadState, Upload};
use crate::domain::video::RenditionName;
use crate::domain::{ErrorKind, Result};
use crate::transaction;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// Makes, for every named `async fn(&Db) -> Result<()>`, one test on each database.
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => { $(
        mod $name {
            use $crate::catalog::conformance::Db;

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn sqlite() {
                let db = Db::sqlite().await;
                super::$name(&db).await.expect("the catalog does as the test asks");
                db.catalog.close().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn postgres() {
                let db = Db::postgres().await;
                super::$name(&db).await.expect("the catalog does as the test asks");
                db.catalog.close().await;
            }
        }
    )+ };
}
use on_both_databases;

/// A lease longer than any test.
const LONG_MS: i64 = 3_600_000;

/// One test's own database.
struct Db {
    catalog: Catalog,
    place: Place,
}

enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(String),
}

impl Db {
    async fn sqlite() -> Self {
        Self::at(Place::Sqlite(tempfile::tempdir().expect("a temporary folder"))).await
    }

    async fn postgres() -> Self {
        Self::at(Place::Postgres(postgres_server::fresh_database().await)).await
    }

    async fn at(place: Place) -> Self {
        Self { catalog: place.open().await.expect("a fresh catalog opens"), place }
    }
}

impl Place {
    async fn open(&self) -> Result<Catalog> {
        match self {
            Self::Sqlite(folder) => Catalog::open_sqlite(&folder.path().join("catalog.db")).await,
            Self::Postgres(url) => Catalog::open_postgres(url).await,
        }
    }
}

/// Runs `task(0)` to `task(count - 1)` at once, each as a task of its own, let go together; gives what they give.
async fn at_once<T, F>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(count));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (start, task) = (start.clone(), task(number));
        tasks.spawn(async move {
            start.wait().await;
            task.await
        });
    }
    tasks.join_all().await
}

/// Asserts that exactly one of `outcomes` is a success and all others are `Conflict`.
fn assert_one_wins<T: Debug>(outcomes: &[Result<T>]) {
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let lost = outcomes.iter().filter(|outcome| is_conflict(outcome)).count();
    assert_eq!((won, lost), (1, outcomes.len() - 1), "{outcomes:?}");
}

fn is_conflict<T>(outcome: &Result<T>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Conflict)
}

fn is_missing<T>(outcome: &Result<T>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

fn upload_of(owner: &str) -> Upload {
    Upload {
        id: UploadId::new(),
        video: VideoId::new(),
        owner: owner.to_owned(),
        filename: "heart.mp4".to_owned(),
        title: "The heart".to_owned(),
        collection: None,
        replaces: false,
        size_bytes: 20 << 20,
        part_size_bytes: 8 << 20,
        state: UploadState::Open,
        expires_at: i64::MAX,
    }
}

fn part(number: u64, digest: &str) -> Part {
    Part { number, size_bytes: 8 << 20, sha256: digest.to_owned(), blob: None }
}

fn probe_of(video: &VideoId) -> NewJob {
    NewJob { kind: Kind::Probe, payload: "{}".to_owned(), video: video.clone(), version: None, priority: 10, weight: 0 }
}

fn rendition(name: &str) -> RenditionName {
    RenditionName::parse(name).expect("a rendition's name")
}

fn segment(number: u64, epoch: i64) -> Segment {
    let (md5, sha256, init_sha256) = ("d4".repeat(16), "e5".repeat(32), "f6".repeat(32));
    let rendition = rendition("360p");
    Segment { rendition, number, epoch, key_index: number / 10, duration_ticks: 540_000, size_bytes: 4096, md5, sha256, init_sha256 }
}

fn lease_of(job: &Job) -> Lease {
    Lease { job: job.id.clone(), epoch: job.epoch }
}

/// What tests need before they can begin.
impl Db {
    async fn open_upload(&self) -> Result<Upload> {
        let upload = upload_of("ada");
        transaction!(self.catalog, |tx| tx.insert_upload(&upload, "wrapped").await)?;
        Ok(upload)
    }

    async fn video_of(&self, owner: &str) -> Result<VideoId> {
        let upload = upload_of(owner);
        transaction!(self.catalog, |tx| tx.insert_video(&upload).await)?;
        Ok(upload.video)
    }

    async fn job(&self, new: NewJob) -> Result<JobId> {
        transaction!(self.catalog, |tx| tx.insert_job(&new).await)
    }

    async fn claim(&self, lease_ms: i64) -> Result<Option<Job>> {
        transaction!(self.catalog, |tx| tx.claim("node/1", lease_ms, false).await)
    }

    /// A job that a worker holds.
    async fn leased_job(&self) -> Result<(JobId, Lease)> {
        let video = self.video_of("ada").await?;
        let id = self.job(probe_of(&video)).await?;
        let job = self.claim(LONG_MS).await?.expect("the only job is free");
        assert_eq!(job.id, id);
        Ok((id, lease_of(&job)))
    }

    /// A version in processing, with renditions `360p`, `720p` and `audio`, that waits for `remaining` jobs.
    async fn version(&self, remaining: u64) -> Result<Version> {
        let upload = self.open_upload().await?;
        transaction!(self.catalog, |tx| {
            tx.insert_video(&upload).await?;
            let source = tx.insert_source(&upload).await?;
            let (facts, plan) = ("{}".to_owned(), "{}".to_owned());
            let (pictures_expected, pictures_decoded) = (320, 0);
            let video = upload.video.clone();
            let version = Version { id: VersionId::new(), video, source, facts, plan, trim: None, pictures_expected, pictures_decoded };
            let renditions = [("720p", Some((1280, 720))), ("audio", None), ("360p", Some((640, 360)))];
            let renditions = renditions.map(|(name, size)| NewRendition { name: rendition(name), size });
            let outline = Outline { duration_ms: 60_000, size: Some((1280, 720)), truncated: false, source_duration_ms: 60_000 };
            tx.insert_version(&version, &renditions, outline, remaining).await?;
            Ok(version)
        })
    }

    /// `count` encode jobs of a version.
    async fn chunks_of(&self, version: &Version, count: u64) -> Result<()> {
        transaction!(self.catalog, |tx| {
            for _ in 0..count {
                let (video, version) = (version.video.clone(), Some(version.id.clone()));
                let payload = "{}".to_owned();
                tx.insert_job(&NewJob { kind: Kind::Encode, payload, video, version, priority: 20, weight: 10 }).await?;
            }
            Ok(())
        })
    }
}
