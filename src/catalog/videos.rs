//! Videos: the rows of the library.

use super::folding::fold;
use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::collection;
use crate::domain::ids::{VersionId, VideoId};
use crate::domain::upload::Upload;
use crate::domain::video::{Placing, Refusal, Stage, State, Video};
use crate::domain::{Error, Result};

/// The columns that [`video`] reads.
macro_rules! VIDEOS {
    () => {
        "SELECT videos.*, collections.name AS collection FROM videos LEFT JOIN collections ON collections.id = videos.collection_id "
    };
}

pub(super) fn video(row: &Row) -> Result<Video> {
    let refusal = match (row.opt_text("refusal_code")?, row.opt_text("refusal_message")?) {
        (Some(code), Some(message)) => Some(Refusal { code, message }),
        _ => None,
    };
    Ok(Video {
        id: VideoId::parse(&row.text("id")?)?,
        owner: row.text("owner")?,
        title: row.text("title")?,
        collection: row.opt_text("collection")?.as_deref().map(collection::Name::parse).transpose()?,
        state: State::parse(&row.text("state")?)?,
        stage: Stage::parse(&row.text("stage")?)?,
        percent: row.int("percent")?,
        version: row.opt_text("version_id")?.as_deref().map(VersionId::parse).transpose()?,
        created_at: row.int("created_at")?,
        playable_at: row.opt_int("playable_at")?,
        ready_at: row.opt_int("ready_at")?,
        duration_ms: row.opt_int("duration_ms")?,
        width: row.opt_int("width")?,
        height: row.opt_int("height")?,
        truncated: row.int("truncated")? != 0,
        poster_epoch: row.opt_int("poster_epoch")?,
        refusal,
    })
}

/// Which videos a listing holds: all that can be watched, and of the others what `unready` says.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Whose videos it holds even when they are not ready.
    pub unready: Unready,
    /// Of these, which.
    pub filter: Filter,
    /// Only those before this one in the order (newest first).
    pub before: Option<VideoId>,
    /// At most so many.
    pub limit: u64,
}

/// Which videos a listing is narrowed to; what is absent narrows nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// Of this owner.
    pub owner: Option<String>,
    /// In this collection.
    pub collection: Option<collection::Name>,
    /// With this in their title, in whatever case.
    pub title: Option<String>,
    /// Made at this moment or later, epoch milliseconds.
    pub created_after: Option<i64>,
    /// Made before this moment, epoch milliseconds.
    pub created_before: Option<i64>,
}

impl Filter {
    /// All videos.
    pub const NONE: Self = Self { state: None, owner: None, collection: None, title: None, created_after: None, created_before: None };

    /// The LIKE pattern for the title: its wildcards mean themselves.
    fn pattern(&self) -> Option<String> {
        let folded = fold(self.title.as_ref()?);
        let literal: String = folded.chars().flat_map(|c| matches!(c, '%' | '_' | '!').then_some('!').into_iter().chain([c])).collect();
        Some(format!("%{literal}%"))
    }
}

/// Whose videos that are not ready a listing holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// All of them.
    Everyones,
    /// Those of this owner.
    Of(String),
    /// None.
    Nobodys,
}

impl Unready {
    /// Whether it is everyone's.
    pub(super) fn is_everyones(&self) -> bool {
        *self == Self::Everyones
    }

    /// The one owner whose videos it is. Nobody's is NULL, which no row's owner equals.
    pub(super) fn owner(&self) -> Option<&str> {
        if let Self::Of(owner) = self { Some(owner) } else { None }
    }
}

impl Catalog {
    /// A video's row, unless it was deleted.
    pub async fn video(&self, id: &VideoId) -> Result<Video> {
        let row = self.fetch_optional(concat!(VIDEOS!(), "WHERE videos.id = $1 AND state <> 'deleted'"), args![id]).await?;
        row.as_ref().map_or_else(|| Err(Error::not_found(format!("there is no video {id}"))), video)
    }

