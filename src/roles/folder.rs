//! The data folder: who holds it, what lies where, and the files that tell local clients where the server is.

use crate::domain::{Error, Result};
use crate::tls::acme;
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A killed server's lock lives on in a child that it had just forked, until that has become ffmpeg's helper: a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// How the name ends of a file that is being written, the keyring's too.
const STAGED: &str = ".new";
/// How the name begins of a file by which `doctor` tries the disk.
const TRIAL: &str = ".doctor-";
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const RESTORING: &str = "restoring";
/// Below the folder; local clients read its name in server.json.
const PINS: &str = "tls/serving.pem";

/// Where a server is.
pub struct Announcement<'a> {
    pub url: &'a str,
    pub s3_url: &'a str,
    pub redirect_url: Option<&'a str>,
    pub has_tls: bool,
}

/// Where things lie in a data folder.
#[derive(Clone, Debug)]
pub struct Layout {
    path: PathBuf,
}

impl Layout {
    /// That of the folder at `path`.
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The SQLite catalog.
    pub fn catalog(&self) -> PathBuf {
        self.path.join("catalog.db")
    }

    /// The keyring.
    pub fn keyring(&self) -> PathBuf {
        self.path.join("keyring.json")
    }

    /// The blobs.
    pub fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    /// The administrator's access token.
    pub fn admin_token(&self) -> PathBuf {
        self.path.join("admin.token")
    }

    /// Says that a restore into the folder has begun and not ended.
    pub(super) fn restoring(&self) -> PathBuf {
        self.path.join(RESTORING)
    }
}

/// A data folder, locked: no other server runs on it while this lives.
#[derive(Debug)]
pub(super) struct Folder {
    layout: Layout,
    node: String,
    life: String,
    _lock: File,
}

impl Deref for Folder {
    type Target = Layout;

    fn deref(&self) -> &Layout {
        &self.layout
    }
}

impl Folder {
    /// Opens and locks the folder, making it (0700) if absent. `Conflict` when another server holds it, or a restore is unfinished there.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Self::take(path)?;
        if folder.restoring().exists() {
            let message = format!("a restore into {} has not ended: run `theatrum restore` again", folder.path.display());
            return Err(Error::conflict("restore-unfinished", message));
        }
        Ok(folder)
    }

    /// As [`Self::open`], whether something was restored there or not.
    pub fn take(path: &Path) -> Result<Self> {
        make(path).map_err(|error| unusable(path, error))?;
        let path = path.canonicalize().map_err(|error| unusable(path, error))?;
        let lock = lock(&path)?;
        sweep(&path).map_err(|error| unusable(&path, error))?;
        let node = node(&path)?;
        Ok(Self { layout: Layout { path }, node, life: Uuid::new_v4().simple().to_string(), _lock: lock })
    }

    /// This folder's name among workers; it never changes.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Who holds leases: the node and this life of it.
    pub fn owner(&self) -> String {
        format!("{}/{}", self.node, self.life)
    }

    /// The administrator's access token, if there is one.
    pub fn read_admin_token(&self) -> Option<String> {
        fs::read_to_string(self.admin_token()).ok().map(|text| text.trim().to_owned())
    }

    /// Keeps the administrator's access token (0600).
    pub fn write_admin_token(&self, token: &str) -> Result<()> {
        self.write("admin.token", &format!("{token}\n"))
    }

    /// What the ACME client keeps.
    pub fn acme(&self) -> PathBuf {
        self.path.join(acme::FOLDER)
    }

    /// The certificate by which local clients know this server.
    pub fn pins(&self) -> PathBuf {
        self.path.join(PINS)
    }

    /// Tells local clients where the server is, and, if it speaks TLS, by which certificate they know it.
    pub fn announce(&self, server: &Announcement<'_>) -> Result<()> {
        let Announcement { url, s3_url, redirect_url, has_tls } = server;
        let mut text = json!({"url": url, "s3_url": s3_url, "pid": std::process::id(), "node": self.node});
        if *has_tls {
            text["certificate"] = json!(PINS);
        }
        if let Some(redirect_url) = redirect_url {
            text["redirect_url"] = json!(redirect_url);
        }
        self.write("server.json", &format!("{text}\n"))
    }

    /// Takes [`Self::announce`] back.
    pub fn retract(&self) {
        if let Err(error) = fs::remove_file(self.path.join("server.json")) {
            tracing::debug!(%error, "could not take server.json away");
        }
    }

    /// Begins or goes on with a restore: no server opens the folder until [`Self::restored`].
    pub fn mark_restoring(&self) -> Result<()> {
        self.write(RESTORING, "a backup is being restored here\n")
    }

    /// Ends a restore: everything is durable, then the mark goes.
    pub fn restored(&self) -> Result<()> {
        let ended = (|| {
            let folder = File::open(&self.path)?;
            rustix::fs::syncfs(&folder)?;
            fs::remove_file(self.restoring())?;
            folder.sync_all()
        })();
        ended.map_err(|error| unusable(&self.path, error))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        write(&self.path, name, text)
    }
}

