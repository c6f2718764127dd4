//! Rows on their way out and back: one line each, with the table it belongs to, tables after those they refer to.

use super::sealed::{Lines, Writer};
use crate::catalog::{Catalog, Row};
use crate::depot::Name;
use crate::domain::ids::VideoId;
use crate::domain::{Error, Result};
use crate::keys::RootKey;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::{HashMap, HashSet};
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

/// What the rows tell of videos, uploads in progress among them.
#[derive(Default)]
pub(super) struct Seen {
    /// The wrapped root keys; empty texts when they were read back from a snapshot.
    pub keys: HashMap<VideoId, String>,
    /// What people call the videos.
    pub titles: HashMap<VideoId, String>,
    /// Bytes that rows say their blobs have.
    pub blob_bytes: u64,
    named: HashSet<VideoId>,
    deleted: HashSet<VideoId>,
}

impl Seen {
    /// Takes note of a row.
    fn note(&mut self, table: &str, row: &Record) -> Result<()> {
        let video = |column: &str| VideoId::parse(text(row, column)?);
        match table {
            ROOT_KEYS => {
                self.keys.insert(video("video_id")?, row.get("wrapped").and_then(Json::as_str).unwrap_or_default().to_owned());
            }
            "videos" => {
                self.name(video("id")?, row)?;
                if text(row, "state")? == "deleted" {
                    self.deleted.insert(video("id")?);
                }
            }
            "uploads" => self.name(video("video_id")?, row)?,
            "segments" => self.blob_bytes += count(row, "size_bytes"),
            "renditions" => self.blob_bytes += count(row, "init_size_bytes"),
            "upload_parts" if !row["blob"].is_null() => self.blob_bytes += count(row, "size_bytes"),
            _ => {}
        }
        Ok(())
    }

    fn name(&mut self, video: VideoId, row: &Record) -> Result<()> {
        self.named.insert(video.clone());
        self.titles.insert(video, text(row, "title")?.to_owned());
        Ok(())
    }

    /// Whether the video's key is there, so that its blobs can be read.
    pub(super) fn is_live(&self, video: &VideoId) -> bool {
        self.keys.contains_key(video) && !self.deleted.contains(video)
    }

    /// How many videos are live.
    pub(super) fn live(&self) -> u64 {
        self.named.iter().filter(|video| self.is_live(video)).count() as u64
    }

    /// Videos that were deleted, refused and purged, or never became one: they have no root key any more.
    pub(super) fn gone(&self) -> impl Iterator<Item = &VideoId> {
        self.named.iter().filter(|video| !self.is_live(video))
    }

    /// The title of a video, if it has one.
    pub(super) fn title(&self, video: &VideoId) -> String {
        self.titles.get(video).cloned().unwrap_or_default()
    }
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

/// A count in a copied row; 0 where there is none.
pub(super) fn count(row: &Record, column: &str) -> u64 {
    row.get(column).and_then(Json::as_u64).unwrap_or_default()
}