    /// What is left of a deleted video: whose it was, and whether it was ever ready.
    pub async fn deleted_video(&self, id: &VideoId) -> Result<Video> {
        let row = self.fetch_optional(concat!(VIDEOS!(), "WHERE videos.id = $1 AND state = 'deleted'"), args![id]).await?;
        row.as_ref().map_or_else(|| Err(Error::not_found(format!("there is no deleted video {id}"))), video)
    }

    /// Videos, newest first (ids are ordered by time).
    pub async fn videos(&self, listing: &Listing) -> Result<Vec<Video>> {
        let sql = concat!(
            VIDEOS!(),
            "WHERE state <> 'deleted' AND (state = 'ready' OR (state = 'processing' AND playable_at IS NOT NULL) OR $1 = 1 OR owner = $2)
            AND ($3 IS NULL OR videos.id < $3)
            AND ($4 IS NULL OR collections.name = $4) AND ($5 IS NULL OR state = $5) AND ($6 IS NULL OR owner = $6)
            AND ($7 IS NULL OR title_folded LIKE $7 ESCAPE '!') AND ($8 IS NULL OR videos.created_at >= $8)
            AND ($9 IS NULL OR videos.created_at < $9) ORDER BY videos.id DESC LIMIT $10"
        );
        let Listing { unready, filter, before, limit } = listing;
        let (before, collection) = (before.as_ref().map(VideoId::as_str), filter.collection.as_ref().map(collection::Name::as_str));
        let args = args![
            unready.is_everyones(),
            unready.owner(),
            before,
            collection,
            filter.state.map(State::as_str),
            filter.owner.as_deref(),
            filter.pattern(),
            filter.created_after,
            filter.created_before,
            *limit,
        ];
        self.fetch_all(sql, args).await?.iter().map(video).collect()
    }

    /// The next 100 videos whose blobs are due to go. One is left out while a cancelled job of it may still run somewhere, by its
    /// lease: that job could write one more blob.
    pub async fn videos_to_purge(&self, now: i64) -> Result<Vec<VideoId>> {
        let sql = "SELECT id FROM videos WHERE purge_at IS NOT NULL AND purge_at <= $1 AND NOT EXISTS
            (SELECT 1 FROM jobs WHERE video_id = videos.id AND state IN ('running', 'cancelled') AND lease_until > $1)
            ORDER BY purge_at, id LIMIT 100";
        let rows = self.fetch_all(sql, args![now]).await?;
        rows.iter().map(|row| VideoId::parse(&row.text("id")?)).collect()
    }
}

impl Tx {
    /// Inserts the video that a finished upload becomes.
    pub async fn insert_video(&mut self, upload: &Upload) -> Result<()> {
        let now = self.now().await?;
        let sql = "INSERT INTO videos (id, owner, title, title_folded, state, stage, created_at)
            VALUES ($1, $2, $3, $5, 'processing', 'queued', $4)";
        self.execute(sql, args![&upload.video, &upload.owner, &upload.title, now, fold(&upload.title)]).await?;
        if let Some(name) = &upload.collection { self.set_collection(&upload.video, Some(name)).await } else { Ok(()) }
    }

    /// What a video is called and where it is: its title and collection.
    pub async fn placing(&mut self, id: &VideoId) -> Result<Placing> {
        let row = self.fetch_optional(concat!(VIDEOS!(), "WHERE videos.id = $1 AND state <> 'deleted'"), args![id]).await?;
        let Video { title, collection, .. } =
            row.as_ref().map_or_else(|| Err(Error::not_found(format!("there is no video {id}"))), video)?;
        Ok(Placing { title, collection })
    }

    /// Gives a video another title and another collection.
    pub async fn place(&mut self, id: &VideoId, to: &Placing) -> Result<()> {
        let sql = "UPDATE videos SET title = $2, title_folded = $3 WHERE id = $1";
        self.execute(sql, args![id, &to.title, fold(&to.title)]).await?;
        self.set_collection(id, to.collection.as_ref()).await
    }

    /// Says what a video in processing, or its replacement, is busy with; `version` is that of the job that says so, once planned.
    pub async fn set_stage(&mut self, video: &VideoId, version: Option<&VersionId>, stage: Stage) -> Result<()> {
        let sql = "UPDATE videos SET stage = $2 WHERE id = $1 AND state = 'processing' AND stage <> $2";
        self.execute(sql, args![video, stage.as_str()]).await?;
        self.set_replacement_stage(video, version, stage).await
    }

