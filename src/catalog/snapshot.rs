//! Whole copies of a catalog: all rows as one reading transaction sees them, and their way into an empty catalog of either database.

use super::tables::Table;
use super::{Catalog, Row, Store, Tx, TxInner, postgres, sql, sqlite};
use crate::args;
use crate::domain::ids::{VersionId, VideoId};
use crate::domain::{Error, Result};
use serde_json::{Map, Value as Json};
use std::collections::HashSet;

/// Rows that one statement inserts: no database allows more than some ten thousand arguments.
const ROWS_AT_ONCE: usize = 200;

/// One consistent view of all rows, held open until it is dropped: writers go on meanwhile, but nothing that they delete leaves the
/// database's files. So be quick.
pub struct Snapshot {
    tx: Tx,
    schema: i64,
    tables: Vec<Table>,
}

impl Catalog {
    /// Begins to read everything as it is now.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let inner = match &self.store {
            Store::Sqlite(store) => TxInner::Sqlite(store.begin_reading().await?),
            Store::Postgres(store) => TxInner::Postgres(store.begin_reading().await?),
        };
        let mut tx = Tx { inner, now: None, writes: false, broken: None };
        let (schema, tables) = (tx.schema().await?, tx.tables().await?);
        Ok(Snapshot { tx, schema, tables })
    }

    /// The videos, and uploads in progress, whose root key is there now.
    pub async fn videos_with_keys(&self) -> Result<HashSet<VideoId>> {
        let rows = self.fetch_all("SELECT video_id FROM root_keys", args![]).await?;
        rows.iter().map(|row| VideoId::parse(&row.text("video_id")?)).collect()
    }

    /// Whether a video's root key is there now.
    pub async fn has_key(&self, video: &VideoId) -> Result<bool> {
        Ok(self.fetch_optional("SELECT 1 AS one FROM root_keys WHERE video_id = $1", args![video]).await?.is_some())
    }

    /// Whether a video is over: deleted, refused, or its upload was given up before it became one. One that merely lacks its key is not.
    pub async fn has_ended(&self, video: &VideoId) -> Result<bool> {
        let sql = "SELECT 1 AS one FROM videos WHERE id = $1 AND state IN ('deleted', 'refused') UNION ALL
            SELECT 1 FROM uploads WHERE video_id = $1 AND state IN ('aborted', 'expired') AND NOT EXISTS (SELECT 1 FROM videos WHERE id = $1)";
        Ok(self.fetch_optional(sql, args![video]).await?.is_some())
    }

    /// Whether a part's row still points at `blob`, of a video that was not deleted, and neither its upload was given up nor its source is on
    /// its way out.
    pub async fn needs_part(&self, video: &VideoId, blob: &str) -> Result<bool> {
        let sql = "SELECT 1 AS one FROM upload_parts WHERE blob = $1 AND EXISTS (SELECT 1 FROM root_keys WHERE video_id = $2)
            AND EXISTS (SELECT 1 FROM uploads WHERE uploads.id = upload_parts.upload_id AND state IN ('open', 'finished'))
            AND NOT EXISTS (SELECT 1 FROM sources WHERE sources.upload_id = upload_parts.upload_id AND purge_at IS NOT NULL)";
        Ok(self.fetch_optional(sql, args![blob, video]).await?.is_some())
    }

    /// Whether a version is still the one of its video, which was not deleted, or being made to replace that.
    pub async fn needs_version(&self, video: &VideoId, version: &VersionId) -> Result<bool> {
        let sql =
            "SELECT 1 AS one FROM videos JOIN root_keys ON root_keys.video_id = videos.id WHERE videos.id = $1 AND (videos.version_id = $2
            OR EXISTS (SELECT 1 FROM replacements WHERE replacements.video_id = $1 AND replacements.version_id = $2
                AND replacements.state IN ('processing', 'failed')))";
        Ok(self.fetch_optional(sql, args![video, version]).await?.is_some())
    }
}

impl Snapshot {
    /// How many migrations have run.
    pub fn schema(&self) -> i64 {
        self.schema
    }

