//! The outbox: events, written in the transaction of the change they tell of, read as a log by cursor.
//!
//! The numbers of events grow in the order of their commits, on both databases: whoever has read up to one has missed none before it.

use super::{Catalog, Row, Tx, TxInner, postgres};
use crate::args;
use crate::domain::event::Kind;
use crate::domain::ids::VideoId;
use crate::domain::{Error, Result};
use serde_json::{Map, Value as Json, json};

/// One event as it was written.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place in the order.
    pub seq: i64,
    /// Its dotted name.
    pub kind: String,
    /// Its video.
    pub video: String,
    /// What it tells: a JSON object.
    pub payload: String,
    /// Epoch milliseconds.
    pub created_at: i64,
}

/// Whose events a reading holds.
#[derive(Clone, Debug)]
pub enum Audience {
    /// All.
    Everyones,
    /// Those for viewers, of videos that can be watched, or were ready before they were deleted; and all of the videos of this owner, if one is named.
    Viewer(Option<String>),
}

/// Which events a reading holds, oldest first.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Only those after this one.
    pub after: i64,
    /// Only these kinds; empty: all.
    pub kinds: Vec<Kind>,
    /// Only those that they may hear of.
    pub audience: Audience,
    /// At most so many.
    pub limit: u64,
}

pub(super) fn event(row: &Row) -> Result<Event> {
    Ok(Event {
        seq: row.int("seq")?,
        kind: row.text("kind")?,
        video: row.text("video_id")?,
        payload: row.text("payload")?,
        created_at: row.int("created_at")?,
    })
}

/// Names with a blank on either side, so that one of them can be found by LIKE.
fn listed(kinds: impl Iterator<Item = Kind>) -> String {
    kinds.fold(" ".to_owned(), |listed, kind| listed + kind.as_str() + " ")
}

impl Tx {
    /// Appends an event about `video`. `payload`, a JSON object, adds to what every event says: `video`, and its `state` and `version` as the
    /// transaction has made them by now. Ids, states and codes only: events leave the house, so no title and no other text of people's.
    pub async fn append_event(&mut self, kind: Kind, video: &VideoId, payload: &str) -> Result<()> {
        let (now, payload) = (self.now().await?, self.complete(video, payload).await?);
        // Held until the commit. PostgreSQL would give a later number to a transaction that commits first, and a reader would miss the other.
        if let TxInner::Postgres(_) = self.inner {
            self.fetch_all(postgres::EVENTS_IN_ORDER, Vec::new()).await?;
        }
        let sql = "INSERT INTO events (kind, video_id, payload, created_at) VALUES ($1, $2, $3, $4)";
        self.execute(sql, args![kind.as_str(), video, payload, now]).await.map(drop)
    }

    async fn complete(&mut self, video: &VideoId, payload: &str) -> Result<String> {
        let own: Map<String, Json> =
            serde_json::from_str(payload).map_err(|error| Error::internal("an event's payload is no JSON object", error))?;
        let row = self.fetch_optional("SELECT state, version_id FROM videos WHERE id = $1", args![video]).await?;
        let (state, version) = match row {
            Some(row) => (Some(row.text("state")?), row.opt_text("version_id")?),
            None => (None, None),
        };
        let mut whole = json!({"video": video, "state": state, "version": version});
        if let Some(members) = whole.as_object_mut() {
            members.extend(own);
        }
        Ok(whole.to_string())
    }

    /// Forgets events older than `before` (epoch milliseconds) that every endpoint has had, with their deliveries; gives how many. The newest
    /// stays, so that no number is given twice.
    pub async fn forget_events(&mut self, before: i64) -> Result<u64> {
        let sql = "DELETE FROM events WHERE created_at < $1 AND seq < (SELECT MAX(seq) FROM events)
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.seq = events.seq AND deliveries.state = 'pending')
            AND NOT EXISTS (SELECT 1 FROM webhooks WHERE webhooks.seen_seq < events.seq)";
        let forgotten = self.execute(sql, args![before]).await?;
        let sql =
            "DELETE FROM deliveries WHERE state = 'delivered' AND NOT EXISTS (SELECT 1 FROM events WHERE events.seq = deliveries.seq)";
        self.execute(sql, Vec::new()).await?;
        Ok(forgotten)
    }
}

impl Catalog {
    /// The events of a video, in order.
    pub async fn events(&self, video: &VideoId) -> Result<Vec<Event>> {
        self.fetch_all("SELECT * FROM events WHERE video_id = $1 ORDER BY seq", args![video]).await?.iter().map(event).collect()
    }

    /// The events of a reading, in order.
    pub async fn read_events(&self, reading: &Reading) -> Result<Vec<Event>> {
        let sql = "SELECT * FROM events WHERE seq > $1 AND ($2 IS NULL OR $2 LIKE '% ' || kind || ' %')
            AND ($3 = 1 OR EXISTS (SELECT 1 FROM videos WHERE videos.id = events.video_id AND (videos.owner = $4
                OR ($5 LIKE '% ' || events.kind || ' %' AND (videos.state = 'ready'
                    OR (videos.state = 'processing' AND videos.playable_at IS NOT NULL) OR (videos.state = 'deleted' AND videos.ready_at IS NOT NULL))))))
            ORDER BY seq LIMIT $6";
        let kinds = (!reading.kinds.is_empty()).then(|| listed(reading.kinds.iter().copied()));
        let (everyones, owner) = match &reading.audience {
            Audience::Everyones => (true, None),
            Audience::Viewer(owner) => (false, owner.clone()),
        };
        let for_viewers = listed(Kind::ALL.iter().copied().filter(|kind| kind.is_for_viewers()));
        let args = args![reading.after, kinds, everyones, owner, for_viewers, reading.limit];
        self.fetch_all(sql, args).await?.iter().map(event).collect()
    }

    /// The number of the newest event; 0 before the first.
    pub async fn newest_event(&self) -> Result<i64> {
        let row = self.fetch_optional("SELECT CAST(COALESCE(MAX(seq), 0) AS BIGINT) AS seq FROM events", Vec::new()).await?;
        row.map_or(Ok(0), |row| row.int("seq"))
    }
}