    /// Moves a video in processing, or one that failed, to `refused`; its blobs go at `purge_at`. `Conflict` when it is neither.
    pub async fn refuse_video(&mut self, video: &VideoId, refusal: &Refusal, purge_at: i64) -> Result<()> {
        let sql = "UPDATE videos SET state = 'refused', stage = 'done', refusal_code = $2, refusal_message = $3, purge_at = $4
            WHERE id = $1 AND state IN ('processing', 'failed')";
        let changed = self.execute(sql, args![video, &refusal.code, &refusal.message, purge_at]).await?;
        if changed == 1 { Ok(()) } else { Err(Error::conflict("not-processing", format!("video {video} is not in processing"))) }
    }

    /// Marks a video in processing as failed (`true`), or a failed one as in processing again (`false`); of a video that plays, the
    /// replacement that `version` is to be.
    pub async fn set_failed(&mut self, video: &VideoId, version: Option<&VersionId>, failed: bool) -> Result<()> {
        let (from, to) = if failed { ("processing", "failed") } else { ("failed", "processing") };
        self.execute("UPDATE videos SET state = $3 WHERE id = $1 AND state = $2", args![video, from, to]).await?;
        self.set_replacement_failed(video, version, failed).await
    }

    /// Marks a video deleted and due for purging; `NotFound` when it already was.
    pub async fn delete_video(&mut self, video: &VideoId) -> Result<()> {
        let now = self.now().await?;
        let sql = "UPDATE videos SET state = 'deleted', stage = 'done', purge_at = $2 WHERE id = $1 AND state <> 'deleted'";
        let changed = self.execute(sql, args![video, now]).await?;
        if changed == 1 { self.end_replacements(video).await } else { Err(Error::not_found(format!("there is no video {video}"))) }
    }

    /// Puts off the purge of a video that is due for one, so that others come first.
    pub async fn postpone_purge(&mut self, video: &VideoId, purge_at: i64) -> Result<()> {
        self.execute("UPDATE videos SET purge_at = $2 WHERE id = $1 AND purge_at IS NOT NULL", args![video, purge_at]).await.map(drop)
    }

    /// Notes that a video's blobs are gone.
    pub async fn purged(&mut self, video: &VideoId) -> Result<()> {
        self.execute("UPDATE videos SET purge_at = NULL, poster_epoch = NULL WHERE id = $1", args![video]).await.map(drop)
    }

    /// Notes the poster of a version that the stills job of `epoch` wrote; it is the video's if the version is.
    pub async fn set_poster(&mut self, video: &VideoId, version: &VersionId, epoch: i64) -> Result<()> {
        self.execute("UPDATE versions SET poster_epoch = $2 WHERE id = $1", args![version, epoch]).await?;
        let sql = "UPDATE videos SET poster_epoch = $3 WHERE id = $1 AND version_id = $2";
        self.execute(sql, args![video, version, epoch]).await.map(drop)
    }

    /// Raises the percentage of a video, or of its replacement, to what its version's jobs have done; it never falls, and 100 is for
    /// `ready` alone.
    pub async fn raise_percent(&mut self, video: &VideoId, version: &VersionId) -> Result<()> {
        let sql =
            "SELECT CAST(COALESCE(SUM(weight * progress_percent), 0) AS BIGINT) AS done, CAST(COALESCE(SUM(weight), 0) AS BIGINT) AS whole
            FROM jobs WHERE version_id = $1 AND state <> 'cancelled'";
        let Some(row) = self.fetch_optional(sql, args![version]).await? else { return Ok(()) };
        let percent = (row.int("done")? / row.int("whole")?.max(1)).clamp(0, 99);
        let sql = "UPDATE videos SET percent = $2 WHERE id = $1 AND percent < $2 AND state = 'processing'";
        self.execute(sql, args![video, percent]).await?;
        self.set_replacement_percent(video, version, percent).await
    }
}
