//! The store as its callers see it.

use super::*;
use crate::domain::ids::{UploadId, VersionId, VideoId};
use crate::domain::video::RenditionName;
use crate::keys::RootKey;
use std::collections::BTreeSet;
use std::time::Duration;
use tempfile::TempDir;

struct House {
    folder: TempDir,
    blobs: Blobs,
    video: VideoId,
    version: VersionId,
    upload: UploadId,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let blobs = Blobs::open(&folder.path().join("data/blobs")).await.expect("a store");
        Self { folder, blobs, video: VideoId::new(), version: VersionId::new(), upload: UploadId::new() }
    }

    fn segment(&self, index: u32) -> Key {
        let (video, version) = (self.video.clone(), self.version.clone());
        Key::Segment { video, version, rendition: RenditionName::audio(), index, epoch: 1 }
    }

    fn master(&self) -> Key {
        Key::MasterPlaylist { video: self.video.clone(), version: self.version.clone() }
    }

    fn part(&self, number: u32) -> Key {
        Key::source_part(self.video.clone(), self.upload.clone(), number)
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }

    async fn has_files(&self) {
        while self.files().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until no file is there: whoever drops a write does not wait for its sweeping.
    async fn has_none(&self) {
        let swept = async {
            while !self.files().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await; // tidy: polling
            }
        };
        tokio::time::timeout(Duration::from_secs(10), swept).await.expect("every file goes in time");
    }

    async fn write(&self, key: &Key, plain: &[u8], accept: &Accept<'_>) -> Result<Digests> {
        let pieces: Vec<_> = plain.chunks(70_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        self.blobs.write_sealed(key, &root(), stream::iter(pieces), accept).await
    }
}

fn root() -> RootKey {
    RootKey::new([7; 32])
}

fn bytes(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|i| (i % 251) as u8 ^ seed).collect()
}

async fn collect(stream: BoxStream<'static, Result<Bytes>>) -> Result<Vec<u8>> {
    let pieces: Vec<Bytes> = stream.try_collect().await?;
    assert!(pieces.iter().all(|piece| piece.len() as u64 <= PIECE_BYTES), "memory is bounded");
    Ok(pieces.concat())
}

#[tokio::test]
async fn no_blob_is_ever_overwritten() {
    let house = House::new().await;
    let digests = house.blobs.put_new(&house.segment(0), "first".into()).await.expect("written");
    assert_eq!(digests, Digests::of(b"first"));
    let error = house.blobs.put_new(&house.segment(0), "second".into()).await.expect_err("taken");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "blob-exists"));
    assert_eq!(house.blobs.get(&house.segment(0)).await.expect("there"), "first");
    let part = house.part(1);
    house.write(&part, b"first", &Accept::UpTo(5)).await.expect("written");
    assert_eq!(house.write(&part, b"again", &Accept::UpTo(5)).await.expect_err("taken").code(), "blob-exists");
    assert_eq!(house.blobs.get_sealed(&part, &root()).await.expect("there"), "first");
}

#[tokio::test]
async fn what_is_absent_is_not_found_and_deleting_it_is_fine() {
    let house = House::new().await;
    let key = house.segment(0);
    assert_eq!(house.blobs.get(&key).await.expect_err("absent").kind(), ErrorKind::NotFound);
    assert_eq!(house.blobs.head(&key).await.expect_err("absent").kind(), ErrorKind::NotFound);
    assert_eq!(house.blobs.get_range(&key, 0..1).await.expect_err("absent").kind(), ErrorKind::NotFound);
    house.blobs.delete(&key).await.expect("idempotent");
    assert_eq!(house.blobs.delete_prefix(&Prefix::Video(house.video.clone())).await.expect("idempotent"), 0);
}

#[tokio::test]
async fn ranges_are_exact_or_refused() {
    let house = House::new().await;
    let (key, text) = (house.segment(0), bytes(600_000, 0));
    house.blobs.put_new(&key, text.clone().into()).await.expect("written");
    assert_eq!(house.blobs.head(&key).await.expect("there").size_bytes, 600_000);
    assert_eq!(house.blobs.get_range(&key, 5..9).await.expect("there"), text[5..9]);
    assert_eq!(collect(house.blobs.stream_range(&key, 1..599_999)).await.expect("there"), text[1..599_999]);
    for beyond in [600_000..600_001, 599_999..600_001] {
        let error = house.blobs.get_range(&key, beyond.clone()).await.expect_err("too far");
        assert_eq!(error.code(), "range-not-satisfiable", "{beyond:?}: {}", error.chain());
    }
}

#[tokio::test]
async fn a_playlist_is_replaced_only_by_who_has_read_it() {
    let house = House::new().await;
    let master = house.master();
    let first = house.blobs.put_playlist(&master, "1".into(), None).await.expect("written");
    assert_eq!(house.blobs.put_playlist(&master, "x".into(), None).await.expect_err("there").code(), "playlist-changed");
    let second = house.blobs.put_playlist(&master, "2".into(), Some(&first)).await.expect("replaced");
    assert_eq!(house.blobs.put_playlist(&master, "x".into(), Some(&first)).await.expect_err("stale").kind(), ErrorKind::Conflict);
    assert_eq!(second, ETag::of(&house.blobs.get(&master).await.expect("there")));
    assert_eq!(house.blobs.put_playlist(&house.segment(0), "x".into(), None).await.expect_err("immutable").code(), "not-a-playlist");
}

#[tokio::test]
async fn of_many_writers_of_a_playlist_one_wins() {
    let house = House::new().await;
    let master = house.master();
    let write = async |text: u8| house.blobs.put_playlist(&master, vec![text].into(), None).await.is_ok().then_some(text);
    let winners = futures_util::future::join_all((0..16).map(write)).await;
    let winners: Vec<u8> = winners.into_iter().flatten().collect();
    assert_eq!(winners, house.blobs.get(&master).await.expect("there"));
}

