//! Upkeep over a real catalog and real blobs.

use super::super::fixture;
use super::*;
use crate::blobs::Key;
use crate::catalog::audit::CountKind;
use crate::catalog::jobs::Listing;
use crate::domain::ids::{SnapshotId, VersionId};
use crate::domain::job::{Kind, MAX_CLAIMS, State as JobState};
use crate::domain::quota::Defaults;
use crate::domain::video::State as VideoState;
use crate::kms::{Keyring, Kms};
use crate::storage::Reserve;
use bytes::Bytes;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Instant;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

struct House {
    folder: TempDir,
    state: State,
}

impl House {
    async fn new() -> Self {
        let (folder, catalog) = fixture::catalog().await;
        let keyring = Keyring::open_or_create(&folder.path().join("keyring.json")).expect("a keyring");
        let blobs = Blobs::open(&folder.path().join("blobs")).await.expect("blobs");
        let limits = crate::storage::Limits { reserve: Reserve::default(), quotas: Defaults::default(), orphan_age: Duration::ZERO };
        let state = State {
            audit: Arc::new(Log::new(catalog.clone())),
            storage: Storage::new(catalog.clone(), blobs.clone(), limits),
            reconcile_every: None,
            blobs,
            keys: Keys::new(Kms::Local(Arc::new(keyring))),
            doorbell: Doorbell::default(),
            depot: None,
            catalog,
        };
        Self { folder, state }
    }

    /// A deleted video with a blob that is still there.
    async fn deleted(&self) -> VideoId {
        let video = fixture::video(&self.state.catalog).await;
        let key = Key::MasterPlaylist { video: video.clone(), version: VersionId::new() };
        self.state.blobs.put_new(&key, Bytes::from_static(b"text")).await.expect("a blob");
        transaction!(self.state.catalog, |tx| tx.delete_video(&video).await).expect("deleted");
        video
    }

    fn blobs_of(&self, video: &VideoId) -> PathBuf {
        self.folder.path().join("blobs/videos").join(video.as_str())
    }

    /// Makes a video's folder one that cannot be listed, not even by root.
    fn tie(&self, video: &VideoId) {
        symlink("knot", self.blobs_of(video).join("knot")).expect("a link to itself");
    }
}

/// invariant 6: deleting a video deletes its blobs, though any number of others cannot be deleted.
#[tokio::test]
async fn a_video_that_cannot_be_purged_stops_no_other() {
    let house = House::new().await;
    let mut stuck = Vec::new();
    for _ in 0..100 {
        let video = house.deleted().await;
        house.tie(&video);
        stuck.push(video);
    }
    let next = house.deleted().await;
    for _ in 0..2 {
        purge(&house.state).await.expect("a pass");
    }
    assert!(!house.blobs_of(&next).exists());
    assert!(stuck.iter().all(|video| house.blobs_of(video).exists()));
    std::fs::remove_file(house.blobs_of(&stuck[0]).join("knot")).expect("untied");
    let later = transaction!(house.state.catalog, |tx| tx.now().await).expect("a time") + AFTER_TROUBLE_MS;
    assert_eq!(house.state.catalog.videos_to_purge(later).await.expect("videos").len(), 100, "each is tried again");
}

/// A purge of many blobs neither holds up a shutdown, nor what upkeep does besides; it goes on in the next life.
#[tokio::test]
async fn a_shutdown_cuts_a_purge_short() {
    const BLOBS: u64 = 4_000;
    let house = House::new().await;
    let video = house.deleted().await;
    let folder = house.blobs_of(&video).join(VersionId::new().as_str()).join("360p");
    std::fs::create_dir_all(&folder).expect("a folder");
    for number in 0..BLOBS {
        std::fs::write(folder.join(format!("{number:06}-1.m4s")), "x").expect("a blob");
    }
    let left = || std::fs::read_dir(&folder).map_or(0, Iterator::count) as u64;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(run(house.state.clone(), shutdown.clone()));
    let begun = Instant::now();
    while left() == BLOBS {
        assert!(begun.elapsed() < SOON, "the purge does not begin");
        tokio::time::sleep(Duration::from_millis(1)).await; // tidy: polling
    }
    crate::audit::Sink::refused(&*house.state.audit, [127, 0, 0, 1].into(), "no-token").await;
    shutdown.cancel();
    running.await.expect("no panic").expect("ended");
    assert!(left() > 0, "it did not wait for the last of them");
    let counted = house.state.catalog.audit_count(CountKind::Refusal, "127.0.0.1").await.expect("a count");
    assert_eq!(counted, 1, "what was counted is written at the end");
    purge(&house.state).await.expect("a pass");
    assert!(!house.blobs_of(&video).exists());
}

