//! Rows on their way out and back: one line each, with the table it belongs to, tables after those they refer to.

use super::sealed::{Lines, Writer};
use super::seen::Seen;
use crate::catalog::{Catalog, Row};
use crate::depot::Name;
use crate::domain::{Error, Result};
use crate::keys::RootKey;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tokio::sync::mpsc;

/// The table whose wrapped keys are objects of their own; its lines only say which videos have one.
pub(super) const ROOT_KEYS: &str = "root_keys";
const ROWS_AT_ONCE: usize = 500;

/// A copied row.
pub(super) type Record = Map<String, Json>;

#[derive(Serialize, Deserialize)]
struct Line {
    table: String,
    row: Record,
}

/// Some rows of one table, in order.
pub(super) struct Batch {
    pub table: String,
    pub rows: Vec<Record>,
}

/// All rows, and what was seen of them on the way.
pub(super) struct Exported {
    pub rows: Lines,
    pub schema: i64,
    pub seen: Seen,
}

/// Copies every row, as one reading transaction sees them, into a sealed file that will be known as `name`.
pub(super) async fn export(catalog: &Catalog, key: &RootKey, name: &Name) -> Result<Exported> {
    let mut snapshot = catalog.snapshot().await?;
    let (mut writer, mut seen, schema) = (Writer::new(key, name)?, Seen::default(), snapshot.schema());
    for table in snapshot.tables().to_vec() {
        let mut keep = |row: Row| {
            let mut row = row.to_json();
            seen.note(table.name(), &row)?;
            if table.name() == ROOT_KEYS {
                row.remove("wrapped");
            }
            writer.write(&Line { table: table.name().to_owned(), row })
        };
        snapshot.for_each(&table, &mut keep).await?;
    }
    snapshot.end().await?;
    Ok(Exported { rows: writer.finish(key, name)?, schema, seen })
}

/// What the rows of a snapshot tell of its videos.
pub(super) async fn survey(rows: &Lines) -> Result<Seen> {
    let (mut seen, mut batches) = (Seen::default(), batches(rows)?);
    while let Some(batch) = batches.recv().await {
        let Batch { table, rows } = batch?;
        rows.iter().try_for_each(|row| seen.note(&table, row))?;
    }
    Ok(seen)
}

/// The rows again, some at a time; read and opened on a thread of their own.
pub(super) fn batches(rows: &Lines) -> Result<mpsc::Receiver<Result<Batch>>> {
    let lines = rows.read::<Line>()?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut batch = Batch { table: String::new(), rows: Vec::new() };
        for line in lines {
            match line {
                Ok(Line { table, row }) => {
                    if (table != batch.table || batch.rows.len() >= ROWS_AT_ONCE) && !batch.rows.is_empty() {
                        let full = std::mem::replace(&mut batch, Batch { table: String::new(), rows: Vec::new() });
                        if sender.blocking_send(Ok(full)).is_err() {
                            return;
                        }
                    }
                    batch.table = table;
                    batch.rows.push(row);
                }
                Err(error) => return drop(sender.blocking_send(Err(error))),
            }
        }
        if !batch.rows.is_empty() {
            drop(sender.blocking_send(Ok(batch)));
        }
    });
    Ok(receiver)
}

/// A text column of a copied row.
pub(super) fn text<'a>(row: &'a Record, column: &str) -> Result<&'a str> {
    row.get(column).and_then(Json::as_str).ok_or_else(|| Error::invalid("row-misfit", format!("a copied row has no text {column}")))
}

/// Whether a copied row has a value there; one of an older schema may lack the column.
pub(super) fn has(row: &Record, column: &str) -> bool {
    row.get(column).is_some_and(|value| !value.is_null())
}

/// A count in a copied row; 0 where there is none.
pub(super) fn count(row: &Record, column: &str) -> u64 {
    row.get(column).and_then(Json::as_u64).unwrap_or_default()
}
