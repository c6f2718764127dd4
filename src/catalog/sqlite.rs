//! The catalog on SQLite: one writing connection, several reading ones, write-ahead log with full synchronisation.

use super::snapshot::{Goal, missing};
use super::sql::{Cell, Row, Value, failure, split_statements, statements};
use super::tables::{Column, Table};
use crate::args;
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
    include_str!("../../migrations/sqlite/0004_signing_keys.sql"),
    include_str!("../../migrations/sqlite/0005_quotas.sql"),
    include_str!("../../migrations/sqlite/0006_idempotency.sql"),
    include_str!("../../migrations/sqlite/0007_replacements.sql"),
    include_str!("../../migrations/sqlite/0008_downloads.sql"),
    include_str!("../../migrations/sqlite/0010_webhooks.sql"),
    include_str!("../../migrations/sqlite/0011_verify.sql"),
];

/// The database's clock in epoch milliseconds.
pub(super) const NOW: &str = "SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) AS now";

/// How many scripts ran.
pub(super) const SCHEMA: &str = "SELECT user_version AS done FROM pragma_user_version";

/// Claims the next job: `$1` now, `$2` lease owner, `$3` lease end, `$4` highest payload version, `$5` 1 for light kinds only.
pub(super) const CLAIM: &str =
    "UPDATE jobs SET state = 'running', lease_owner = $2, lease_until = $3, epoch = epoch + 1, claims = claims + 1
    WHERE id = (SELECT id FROM jobs WHERE state = 'queued' AND run_at <= $1 AND payload_version <= $4 AND ($5 = 0 OR kind NOT IN ('encode', 'repair'))
                ORDER BY priority, run_at, id LIMIT 1)
    RETURNING *";

/// What is kept of the write-ahead log's file once it is in the database: 64 MiB.
const LONGEST_LOG_BYTES: &str = "67108864";
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
    pub(super) async fn open(path: &Path, goal: Goal) -> Result<Self> {
        if goal == Goal::AsItIs && !path.exists() {
            return Err(missing(&format!("{} does not exist", path.display())));
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(goal != Goal::AsItIs)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // A root key that was deleted is overwritten, not just unlinked (invariant 6).
            .pragma("secure_delete", "ON")
            // A long reader lets the log grow; the room is given back afterwards.
            .pragma("journal_size_limit", LONGEST_LOG_BYTES)
            .busy_timeout(Duration::from_secs(10));
        let pool = |most| {
            let options = SqlitePoolOptions::new().max_connections(most).idle_timeout(None).max_lifetime(None);
            options.after_release(|connection, _| Box::pin(is_at_rest(connection)))
        };
        let writer = pool(1).connect_with(options.clone()).await.map_err(failure)?;
        migrate(&writer, goal).await?;
        let readers = pool(4).connect_with(options.clone().read_only(true).create_if_missing(false)).await.map_err(failure)?;
        Ok(Self { writer, readers, options: Arc::new(options) })
    }

    pub(super) async fn begin(&self) -> Result<Tx> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failure)
    }

    /// A transaction that reads what is there when it begins, whatever others write meanwhile.
    pub(super) async fn begin_reading(&self) -> Result<Tx> {
        let mut tx = self.readers.begin().await.map_err(failure)?;
        // SQLite takes its snapshot with the first read.
        fetch_all(&mut *tx, SCHEMA, Vec::new()).await?;
        Ok(tx)
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

async fn migrate(pool: &SqlitePool, goal: Goal) -> Result<()> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failure)?;
    let done = fetch_all(&mut *tx, SCHEMA, Vec::new()).await?;
    let done = done.first().map_or(Ok(0), |row| row.int("done"))?;
    for (number, script) in goal.scripts(MIGRATIONS, done)? {
        for statement in split_statements(script) {
            execute(&mut tx, statement, Vec::new()).await?;
        }
        let mark = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {number}"));
        sqlx::query(mark).execute(&mut *tx).await.map_err(failure)?;
    }
    tx.commit().await.map_err(failure)
}

/// All tables but SQLite's own.
pub(super) async fn tables(connection: &mut SqliteConnection) -> Result<Vec<Table>> {
    let named = "SELECT name FROM sqlite_master WHERE type = 'table' AND SUBSTR(name, 1, 7) <> 'sqlite_' ORDER BY name";
    let mut tables = Vec::new();
    for row in fetch_all(&mut *connection, named, Vec::new()).await? {
        let name = row.text("name")?;
        let shape = "SELECT name, type, pk FROM pragma_table_info($1) ORDER BY cid";
        let columns = fetch_all(&mut *connection, shape, args![&name]).await?;
        let mut key = columns.iter().map(|row| Ok((row.int("pk")?, row.text("name")?))).collect::<Result<Vec<_>>>()?;
        key.retain(|(place, _)| *place > 0);
        key.sort();
        let references = "SELECT DISTINCT \"table\" AS parent FROM pragma_foreign_key_list($1)";
        let parents = fetch_all(&mut *connection, references, args![&name]).await?;
        // Only PostgreSQL needs to be told where to count on.
        let column = |row: &Row| Column::new(&name, row.text("name")?, &row.text("type")?, false);
        let (columns, primary_key) =
            (columns.iter().map(column).collect::<Result<_>>()?, key.into_iter().map(|(_, column)| column).collect());
        let parents = parents.iter().map(|row| row.text("parent")).collect::<Result<_>>()?;
        tables.push(Table { name, columns, primary_key, parents });
    }
    Ok(tables)
}