/// invariant 5: degrade before failing: what kills every worker that makes it a poster is published without one; what kills them as an
/// encode has failed.
#[tokio::test]
async fn a_job_that_kills_its_workers_fails_its_video_only_if_it_is_needed() {
    for (kind, state, left) in [
        (Kind::Stills, VideoState::Processing, vec![(Kind::Publish, JobState::Queued), (Kind::Stills, JobState::Dead)]),
        (Kind::Encode, VideoState::Failed, vec![(Kind::Encode, JobState::Dead)]),
    ] {
        let house = House::new().await;
        let catalog = &house.state.catalog;
        let version = fixture::version(catalog, &[kind]).await;
        for _ in 0..MAX_CLAIMS {
            fixture::claim(catalog, 0).await;
            end_leases(&house.state).await.expect("a pass");
        }
        assert_eq!(catalog.video(&version.video).await.expect("a video").state, state);
        let jobs = catalog.jobs(&Listing::default()).await.expect("jobs");
        assert_eq!(jobs.into_iter().map(|job| (job.kind, job.state)).collect::<Vec<_>>(), left);
        let events = catalog.events(&version.video).await.expect("events");
        assert_eq!(events.iter().filter(|event| event.kind == "job.dead").count(), 1);
    }
}

/// invariant 6: a purge takes the wrapped root key out of the catalog's files too.
#[tokio::test]
async fn a_purged_video_leaves_no_key_in_any_file() {
    let house = House::new().await;
    let catalog = &house.state.catalog;
    let version = fixture::version(catalog, &[]).await;
    let holds = || {
        let files = std::fs::read_dir(house.folder.path()).expect("a folder").map(|file| file.expect("a file").path());
        let is_key = |bytes: Vec<u8>| bytes.windows(fixture::WRAPPED.len()).any(|window| window == fixture::WRAPPED.as_bytes());
        files.filter(|file| file.is_file() && is_key(std::fs::read(file).expect("bytes"))).count()
    };
    assert!(holds() > 0);
    transaction!(catalog, |tx| tx.delete_video(&version.video).await).expect("deleted");
    purge(&house.state).await.expect("a pass");
    assert_eq!(holds(), 0);
}

/// invariant 6: a deletion is over when it is noted among the backups, and the wrapped root key is gone from there too.
#[tokio::test]
async fn a_deletion_is_noted_among_the_backups_before_it_is_over() {
    let mut house = House::new().await;
    let place = Place::Folder(house.folder.path().join("depot"));
    house.state.depot = Some(place.clone());
    let video = house.deleted().await;
    let is_due = async |house: &House| {
        let later = transaction!(house.state.catalog, |tx| tx.now().await).expect("a time") + AFTER_TROUBLE_MS;
        house.state.catalog.videos_to_purge(later).await.expect("videos").contains(&video)
    };
    purge(&house.state).await.expect("a pass");
    assert!(is_due(&house).await, "the depot does not answer");
    assert!(!house.blobs_of(&video).exists(), "the blobs do not wait for it");

    let depot = Depot::open(&place).expect("a depot");
    let (key, snapshot) = (Name::root_key(&video, "wrapped"), Name::Manifest(SnapshotId::new()));
    for name in [&key, &snapshot] {
        depot.put(name, Bytes::from_static(b"text")).await.expect("put");
    }
    transaction!(house.state.catalog, |tx| tx.postpone_purge(&video, 0).await).expect("due");
    purge(&house.state).await.expect("a pass");
    assert!(!is_due(&house).await);
    assert!(depot.has(&Name::Tombstone(video.clone())).await.expect("asked"));
    assert!(!depot.has(&key).await.expect("asked"), "no snapshot can bring it back");
}
