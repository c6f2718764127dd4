//! The rows of the audit log: appended, never changed. Deliveries, posters and refusals are counted by the minute.

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::Result;

/// One decision or action, as it is appended.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The subject who acted; `anonymous` without credentials.
    pub actor: String,
    /// The subject's role.
    pub role: String,
    /// The playback session, if any.
    pub session: Option<String>,
    /// The client's network address, if there is a client.
    pub address: Option<String>,
    /// What was attempted: `playback`, `key`, `sign-in`, `token-issue`, `publish` …
    pub action: String,
    /// The video, if any.
    pub video: Option<String>,
    /// The version, if any.
    pub version: Option<String>,
    /// What exactly: a key index, a job.
    pub object: Option<String>,
    /// `allow` or `deny`.
    pub decision: &'static str,
    /// Why, as a stable code.
    pub reason: String,
    /// The request's id, for the log.
    pub request_id: Option<String>,
}

/// One appended entry, read back.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its place in the log.
    pub seq: i64,
    /// Epoch milliseconds.
    pub at: i64,
    /// See [`Entry::actor`].
    pub actor: String,
    /// See [`Entry::action`].
    pub action: String,
    /// See [`Entry::object`].
    pub object: Option<String>,
    /// See [`Entry::decision`].
    pub decision: String,
    /// See [`Entry::reason`].
    pub reason: String,
}

/// What is counted by the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CountKind {
    /// Playlists and segments, of a session or by a signed link.
    Delivery,
    /// Posters of videos, by who saw them.
    Poster,
    /// Requests that were refused, by address.
    Refusal,
}

impl CountKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Poster => "poster",
            Self::Refusal => "refusal",
        }
    }
}

/// A count to add.
#[derive(Clone, Debug)]
pub struct Count {
    /// Epoch minutes.
    pub minute: i64,
    /// What is counted.
    pub kind: CountKind,
    /// The session, the key pair with the resource it signed for, the person, or the address.
    pub subject: String,
    /// The video with the kind of file, the video, or the reason.
    pub object: String,
    /// How many accesses.
    pub accesses: i64,
    /// How many bytes.
    pub bytes: i64,
}

impl Tx {
    /// Appends an entry; it is durable once the transaction is.
    pub async fn append_audit(&mut self, entry: &Entry) -> Result<()> {
        let now = self.now().await?;
        let sql =
            "INSERT INTO audit (at, actor, role, session_id, address, action, video_id, version_id, object, decision, reason, request_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let row = args![
            now,
            &entry.actor,
            &entry.role,
            entry.session.clone(),
            entry.address.clone(),
            &entry.action,
            entry.video.clone(),
            entry.version.clone(),
            entry.object.clone(),
            entry.decision,
            &entry.reason,
            entry.request_id.clone(),
        ];
        self.execute(sql, row).await.map(drop)
    }

    /// Adds to a minute's count.
    pub async fn add_audit_count(&mut self, count: &Count) -> Result<()> {
        let sql = "INSERT INTO audit_counts (minute, kind, subject, object, accesses, bytes) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (minute, kind, subject, object)
            DO UPDATE SET accesses = audit_counts.accesses + $5, bytes = audit_counts.bytes + $6";
        let row = args![count.minute, count.kind.as_str(), &count.subject, &count.object, count.accesses, count.bytes];
        self.execute(sql, row).await.map(drop)
    }
}

impl Catalog {
    /// The newest `limit` entries about a video (all videos when `None`), newest first.
    pub async fn audit_entries(&self, video: Option<&str>, limit: u64) -> Result<Vec<Stored>> {
        let sql = "SELECT seq, at, actor, action, object, decision, reason FROM audit WHERE ($1 IS NULL OR video_id = $1) ORDER BY seq DESC LIMIT $2";
        let stored = |row: &Row| {
            Ok(Stored {
                seq: row.int("seq")?,
                at: row.int("at")?,
                actor: row.text("actor")?,
                action: row.text("action")?,
                object: row.opt_text("object")?,
                decision: row.text("decision")?,
                reason: row.text("reason")?,
            })
        };
        self.fetch_all(sql, args![video, limit]).await?.iter().map(stored).collect()
    }

    /// All accesses counted of one kind for one subject.
    pub async fn audit_count(&self, kind: CountKind, subject: &str) -> Result<i64> {
        let sql = "SELECT CAST(COALESCE(SUM(accesses), 0) AS BIGINT) AS total FROM audit_counts WHERE kind = $1 AND subject = $2";
        let row = self.fetch_optional(sql, args![kind.as_str(), subject]).await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }
}
