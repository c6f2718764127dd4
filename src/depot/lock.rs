//! One writer at a time: what a prune deletes must be nothing that another backup has just counted on.
//!
//! A folder is locked by the kernel, which forgets the lock with its holder. A bucket holds an object that its holder renews; one that was
//! not renewed for a while, or whose holder ran on this machine and does not any more, is taken over. Whoever writes that object names the
//! version that it replaces: of two who take it over one fails, and a holder that was taken for dead finds out, and stops.

use super::{Depot, Name, location};
use crate::domain::{Error, Result};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, PutResult, UpdateVersion};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use uuid::Uuid;

const RENEW_EVERY: Duration = Duration::from_secs(60);
/// A holder that could not renew its lock for so long stops: soon it is taken for dead.
const LOST_AFTER: Duration = Duration::from_secs(10 * 60);
/// Longer than clocks may differ that S3 lets in at all, 15 minutes, and than [`LOST_AFTER`].
const ABANDONED_AFTER: Duration = Duration::from_secs(20 * 60);
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Processes have numbers of their own in each container.
const NUMBERS: &str = "/proc/self/ns/pid";

/// The right to write, until [`Lock::hold`] ends; dropped before, a bucket stays locked until this process ends.
pub struct Lock {
    held: Held,
}

enum Held {
    Folder { _lock: File },
    Bucket(Lease),
}

/// The lock object of a bucket, as we wrote it.
struct Lease {
    depot: Depot,
    holder: Holder,
    version: UpdateVersion,
    renew_every: Duration,
}

/// Who holds a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    boot: String,
    #[serde(default)]
    numbers: String,
    pid: u32,
    lock: String,
    /// Nobody, any more. The object stays: deleting it could hit that of the next.
    #[serde(default)]
    released: bool,
}

impl Depot {
    /// Takes the depot for this process; `Conflict` (`depot-locked`) when another has it.
    pub async fn lock(&self) -> Result<Lock> {
        let held = match &self.folder {
            Some(folder) => Held::Folder { _lock: lock_folder(self, folder)? },
            None => Held::Bucket(lock_bucket(self).await?),
        };
        Ok(Lock { held })
    }
}

impl Lock {
    /// Does `work`, and gives the depot back. `Conflict` (`depot-lock-lost`) when another has taken it meanwhile, which cuts `work` short.
    pub async fn hold<T>(self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut lease = match self.held {
            Held::Folder { _lock } => return work.await,
            Held::Bucket(lease) => lease,
        };
        let done = tokio::select! {
            done = work => done,
            lost = lease.renew() => Err(lost),
        };
        let released = lease.release().await;
        let done = done?;
        released.map(|()| done)
    }
}

impl Lease {
    /// Renews the lock until it is lost.
    async fn renew(&mut self) -> Error {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.renew_every).await;
            match self.write(self.holder.clone()).await {
                Ok(()) => renewed = Instant::now(),
                Err(error) if error.code() == LOST || renewed.elapsed() >= LOST_AFTER => return lost(&self.depot).with_source(error),
                Err(error) => tracing::warn!(cause = %error.chain(), "could not renew the lock of the backups; it is tried again"),
            }
        }
    }

    async fn release(mut self) -> Result<()> {
        let released = Holder { released: true, ..self.holder.clone() };
        self.write(released).await
    }

    /// Replaces what we wrote last; `Conflict` ([`LOST`]) when that is not there any more.
    async fn write(&mut self, holder: Holder) -> Result<()> {
        let written = put(&self.depot, &holder, PutMode::Update(self.version.clone())).await?;
        if let Some(version) = written {
            self.version = version;
            return Ok(());
        }
        // Perhaps we were not told of our own last writing.
        let found = look(&self.depot).await?.filter(|(found, ..)| found.lock == self.holder.lock);
        let (_, version, _) = found.ok_or_else(|| lost(&self.depot))?;
        self.version = put(&self.depot, &holder, PutMode::Update(version)).await?.ok_or_else(|| lost(&self.depot))?;
        Ok(())
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

const LOST: &str = "depot-lock-lost";

fn lost(depot: &Depot) -> Error {
    Error::conflict(LOST, format!("another backup has taken {depot} over, since this one was silent for too long: begin it again"))
}

async fn lock_bucket(depot: &Depot) -> Result<Lease> {
    let lock = Uuid::new_v4().simple().to_string();
    let holder = Holder { boot: boot(), numbers: numbers(), pid: std::process::id(), lock, released: false };
    let mut taken = put(depot, &holder, PutMode::Create).await?;
    if taken.is_none()
        && let Some((found, version, renewed)) = look(depot).await?
        && (found.released || is_dead(&found) || renewed.elapsed().is_ok_and(|since| since > ABANDONED_AFTER))
    {
        taken = take_over(depot, &holder, version).await?;
    }
    let version = taken.ok_or_else(|| locked(depot))?;
    Ok(Lease { depot: depot.clone(), holder, version, renew_every: RENEW_EVERY })
}

/// Replaces the lock object that was seen; `None` when another was faster.
async fn take_over(depot: &Depot, holder: &Holder, seen: UpdateVersion) -> Result<Option<UpdateVersion>> {
    put(depot, holder, PutMode::Update(seen)).await
}

/// Writes the lock object; `None` when what is there is not what `mode` expects.
async fn put(depot: &Depot, holder: &Holder, mode: PutMode) -> Result<Option<UpdateVersion>> {
    use object_store::Error as Store;
    let text = serde_json::to_vec(holder).map_err(|error| Error::internal("could not write a lock", error))?;
    match depot.store.put_opts(&location(&Name::Lock), PutPayload::from(text), mode.into()).await {
        Ok(PutResult { e_tag, version, .. }) => Ok(Some(UpdateVersion { e_tag, version })),
        Err(Store::AlreadyExists { .. } | Store::Precondition { .. } | Store::NotFound { .. }) => Ok(None),
        Err(error) => Err(depot.failed("could not be written", &Name::Lock, error)),
    }
}

/// The lock object: whose, which version, and when it was written.
async fn look(depot: &Depot) -> Result<Option<(Holder, UpdateVersion, SystemTime)>> {
    let failed = |error| depot.failed("could not be read", &Name::Lock, error);
    let found = match depot.store.get(&location(&Name::Lock)).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        found => found.map_err(failed)?,
    };
    let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
    let written = SystemTime::from(found.meta.last_modified);
    let bytes = found.bytes().await.map_err(failed)?;
    // What nobody can read is somebody's, until it is old.
    let nobody = Holder { boot: String::new(), numbers: String::new(), pid: 0, lock: String::new(), released: false };
    Ok(Some((serde_json::from_slice(&bytes).unwrap_or(nobody), version, written)))
}

