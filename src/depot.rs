//! The depot: where backups lie, away from the data folder. A folder, or a bucket of any S3; one concrete type over `object_store`.
//!
//! Names are typed and own their path, as blobs' keys do. What is acknowledged is durable. Nothing appears under its name before it is
//! whole.

mod lock;
mod name;
mod place;
mod unfinished;

use crate::domain::ids::VideoId;
use crate::domain::{Error, ErrorKind, Result};
use bytes::Bytes;
use futures_util::stream::{BoxStream, TryStreamExt};
use futures_util::{Stream, StreamExt};
pub use lock::Lock;
pub use name::Name;
use object_store::buffered::BufWriter;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
pub use place::Place;
use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// Removals on their way at once.
const AT_ONCE: usize = 8;
/// Characters of what a server says that are told.
const MOST_SHOWN: usize = 300;

/// An open depot. Cheap to clone.
#[derive(Clone)]
pub struct Depot {
    store: Arc<dyn ObjectStore>,
    shown: Arc<str>,
    folder: Option<PathBuf>,
}

impl Depot {
    /// Opens the depot at `place` to write there: a folder is made (0700) if it is absent, a bucket must be there.
    pub fn open(place: &Place) -> Result<Self> {
        place.make()?;
        place.open()
    }

    /// Opens the depot at `place` to read what is there; `NotFound` when it is a folder that does not exist.
    pub fn look(place: &Place) -> Result<Self> {
        place.must_exist()?;
        place.open()
    }

    /// Writes `bytes` at `name`, replacing what is there; durable when it returns.
    pub async fn put(&self, name: &Name, bytes: Bytes) -> Result<()> {
        self.store.put(&location(name), PutPayload::from(bytes)).await.map(drop).map_err(|e| self.failed("could not be written", name, e))
    }

    /// Writes a stream at `name`; it appears there, durable, only once it is whole.
    pub async fn put_stream(&self, name: &Name, pieces: impl Stream<Item = Result<Bytes>> + Send) -> Result<()> {
        let mut writer = BufWriter::new(self.store.clone(), location(name));
        let mut pieces = pin!(pieces);
        loop {
            match pieces.try_next().await {
                Ok(Some(piece)) => writer.put(piece).await.map_err(|e| self.failed("could not be written", name, e))?,
                Ok(None) => break,
                Err(error) => {
                    // What cannot be taken back now is invisible, and the bucket's rule for unfinished uploads ends it.
                    let _ = writer.abort().await;
                    return Err(error);
                }
            }
        }
        writer.shutdown().await.map_err(|e| self.failed("could not be written", name, cause(e)))
    }

    /// The whole object; `NotFound` when it is not there.
    pub async fn get(&self, name: &Name) -> Result<Bytes> {
        let found = self.store.get(&location(name)).await.map_err(|e| self.failed("could not be read", name, e))?;
        found.bytes().await.map_err(|e| self.failed("could not be read", name, e))
    }

    /// The object in pieces, each read when it is asked for; `NotFound` when it is not there.
    pub async fn stream(&self, name: &Name) -> Result<BoxStream<'static, Result<Bytes>>> {
        let found = self.store.get(&location(name)).await.map_err(|e| self.failed("could not be read", name, e))?;
        let (depot, name) = (self.clone(), name.clone());
        Ok(found.into_stream().map_err(move |e| depot.failed("could not be read", &name, e)).boxed())
    }

    /// Whether the object is there.
    pub async fn has(&self, name: &Name) -> Result<bool> {
        match self.store.head(&location(name)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(self.failed("could not be looked at", name, e)),
        }
    }

    /// What lies in `folder` and below, with its size, in no particular order. What has no name of ours is passed over.
    pub fn list(&self, folder: &str) -> BoxStream<'static, Result<(Name, u64)>> {
        let depot = self.clone();
        let listed = self.store.list(Some(&StorePath::from(folder))).map_err(move |e| depot.failed_at("could not be listed", "", e));
        listed.try_filter_map(async |meta| Ok(Name::parse(meta.location.as_ref()).map(|name| (name, meta.size)))).boxed()
    }

    /// The names of the folders right below `folder`.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let listed = self.store.list_with_delimiter(Some(&StorePath::from(folder))).await;
        let listed = listed.map_err(|e| self.failed_at("could not be listed", folder, e))?;
        Ok(listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect())
    }

    /// Deletes an object; one that is not there counts as deleted.
    pub async fn delete(&self, name: &Name) -> Result<()> {
        match self.store.delete(&location(name)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            deleted => deleted.map_err(|e| self.failed("could not be deleted", name, e)),
        }
    }

    /// Deletes all that lies in `folder`; gives how many objects that were.
    pub async fn delete_folder(&self, folder: &str) -> Result<u64> {
        let deletions = self.list(folder).map_ok(|(name, _)| async move { self.delete(&name).await });
        deletions.try_buffer_unordered(AT_ONCE).try_fold(0, async |deleted, ()| Ok(deleted + 1)).await
    }

    /// Notes for good that a video was deleted, and deletes its wrapped root key: from then on no backup can bring it back.
    pub async fn bury(&self, video: &VideoId) -> Result<()> {
        self.put(&Name::Tombstone(video.clone()), Bytes::from_static(b"{}\n")).await?;
        self.delete_folder(&Name::root_keys_of(video)).await.map(drop)
    }

    /// The videos that are noted as deleted.
    pub async fn buried(&self) -> Result<HashSet<VideoId>> {
        let video = |(name, _)| async move { Ok(if let Name::Tombstone(video) = name { Some(video) } else { None }) };
        self.list(Name::TOMBSTONES).try_filter_map(video).try_collect().await
    }

    /// Makes durable what a process that was killed may have left between a name and its folder.
    pub fn sync(&self) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let synced = File::open(folder).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
        synced.map_err(|error| Error::unavailable(format!("could not make {} durable", self.shown), error))
    }

    /// Removes what unfinished writes left in a folder, and makes the rest there durable. Only for whoever holds the lock.
    pub async fn sweep(&self) -> Result<()> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let swept = tokio::task::spawn_blocking(move || unfinished::sweep(&folder)).await.map_err(io::Error::other).flatten();
        swept.map_err(|error| Error::unavailable(format!("what unfinished writes left in {} could not be removed", self.shown), error))?;
        self.sync()
    }

    fn failed(&self, what: &str, name: &Name, error: object_store::Error) -> Error {
        self.failed_at(what, &name.to_string(), error)
    }

    /// What the causes of a failed operation mean to the operator.
    fn failed_at(&self, what: &str, path: &str, error: object_store::Error) -> Error {
        use object_store::Error as Store;
        let place = format!("{}/{path}", self.shown);
        let place = place.trim_end_matches('/');
        match &error {
            _ if brief(&error).contains("NoSuchBucket") => {
                let message = format!("there is no bucket for {}: make it first", self.shown);
                return Error::invalid("depot-place", message).with_source(brief(&error));
            }
            Store::NotFound { .. } => return Error::not_found(format!("there is no {place}")).with_source(brief(&error)),
            Store::AlreadyExists { .. } | Store::Precondition { .. } => {
                return Error::conflict("depot-taken", format!("{place} is there already")).with_source(brief(&error));
            }
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => return refused(place, what, error),
            // What a listing makes of it.
            _ if brief(&error).contains("status code: 403 ") => return refused(place, what, error),
            _ => {}
        }
        match io_kind(&error) {
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => refused(place, what, error),
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                let message = format!("{} is full: make room there, or keep fewer backups (--keep)", self.shown);
                Error::new(ErrorKind::Unavailable, "depot-full", message).with_source(brief(&error))
            }
            _ => Error::unavailable(format!("{place} {what}"), brief(&error)),
        }
    }
}

