//! Backup and restore: a consistent snapshot of a running server in a depot, and the way back.
//!
//! A snapshot is all rows as one reading transaction saw them, and a list of the blobs that they refer to; the manifest is written last.
//! Blobs lie in the depot once, whichever snapshots need them. Rows are sealed under a key of their own, which the house's keyring wraps;
//! the keyring is sealed under a passphrase. Wrapped root keys are objects of their own, one a video, so that deleting a video deletes its
//! key from every snapshot at once. docs/adr/0007 says why; docs/backup.md says how it is used.

mod copy;
mod manifest;
mod passphrase;
mod progress;
mod prune;
mod references;
mod restore;
mod rows;
mod sealed;
mod seen;
mod take;
mod verify;

use crate::depot::{Depot, Name};
use crate::domain::ids::VideoId;
use crate::domain::{Error, ErrorKind, Result};
use crate::keys::Keys;
use crate::kms::{Keyring, Kms};
use bytes::Bytes;
pub use manifest::{Manifest, Outline};
pub use passphrase::{Passphrase, SHORTEST, SealedKeyring};
pub use progress::Progress;
pub use restore::{Restored, Target, restore};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
pub use take::{House, Taken, take};
pub use verify::{Verified, verify};

/// Blobs on their way at once.
const AT_ONCE: usize = 8;

/// Something that is not as it should be: in the house when a backup is made, in the depot when one is restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The video it belongs to.
    pub video: VideoId,
    /// Its title, if its rows tell one.
    pub title: String,
    /// The blob's path, or `key`.
    pub object: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// The secrets that a backup needs.
#[derive(Clone)]
pub struct Secrets {
    keyring: Arc<Keyring>,
    kms: Kms,
    keys: Keys,
}

impl Secrets {
    /// Those of `keyring`.
    pub fn new(keyring: Keyring) -> Self {
        let keyring = Arc::new(keyring);
        let kms = Kms::Local(keyring.clone());
        Self { keys: Keys::new(kms.clone()), kms, keyring }
    }

    /// The keyring.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }
}

/// The sealed keyring at `file`, else that in the depot; `NotFound` when there is none.
pub async fn sealed_keyring(depot: &Depot, file: Option<&Path>) -> Result<SealedKeyring> {
    let text = match file {
        Some(path) => Bytes::from(std::fs::read(path).map_err(|error| cannot("read", path, error))?),
        None => depot.get(&Name::Keyring).await?,
    };
    SealedKeyring::parse(&text)
}

/// Keeps a sealed keyring at `file`, else in the depot.
pub async fn keep_sealed_keyring(depot: &Depot, file: Option<&Path>, sealed: &SealedKeyring) -> Result<()> {
    let text = sealed.to_text()?;
    match file {
        Some(path) => write_whole(path, &text).map_err(|error| cannot("write", path, error)),
        None => depot.put(&Name::Keyring, Bytes::from(text)).await,
    }
}

fn write_whole(path: &Path, text: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut staged = tempfile::NamedTempFile::new_in(folder)?;
    staged.write_all(text)?;
    staged.as_file().sync_all()?;
    staged.persist(path)?;
    std::fs::File::open(folder)?.sync_all()
}

fn cannot(what: &str, path: &Path, error: std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Invalid };
    Error::new(kind, "keyring-file", format!("cannot {what} {}: check --keyring-file", path.display())).with_source(error)
}
