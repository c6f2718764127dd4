//! The catalog on SQLite: one writing connection, several reading ones, write-ahead log with full synchronisation.

use super::sql::{Cell, Row, Value, failure, pending, split_statements, statements};
use crate::domain::{Error, Result};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The scripts, in order; the catalog's `user_version` is how many ran.
static MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_first.sql"),
    include_str!("../../migrations/sqlite/0002_collections.sql"),
    include_str!("../../migrations/sqlite/0003_s3_access_keys.sql"),
    include_str!("../../migrations/sqlite/0005_quotas.sql"),
    include_str!("../../migrations/sqlite/0006_idempotency.sql"),
];

/// The database's clock in epoch milliseconds.
pub(super) const NOW: &str = "SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) AS now";

/// Claims the next job: `$1` now, `$2` lease owner, `$3` lease end, `$4` highest payload version, `$5` 1 for light kinds only.
pub(super) const CLAIM: &str =
    "UPDATE jobs SET state = 'running', lease_owner = $2, lease_until = $3, epoch = epoch + 1, claims = claims + 1
    WHERE id = (SELECT id FROM jobs WHERE state = 'queued' AND run_at <= $1 AND payload_version <= $4 AND ($5 = 0 OR kind <> 'encode')
                ORDER BY priority, run_at, id LIMIT 1)
    RETURNING *";

/// How long a checkpoint may keep writers out.
const SCRUB_PATIENCE: Duration = Duration::from_millis(200);

pub(super) type Tx = sqlx::Transaction<'static, sqlx::Sqlite>;

#[derive(Clone, Debug)]
pub(super) struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
    options: Arc<SqliteConnectOptions>,
}

statements!(sqlx::Sqlite, SqliteRow, SqliteConnection, integers: "INTEGER" as i64);

impl Store {
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // A root key that was deleted is overwritten, not just unlinked (invariant 6).
            .pragma("secure_delete", "ON")
            .busy_timeout(Duration::from_secs(10));
        let pool = |most| {
            let options = SqlitePoolOptions::new().max_connections(most).idle_timeout(None).max_lifetime(None);
            options.after_release(|connection, _| Box::pin(is_at_rest(connection)))
        };
        let writer = pool(1).connect_with(options.clone()).await.map_err(failure)?;
        migrate(&writer).await?;
        let readers = pool(4).connect_with(options.clone().read_only(true).create_if_missing(false)).await.map_err(failure)?;
        Ok(Self { writer, readers, options: Arc::new(options) })
    }

    pub(super) async fn begin(&self) -> Result<Tx> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failure)
    }

    pub(super) async fn fetch_all(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>> {
        fetch_all(&self.readers, sql, args).await
    }

    /// Moves the write-ahead log into the database and cuts it off: it holds pages as they were before something was deleted. `Unavailable`
    /// while others read or write.
    pub(super) async fn scrub(&self) -> Result<()> {
        // A connection of its own, which gives up soon: a checkpoint that waits for a reader lets no writer in.
        let mut connection = SqliteConnectOptions::clone(&self.options).busy_timeout(SCRUB_PATIENCE).connect().await.map_err(failure)?;
        let checkpoint = fetch_all(&mut connection, "PRAGMA wal_checkpoint(TRUNCATE)", Vec::new()).await;
        connection.close().await.map_err(failure)?;
        match checkpoint?.first().map_or(Ok(1), |row| row.int("busy"))? {
            0 => Ok(()),
            _ => Err(Error::unavailable("the write-ahead log is in use", "busy")),
        }
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Whether a connection may be used again. On a full disk SQLite itself takes a transaction back, the driver goes on counting it, and would
/// begin no other on that connection for ever.
async fn is_at_rest(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    // What was dropped is rolled back first.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

async fn migrate(pool: &SqlitePool) -> Result<()> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failure)?;
    let done = fetch_all(&mut *tx, "SELECT user_version AS done FROM pragma_user_version", Vec::new()).await?;
    let done = done.first().map_or(Ok(0), |row| row.int("done"))?;
    for (number, script) in pending(MIGRATIONS, done)? {
        for statement in split_statements(script) {
            execute(&mut tx, statement, Vec::new()).await?;
        }
        let mark = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {number}"));
        sqlx::query(mark).execute(&mut *tx).await.map_err(failure)?;
    }
    tx.commit().await.map_err(failure)
}
