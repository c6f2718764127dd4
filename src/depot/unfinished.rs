//! What unfinished writes left in a folder: files beside their place, under its name, `#` and digits.
//!
//! The folder may be the root of a disk that others use too. So nothing goes that is not certainly ours, and nobody else's folder is entered.

use super::Name;
use std::fs::{self, ReadDir};
use std::io;
use std::path::Path;

/// What separates a name from the suffix of an unfinished write; object_store's doing.
const UNFINISHED: char = '#';
const FOLDERS: [&str; 4] = [Name::BLOBS, Name::ROOT_KEYS, Name::SNAPSHOTS, Name::TOMBSTONES];

/// Removes what unfinished writes left of the depot at `root`; gives how many files that were. Only for the sole writer there.
pub(super) fn sweep(root: &Path) -> io::Result<u64> {
    let mut removed = 0;
    for entry in fs::read_dir(root)? {
        removed += remove_if_ours(root, &entry?.path())?;
    }
    let mut folders = FOLDERS.map(|folder| root.join(folder)).to_vec();
    while let Some(folder) = folders.pop() {
        let Some(entries) = read_if_there(&folder)? else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                removed += remove_if_ours(root, &entry.path())?;
            }
        }
    }
    Ok(removed)
}

fn read_if_there(folder: &Path) -> io::Result<Option<ReadDir>> {
    match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        entries => entries.map(Some),
    }
}

fn remove_if_ours(root: &Path, path: &Path) -> io::Result<u64> {
    let name = path.strip_prefix(root).ok().and_then(Path::to_str).unwrap_or_default();
    if !is_unfinished(name) || !fs::symlink_metadata(path)?.is_file() {
        return Ok(0);
    }
    fs::remove_file(path).map(|()| 1)
}

fn is_unfinished(path: &str) -> bool {
    let is_number = |suffix: &str| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit());
    path.rsplit_once(UNFINISHED).is_some_and(|(name, suffix)| is_number(suffix) && Name::parse(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::Key;
    use crate::domain::ids::{SnapshotId, VersionId, VideoId};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn at_the_root_of_a_disk_nothing_of_others_goes() {
        let root = tempfile::tempdir().expect("a folder");
        let (video, snapshot) = (VideoId::new(), SnapshotId::new());
        let blob = Name::Blob { key: Key::MasterPlaylist { video: video.clone(), version: VersionId::new() }, sha256: "0f".repeat(32) };
        let ours = [Name::Lock, Name::Keyring, Name::Tombstone(video.clone()), Name::root_key(&video, "x"), Name::Rows(snapshot), blob];
        let left = ours.iter().map(|name| format!("{name}#17")).chain([format!("{}#1", ours[3])]).collect::<Vec<_>>();
        let kept = ours.iter().map(ToString::to_string).chain(
            ["report#3", "lock.json#", "lock.json#3x", "#3", "thesis#1.docx", "photos/a#1", "blobs/notes#1", "lost+found/lock.json#1"]
                .map(str::to_owned),
        );
        let kept = kept.collect::<Vec<_>>();
        for path in left.iter().chain(&kept) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, "x").expect("written");
        }
        fs::create_dir(root.path().join("lock.json#4")).expect("a folder is no unfinished write");
        let forbidden = root.path().join("lost+found");
        fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o000)).expect("chmod");
        let swept = sweep(root.path());
        fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o700)).expect("chmod");
        assert_eq!(swept.expect("swept"), left.len() as u64);
        assert!(left.iter().all(|path| !root.path().join(path).exists()));
        assert!(kept.iter().all(|path| root.path().join(path).exists()));
    }
}