/// Makes the folder (0700) and its missing ancestors, each durable: what is later acknowledged in it must not go with it. Gives the
/// folders that were synced for that.
fn make(path: &Path) -> io::Result<Vec<PathBuf>> {
    let path = std::path::absolute(path)?;
    let missing = path.ancestors().take_while(|folder| !folder.is_dir());
    let parents: Vec<PathBuf> = missing.filter_map(|folder| folder.parent().map(Path::to_owned)).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    parents.iter().try_for_each(|parent| File::open(parent)?.sync_all())?;
    Ok(parents)
}

/// Removes what a write that was cut short left beside its file, and what a doctor that was killed left of its trial of the disk.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_file() && (name.ends_with(STAGED) || name.starts_with(TRIAL)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a private file whole or not at all, durably.
fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let (path, staged) = (folder.join(name), folder.join(format!("{name}{STAGED}")));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&staged, &path)?;
        File::open(folder)?.sync_all()
    })();
    written.map_err(|error| unusable(&path, error))
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let descriptor = rustix::fs::open(&path, OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC, Mode::from_raw_mode(0o600));
    let file = File::from(descriptor.map_err(|error| unusable(&path, error))?);
    let begun = Instant::now();
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_PAUSE),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let message = format!("another server runs on {}: stop it, or choose another folder by --data", folder.display());
                return Err(Error::conflict("data-locked", message));
            }
            Err(error) => return Err(unusable(&path, error)),
        }
    }
}

fn node(folder: &Path) -> Result<String> {
    if let Ok(text) = fs::read_to_string(folder.join("node.id"))
        && let Ok(id) = Uuid::parse_str(text.trim())
    {
        return Ok(id.simple().to_string());
    }
    let id = Uuid::new_v4().simple().to_string();
    write(folder, "node.id", &format!("{id}\n"))?;
    Ok(id)
}

fn unusable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid("data-folder", format!("cannot use {}: {error}; check that it exists, is yours and has space", path.display()))
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn every_folder_that_is_made_is_durable_in_its_parent() {
        let root = tempfile::tempdir().expect("a folder");
        let (a, b) = (root.path().join("a"), root.path().join("a/b"));
        let data = b.join("data");
        assert_eq!(make(&data).expect("made"), [b, a, root.path().to_owned()]);
        assert!(make(&data).expect("there").is_empty());
        let mode = fs::metadata(&data).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn what_a_killed_life_was_writing_is_gone_in_the_next() {
        let parent = tempfile::tempdir().expect("a folder");
        for name in ["admin.token.new", "keyring.json.new", "server.json.new", ".doctor-x1y2z3", "newer.txt", "catalog.db"] {
            fs::write(parent.path().join(name), "x").expect("a file");
        }
        let _folder = Folder::open(parent.path()).expect("opens");
        let mut left: Vec<_> = fs::read_dir(parent.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
        left.sort();
        assert_eq!(left, ["catalog.db", "lock", "newer.txt", "node.id"]);
    }

    #[test]
    fn a_folder_serves_one_server_at_a_time_and_keeps_its_name() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("data");
        let first = Folder::open(&path).expect("opens");
        assert_eq!(Folder::open(&path).expect_err("locked").code(), "data-locked");
        let (node, owner) = (first.node().to_owned(), first.owner());
        drop(first);
        let second = Folder::open(&path).expect("opens again");
        assert_eq!(second.node(), node);
        assert_ne!(second.owner(), owner, "another life");
        second.write_admin_token("x").expect("written");
        let mode = fs::metadata(second.admin_token()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
