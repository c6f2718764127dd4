//! The catalog: the rows, which are the truth. One SQL text runs on SQLite and on PostgreSQL; the two differ only in
//! `catalog/sqlite.rs`, `catalog/postgres.rs` and the DDL under `migrations/`.
//!
//! Every change is one transaction, written with [`transaction!`], which repeats it when the database asks for that
//! (PostgreSQL's serialization failures, SQLite's busy writer). So the body of a transaction must do nothing but rows.

pub mod access_keys;
pub mod audit;
pub mod claims;
pub mod collections;
#[cfg(test)]
mod conformance;
pub mod damage;
pub mod deliveries;
pub mod downloads;
pub mod embeddings;
mod folding;
pub mod idempotency;
pub mod inbox;
pub mod jobs;
pub mod outbox;
pub mod playback;
mod postgres;
pub mod quotas;
pub mod replacements;
mod restored;
pub mod room;
pub mod signing_keys;
mod snapshot;
mod sql;
mod sqlite;
mod tables;
pub mod uploads;
pub mod verifications;
pub mod versions;
pub mod videos;
pub mod webhooks;

use crate::domain::{Error, ErrorKind, Result};
use snapshot::Goal;
pub use snapshot::Snapshot;
pub use sql::{Row, Value};
use std::path::{Path, PathBuf};
use std::time::Duration;
pub use tables::Table;
use tokio::time::Instant;

/// The catalog's door. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    store: Store,
}

#[derive(Clone, Debug)]
enum Store {
    Sqlite(sqlite::Store),
    Postgres(postgres::Store),
}

/// Where a catalog is.
#[derive(Clone, Debug)]
pub enum Place {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL URL.
    Postgres(String),
}

/// One transaction. Dropped without [`Tx::commit`], it is rolled back.
pub struct Tx {
    inner: TxInner,
    now: Option<i64>,
    writes: bool,
    broken: Option<Broken>,
}

/// What a failed statement makes of its transaction.
#[derive(Clone, Copy)]
enum Broken {
    Repeat,
    GiveUp,
}

enum TxInner {
    Sqlite(sqlite::Tx),
    Postgres(postgres::Tx),
}

impl Catalog {
    /// Opens the SQLite catalog at `path`, making it and its tables if absent. Write-ahead log, full synchronisation.
    pub async fn open_sqlite(path: &Path) -> Result<Self> {
        Self::open(&Place::Sqlite(path.to_owned()), Goal::Newest).await
    }

    /// Opens the PostgreSQL catalog at `url` (`postgres://…`), making its tables if absent.
    pub async fn open_postgres(url: &str) -> Result<Self> {
        Self::open(&Place::Postgres(url.to_owned()), Goal::Newest).await
    }

    /// Opens a catalog beside the server that may be running on it: makes and migrates nothing. `NotFound` when there is none,
    /// `Conflict` when its schema is not that of this Theatrum.
    pub async fn join(place: &Place) -> Result<Self> {
        Self::open(place, Goal::AsItIs).await
    }

    /// Opens a catalog of the given schema, making it if absent: for rows that were copied from one. `Conflict` (`catalog-newer`) when
    /// this Theatrum does not know that schema.
    pub async fn open_at(place: &Place, schema: i64) -> Result<Self> {
        Self::open(place, Goal::Exactly(schema)).await
    }

    async fn open(place: &Place, goal: Goal) -> Result<Self> {
        let store = match place {
            Place::Postgres(url) => Store::Postgres(postgres::Store::open(url, goal).await?),
            Place::Sqlite(path) => {
                // Two that open a fresh catalog at once both switch it to the write-ahead log, and SQLite makes neither wait for that.
                let mut repetitions = Repetitions::default();
                loop {
                    match sqlite::Store::open(path, goal).await {
                        Err(error) if repetitions.again(&error).await => {}
                        opened => break Store::Sqlite(opened?),
                    }
                }
            }
        };
        let catalog = Self { store };
        if goal == Goal::Newest {
            catalog.refold().await?;
        }
        Ok(catalog)
    }

    /// Begins a writing transaction: IMMEDIATE on SQLite, SERIALIZABLE on PostgreSQL.
    pub async fn begin(&self) -> Result<Tx> {
        let inner = match &self.store {
            Store::Sqlite(store) => TxInner::Sqlite(store.begin().await?),
            Store::Postgres(store) => TxInner::Postgres(store.begin().await?),
        };
        Ok(Tx { inner, now: None, writes: false, broken: None })
    }

    /// Reads rows outside of a transaction.
    pub async fn fetch_all(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>> {
        match &self.store {
            Store::Sqlite(store) => store.fetch_all(sql, args).await,
            Store::Postgres(store) => store.fetch_all(sql, args).await,
        }
    }

    /// Reads at most one row outside of a transaction.
    pub async fn fetch_optional(&self, sql: &'static str, args: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.fetch_all(sql, args).await?.into_iter().next())
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        self.fetch_all("SELECT 1 AS one", Vec::new()).await.map(drop)
    }

    /// Takes what was deleted out of the database's own files, as far as they are ours: call it after a root key was shredded. On
    /// PostgreSQL that is VACUUM's task, and the operator's. `Unavailable` when the database is busy: call again later.
    pub async fn scrub(&self) -> Result<()> {
        match &self.store {
            Store::Sqlite(store) => store.scrub().await,
            Store::Postgres(_) => Ok(()),
        }
    }

    /// Closes every connection; open transactions end first.
    pub async fn close(&self) {
        match &self.store {
            Store::Sqlite(store) => store.close().await,
            Store::Postgres(store) => store.close().await,
        }
    }
}

impl Tx {
    /// Runs a statement; gives the number of rows it changed.
    pub async fn execute(&mut self, sql: &'static str, args: Vec<Value>) -> Result<u64> {
        self.writes = true;
        let outcome = match &mut self.inner {
            TxInner::Sqlite(tx) => sqlite::execute(tx, sql, args).await,
            TxInner::Postgres(tx) => postgres::execute(tx, sql, args).await,
        };
        outcome.inspect_err(|error| self.note(error))
    }