fn is_dead(holder: &Holder) -> bool {
    let is_here = holder.boot == boot() && !holder.boot.is_empty() && holder.numbers == numbers() && !holder.numbers.is_empty();
    is_here && !Path::new(&format!("/proc/{}", holder.pid)).exists()
}

/// Names the set of process numbers that ours is of.
fn numbers() -> String {
    std::fs::read_link(NUMBERS).map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Names this start of this machine's kernel.
fn boot() -> String {
    std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::Place;
    use object_store::memory::InMemory;
    use std::future::pending;
    use std::sync::Arc;

    fn bucket() -> Depot {
        Depot { store: Arc::new(InMemory::new()), shown: "a bucket".into(), folder: None }
    }

    fn holder(boot: String, numbers: String, pid: u32) -> Holder {
        Holder { boot, numbers, pid, lock: String::new(), released: false }
    }

    #[tokio::test]
    async fn a_depot_has_one_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = Depot::open(&Place::Folder(folder.path().to_owned())).expect("a depot");
        for depot in [folder, bucket()] {
            let first = depot.lock().await.expect("free");
            assert_eq!(depot.lock().await.err().expect("taken").code(), "depot-locked");
            first.hold(async { Ok(()) }).await.expect("released");
            let again = depot.lock().await.expect("free again");
            let failed = again.hold(async { Err::<(), _>(Error::unavailable("it failed", "test")) }).await;
            assert_eq!(failed.expect_err("failed").code(), "unavailable");
            assert!(depot.lock().await.is_ok(), "and is free after a failure");
        }
    }

    /// A lock that is renewed all the time, whoever had it.
    async fn restless(depot: &Depot) -> Lock {
        let holder = holder(boot(), numbers(), std::process::id());
        let version = put(depot, &holder, PutMode::Overwrite).await.expect("written").expect("whatever was there");
        Lock { held: Held::Bucket(Lease { depot: depot.clone(), holder, version, renew_every: Duration::from_millis(1) }) }
    }

    async fn found(depot: &Depot) -> (Holder, UpdateVersion) {
        let (holder, version, _) = look(depot).await.expect("read").expect("there");
        (holder, version)
    }

    #[tokio::test]
    async fn a_holder_that_was_taken_for_dead_stops_and_leaves_the_next_alone() {
        let depot = bucket();
        let next = Holder { lock: "next".into(), ..holder("elsewhere".into(), "elsewhere".into(), 1) };
        let first = restless(&depot).await;
        put(&depot, &next, PutMode::Overwrite).await.expect("taken over");
        assert_eq!(first.hold(pending::<Result<()>>()).await.expect_err("cut short").code(), LOST);
        assert_eq!(found(&depot).await.0, next);
        let first = restless(&depot).await;
        put(&depot, &next, PutMode::Overwrite).await.expect("taken over");
        assert_eq!(first.hold(async { Ok(()) }).await.expect_err("nobody knows what the next has deleted").code(), LOST);
        assert_eq!(found(&depot).await.0, next);
    }

    #[tokio::test]
    async fn a_lock_is_renewed_until_the_work_is_done() {
        let depot = bucket();
        let lock = restless(&depot).await;
        let work = async {
            for _ in 0..3 {
                let before = found(&depot).await.1;
                while found(&depot).await.1 == before {
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        };
        lock.hold(work).await.expect("it held it all the time");
        assert!(found(&depot).await.0.released);
    }

    #[tokio::test]
    async fn two_who_take_over_are_one() {
        let depot = bucket();
        put(&depot, &holder(boot(), numbers(), u32::MAX), PutMode::Create).await.expect("a dead one");
        // Both have seen that it is dead before either takes over.
        let versions = [found(&depot).await.1, found(&depot).await.1];
        let next = holder(boot(), numbers(), std::process::id());
        let [first, second] = versions.map(|version| take_over(&depot, &next, version));
        assert!(first.await.expect("an answer").is_some());
        assert!(second.await.expect("an answer").is_none());
    }

    #[test]
    fn only_a_holder_of_this_machine_and_container_can_be_known_dead() {
        assert!(!is_dead(&holder(boot(), numbers(), std::process::id())));
        assert!(is_dead(&holder(boot(), numbers(), u32::MAX)));
        assert!(!is_dead(&holder("elsewhere".into(), numbers(), u32::MAX)));
        assert!(!is_dead(&holder(boot(), "pid:[1]".into(), u32::MAX)), "it may run in another container");
        let older: Holder = serde_json::from_str(&format!(r#"{{"boot":{:?},"pid":4294967295,"lock":"x"}}"#, boot())).expect("json");
        assert!(!is_dead(&older));
    }
}
