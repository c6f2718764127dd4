//! The outbox: events, written in the transaction of the change they tell of.

use super::{Catalog, Tx};
use crate::args;
use crate::domain::Result;
use crate::domain::event::Kind;
use crate::domain::ids::VideoId;

/// One event as it was written.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place in the order.
    pub seq: i64,
    /// Its dotted name.
    pub kind: String,
    /// Its video.
    pub video: String,
    /// Epoch milliseconds.
    pub created_at: i64,
}

impl Tx {
    /// Appends an event about `video`; `payload` is JSON.
    pub async fn append_event(&mut self, kind: Kind, video: &VideoId, payload: &str) -> Result<()> {
        let now = self.now().await?;
        let sql = "INSERT INTO events (kind, video_id, payload, created_at) VALUES ($1, $2, $3, $4)";
        self.execute(sql, args![kind.as_str(), video, payload, now]).await.map(drop)
    }
}

impl Catalog {
    /// The events of a video, in order.
    pub async fn events(&self, video: &VideoId) -> Result<Vec<Event>> {
        let rows =
            self.fetch_all("SELECT seq, kind, video_id, created_at FROM events WHERE video_id = $1 ORDER BY seq", args![video]).await?;
        let event = |row: &super::Row| {
            Ok(Event { seq: row.int("seq")?, kind: row.text("kind")?, video: row.text("video_id")?, created_at: row.int("created_at")? })
        };
        rows.iter().map(event).collect()
    }
}
