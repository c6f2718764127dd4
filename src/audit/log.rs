//! The audit log over the catalog: decisions are appended one by one, deliveries, posters and refusals counted by the minute.

use super::{Delivery, Entry, Sink};
use crate::catalog::Catalog;
use crate::catalog::audit::{Count, CountKind};
use crate::domain::ids::VideoId;
use crate::domain::{Error, Result};
use crate::transaction;
use async_trait::async_trait;
use std::collections::{HashMap, HashSet};
use std::mem;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MINUTE_MS: u128 = 60_000;
/// Longer than any commit takes, shorter than a player waits for a key.
const PATIENCE: Duration = Duration::from_secs(5);
/// Refusals from more addresses than this between two flushes share one row, so that they cannot fill a disk (invariant 8).
const MOST_REFUSAL_ROWS: usize = 1_000;
const OTHER_ADDRESSES: &str = "other";

/// Appends to the catalog's audit rows.
#[derive(Debug)]
pub struct Log {
    catalog: Catalog,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    pending: HashMap<Counted, Sum>,
    durable: HashSet<Counted>,
    refusal_rows: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Counted {
    minute: i64,
    kind: CountKind,
    subject: String,
    object: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    accesses: i64,
    bytes: i64,
}

impl Log {
    /// A log over `catalog`.
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog, counts: Mutex::default() }
    }

    /// Appends an entry; on `Ok` it is durable, and only then may what it allows happen (invariant 8: audit before bytes).
    pub async fn append(&self, entry: &Entry) -> Result<()> {
        in_time(async { transaction!(self.catalog, |tx| tx.append_audit(entry).await) }).await
    }

    /// Writes what was counted since the last call. Call it every few seconds and once before the process ends; what cannot be written
    /// stays counted for the next call.
    pub async fn flush(&self) -> Result<()> {
        let pending = mem::take(&mut self.lock().pending);
        if pending.is_empty() {
            return Ok(());
        }
        let written = self.write(&pending).await;
        let mut counts = self.lock();
        match &written {
            Ok(()) => counts.forget_before(minute_now() - 1),
            Err(_) => counts.restore(pending),
        }
        written
    }

    /// Counts a poster that someone is about to see. When this returns `Ok`, the first in this minute of the video for them is durable;
    /// send no byte before (invariant 8).
    pub async fn poster_shown(&self, subject: &str, video: &VideoId, bytes: u64) -> Result<()> {
        let (subject, object) = (subject.to_owned(), video.to_string());
        self.count(Counted { minute: minute_now(), kind: CountKind::Poster, subject, object }, bytes).await
    }

    /// Writes the first access of its kind in a minute at once, and leaves the others to the next flush.
    async fn count(&self, counted: Counted, bytes: u64) -> Result<()> {
        let sum = Sum { accesses: 1, bytes: bytes.cast_signed() };
        let is_first = {
            let mut counts = self.lock();
            let is_first = !counts.durable.contains(&counted);
            if !is_first {
                counts.add(counted.clone(), sum);
            }
            is_first
        };
        if is_first {
            in_time(async { transaction!(self.catalog, |tx| tx.add_audit_count(&counted.row(sum)).await) }).await?;
            self.lock().durable.insert(counted);
        }
        Ok(())
    }

    async fn write(&self, pending: &HashMap<Counted, Sum>) -> Result<()> {
        transaction!(self.catalog, |tx| {
            for (counted, sum) in pending {
                tx.add_audit_count(&counted.row(*sum)).await?;
            }
            Ok(())
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        // Sums stay sums whatever happened to a thread that held them.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn add(&mut self, counted: Counted, sum: Sum) {
        let entry = self.pending.entry(counted).or_default();
        entry.accesses += sum.accesses;
        entry.bytes += sum.bytes;
    }

    fn restore(&mut self, pending: HashMap<Counted, Sum>) {
        for (counted, sum) in pending {
            self.add(counted, sum);
        }
    }

    fn forget_before(&mut self, minute: i64) {
        self.durable.retain(|counted| counted.minute >= minute);
        self.refusal_rows = 0;
    }
}

impl Counted {
    fn row(&self, sum: Sum) -> Count {
        let Self { minute, kind, subject, object } = self.clone();
        Count { minute, kind, subject, object, accesses: sum.accesses, bytes: sum.bytes }
    }
}

#[async_trait]
impl Sink for Log {
    async fn delivered(&self, delivery: &Delivery<'_>) -> Result<()> {
        let object = format!("{}/{}/{}", delivery.video, delivery.version, delivery.kind.as_str());
        let counted = Counted { minute: minute_now(), kind: CountKind::Delivery, subject: delivery.session.to_string(), object };
        self.count(counted, delivery.bytes).await
    }

    async fn refused(&self, address: IpAddr, reason: &'static str) {
        let mut counts = self.lock();
        let mut counted =
            Counted { minute: minute_now(), kind: CountKind::Refusal, subject: address.to_string(), object: reason.to_owned() };
        if !counts.pending.contains_key(&counted) {
            if counts.refusal_rows >= MOST_REFUSAL_ROWS {
                counted.subject = OTHER_ADDRESSES.to_owned();
            } else {
                counts.refusal_rows += 1;
            }
        }
        counts.add(counted, Sum { accesses: 1, bytes: 0 });
    }
}

/// Whoever waits for an entry is told soon when the catalog does not take it. One that is written after all allowed nothing.
async fn in_time(written: impl Future<Output = Result<()>>) -> Result<()> {
    let late = |error| Err(Error::unavailable("the audit log cannot be written now: try again later", error));
    tokio::time::timeout(PATIENCE, written).await.unwrap_or_else(late)
}

fn minute_now() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis() / MINUTE_MS).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Kind;
    use crate::domain::ids::{SessionId, VersionId};

    async fn log(folder: &tempfile::TempDir) -> Log {
        Log::new(Catalog::open_sqlite(&folder.path().join("catalog.db")).await.expect("a catalog"))
    }

    /// invariant 8: the first access of a session's minute is durable before `delivered` returns; later ones are counted.
    #[tokio::test]
    async fn the_first_delivery_of_a_minute_is_durable_at_once_and_the_rest_with_the_flush() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = log(&folder).await;
        let (session, video, version) = (SessionId::new(), VideoId::new(), VersionId::new());
        let address = IpAddr::from([127, 0, 0, 1]);
        let delivery = Delivery {
            session: &session,
            video: &video,
            version: &version,
            object: "360p/000000-1.m4s",
            kind: Kind::Segment,
            address,
            bytes: 7,
        };
        log.delivered(&delivery).await.expect("counted");
        assert_eq!(log.catalog.audit_count(CountKind::Delivery, session.as_str()).await.expect("count"), 1);
        for _ in 0..9 {
            log.delivered(&delivery).await.expect("counted");
        }
        log.flush().await.expect("flushed");
        assert_eq!(log.catalog.audit_count(CountKind::Delivery, session.as_str()).await.expect("count"), 10);
    }

    /// invariant 8: refusals are aggregated, so that they cannot fill a disk.
    #[tokio::test]
    async fn refusals_from_ever_new_addresses_share_a_row_in_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = log(&folder).await;
        for n in 0..u32::try_from(MOST_REFUSAL_ROWS + 500).expect("small") {
            log.refused(IpAddr::from(n.to_be_bytes()), "token-signature").await;
        }
        assert!(log.lock().pending.len() <= MOST_REFUSAL_ROWS + 2, "another minute may have begun");
        log.flush().await.expect("flushed");
        assert_eq!(log.catalog.audit_count(CountKind::Refusal, OTHER_ADDRESSES).await.expect("count"), 500);
    }
}
