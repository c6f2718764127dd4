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
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MINUTE_MS: u128 = 60_000;
/// Longer than any commit takes, shorter than a player waits for a key.
const PATIENCE: Duration = Duration::from_secs(5);
const MINUTES_OF_AN_HOUR: i64 = 60;
/// Rows that refusals may add in an hour, some 100 kB. Those that find none left share one a minute and reason, so that they cannot fill a
/// disk (invariant 8).
const MOST_REFUSAL_ROWS: usize = 1_000;
const OTHER_ADDRESSES: &str = "other addresses";

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
    /// The hour that `refusal_rows` are of, counted from the epoch.
    hour: i64,
    /// What has a row of its own in this hour, written or about to be.
    refusal_rows: HashSet<Counted>,
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
        let pending = {
            let mut counts = self.lock();
            counts.forget_before(minute_now() - 1);
            mem::take(&mut counts.pending)
        };
        if pending.is_empty() {
            return Ok(());
        }
        let written = self.write(&pending).await;
        if written.is_err() {
            self.lock().restore(pending);
        }
        written
    }

    /// Counts a poster that someone is about to see, of which `bytes` will be sent. When this returns `Ok`, the first in this minute of the
    /// video for them is durable; send no byte before (invariant 8). Who has it already is sent none, and waits for nothing.
    pub async fn poster_shown(&self, subject: &str, video: &VideoId, bytes: u64) -> Result<()> {
        let (subject, object) = (subject.to_owned(), video.to_string());
        let counted = Counted { minute: minute_now(), kind: CountKind::Poster, subject, object };
        if bytes == 0 {
            self.lock().add(counted, Sum { accesses: 1, bytes: 0 });
            return Ok(());
        }
        self.count(counted, bytes).await
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
    }

    fn refuse(&mut self, minute: i64, address: IpAddr, reason: &'static str) {
        let hour = minute.div_euclid(MINUTES_OF_AN_HOUR);
        if hour != self.hour {
            self.hour = hour;
            self.refusal_rows.clear();
        }
        let mut counted = Counted { minute, kind: CountKind::Refusal, subject: network(address), object: reason.to_owned() };
        if !self.refusal_rows.contains(&counted) {
            if self.refusal_rows.len() < MOST_REFUSAL_ROWS {
                self.refusal_rows.insert(counted.clone());
            } else {
                counted.subject = OTHER_ADDRESSES.to_owned();
            }
        }
        self.add(counted, Sum { accesses: 1, bytes: 0 });
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
        let counted = Counted { minute: minute_now(), kind: CountKind::Delivery, subject: delivery.receiver.to_string(), object };
        self.count(counted, delivery.bytes).await
    }

    async fn refused(&self, address: IpAddr, reason: &'static str) {
        self.lock().refuse(minute_now(), address, reason);
    }
}

/// Whom a refusal is counted for: an IPv4 address, or the /64 of an IPv6 address, which one household has whole.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{}/64", Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
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
    use crate::audit::{Kind, Receiver};
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
            receiver: &Receiver::Session(session.clone()),
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

    /// invariant 8: refusals are aggregated, so that they cannot fill a disk, however often the counts are written meanwhile.
    #[tokio::test]
    async fn refusals_from_ever_new_addresses_share_a_row_in_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = log(&folder).await;
        let minute = 29_000_040;
        let (flood, half) = (u32::try_from(MOST_REFUSAL_ROWS * 2).expect("small"), u32::try_from(MOST_REFUSAL_ROWS / 2).expect("small"));
        for n in 0..flood {
            log.lock().refuse(minute + i64::from(n % 3), IpAddr::from(n.to_be_bytes()), "token-signature");
            if n % half == 0 {
                log.flush().await.expect("flushed");
            }
        }
        // Who has a row of their own keeps it.
        log.lock().refuse(minute, IpAddr::from([0; 4]), "token-signature");
        log.flush().await.expect("flushed");
        let counted = async |subject: &str| log.catalog.audit_count(CountKind::Refusal, subject).await.expect("a count");
        assert_eq!(counted(OTHER_ADDRESSES).await, i64::from(flood) - i64::try_from(MOST_REFUSAL_ROWS).expect("small"));
        assert_eq!((counted("0.0.0.0").await, counted("0.0.0.1").await, counted("0.0.7.0").await), (2, 1, 0));
        // The next hour has a budget of its own.
        log.lock().refuse(minute + MINUTES_OF_AN_HOUR, IpAddr::from([9, 9, 9, 9]), "token-signature");
        log.flush().await.expect("flushed");
        assert_eq!(counted("9.9.9.9").await, 1);
    }

    /// invariant 8: whoever has an IPv6 network has 2⁶⁴ addresses, and one row.
    #[test]
    fn a_refusal_is_counted_for_its_network() {
        for (address, counted) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(network(address.parse().expect("an address")), counted);
        }
    }
}
