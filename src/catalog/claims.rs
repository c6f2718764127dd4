//! Who lays claim to the blobs of a video: what was adopted, and what may yet be.
//!
//! The order of the questions matters. Who may still adopt a blob is asked first, what was adopted afterwards: a blob that nobody could adopt
//! any more at the first question, and that nobody had adopted at the second, is nobody's for ever.

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::Result;
use crate::domain::ids::{VersionId, VideoId};
use crate::domain::job::{Kind, State as JobState};
use crate::domain::video::State;

/// A job that has written, or is writing, under its epoch.
#[derive(Clone, Debug)]
pub struct Writer {
    /// The version it works for, once planned.
    pub version: Option<VersionId>,
    /// What it does.
    pub kind: Kind,
    /// Whether it runs, and so may adopt what it wrote; else it is done, and has.
    pub is_running: bool,
    /// The epoch that it writes under, or wrote.
    pub epoch: i64,
}

/// A video's standing.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its state.
    pub state: State,
    /// Its current version.
    pub version: Option<VersionId>,
    /// Whether its blobs are due to go.
    pub is_to_be_purged: bool,
}

/// A version's standing.
#[derive(Clone, Debug)]
pub struct VersionStanding {
    /// The version.
    pub id: VersionId,
    /// Whether it plays, may come to, or plays on for those who began to watch it before it was replaced.
    pub is_alive: bool,
    /// The epoch that wrote its poster, if it has one.
    pub poster_epoch: Option<i64>,
}

fn writer(row: &Row) -> Result<Writer> {
    Ok(Writer {
        version: row.opt_text("version_id")?.as_deref().map(VersionId::parse).transpose()?,
        kind: Kind::parse(&row.text("kind")?)?,
        is_running: JobState::parse(&row.text("state")?)? == JobState::Running,
        epoch: row.int("epoch")?,
    })
}

fn video_id(row: &Row) -> Result<VideoId> {
    VideoId::parse(&row.text("id")?)
}

impl Catalog {
    /// The jobs of a video that run or are done.
    pub async fn writers(&self, video: &VideoId) -> Result<Vec<Writer>> {
        let sql = "SELECT version_id, kind, state, epoch FROM jobs WHERE video_id = $1 AND state IN ('running', 'done')";
        self.fetch_all(sql, args![video]).await?.iter().map(writer).collect()
    }

    /// A video's standing, deleted or not; `None` before its upload is finished.
    pub async fn standing(&self, video: &VideoId) -> Result<Option<Standing>> {
        let row = self.fetch_optional("SELECT state, version_id, purge_at FROM videos WHERE id = $1", args![video]).await?;
        let standing = |row: Row| {
            let version = row.opt_text("version_id")?.as_deref().map(VersionId::parse).transpose()?;
            Ok(Standing { state: State::parse(&row.text("state")?)?, version, is_to_be_purged: row.opt_int("purge_at")?.is_some() })
        };
        row.map(standing).transpose()
    }

    /// The versions of a video.
    pub async fn version_standings(&self, video: &VideoId) -> Result<Vec<VersionStanding>> {
        let standing = |row: &Row| {
            Ok(VersionStanding {
                id: VersionId::parse(&row.text("id")?)?,
                is_alive: !matches!(row.text("state")?.as_str(), "abandoned" | "purged"),
                poster_epoch: row.opt_int("poster_epoch")?,
            })
        };
        self.fetch_all("SELECT id, state, poster_epoch FROM versions WHERE video_id = $1", args![video])
            .await?
            .iter()
            .map(standing)
            .collect()
    }

    /// The videos of which blobs must be there.
    pub async fn living_videos(&self) -> Result<Vec<VideoId>> {
        let sql = "SELECT id FROM videos WHERE state IN ('processing', 'ready', 'failed')";
        self.fetch_all(sql, args![]).await?.iter().map(video_id).collect()
    }

    /// The report of the last reconciliation that swept, or that only looked, and when it ended; `None` before the first.
    pub async fn reconciliation(&self, applied: bool) -> Result<Option<(i64, String)>> {
        let sql = "SELECT ended_at, report FROM reconciliations WHERE id = $1";
        let row = self.fetch_optional(sql, args![reconciliation_id(applied)]).await?;
        row.map(|row| Ok((row.int("ended_at")?, row.text("report")?))).transpose()
    }
}

impl Tx {
    /// Keeps the report of a reconciliation that has just ended, in the place of the last of its kind.
    pub async fn keep_reconciliation(&mut self, applied: bool, began_at: i64, report: &str) -> Result<()> {
        let now = self.now().await?;
        let sql = "INSERT INTO reconciliations (id, applied, began_at, ended_at, report) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (id) DO UPDATE SET began_at = $3, ended_at = $4, report = $5";
        self.execute(sql, args![reconciliation_id(applied), applied, began_at, now, report]).await.map(drop)
    }
}

fn reconciliation_id(applied: bool) -> &'static str {
    if applied { "applied" } else { "looked" }
}
