//! The catalog on PostgreSQL: SERIALIZABLE transactions; claims skip rows that another worker has locked.

use super::sql::{Cell, Row, Value, failure, pending, split_statements, statements};
use crate::domain::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow, Postgres};
use std::str::FromStr;
use std::time::Duration;

/// The scripts, in order; table `schema_version` says how many ran.
static MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_first.sql"),
    include_str!("../../migrations/postgres/0002_collections.sql"),
    include_str!("../../migrations/postgres/0003_s3_access_keys.sql"),
    include_str!("../../migrations/postgres/0005_quotas.sql"),
    include_str!("../../migrations/postgres/0006_idempotency.sql"),
];
/// Only one server migrates at a time: the key of an advisory lock.
const MIGRATION_LOCK: &str = "SELECT CAST(pg_advisory_xact_lock(7238901) AS TEXT) AS locked";

/// The database's clock in epoch milliseconds.
pub(super) const NOW: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now";

/// Claims the next job; see the SQLite twin for the arguments.
pub(super) const CLAIM: &str =
    "UPDATE jobs SET state = 'running', lease_owner = $2, lease_until = $3, epoch = epoch + 1, claims = claims + 1
    WHERE id = (SELECT id FROM jobs WHERE state = 'queued' AND run_at <= $1 AND payload_version <= $4 AND ($5 = 0 OR kind <> 'encode')
                ORDER BY priority, run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING *";

pub(super) type Tx = sqlx::Transaction<'static, Postgres>;

#[derive(Clone, Debug)]
pub(super) struct Store {
    pool: PgPool,
}

statements!(Postgres, PgRow, PgConnection, integers: "INT8" as i64, "INT4" as i32);

impl Store {
    pub(super) async fn open(url: &str) -> Result<Self> {
        let malformed =
            |error| Error::invalid("catalog-url", "this is no PostgreSQL URL: write postgres://user@host:port/database").with_source(error);
        let options = PgConnectOptions::from_str(url).map_err(malformed)?;
        let pool = PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(10)).connect_with(options).await;
        let store = Self { pool: pool.map_err(failure)? };
        store.migrate().await?;
        Ok(store)
    }

    pub(super) async fn begin(&self) -> Result<Tx> {
        // A task of its own, for sqlx 0.9 forgets a BEGIN whose caller is dropped before the answer: the pool would hand out the open
        // transaction, and its old snapshot, to the next reader. The task ends in a transaction that is dropped, so rolled back.
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move { pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await }).await;
        begun.map_err(|error| Error::unavailable("the server is shutting down", error))?.map_err(failure)
    }

    pub(super) async fn fetch_all(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>> {
        fetch_all(&self.pool, sql, args).await
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    async fn migrate(&self) -> Result<()> {
        // Whoever waited for the lock must see what its holder committed, whatever the server's default level is.
        let mut tx = self.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(failure)?;
        fetch_all(&mut *tx, MIGRATION_LOCK, Vec::new()).await?;
        execute(&mut tx, "CREATE TABLE IF NOT EXISTS schema_version (done BIGINT NOT NULL)", Vec::new()).await?;
        let done = fetch_all(&mut *tx, "SELECT COALESCE(MAX(done), 0) AS done FROM schema_version", Vec::new()).await?;
        let done = done.first().map_or(Ok(0), |row| row.int("done"))?;
        for (number, script) in pending(MIGRATIONS, done)? {
            for statement in split_statements(script) {
                execute(&mut tx, statement, Vec::new()).await?;
            }
            execute(&mut tx, "INSERT INTO schema_version (done) VALUES ($1)", crate::args![number]).await?;
        }
        tx.commit().await.map_err(failure)
    }
}
