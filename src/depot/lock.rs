//! One writer at a time: what a prune deletes must be nothing that another backup has just counted on.
//!
//! A folder is locked by the kernel, which forgets the lock with its holder. A bucket holds an object that its holder renews; one that was
//! not renewed for a while, or whose holder ran on this machine and does not any more, is taken over.

use super::{Depot, Name, location};
use crate::domain::{Error, Result};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;
use uuid::Uuid;

const RENEW_EVERY: Duration = Duration::from_secs(60);
/// Longer than clocks may differ that S3 lets in at all: 15 minutes.
const ABANDONED_AFTER: Duration = Duration::from_secs(20 * 60);
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The right to write, until it is released or dropped.
pub struct Lock {
    held: Held,
}

enum Held {
    Folder { _lock: File },
    Bucket { depot: Depot, renewal: JoinHandle<()> },
}

/// Who holds a bucket.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    boot: String,
    pid: u32,
    lock: String,
}

impl Depot {
    /// Takes the depot for this process; `Conflict` (`depot-locked`) when another has it.
    pub async fn lock(&self) -> Result<Lock> {
        match &self.folder {
            Some(folder) => Ok(Lock { held: Held::Folder { _lock: lock_folder(self, folder)? } }),
            None => lock_bucket(self).await,
        }
    }
}

impl Lock {
    /// Gives the depot back.
    pub async fn release(self) -> Result<()> {
        match &self.held {
            Held::Folder { .. } => Ok(()),
            Held::Bucket { depot, renewal } => {
                renewal.abort();
                depot.delete(&Name::Lock).await
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Held::Bucket { renewal, .. } = &self.held {
            renewal.abort();
        }
    }
}

fn lock_folder(depot: &Depot, folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let unusable = |error: rustix::io::Errno| {
        let message = format!("cannot write to {depot}: check its permissions and its disk");
        Error::new(crate::domain::ErrorKind::Forbidden, "depot-refused", message).with_source(std::io::Error::from(error))
    };
    let file = rustix::fs::open(&path, OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC, Mode::from_raw_mode(0o600)).map_err(unusable)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(File::from(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(locked(depot)),
        Err(error) => Err(unusable(error)),
    }
}

fn locked(depot: &Depot) -> Error {
    Error::conflict("depot-locked", format!("another backup or prune is writing to {depot}: wait for its end"))
}

async fn lock_bucket(depot: &Depot) -> Result<Lock> {
    let holder = Holder { boot: boot(), pid: std::process::id(), lock: Uuid::new_v4().simple().to_string() };
    let text = serde_json::to_vec(&holder).map_err(|error| Error::internal("could not write a lock", error))?;
    let place = location(&Name::Lock);
    let put = |mode: PutMode| depot.store.put_opts(&place, PutPayload::from(text.clone()), mode.into());
    let taken = match put(PutMode::Create).await {
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
            let version = abandoned(depot).await?.ok_or_else(|| locked(depot))?;
            put(PutMode::Update(version)).await
        }
        taken => taken,
    };
    match taken {
        Ok(_) => {}
        Err(object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) => return Err(locked(depot)),
        Err(error) => return Err(depot.failed("could not be written", &Name::Lock, error)),
    }
    let renewal = tokio::spawn(renew(depot.store.clone(), text));
    Ok(Lock { held: Held::Bucket { depot: depot.clone(), renewal } })
}

/// The version of the lock object if its holder is gone.
async fn abandoned(depot: &Depot) -> Result<Option<UpdateVersion>> {
    let found = depot.store.get(&location(&Name::Lock)).await.map_err(|e| depot.failed("could not be read", &Name::Lock, e))?;
    let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
    let renewed = SystemTime::from(found.meta.last_modified);
    let bytes = found.bytes().await.map_err(|e| depot.failed("could not be read", &Name::Lock, e))?;
    let is_over = renewed.elapsed().is_ok_and(|since| since > ABANDONED_AFTER);
    let is_dead = serde_json::from_slice::<Holder>(&bytes).is_ok_and(|holder| is_dead(&holder));
    Ok((is_over || is_dead).then_some(version))
}

fn is_dead(holder: &Holder) -> bool {
    holder.boot == boot() && !holder.boot.is_empty() && !Path::new(&format!("/proc/{}", holder.pid)).exists()
}

async fn renew(store: Arc<dyn ObjectStore>, text: Vec<u8>) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        if let Err(error) = store.put(&location(&Name::Lock), PutPayload::from(text.clone())).await {
            tracing::warn!(%error, "could not renew the lock of the backups; it is tried again");
        }
    }
}

/// Names this start of this machine's kernel.
fn boot() -> String {
    std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::Place;

    #[tokio::test]
    async fn a_folder_has_one_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let depot = Depot::open(&Place::Folder(folder.path().to_owned())).expect("a depot");
        let first = depot.lock().await.expect("free");
        assert_eq!(depot.lock().await.err().expect("taken").code(), "depot-locked");
        first.release().await.expect("released");
        drop(depot.lock().await.expect("free again"));
    }

    #[test]
    fn only_a_holder_of_this_machine_can_be_known_dead() {
        let holder = |boot: String, pid: u32| Holder { boot, pid, lock: String::new() };
        assert!(!is_dead(&holder(boot(), std::process::id())));
        assert!(is_dead(&holder(boot(), u32::MAX)));
        assert!(!is_dead(&holder("elsewhere".into(), u32::MAX)));
    }
}
