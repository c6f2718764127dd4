//! What an interrupted upload leaves behind, so that the next run can go on: one small file per server and source.
//!
//! The file holds no secret. While a run uses it, it holds the file's lock, so that two runs never share one upload.

use super::source::LocalFile;
use crate::domain::ids::UploadId;
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Servers drop unfinished uploads after a week, unless told otherwise.
const LONGEST_KEPT: Duration = Duration::from_secs(90 * 86_400);

/// Which upload belongs to which file on which server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    server: String,
    path: String,
    size_bytes: u64,
    modified_s: i64,
    modified_ns: i64,
    upload: Option<UploadId>,
}

/// The place of one file's state, locked for this run.
#[derive(Debug)]
pub(super) struct Slot {
    path: PathBuf,
    file: File,
    record: Record,
}

/// `$XDG_STATE_HOME/theatrum/uploads`, else `~/.local/state/theatrum/uploads`; none without a home.
pub(super) fn folder() -> Option<PathBuf> {
    let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let states = path("XDG_STATE_HOME").or_else(|| path("HOME").map(|home| home.join(".local/state")))?;
    Some(states.join("theatrum/uploads"))
}

impl Slot {
    /// Opens and locks the state of `source` on `server`; none while another run holds it.
    pub(super) fn open(folder: &Path, server: &str, source: &LocalFile) -> io::Result<Option<Self>> {
        let record = Record {
            server: server.to_owned(),
            path: source.path().to_string_lossy().into_owned(),
            size_bytes: source.size_bytes(),
            modified_s: source.stamp().modified.0,
            modified_ns: source.stamp().modified.1,
            upload: None,
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // What cannot be swept now can be the next time.
        let _later = sweep(folder);
        let path = folder.join(record.file_name()?);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // A torn or foreign file is as good as none: the upload starts anew.
        let left_behind = serde_json::from_slice::<Record>(&bytes).ok().and_then(|left| left.upload);
        Ok(Some(Self { path, file, record: Record { upload: left_behind, ..record } }))
    }

    /// The upload an earlier run left behind.
    pub(super) fn upload(&self) -> Option<&UploadId> {
        self.record.upload.as_ref()
    }

    /// Remembers `upload` for the next run.
    pub(super) fn remember(&mut self, upload: &UploadId) -> io::Result<()> {
        self.record.upload = Some(upload.clone());
        let bytes = serde_json::to_vec_pretty(&self.record)?;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&bytes)?;
        self.file.sync_all()
    }

    /// There is nothing left to resume.
    pub(super) fn forget(&mut self) {
        self.record.upload = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.record.upload.is_none() {
            // What cannot be removed is found again, and the server will say that it is finished.
            let _left_behind = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes the states of uploads that nobody took up again and that no server keeps any more.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let file = File::open(&path)?;
        let is_old = file.metadata()?.modified()?.elapsed().is_ok_and(|age| age > LONGEST_KEPT);
        if is_old && path.extension().is_some_and(|ending| ending == "json") && file.try_lock().is_ok() {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

impl Record {
    fn file_name(&self) -> io::Result<String> {
        let key = serde_json::to_vec(&(&self.server, &self.path, self.size_bytes, self.modified_s, self.modified_ns))?;
        Ok(format!("{}.json", hex::encode(digest::digest(&digest::SHA256, &key))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Fixture {
        folder: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().expect("folder") }
        }

        fn source(&self, content: &str) -> LocalFile {
            let path = self.folder.path().join("lecture.mp4");
            std::fs::write(&path, content).expect("written");
            LocalFile::open(&path).expect("regular")
        }

        fn slot(&self, server: &str, source: &LocalFile) -> Option<Slot> {
            Slot::open(&self.folder.path().join("states"), server, source).expect("usable")
        }

        fn files(&self) -> Vec<PathBuf> {
            let entries = std::fs::read_dir(self.folder.path().join("states")).expect("folder");
            entries.map(|entry| entry.expect("entry").path()).collect()
        }
    }

    #[test]
    fn an_upload_is_found_again_for_the_same_file_on_the_same_server_only() {
        let (fixture, upload) = (Fixture::new(), UploadId::new());
        let source = fixture.source("content");
        fixture.slot("https://a/", &source).expect("free").remember(&upload).expect("written");
        assert_eq!(fixture.slot("https://a/", &source).expect("free").upload(), Some(&upload));
        assert_eq!(fixture.slot("https://b/", &source).expect("free").upload(), None);
        let changed = fixture.source("other content");
        assert_eq!(fixture.slot("https://a/", &changed).expect("free").upload(), None);
    }

    #[test]
    fn only_its_owner_can_read_it() {
        let (fixture, upload) = (Fixture::new(), UploadId::new());
        fixture.slot("https://a/", &fixture.source("x")).expect("free").remember(&upload).expect("written");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(fixture.files().iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600]);
        assert_eq!(mode(&fixture.folder.path().join("states")), 0o700);
    }

    #[test]
    fn two_runs_never_share_an_upload() {
        let fixture = Fixture::new();
        let source = fixture.source("x");
        let first = fixture.slot("https://a/", &source).expect("free");
        assert!(fixture.slot("https://a/", &source).is_none());
        drop(first);
        assert!(fixture.slot("https://a/", &source).is_some());
    }

    #[test]
    fn nothing_stays_behind_once_it_is_forgotten() {
        let fixture = Fixture::new();
        let mut slot = fixture.slot("https://a/", &fixture.source("x")).expect("free");
        slot.remember(&UploadId::new()).expect("written");
        slot.forget();
        drop(slot);
        assert_eq!(fixture.files(), [] as [PathBuf; 0]);
    }

    #[test]
    fn a_state_that_nobody_took_up_again_goes_unless_a_run_holds_it() {
        let (fixture, upload) = (Fixture::new(), UploadId::new());
        let source = fixture.source("x");
        let hold = |server| {
            let mut slot = fixture.slot(server, &source).expect("free");
            slot.remember(&upload).expect("written");
            slot.file.set_modified(std::time::SystemTime::now() - LONGEST_KEPT - Duration::from_secs(1)).expect("own file");
            slot
        };
        drop(hold("https://a/"));
        let held = hold("https://b/");
        let _other = fixture.slot("https://c/", &source).expect("free");
        assert_eq!(fixture.files().len(), 2, "that of b and that of c");
        drop(held);
    }

    #[test]
    fn a_torn_file_counts_as_none() {
        let (fixture, upload) = (Fixture::new(), UploadId::new());
        let source = fixture.source("x");
        fixture.slot("https://a/", &source).expect("free").remember(&upload).expect("written");
        std::fs::write(&fixture.files()[0], b"{\"server\":\"htt").expect("torn");
        assert_eq!(fixture.slot("https://a/", &source).expect("free").upload(), None);
    }
}
