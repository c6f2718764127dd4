//! Blobs: every byte of every video at rest. One concrete type over object_store, named by typed keys.
//!
//! What is acknowledged is durable: file and folders are synced first. No blob is ever overwritten, but for playlists, which are
//! compared before they are replaced. Unfinished writes are never seen, and leave nothing behind.

mod adopt;
mod digests;
pub mod frames;
pub mod key;
mod sealed;
mod source;
mod space;
mod staged;
mod survey;

use crate::domain::{Error, ErrorKind, Result};
use bytes::Bytes;
pub use digests::{Digests, Hasher};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
pub use key::{CacheRule, Key, Prefix};
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
pub use sealed::Accept;
pub use source::Source;
pub use space::Space;
use staged::Folders;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
pub use survey::{Names, Thing};

/// The most that a stream of a blob holds in memory at once.
pub const PIECE_BYTES: u64 = 256 * 1024;

/// The blobs of one house. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    store: LocalFileSystem,
    folders: Folders,
    replacing: tokio::sync::Mutex<()>,
}

/// What is known of a blob without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Its size as stored.
    pub size_bytes: u64,
    /// When it was written.
    pub modified: SystemTime,
}

/// Names the contents of a playlist: the hexadecimal SHA-256 of its bytes, without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// The tag of `contents`.
    pub fn of(contents: &[u8]) -> Self {
        Self(hex::encode(Digests::of(contents).sha256))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Blobs {
    /// Opens the store under `root` (made if need be), removes what a crash left unfinished there, and makes the rest durable. The
    /// caller holds the data folder's lock: a second process would take its unfinished writes for leftovers.
    pub async fn open(root: &Path) -> Result<Self> {
        let root = root.to_owned();
        let opened = blocking(move || {
            let folders = Folders::default();
            folders.ensure(&root)?;
            let swept = staged::sweep(&root)?;
            if swept > 0 {
                tracing::info!(swept, "removed unfinished blobs of an earlier run");
            }
            Ok((root, folders))
        });
        let (root, folders) = opened.await.map_err(|e| failed("the blob store could not be opened", e))?;
        Self::over(root, folders)
    }

    /// Opens the store under `root` beside the server that owns it, to read: nothing is made, nothing removed.
    pub fn join(root: &Path) -> Result<Self> {
        Self::over(root.to_owned(), Folders::default())
    }

    fn over(root: PathBuf, folders: Folders) -> Result<Self> {
        let store = LocalFileSystem::new_with_prefix(&root).map_err(|e| failed("the blob store could not be opened", e))?;
        let store = store.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self { shared: Arc::new(Shared { root, store, folders, replacing: tokio::sync::Mutex::default() }) })
    }

    /// Writes a new blob and gives its digests; durable when it returns. `Conflict` (`blob-exists`) when `key` is taken.
    pub async fn put_new(&self, key: &Key, bytes: Bytes) -> Result<Digests> {
        let digests = Digests::of(&bytes);
        self.put(key, bytes, PutMode::Create).await?;
        Ok(digests)
    }

    /// Replaces the playlist at `key` if its contents still have the tag `expected` (`None`: if there is none yet), and gives the
    /// new tag. `Conflict` (`playlist-changed`) when another writer was first, `Invalid` when `key` is no playlist.
    pub async fn put_playlist(&self, key: &Key, bytes: Bytes, expected: Option<&ETag>) -> Result<ETag> {
        if !key.is_playlist() {
            return Err(Error::invalid("not-a-playlist", "only playlists can be replaced"));
        }
        let tag = ETag::of(&bytes);
        // One process owns the local store, so one lock makes compare and replace a single step; on S3 this is If-Match.
        let _one_at_a_time = self.shared.replacing.lock().await;
        if self.playlist_tag(key).await?.as_ref() != expected {
            return Err(Error::conflict("playlist-changed", "another writer has replaced the playlist; read it again"));
        }
        self.put(key, bytes, PutMode::Overwrite).await?;
        Ok(tag)
    }

    /// The whole blob: for playlists and other small ones.
    pub async fn get(&self, key: &Key) -> Result<Bytes> {
        let result = self.shared.store.get(&location(key)).await.map_err(|e| failed("the blob could not be read", e))?;
        result.bytes().await.map_err(|e| failed("the blob could not be read", e))
    }

    /// As [`Self::get`]; `None` where there is no such blob.
    pub async fn find(&self, key: &Key) -> Result<Option<Bytes>> {
        match self.get(key).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The octets `range` of the blob; `Invalid` (`range-not-satisfiable`) when it does not have them all.
    pub async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        match self.shared.store.get_range(&location(key), range.clone()).await {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => Ok(bytes),
            Ok(_) => Err(beyond_the_end()),
            // The local store's only failure without a failed system call.
            Err(e) if io_kind(&e).is_none() => Err(beyond_the_end().with_source(e)),
            Err(e) => Err(failed("the blob could not be read", e)),
        }
    }

    /// The octets `range` of the blob in pieces of [`PIECE_BYTES`] at most, each read when it is asked for.
    pub fn stream_range(&self, key: &Key, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let (blobs, key) = (self.clone(), key.clone());
        let read = move |range: Range<u64>| {
            let (blobs, key) = (blobs.clone(), key.clone());
            async move {
                if range.is_empty() {
                    return Ok(None);
                }
                let piece = range.start..range.end.min(range.start + PIECE_BYTES);
                let bytes = blobs.get_range(&key, piece.clone()).await?;
                Ok(Some((bytes, piece.end..range.end)))
            }
        };
        stream::try_unfold(range, read).boxed()
    }

    /// Size and time of a blob; `NotFound` when it is not there.
    pub async fn head(&self, key: &Key) -> Result<Meta> {
        let meta = self.shared.store.head(&location(key)).await.map_err(|e| failed("the blob could not be examined", e))?;
        Ok(Meta::from(&meta))
    }

    /// Deletes a blob; one that is not there counts as deleted.
    pub async fn delete(&self, key: &Key) -> Result<()> {
        absent_is_fine(self.shared.store.delete(&location(key)).await)
    }

    /// The blobs of a family with what is known of each, in no particular order.
    pub fn list_prefix(&self, prefix: &Prefix) -> BoxStream<'static, Result<(Key, Meta)>> {
        self.list(prefix).and_then(async |meta| Ok((Key::parse(meta.location.as_ref())?, Meta::from(&meta)))).boxed()
    }

    /// Deletes the blobs of a family; gives how many there were.
    pub async fn delete_prefix(&self, prefix: &Prefix) -> Result<u64> {
        let mut deleted = 0;
        let mut found = self.list(prefix);
        while let Some(meta) = found.try_next().await? {
            absent_is_fine(self.shared.store.delete(&meta.location).await)?;
            deleted += 1;
        }
        Ok(deleted)
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let blobs = self.clone();
        let list = move |folder: String| {
            let listed = blobs.shared.store.list(Some(&StorePath::from(folder)));
            listed.map_err(|e| failed("the blobs could not be listed", e))
        };
        stream::iter(prefix.folders()).flat_map(list).boxed()
    }

    async fn put(&self, key: &Key, bytes: Bytes, mode: PutMode) -> Result<()> {
        let (shared, folder) = (self.shared.clone(), self.place(key));
        let made = blocking(move || folder.parent().map_or(Ok(()), |folder| shared.folders.ensure(folder)));
        made.await.map_err(|e| failed("the blob could not be written", e))?;
        let location = location(key);
        let put = self.shared.store.put_opts(&location, PutPayload::from(bytes), mode.into());
        put.await.map_err(|e| failed("the blob could not be written", e))?;
        Ok(())
    }

    async fn playlist_tag(&self, key: &Key) -> Result<Option<ETag>> {
        match self.get(key).await {
            Ok(contents) => Ok(Some(ETag::of(&contents))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn place(&self, key: &Key) -> PathBuf {
        self.shared.root.join(key.path())
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blobs").field("root", &self.shared.root).finish_non_exhaustive()
    }
}

impl From<&ObjectMeta> for Meta {
    fn from(meta: &ObjectMeta) -> Self {
        Self { size_bytes: meta.size, modified: meta.last_modified.into() }
    }
}

fn location(key: &Key) -> StorePath {
    StorePath::from(key.path())
}

fn beyond_the_end() -> Error {
    Error::invalid("range-not-satisfiable", "the blob ends before the range does")
}

fn absent_is_fine(deleted: object_store::Result<()>) -> Result<()> {
    match deleted {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        deleted => deleted.map_err(|e| failed("the blob could not be deleted", e)),
    }
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

/// What the causes of a failed file operation mean to the caller.
fn failed(message: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    match io_kind(&error) {
        Some(io::ErrorKind::NotFound) => Error::not_found("there is no such blob").with_source(error),
        Some(io::ErrorKind::AlreadyExists) => Error::conflict("blob-exists", "the blob is there already").with_source(error),
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            Error::disk_full("the disk is full; free some space and try again").with_source(error)
        }
        _ => Error::unavailable(message, error),
    }
}

fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

#[cfg(test)]
mod tests;
