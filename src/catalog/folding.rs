//! Titles as they are searched: in lower case as Rust folds them, whatever a database makes of letters beyond ASCII.

use super::{Catalog, Row};
use crate::args;
use crate::domain::{Error, Result};
use crate::transaction;

const ROWS_AT_ONCE: i64 = 1_000;

/// A title, or what is looked for in one.
pub(super) fn fold(title: &str) -> String {
    title.to_lowercase()
}

impl Catalog {
    /// Folds the titles anew that are folded in another way: by a migration's SQL, or by an older Unicode.
    pub(super) async fn refold(&self) -> Result<()> {
        let mut last = String::new();
        loop {
            let sql = "SELECT id, title, title_folded FROM videos WHERE id > $1 ORDER BY id LIMIT $2";
            let rows = self.fetch_all(sql, args![&last, ROWS_AT_ONCE]).await?;
            let Some(end) = rows.last() else { return Ok(()) };
            last = end.text("id")?;
            let stale = rows.iter().filter_map(|row| stale(row).transpose()).collect::<Result<Vec<_>>>()?;
            if stale.is_empty() {
                continue;
            }
            transaction!(self, |tx| {
                for (id, title) in &stale {
                    // Who renames it meanwhile folds it too.
                    let sql = "UPDATE videos SET title_folded = $3 WHERE id = $1 AND title = $2";
                    tx.execute(sql, args![id, title, fold(title)]).await?;
                }
                Ok::<_, Error>(())
            })?;
        }
    }
}

fn stale(row: &Row) -> Result<Option<(String, String)>> {
    let title = row.text("title")?;
    Ok(if row.text("title_folded")? == fold(&title) { None } else { Some((row.text("id")?, title)) })
}