    /// Runs a statement and reads its rows.
    pub async fn fetch_all(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>> {
        let outcome = match &mut self.inner {
            TxInner::Sqlite(tx) => sqlite::fetch_all(&mut **tx, sql, args).await,
            TxInner::Postgres(tx) => postgres::fetch_all(&mut **tx, sql, args).await,
        };
        outcome.inspect_err(|error| self.note(error))
    }

    /// Remembers that a statement failed, even if the transaction's body forgets it.
    fn note(&mut self, error: &Error) {
        // An argument that is `Invalid` never reached the database.
        if error.kind() != ErrorKind::Invalid {
            self.broken = Some(if error.code() == sql::BUSY { Broken::Repeat } else { Broken::GiveUp });
        }
    }

    /// Runs a statement and reads at most one row.
    pub async fn fetch_optional(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.fetch_all(sql, args).await?.into_iter().next())
    }

    /// The database's clock, epoch milliseconds, read once per transaction: leases never depend on a worker's clock.
    pub async fn now(&mut self) -> Result<i64> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        let sql = match &self.inner {
            TxInner::Sqlite(_) => sqlite::NOW,
            TxInner::Postgres(_) => postgres::NOW,
        };
        let row = self.fetch_optional(sql, Vec::new()).await?;
        let now = row.ok_or_else(|| Error::internal("the database told no time", "no row"))?.int("now")?;
        self.now = Some(now);
        Ok(now)
    }

    /// The claim query, the one statement that differs between the databases.
    fn claim_sql(&self) -> &'static str {
        match &self.inner {
            TxInner::Sqlite(_) => sqlite::CLAIM,
            TxInner::Postgres(_) => postgres::CLAIM,
        }
    }

    /// Makes the changes durable. Once a statement has failed, it takes them back instead and fails: PostgreSQL would do the first
    /// without a word, SQLite would keep half.
    ///
    /// What a call with an idempotency key changes is marked in that key's row by the same commit: see [`idempotency`].
    pub async fn commit(mut self) -> Result<()> {
        if let (true, Some(ticket)) = (self.writes && self.broken.is_none(), idempotency::current()) {
            self.mark_key(&ticket).await?;
        }
        if let Some(broken) = self.broken {
            self.rollback().await?;
            let why = "one of its statements failed";
            return Err(match broken {
                Broken::Repeat => sql::busy(why),
                Broken::GiveUp => Error::internal("a broken transaction cannot be committed", why),
            });
        }
        match self.inner {
            TxInner::Sqlite(tx) => tx.commit().await.map_err(sql::failure),
            TxInner::Postgres(tx) => tx.commit().await.map_err(sql::failure),
        }
    }

    /// Takes the changes back.
    pub async fn rollback(self) -> Result<()> {
        match self.inner {
            TxInner::Sqlite(tx) => tx.rollback().await.map_err(sql::failure),
            TxInner::Postgres(tx) => tx.rollback().await.map_err(sql::failure),
        }
    }
}

/// Counts the repetitions of one transaction.
#[derive(Debug, Default)]
pub struct Repetitions {
    count: u32,
    begun: Option<Instant>,
}

impl Repetitions {
    /// The caller waits for the answer, so time is the limit, not the number: where many contend, each round one of them gets through.
    const LONGEST: Duration = Duration::from_secs(30);

    /// Waits and says `true` when `error` means "run the same transaction again" and there is time left for it.
    pub async fn again(&mut self, error: &Error) -> bool {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        if error.code() != sql::BUSY || begun.elapsed() >= Self::LONGEST {
            return false;
        }
        self.count += 1;
        let ceiling_ms = (1_u64 << self.count.min(7)) + 1;
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..=ceiling_ms))).await;
        true
    }
}

/// Runs `|tx| body` as one transaction, committed when the body is `Ok`, and again from its start when the database asks.
/// Evaluates to the body's `Result`. The body may not move its captures, for it may run more than once.
#[macro_export]
macro_rules! transaction {
    ($catalog:expr, |$tx:ident| $body:expr) => {{
        let mut repetitions = $crate::catalog::Repetitions::default();
        loop {
            let outcome = match $catalog.begin().await {
                Err(error) => Err(error),
                Ok(mut $tx) => match async { $body }.await {
                    Err(error) => {
                        let _ = $tx.rollback().await;
                        Err(error)
                    }
                    Ok(value) => $tx.commit().await.map(|()| value),
                },
            };
            match outcome {
                Err(error) if repetitions.again(&error).await => {}
                outcome => break outcome,
            }
        }
    }};
}

/// The arguments of a statement, each turned into a [`Value`].
#[macro_export]
macro_rules! args {
    ($($arg:expr),* $(,)?) => { vec![$($crate::catalog::Value::from($arg)),*] };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_busy_catalog_is_asked_again_and_not_for_ever() {
        let mut repetitions = Repetitions::default();
        assert!(repetitions.again(&sql::busy("test")).await);
        assert!(!repetitions.again(&Error::conflict("lost", "another was first")).await);
        assert!(!repetitions.again(&Error::unavailable("no answer", "the commit may have happened")).await);
        let long_ago = Instant::now().checked_sub(Repetitions::LONGEST).expect("the host runs for longer than that");
        let mut repetitions = Repetitions { count: 3, begun: Some(long_ago) };
        assert!(!repetitions.again(&sql::busy("test")).await);
    }
}
