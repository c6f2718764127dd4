//! Quotas: the limits that were given, and what counts towards them.

use super::{Catalog, Row, Tx, TxInner};
use crate::args;
use crate::domain::Result;
use crate::domain::ids::VideoId;
use crate::domain::quota::{Holder, Quota};

/// What counts of videos: the sources of all that are not deleted; those of refused ones until they are purged.
macro_rules! SOURCES {
    () => {
        "FROM videos JOIN sources ON sources.video_id = videos.id AND sources.purged_at IS NULL
            WHERE videos.state <> 'deleted' AND (videos.state <> 'refused' OR videos.purge_at IS NOT NULL)"
    };
}

/// Uploads that are to replace a source count for the owner and the collection of their video, whoever sends them.
macro_rules! REPLACING {
    () => {
        "FROM uploads JOIN videos ON videos.id = uploads.video_id AND uploads.replaces = 1 AND uploads.state = 'open'"
    };
}

const OF_USER: &str = concat!(
    "SELECT CAST(COALESCE((SELECT SUM(sources.size_bytes) ",
    SOURCES!(),
    " AND videos.owner = $2), 0)
        + COALESCE((SELECT SUM(size_bytes) FROM uploads WHERE owner = $2 AND state = 'open' AND replaces = 0), 0)
        + COALESCE((SELECT SUM(uploads.size_bytes) ",
    REPLACING!(),
    " WHERE videos.owner = $2), 0) AS BIGINT) AS used,
        (SELECT limit_bytes FROM quotas WHERE kind = $1 AND name = $2) AS own"
);
const OF_COLLECTION: &str = concat!(
    "SELECT CAST(COALESCE((SELECT SUM(sources.size_bytes) ",
    SOURCES!(),
    " AND videos.collection_id = (SELECT id FROM collections WHERE name = $2)), 0)
        + COALESCE((SELECT SUM(size_bytes) FROM uploads WHERE collection = $2 AND state = 'open' AND replaces = 0), 0)
        + COALESCE((SELECT SUM(uploads.size_bytes) ",
    REPLACING!(),
    " WHERE videos.collection_id = (SELECT id FROM collections WHERE name = $2)), 0) AS BIGINT) AS used,
        (SELECT limit_bytes FROM quotas WHERE kind = $1 AND name = $2) AS own"
);
const OF_VIDEO: &str = concat!(
    "SELECT CAST(COALESCE((SELECT SUM(sources.size_bytes) ",
    SOURCES!(),
    " AND videos.id = $1), 0) + COALESCE((SELECT SUM(uploads.size_bytes) ",
    REPLACING!(),
    " WHERE videos.id = $1), 0) AS BIGINT) AS counted"
);
const EVERYONES: &str = concat!(
    "SELECT held.kind, held.name, CAST(SUM(held.bytes) AS BIGINT) AS used, MAX(quotas.limit_bytes) AS own FROM (
        SELECT 'user' AS kind, videos.owner AS name, sources.size_bytes AS bytes ",
    SOURCES!(),
    " UNION ALL SELECT 'user', owner, size_bytes FROM uploads WHERE state = 'open' AND replaces = 0
        UNION ALL SELECT 'user', videos.owner, uploads.size_bytes ",
    REPLACING!(),
    " UNION ALL SELECT 'collection', collections.name, kept.size_bytes FROM collections JOIN (
            SELECT videos.collection_id, sources.size_bytes ",
    SOURCES!(),
    " UNION ALL SELECT videos.collection_id, uploads.size_bytes ",
    REPLACING!(),
    ") AS kept ON kept.collection_id = collections.id
        UNION ALL SELECT 'collection', name, 0 FROM collections
        UNION ALL SELECT 'collection', collection, size_bytes FROM uploads WHERE state = 'open' AND replaces = 0 AND collection IS NOT NULL
        UNION ALL SELECT kind, name, 0 FROM quotas
    ) AS held LEFT JOIN quotas ON quotas.kind = held.kind AND quotas.name = held.name
    GROUP BY held.kind, held.name"
);

fn quota(row: &Row, holder: Holder) -> Result<Quota> {
    let own = row.opt_int("own")?.map(|limit| u64::try_from(limit).unwrap_or(0));
    Ok(Quota { holder, used_bytes: row.count("used")?, own_limit_bytes: own })
}

impl Catalog {
    /// What a holder has, and was given.
    pub async fn quota(&self, holder: &Holder) -> Result<Quota> {
        let rows = self.fetch_all(sql_of(holder), args![holder.kind(), holder.name()]).await?;
        read(rows, holder)
    }

    /// Every collection, and every user who has anything or was given a limit: users first, by name.
    pub async fn quotas(&self) -> Result<Vec<Quota>> {
        let of = |row: &Row| quota(row, Holder::of_row(&row.text("kind")?, &row.text("name")?)?);
        let mut quotas = self.fetch_all(EVERYONES, args![]).await?.iter().map(of).collect::<Result<Vec<_>>>()?;
        // By their bytes, here: PostgreSQL would sort as its locale does, and SQLite as nobody's.
        quotas.sort_by(|one, other| one.holder.cmp(&other.holder));
        Ok(quotas)
    }
}

impl Tx {
    /// Waits until no other transaction is under way that has waited here or sets a quota. Called before anything else, it keeps those who ask
    /// a quota and add to it from undoing one another over and over; that nobody slips past is held by the transactions themselves.
    pub async fn wait_turn(&mut self) -> Result<()> {
        match &self.inner {
            // Its one writer is this one.
            TxInner::Sqlite(_) => Ok(()),
            // It takes no snapshot, so what the others committed is seen.
            TxInner::Postgres(_) => self.fetch_all("LOCK TABLE quotas IN SHARE ROW EXCLUSIVE MODE", args![]).await.map(drop),
        }
    }

    /// What a video counts, wherever it is.
    pub async fn counted_bytes(&mut self, video: &VideoId) -> Result<u64> {
        self.fetch_optional(OF_VIDEO, args![video]).await?.map_or(Ok(0), |row| row.count("counted"))
    }

    /// What a holder has, and was given, as it is when the transaction commits: of two that add to it, one runs again.
    pub async fn quota(&mut self, holder: &Holder) -> Result<Quota> {
        let rows = self.fetch_all(sql_of(holder), args![holder.kind(), holder.name()]).await?;
        read(rows, holder)
    }

    /// Gives a holder a limit (0: none), or, by `None`, the default again.
    pub async fn set_quota(&mut self, holder: &Holder, limit_bytes: Option<u64>) -> Result<()> {
        let now = self.now().await?;
        let Some(limit) = limit_bytes else {
            return self.execute("DELETE FROM quotas WHERE kind = $1 AND name = $2", args![holder.kind(), holder.name()]).await.map(drop);
        };
        let sql = "INSERT INTO quotas (kind, name, limit_bytes, changed_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (kind, name) DO UPDATE SET limit_bytes = $3, changed_at = $4";
        self.execute(sql, args![holder.kind(), holder.name(), limit, now]).await.map(drop)
    }
}

fn sql_of(holder: &Holder) -> &'static str {
    match holder {
        Holder::User(_) => OF_USER,
        Holder::Collection(_) => OF_COLLECTION,
    }
}

fn read(rows: Vec<Row>, holder: &Holder) -> Result<Quota> {
    let row = rows.first().ok_or_else(|| crate::domain::Error::internal("the catalog told no usage", "no row"))?;
    quota(row, holder.clone())
}