#[tokio::test]
async fn a_family_is_listed_and_deleted_together_and_nothing_else() {
    let house = House::new().await;
    let poster = Key::Poster { video: house.video.clone(), version: house.version.clone(), epoch: 1 };
    let other = Key::MasterPlaylist { video: VideoId::new(), version: house.version.clone() };
    house.write(&house.part(1), b"part", &Accept::UpTo(9)).await.expect("written");
    house.write(&poster, b"", &Accept::UpTo(9)).await.expect("written");
    for key in [house.segment(0), house.segment(1), other.clone()] {
        house.blobs.put_new(&key, "x".into()).await.expect("written");
    }
    assert_eq!(house.blobs.get_sealed(&poster, &root()).await.expect("there"), "");
    let version = Prefix::Version(house.video.clone(), house.version.clone());
    let listed: Vec<_> = house.blobs.list_prefix(&version).try_collect().await.expect("listed");
    let listed: BTreeSet<_> = listed.into_iter().map(|(key, _)| key.path()).collect();
    assert_eq!(listed, BTreeSet::from([poster.path(), house.segment(0).path(), house.segment(1).path()]));
    assert_eq!(house.blobs.delete_prefix(&version).await.expect("deleted"), 3);
    assert_eq!(house.blobs.delete_prefix(&Prefix::Video(house.video.clone())).await.expect("deleted"), 1);
    assert_eq!(house.files().len(), 1, "the other video is untouched");
    assert!(house.blobs.head(&other).await.is_ok());
}

#[tokio::test]
async fn a_refused_failed_or_dropped_body_leaves_no_file() {
    let house = House::new().await;
    let (text, sha256) = (bytes(700_000, 3), Digests::of(&bytes(700_000, 3)).sha256);
    let exactly = |size_bytes, sha256| Accept::Exactly { size_bytes, sha256 };
    let cases = [
        (Accept::UpTo(699_999), "body-too-large"),
        (exactly(699_999, sha256), "body-too-large"),
        (exactly(700_001, sha256), "body-incomplete"),
        (exactly(700_000, [0; 32]), "checksum-mismatch"),
    ];
    for (accept, code) in cases {
        assert_eq!(house.write(&house.part(1), &text, &accept).await.expect_err("refused").code(), code);
    }
    let broken = stream::iter([Ok(Bytes::from(text)), Err(Error::invalid("gone", "the client went away"))]);
    let error = house.blobs.write_sealed(&house.part(1), &root(), broken, &Accept::UpTo(u64::MAX)).await.expect_err("broken");
    assert_eq!(error.code(), "gone");
    let (key, key_of_root, accept) = (house.part(2), root(), Accept::UpTo(9));
    let mut dropped = Box::pin(house.blobs.write_sealed(&key, &key_of_root, stream::pending(), &accept));
    tokio::select! {
        _ = &mut dropped => panic!("the body never ends"),
        () = house.has_files() => drop(dropped),
    }
    house.has_none().await;
}

#[tokio::test]
async fn a_crash_leaves_nothing_after_the_next_start() {
    let house = House::new().await;
    house.blobs.put_new(&house.segment(0), "kept".into()).await.expect("written");
    let unfinished = house.blobs.place(&house.segment(1)).with_extension("m4s#1");
    std::fs::write(&unfinished, "half").expect("written");
    let again = Blobs::open(&house.blobs.shared.root).await.expect("opens");
    assert_eq!(house.files().len(), 1);
    assert_eq!(again.get(&house.segment(0)).await.expect("there"), "kept");
}

#[tokio::test]
async fn a_source_reads_any_range_through_its_parts_and_nothing_plain_is_on_disk() {
    let house = House::new().await;
    let canary = b"PATIENT-CANARY";
    let texts: Vec<Vec<u8>> = [300_000, 1, 65_536, 131_073].iter().map(|size| [bytes(*size, 9), canary.to_vec()].concat()).collect();
    let mut parts = Vec::new();
    for (text, number) in texts.iter().zip(1..) {
        let key = house.part(number);
        let stored = house.write(&key, text, &Accept::UpTo(u64::MAX)).await.expect("written");
        parts.push((key, stored.size_bytes));
    }
    let (whole, source) = (texts.concat(), Source::new(house.blobs.clone(), root(), parts.clone()));
    assert_eq!(source.size_bytes(), whole.len() as u64);
    for range in [0..whole.len(), 299_999..300_020, 0..1, 300_014..300_015, 5..5, whole.len() - 1..whole.len()] {
        let read = collect(source.read(range.start as u64..range.end as u64)).await.expect("reads");
        assert_eq!(read, whole[range.clone()], "{range:?}");
    }
    assert!(collect(source.read(0..whole.len() as u64 + 1)).await.is_err());
    for file in house.files() {
        let stored = std::fs::read(file).expect("reads");
        assert!(!stored.windows(canary.len()).any(|window| window == canary));
    }
    house.blobs.delete(&parts[1].0).await.expect("deleted");
    let pieces: Vec<_> = source.read(0..whole.len() as u64).collect().await;
    assert_eq!(pieces.iter().filter(|piece| piece.is_err()).count(), 1);
    assert!(pieces.last().expect("some").is_err(), "nothing follows an error");
}

#[test]
fn a_full_disk_is_named_as_such() {
    for code in [28, 122] {
        let error = failed("the blob could not be written", io::Error::from_raw_os_error(code));
        assert_eq!((error.kind(), error.code(), error.is_retryable()), (ErrorKind::Unavailable, "disk-full", true));
    }
}
