//! The local file: opened once, read by range from blocking threads, watched for changes.

use super::plan::Part;
use crate::cli::failure::Failure;
use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is read at once; times the parts under way, this bounds the memory of an upload.
const CHUNK_BYTES: u64 = 512 << 10;

/// A regular, non-empty file as it was when it was opened.
#[derive(Debug)]
pub(super) struct LocalFile {
    path: PathBuf,
    name: String,
    file: Arc<File>,
    stamp: Stamp,
}

/// What changes when someone writes to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The size.
    pub(super) size_bytes: u64,
    /// The time of the last modification, seconds and nanoseconds.
    pub(super) modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { size_bytes: metadata.size(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

impl LocalFile {
    /// Opens `path`; refuses what is no regular file, is empty, or may not be read.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Failure::new("no-such-file", format!("there is no file {shown}")),
            _ => Failure::new("unreadable-file", format!("could not read {shown}: {error}")),
        };
        // Looked at before it is opened: opening a named pipe would wait for its writer.
        let kind = std::fs::metadata(path).map_err(unreadable)?.file_type();
        if kind.is_dir() {
            return Err(Failure::new("not-a-file", format!("{shown} is a folder: name the files in it")));
        }
        if !kind.is_file() {
            return Err(Failure::new("not-a-file", format!("{shown} is no regular file: save it to one first")));
        }
        let file = File::open(path).map_err(unreadable)?;
        let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
        if stamp.size_bytes == 0 {
            return Err(Failure::new("empty-file", format!("{shown} is empty: copy or export it again")));
        }
        let path = path.canonicalize().map_err(unreadable)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { path, name, file: Arc::new(file), stamp })
    }

    /// The canonical path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's own name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The size when it was opened.
    pub(super) fn size_bytes(&self) -> u64 {
        self.stamp.size_bytes
    }

    /// Size and time of modification when it was opened.
    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Fails once the file is no longer what it was when it was opened.
    pub(super) fn check_unchanged(&self) -> Result<(), Failure> {
        let now = self.file.metadata().map_err(|error| self.unreadable(&error))?;
        if Stamp::of(&now) == self.stamp {
            return Ok(());
        }
        let message = format!("{} changed while it was being sent: publish it again when it is complete", self.path.display());
        Err(Failure::new("file-changed", message))
    }

    /// The SHA-256 of a part in lowercase hexadecimal, and proof that the file had not changed by then.
    pub(super) async fn hash(&self, part: &Part) -> Result<String, Failure> {
        let (file, range) = (Arc::clone(&self.file), part.range.clone());
        let hashed = tokio::task::spawn_blocking(move || {
            let mut context = digest::Context::new(&digest::SHA256);
            let mut buffer = vec![0; CHUNK_BYTES as usize];
            let mut at = range.start;
            while at < range.end {
                let chunk = &mut buffer[..CHUNK_BYTES.min(range.end - at) as usize];
                file.read_exact_at(chunk, at)?;
                context.update(chunk);
                at += chunk.len() as u64;
            }
            io::Result::Ok(hex::encode(context.finish()))
        });
        let digest = hashed.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.check_unchanged()?;
        digest.map_err(|error| self.unreadable(&error))
    }

    /// A part's bytes as a request body; `read_bytes` counts them as they leave.
    pub(super) fn body(&self, part: &Part, read_bytes: Arc<AtomicU64>) -> Body {
        let start = (Arc::clone(&self.file), part.range.clone(), read_bytes);
        Body::wrap_stream(stream::try_unfold(start, async |(file, mut range, read_bytes)| {
            let size = CHUNK_BYTES.min(range.end - range.start);
            if size == 0 {
                return Ok(None);
            }
            let (source, at) = (Arc::clone(&file), range.start);
            let chunk = tokio::task::spawn_blocking(move || {
                let mut buffer = vec![0; size as usize];
                source.read_exact_at(&mut buffer, at).map(|()| Bytes::from(buffer))
            });
            let chunk = chunk.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
            range.start += size;
            read_bytes.fetch_add(size, Ordering::Relaxed);
            io::Result::Ok(Some((chunk, (file, range, read_bytes))))
        }))
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::new("unreadable-file", format!("could not read {}: {error}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_video_is_refused_before_anything_is_sent() {
        let folder = tempfile::tempdir().expect("folder");
        let empty = folder.path().join("empty.mp4");
        std::fs::write(&empty, b"").expect("written");
        for (path, code) in [
            (folder.path().join("missing.mp4"), "no-such-file"),
            (folder.path().to_owned(), "not-a-file"),
            (PathBuf::from("/dev/null"), "not-a-file"),
            (empty, "empty-file"),
        ] {
            assert_eq!(LocalFile::open(&path).expect_err("refused").code(), code, "{}", path.display());
        }
    }

    #[tokio::test]
    async fn a_part_is_hashed_by_its_own_bytes() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.bin");
        std::fs::write(&path, b"xxabcxx").expect("written");
        let file = LocalFile::open(&path).expect("regular");
        let digest = file.hash(&Part { number: 1, range: 2..5 }).await.expect("hashed");
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[tokio::test]
    async fn a_file_that_grows_or_shrinks_is_noticed() {
        let folder = tempfile::tempdir().expect("folder");
        for changed in ["longer than before", "short"] {
            let path = folder.path().join("a.bin");
            std::fs::write(&path, b"as it was").expect("written");
            let file = LocalFile::open(&path).expect("regular");
            std::fs::write(&path, changed).expect("written");
            let failure = file.hash(&Part { number: 1, range: 0..9 }).await.expect_err("changed");
            assert_eq!(failure.code(), "file-changed");
        }
    }
}
