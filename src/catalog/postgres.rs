//! The catalog on PostgreSQL: SERIALIZABLE transactions; claims skip rows that another worker has locked.

use super::snapshot::{Goal, missing};
use super::sql::{Cell, Row, Value, failure, split_statements, statements};
use super::tables::{Column, Table, quoted};
use crate::args;
use crate::domain::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow, Postgres};
use std::str::FromStr;
use std::time::Duration;

/// The scripts, in order; table `schema_version` says how many ran.
static MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_first.sql"),
    include_str!("../../migrations/postgres/0002_collections.sql"),
    include_str!("../../migrations/postgres/0003_s3_access_keys.sql"),
    include_str!("../../migrations/postgres/0004_signing_keys.sql"),
    include_str!("../../migrations/postgres/0005_quotas.sql"),
    include_str!("../../migrations/postgres/0006_idempotency.sql"),
    include_str!("../../migrations/postgres/0007_replacements.sql"),
    include_str!("../../migrations/postgres/0008_downloads.sql"),
    include_str!("../../migrations/postgres/0010_webhooks.sql"),
    include_str!("../../migrations/postgres/0011_verify.sql"),
];
/// Only one server migrates at a time: the key of an advisory lock.
const MIGRATION_LOCK: &str = "SELECT CAST(pg_advisory_xact_lock(7238901) AS TEXT) AS locked";

/// How many scripts ran.
pub(super) const SCHEMA: &str = "SELECT COALESCE(MAX(done), 0) AS done FROM schema_version";
/// A row if any ran, or may have.
const ANY_SCHEMA: &str = "SELECT 1 AS one WHERE to_regclass('schema_version') IS NOT NULL";

/// The database's clock in epoch milliseconds.
pub(super) const NOW: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now";

/// Lets one transaction at a time append events, until its commit: the key of an advisory lock.
pub(super) const EVENTS_IN_ORDER: &str = "SELECT CAST(pg_advisory_xact_lock(7238902) AS TEXT) AS locked";

/// Claims the next job; see the SQLite twin for the arguments.
pub(super) const CLAIM: &str =
    "UPDATE jobs SET state = 'running', lease_owner = $2, lease_until = $3, epoch = epoch + 1, claims = claims + 1
    WHERE id = (SELECT id FROM jobs WHERE state = 'queued' AND run_at <= $1 AND payload_version <= $4 AND ($5 = 0 OR kind NOT IN ('encode', 'repair'))
                ORDER BY priority, run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING *";

pub(super) type Tx = sqlx::Transaction<'static, Postgres>;

#[derive(Clone, Debug)]
pub(super) struct Store {
    pool: PgPool,
}

statements!(Postgres, PgRow, PgConnection, integers: "INT8" as i64, "INT4" as i32);

impl Store {
    pub(super) async fn open(url: &str, goal: Goal) -> Result<Self> {
        let malformed =
            |error| Error::invalid("catalog-url", "this is no PostgreSQL URL: write postgres://user@host:port/database").with_source(error);
        let options = PgConnectOptions::from_str(url).map_err(malformed)?;
        let pool = PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(10)).connect_with(options).await;
        let store = Self { pool: pool.map_err(failure)? };
        store.migrate(goal).await?;
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

    /// A transaction that reads what is there when it begins. Deferrable: it waits until it cannot fail, then nothing disturbs it.
    pub(super) async fn begin_reading(&self) -> Result<Tx> {
        let mut tx = self.pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE").await.map_err(failure)?;
        fetch_all(&mut *tx, SCHEMA, Vec::new()).await?;
        Ok(tx)
    }

    async fn migrate(&self, goal: Goal) -> Result<()> {
        // Whoever waited for the lock must see what its holder committed, whatever the server's default level is.
        let mut tx = self.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(failure)?;
        fetch_all(&mut *tx, MIGRATION_LOCK, Vec::new()).await?;
        if goal == Goal::AsItIs && fetch_all(&mut *tx, ANY_SCHEMA, Vec::new()).await?.is_empty() {
            return Err(missing("the database is empty"));
        }
        execute(&mut tx, "CREATE TABLE IF NOT EXISTS schema_version (done BIGINT NOT NULL)", Vec::new()).await?;
        let done = fetch_all(&mut *tx, SCHEMA, Vec::new()).await?;
        let done = done.first().map_or(Ok(0), |row| row.int("done"))?;
        for (number, script) in goal.scripts(MIGRATIONS, done)? {
            for statement in split_statements(script) {
                execute(&mut tx, statement, Vec::new()).await?;
            }
            execute(&mut tx, "INSERT INTO schema_version (done) VALUES ($1)", args![number]).await?;
        }
        tx.commit().await.map_err(failure)
    }
}

/// All tables but the one that counts the scripts.
pub(super) async fn tables(connection: &mut PgConnection) -> Result<Vec<Table>> {
    let named = "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.tables
        WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND table_name <> 'schema_version' ORDER BY table_name";
    let mut tables = Vec::new();
    for row in fetch_all(&mut *connection, named, Vec::new()).await? {
        let name = row.text("name")?;
        let shape = "SELECT CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS type, CAST(is_identity AS TEXT) AS counts
            FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position";
        let columns = fetch_all(&mut *connection, shape, args![&name]).await?;
        let key = "SELECT CAST(a.attname AS TEXT) AS name FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
            WHERE i.indisprimary AND i.indrelid = to_regclass(quote_ident($1)) ORDER BY array_position(CAST(i.indkey AS SMALLINT[]), a.attnum)";
        let key = fetch_all(&mut *connection, key, args![&name]).await?;
        let references = "SELECT DISTINCT CAST(p.relname AS TEXT) AS parent FROM pg_constraint c JOIN pg_class p ON p.oid = c.confrelid
            WHERE c.contype = 'f' AND c.conrelid = to_regclass(quote_ident($1))";
        let parents = fetch_all(&mut *connection, references, args![&name]).await?;
        let column = |row: &Row| Column::new(&name, row.text("name")?, &row.text("type")?, row.text("counts")? == "YES");
        let (columns, primary_key) =
            (columns.iter().map(column).collect::<Result<_>>()?, key.iter().map(|row| row.text("name")).collect::<Result<_>>()?);
        let parents = parents.iter().map(|row| row.text("parent")).collect::<Result<_>>()?;
        tables.push(Table { name, columns, primary_key, parents });
    }
    Ok(tables)
}

/// Sets the sequences behind identity columns to what was inserted.
pub(super) async fn count_on(connection: &mut PgConnection, table: &Table) -> Result<()> {
    let name = quoted(&table.name);
    for column in table.columns.iter().filter(|column| column.counts) {
        let (literal, column_name) = (name.replace('\'', "''"), column.name.replace('\'', "''"));
        let sequence = format!("pg_get_serial_sequence('{literal}', '{column_name}')");
        let highest = format!("MAX({})", quoted(&column.name));
        let sql = format!("SELECT setval({sequence}, COALESCE({highest}, 1), {highest} IS NOT NULL) AS now FROM {name}");
        for_each(&mut *connection, sql, &mut |_| Ok(())).await?;
    }
    Ok(())
}
