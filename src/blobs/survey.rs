//! What really lies in the store's folders: blobs, and whatever else.

use super::staged::UNFINISHED;
use super::{Blobs, Key, Meta, Prefix, blocking, failed};
use crate::domain::Result;
use crate::domain::ids::VideoId;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folders that hold a folder for each video.
const ROOTS: [&str; 3] = ["sources", "videos", "sidecars"];

/// Something in the store, by its path there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A blob.
    Blob(Key, Meta),
    /// A write of ours that was begun and has no name yet.
    Unfinished(String, Meta),
    /// A file that is none of ours.
    Foreign(String, Meta),
    /// A folder without anything in it, and since when it is so.
    Empty(String, SystemTime),
}

/// Whose folders there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Videos, each once.
    pub videos: BTreeSet<VideoId>,
    /// What has no place there.
    pub foreign: Vec<String>,
}

impl Blobs {
    /// The videos of which anything lies here, and what lies beside their folders. Never waits for what is being written.
    pub async fn names(&self) -> Result<Names> {
        let root = self.shared.root.clone();
        blocking(move || names(&root)).await.map_err(|e| failed("the blobs could not be listed", e))
    }

    /// Everything in the folders of a video, as far as it is there while it is looked at.
    pub async fn survey(&self, video: &VideoId) -> Result<Vec<Thing>> {
        let (root, folders) = (self.shared.root.clone(), Prefix::Video(video.clone()).folders());
        let surveyed = blocking(move || {
            let mut things = Vec::new();
            for folder in folders {
                survey(&root, root.join(folder), &mut things)?;
            }
            Ok(things)
        });
        surveyed.await.map_err(|e| failed("the blobs could not be listed", e))
    }

    /// Removes a [`Thing::Unfinished`] or a [`Thing::Empty`]; a folder only if nothing has come into it. What is not there counts as removed.
    pub async fn sweep(&self, thing: &Thing) -> Result<()> {
        let root = self.shared.root.clone();
        let thing = thing.clone();
        let swept = blocking(move || match &thing {
            Thing::Unfinished(path, _) => absent_is_fine(std::fs::remove_file(root.join(path))),
            Thing::Empty(path, _) => absent_is_fine(std::fs::remove_dir(root.join(path))),
            Thing::Blob(..) | Thing::Foreign(..) => Ok(()),
        });
        swept.await.map_err(|e| failed("what was left over could not be removed", e))
    }
}

fn names(root: &Path) -> io::Result<Names> {
    let mut names = Names::default();
    for entry in list(root)? {
        let (name, is_folder) = (entry.file_name().to_string_lossy().into_owned(), entry.file_type()?.is_dir());
        if !is_folder || !ROOTS.contains(&name.as_str()) {
            names.foreign.push(name);
            continue;
        }
        for entry in list(&entry.path())? {
            let (inner, is_folder) = (entry.file_name().to_string_lossy().into_owned(), entry.file_type()?.is_dir());
            match VideoId::parse(&inner) {
                Ok(video) if is_folder => drop(names.videos.insert(video)),
                _ => names.foreign.push(format!("{name}/{inner}")),
            }
        }
    }
    Ok(names)
}

fn survey(root: &Path, folder: PathBuf, things: &mut Vec<Thing>) -> io::Result<()> {
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        // Before its entries are read: what comes into it later is younger.
        let Some(metadata) = absent(folder.symlink_metadata())? else { continue };
        let entries = list(&folder)?;
        if entries.is_empty() {
            things.push(Thing::Empty(inside(root, &folder), metadata.modified()?));
        }
        for entry in entries {
            let Some(metadata) = absent(entry.metadata())? else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let meta = Meta { size_bytes: metadata.len(), modified: metadata.modified()? };
            things.push(sort(inside(root, &entry.path()), metadata.is_file(), meta));
        }
    }
    Ok(())
}

fn sort(path: String, is_file: bool, meta: Meta) -> Thing {
    match (Key::parse(&path), path.split_once(UNFINISHED)) {
        (Ok(key), _) if is_file => Thing::Blob(key, meta),
        (_, Some((name, _))) if is_file && Key::parse(name).is_ok() => Thing::Unfinished(path, meta),
        _ => Thing::Foreign(path, meta),
    }
}

fn inside(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

/// The entries of a folder; none when it has gone meanwhile.
fn list(folder: &Path) -> io::Result<Vec<std::fs::DirEntry>> {
    absent(std::fs::read_dir(folder))?.map_or_else(|| Ok(Vec::new()), Iterator::collect)
}

fn absent<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        outcome => outcome.map(Some),
    }
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        // Something has come into the folder: it is not empty any more.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::VersionId;
    use bytes::Bytes;

    #[tokio::test]
    async fn everything_is_seen_for_what_it_is_and_only_ours_is_swept() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(folder.path()).await.expect("blobs");
        let (video, version) = (VideoId::new(), VersionId::new());
        let key = Key::MasterPlaylist { video: video.clone(), version: version.clone() };
        blobs.put_new(&key, Bytes::from_static(b"text")).await.expect("a blob");
        let place = |path: &str| folder.path().join(path);
        let (own, home) = (format!("videos/{video}/{version}"), format!("sources/{video}/empty"));
        std::fs::create_dir_all(place(&home)).expect("a folder");
        for name in [format!("{own}/master.m3u8#1"), format!("{own}/notes#1"), format!("{own}/notes"), "videos/notes".into(), "x".into()] {
            std::fs::write(place(&name), "x").expect("a file");
        }
        let mut names = blobs.names().await.expect("names");
        names.foreign.sort();
        assert_eq!(names, Names { videos: [video.clone()].into(), foreign: vec!["videos/notes".to_owned(), "x".to_owned()] });
        let mut seen = Vec::new();
        for thing in blobs.survey(&video).await.expect("things") {
            blobs.sweep(&thing).await.expect("swept");
            seen.push(match thing {
                Thing::Blob(found, meta) => format!("blob {} {}", found == key, meta.size_bytes),
                Thing::Unfinished(path, _) => format!("unfinished {}", path.strip_prefix(&own).expect("its own")),
                Thing::Foreign(path, _) => format!("foreign {}", path.strip_prefix(&own).expect("its own")),
                Thing::Empty(path, _) => format!("empty {}", path == home),
            });
        }
        seen.sort();
        assert_eq!(seen, ["blob true 4", "empty true", "foreign /notes", "foreign /notes#1", "unfinished /master.m3u8#1"]);
        assert!(!place(&home).exists() && !place(&format!("{own}/master.m3u8#1")).exists());
        assert!(place(&format!("{own}/notes#1")).exists() && place(&format!("{own}/master.m3u8")).exists());
    }
}