impl fmt::Display for Depot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Depot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Depot").field(&self.shown).finish()
    }
}

fn refused(place: &str, what: &str, error: object_store::Error) -> Error {
    let message = format!("{place} {what}: check the permissions and the credentials for it");
    Error::new(ErrorKind::Forbidden, "depot-refused", message).with_source(brief(&error))
}

/// The innermost cause: the outer ones repeat it, each at its full length.
fn brief(error: &object_store::Error) -> String {
    let first: &(dyn std::error::Error + 'static) = error;
    let last = std::iter::successors(Some(first), |error| error.source()).last().map(ToString::to_string);
    last.unwrap_or_default().replace('\n', " ").chars().take(MOST_SHOWN).collect()
}

fn location(name: &Name) -> StorePath {
    StorePath::from(name.to_string())
}

/// What a writer's failure was before it became one of `io`.
fn cause(error: io::Error) -> object_store::Error {
    let other = |error: io::Error| object_store::Error::Generic { store: "depot", source: error.into() };
    error.downcast::<object_store::Error>().unwrap_or_else(other)
}

fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.find_map(|cause| cause.downcast_ref::<io::Error>().map(io::Error::kind).filter(|kind| *kind != io::ErrorKind::Other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depot(folder: &std::path::Path) -> Depot {
        Depot::open(&Place::Folder(folder.join("a/b"))).expect("a depot")
    }

    #[tokio::test]
    async fn what_is_put_is_found_and_what_is_buried_loses_its_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let (depot, video, other) = (depot(folder.path()), VideoId::new(), VideoId::new());
        for video in [&video, &other] {
            depot.put(&Name::root_key(video, "wrapped"), Bytes::from("wrapped")).await.expect("put");
        }
        depot.bury(&video).await.expect("buried");
        depot.bury(&video).await.expect("twice is fine");
        assert_eq!(depot.buried().await.expect("listed"), HashSet::from([video.clone()]));
        assert_eq!(depot.folders(Name::ROOT_KEYS).await.expect("listed"), [other.to_string()]);
        assert!(depot.has(&Name::root_key(&other, "wrapped")).await.expect("asked"));
        assert_eq!(depot.get(&Name::root_key(&video, "wrapped")).await.expect_err("gone").kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_stream_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let depot = depot(folder.path());
        let pieces = futures_util::stream::iter([Ok(Bytes::from("half")), Err(Error::unavailable("cut", "test"))]);
        assert!(depot.put_stream(&Name::Keyring, pieces).await.is_err());
        assert!(!depot.has(&Name::Keyring).await.expect("asked"));
        // Where a folder belongs lies a file: what fails is the end of the write.
        std::fs::write(folder.path().join("a/b/deleted"), "in the way").expect("written");
        for megabytes in [0, 20] {
            let pieces = (0..megabytes).map(|_| Ok(Bytes::from(vec![0; 1 << 20])));
            let tombstone = Name::Tombstone(VideoId::new());
            assert!(depot.put_stream(&tombstone, futures_util::stream::iter(pieces)).await.is_err());
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_made_by_looking() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::Folder(folder.path().join("none"));
        assert_eq!(Depot::look(&place).expect_err("absent").kind(), ErrorKind::NotFound);
        assert!(!folder.path().join("none").exists());
    }
}