    /// The tables, each after those it refers to.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Hands every row of `table` to `sink`, in the order of the primary key, one at a time.
    pub async fn for_each(&mut self, table: &Table, sink: &mut (dyn FnMut(Row) -> Result<()> + Send)) -> Result<()> {
        let sql = table.select();
        match &mut self.tx.inner {
            TxInner::Sqlite(tx) => sqlite::for_each(tx, sql, sink).await,
            TxInner::Postgres(tx) => postgres::for_each(tx, sql, sink).await,
        }
    }

    /// Ends the view.
    pub async fn end(self) -> Result<()> {
        self.tx.rollback().await
    }
}

impl Tx {
    /// The tables, each after those it refers to.
    pub async fn tables(&mut self) -> Result<Vec<Table>> {
        let tables = match &mut self.inner {
            TxInner::Sqlite(tx) => sqlite::tables(tx).await?,
            TxInner::Postgres(tx) => postgres::tables(tx).await?,
        };
        super::tables::parents_first(tables)
    }

    /// Whether `table` has no row.
    pub async fn is_empty(&mut self, table: &Table) -> Result<bool> {
        let mut rows = 0;
        let sql = format!("{} LIMIT 1", table.select());
        let mut count = |_| {
            rows += 1;
            Ok(())
        };
        match &mut self.inner {
            TxInner::Sqlite(tx) => sqlite::for_each(tx, sql, &mut count).await?,
            TxInner::Postgres(tx) => postgres::for_each(tx, sql, &mut count).await?,
        }
        Ok(rows == 0)
    }

    /// Inserts copied rows as they are; `Invalid` (`row-misfit`) when one is not of this table.
    pub async fn insert_rows(&mut self, table: &Table, rows: &[Map<String, Json>]) -> Result<()> {
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let values = rows.iter().map(|row| table.values(row)).collect::<Result<Vec<_>>>()?.concat();
            let sql = table.insert(rows.len());
            let inserted = match &mut self.inner {
                TxInner::Sqlite(tx) => sqlite::execute_text(tx, sql, values).await,
                TxInner::Postgres(tx) => postgres::execute_text(tx, sql, values).await,
            };
            inserted.inspect_err(|error| self.note(error))?;
        }
        Ok(())
    }

    /// Lets columns that the database counts up go on behind the rows that were inserted into `table`.
    pub async fn count_on(&mut self, table: &Table) -> Result<()> {
        match &mut self.inner {
            // SQLite's AUTOINCREMENT looks at what is there.
            TxInner::Sqlite(_) => Ok(()),
            TxInner::Postgres(tx) => postgres::count_on(tx, table).await,
        }
    }

    async fn schema(&mut self) -> Result<i64> {
        let sql = match &self.inner {
            TxInner::Sqlite(_) => sqlite::SCHEMA,
            TxInner::Postgres(_) => postgres::SCHEMA,
        };
        let row = self.fetch_optional(sql, Vec::new()).await?;
        row.ok_or_else(|| Error::internal("the database told no schema", "no row"))?.int("done")
    }
}

/// How far opening brings a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// To the newest schema, from nothing if need be.
    Newest,
    /// Nowhere: it must be there and of the newest schema.
    AsItIs,
    /// To this schema, from nothing if need be; not beyond.
    Exactly(i64),
}

impl Goal {
    /// The scripts that must run of those that a catalog still lacks.
    pub(super) fn scripts(self, scripts: &'static [&'static str], done: i64) -> Result<Vec<(i64, &'static str)>> {
        let pending = sql::pending(scripts, done)?;
        match self {
            Self::Newest => Ok(pending.collect()),
            Self::Exactly(schema) => {
                // A schema that it does not know is as if it were done.
                drop(sql::pending(scripts, schema)?);
                Ok(pending.take_while(|(number, _)| *number <= schema).collect())
            }
            Self::AsItIs => match pending.count() {
                0 => Ok(Vec::new()),
                _ => Err(older(done)),
            },
        }
    }
}

fn older(done: i64) -> Error {
    match done {
        0 => missing("it holds no catalog"),
        _ => Error::conflict("catalog-older", format!("the catalog has the older schema {done}: start this Theatrum's server on it once")),
    }
}

/// There is nothing to copy.
pub(super) fn missing(why: &str) -> Error {
    Error::not_found(format!("there is no catalog to back up ({why}): check --data and --catalog"))
}
