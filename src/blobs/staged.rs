//! Files that are written beside their place and appear there whole, durably, and only if nothing is there yet.

use rand::random;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What separates a blob's name from the suffix of an unfinished write; object_store uses and hides the same.
pub(super) const UNFINISHED: char = '#';

/// A file being written. Dropped before it is published, it leaves nothing behind.
pub(super) struct Staged {
    file: File,
    path: PathBuf,
    place: PathBuf,
}

impl Staged {
    /// A new empty file beside `place`, whose folder `folders` makes if need be.
    pub(super) fn create(folders: &Folders, place: PathBuf) -> io::Result<Self> {
        let mut name = place.as_os_str().to_owned();
        name.push(format!("{UNFINISHED}{}", random::<u64>()));
        let path = PathBuf::from(name);
        let create = || OpenOptions::new().write(true).create_new(true).open(&path);
        folders.ensure(parent(&place))?;
        let file = match create() {
            // Deleting the last blob of a folder removes the folder; it may have been this one.
            Err(e) if e.kind() == io::ErrorKind::NotFound => folders.ensure(parent(&place)).and_then(|()| create()),
            opened => opened,
        }?;
        Ok(Self { file, path, place })
    }

    /// Appends `bytes`.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Makes the contents durable, then lets them appear in their place; `AlreadyExists` when something is there. Once it returns,
    /// the file survives a power failure.
    pub(super) fn publish(self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::hard_link(&self.path, &self.place)?;
        std::fs::remove_file(&self.path)?;
        sync_folder(parent(&self.place))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After publishing it is gone already; what cannot be removed now is swept at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes folders so that they are durable before anyone writes into them.
///
/// object_store does too, but leaves a gap: a second writer may find a folder that the first has made and not yet synced, and
/// acknowledge a blob whose folder a power failure then takes away. One lock closes it.
#[derive(Default)]
pub(super) struct Folders {
    making: Mutex<()>,
}

impl Folders {
    /// Makes `folder` and its missing ancestors, each durable.
    pub(super) fn ensure(&self, folder: &Path) -> io::Result<()> {
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.is_dir() {
            return Ok(());
        }
        let missing: Vec<_> = folder.ancestors().take_while(|folder| !folder.is_dir()).collect();
        std::fs::create_dir_all(folder)?;
        missing.into_iter().try_for_each(|made| sync_folder(made).and_then(|()| sync_folder(parent(made))))
    }
}

/// Removes what unfinished writes left under `root`, and makes everything else there durable: an earlier process may have been
/// killed between writing a name and syncing it. Gives the number of files removed. Only for the sole owner of `root`.
pub(super) fn sweep(root: &Path) -> io::Result<usize> {
    let mut removed = 0;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().contains(UNFINISHED) {
                std::fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
    }
    rustix::fs::syncfs(File::open(root)?)?;
    Ok(removed)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_published_file_is_whole_and_never_replaces_another() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (folders, place) = (Folders::default(), root.path().join("a/b/blob"));
        for (text, fits) in [("first", true), ("second", false)] {
            let mut staged = Staged::create(&folders, place.clone()).expect("staged");
            staged.write_all(text.as_bytes()).expect("written");
            let published = staged.publish();
            assert_eq!(published.is_ok(), fits, "{published:?}");
        }
        assert_eq!(std::fs::read_to_string(&place).expect("there"), "first");
        assert_eq!(names(&root.path().join("a/b")), ["blob"]);
    }

    #[test]
    fn an_abandoned_write_leaves_nothing_and_a_killed_one_is_swept() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folders = Folders::default();
        drop(Staged::create(&folders, root.path().join("a/dropped")).expect("staged"));
        assert!(names(&root.path().join("a")).is_empty());
        std::mem::forget(Staged::create(&folders, root.path().join("a/killed")).expect("staged"));
        std::fs::write(root.path().join("a/whole"), "kept").expect("written");
        assert_eq!(sweep(root.path()).expect("swept"), 1);
        assert_eq!(names(&root.path().join("a")), ["whole"]);
    }
}
