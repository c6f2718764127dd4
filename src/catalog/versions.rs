//! Versions: one complete processing of a source, its renditions and its segments.

use super::replacements::{points, trim};
use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::ids::{SourceId, UploadId, VersionId, VideoId};
use crate::domain::replacement::Trim;
use crate::domain::video::{Rendition, RenditionName};
use crate::domain::{Error, Result};

/// A source's row.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// Its video.
    pub video: VideoId,
    /// The upload whose parts it is made of.
    pub upload: UploadId,
    /// Its length.
    pub size_bytes: u64,
    /// When its upload was finished, epoch milliseconds.
    pub created_at: i64,
}

/// A version's row.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its id.
    pub id: VersionId,
    /// Its video.
    pub video: VideoId,
    /// Its source.
    pub source: SourceId,
    /// What the probe found, JSON.
    pub facts: String,
    /// What the jobs make of it, JSON.
    pub plan: String,
    /// What of its source it shows; absent: all.
    pub trim: Option<Trim>,
    /// Pictures the source promises.
    pub pictures_expected: u64,
    /// Pictures that came out, in chunks settled so far.
    pub pictures_decoded: u64,
}

/// A rendition to insert with its version.
#[derive(Clone, Debug)]
pub struct NewRendition {
    /// Its name.
    pub name: RenditionName,
    /// Pixels; absent for audio.
    pub size: Option<(u32, u32)>,
}

/// What a version's first row says of its video.
#[derive(Clone, Copy, Debug)]
pub struct Outline {
    /// The length of the timeline.
    pub duration_ms: i64,
    /// Pixels of the largest rendition; absent for audio alone.
    pub size: Option<(u32, u32)>,
    /// Whether the source is cut short.
    pub truncated: bool,
    /// The length of the whole source, of which the version may be a part.
    pub source_duration_ms: i64,
}

/// A version that is being made.
#[derive(Clone, Copy, Debug)]
pub struct Growing {
    /// Since it was planned.
    pub elapsed_ms: i64,
    /// Whether it can be watched already.
    pub playable: bool,
}

/// What publishing a version did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publication {
    /// Nothing: it was published before, is not complete, or was given up.
    None,
    /// Its video is ready.
    First,
    /// It plays now instead of the version before.
    Replacement,
}

/// An initialisation segment that was written.
#[derive(Clone, Debug)]
pub struct Init {
    /// The epoch in its key.
    pub epoch: i64,
    /// Its length.
    pub size_bytes: u64,
    /// Hexadecimal.
    pub md5: String,
    /// Hexadecimal.
    pub sha256: String,
    /// Its codec by RFC 6381.
    pub codecs: String,
}

/// A segment that was written.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its rendition.
    pub rendition: RenditionName,
    /// Its place, from 0: the media sequence number.
    pub number: u64,
    /// The epoch in its key.
    pub epoch: i64,
    /// Which content key encrypts it.
    pub key_index: u64,
    /// On the timeline, 1/90000 s.
    pub duration_ticks: u64,
    /// Of the ciphertext.
    pub size_bytes: u64,
    /// Of the ciphertext, hexadecimal.
    pub md5: String,
    /// Of the ciphertext, hexadecimal.
    pub sha256: String,
    /// Of the initialisation segment that it needs, hexadecimal.
    pub init_sha256: String,
}

fn version(row: &Row) -> Result<Version> {
    Ok(Version {
        id: VersionId::parse(&row.text("id")?)?,
        video: VideoId::parse(&row.text("video_id")?)?,
        source: SourceId::parse(&row.text("source_id")?)?,
        facts: row.text("facts")?,
        plan: row.text("plan")?,
        trim: trim(row)?,
        pictures_expected: row.count("pictures_expected")?,
        pictures_decoded: row.count("pictures_decoded")?,
    })
}

fn segment(row: &Row) -> Result<Segment> {
    Ok(Segment {
        rendition: RenditionName::parse(&row.text("rendition")?)?,
        number: row.count("number")?,
        epoch: row.int("epoch")?,
        key_index: row.count("key_index")?,
        duration_ticks: row.count("duration_ticks")?,
        size_bytes: row.count("size_bytes")?,
        md5: row.text("md5")?,
        sha256: row.text("sha256")?,
        init_sha256: row.text("init_sha256")?,
    })
}

fn rendition(row: &Row) -> Result<Rendition> {
    let size = row.opt_int("width")?.zip(row.opt_int("height")?);
    Ok(Rendition { name: RenditionName::parse(&row.text("name")?)?, size })
}

impl Catalog {
    /// A source's row.
    pub async fn source(&self, id: &SourceId) -> Result<Source> {
        let row = self.fetch_optional("SELECT * FROM sources WHERE id = $1", args![id]).await?;
        let row = row.ok_or_else(|| Error::not_found(format!("there is no source {id}")))?;
        Ok(Source {
            id: SourceId::parse(&row.text("id")?)?,
            video: VideoId::parse(&row.text("video_id")?)?,
            upload: UploadId::parse(&row.text("upload_id")?)?,
            size_bytes: row.count("size_bytes")?,
            created_at: row.int("created_at")?,
        })
    }

    /// The source that a video was given last, if any.
    pub async fn newest_source(&self, video: &VideoId) -> Result<Option<SourceId>> {
        let row = self
            .fetch_optional("SELECT id FROM sources WHERE video_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1", args![video])
            .await?;
        row.map(|row| SourceId::parse(&row.text("id")?)).transpose()
    }

    /// A version's row.
    pub async fn version(&self, id: &VersionId) -> Result<Version> {
        let row = self.fetch_optional("SELECT * FROM versions WHERE id = $1", args![id]).await?;
        row.as_ref().map_or_else(|| Err(Error::not_found(format!("there is no version {id}"))), version)
    }

    /// What of its source a version shows, and the length of the whole source in milliseconds; the latter is absent where it was not noted.
    pub async fn shown(&self, id: &VersionId) -> Result<(Option<Trim>, Option<u64>)> {
        let sql = "SELECT trim_in_ms, trim_out_ms, source_duration_ms FROM versions WHERE id = $1";
        let row = self.fetch_optional(sql, args![id]).await?;
        let row = row.ok_or_else(|| Error::not_found(format!("there is no version {id}")))?;
        let source_ms = row.opt_int("source_duration_ms")?.and_then(|length| u64::try_from(length).ok());
        Ok((trim(&row)?, source_ms))
    }

    /// The epoch in the key of a version's poster, once it has one.
    pub async fn poster_epoch(&self, id: &VersionId) -> Result<Option<i64>> {
        let row = self.fetch_optional("SELECT poster_epoch FROM versions WHERE id = $1", args![id]).await?;
        row.map_or(Ok(None), |row| row.opt_int("poster_epoch"))
    }

    /// How many segments of a rendition are adopted: of one that is made from its beginning on, the first so many.
    pub async fn segments_adopted(&self, version: &VersionId, rendition: &RenditionName) -> Result<u64> {
        let sql = "SELECT COUNT(*) AS adopted FROM segments WHERE version_id = $1 AND rendition = $2";
        self.fetch_optional(sql, args![version, rendition.as_str()]).await?.map_or(Ok(0), |row| row.count("adopted"))
    }

    /// A version's renditions, smallest first, audio last.
    pub async fn renditions(&self, id: &VersionId) -> Result<Vec<Rendition>> {
        let sql = "SELECT name, width, height FROM renditions WHERE version_id = $1 ORDER BY CASE WHEN height IS NULL THEN 1 ELSE 0 END, height, name";
        self.fetch_all(sql, args![id]).await?.iter().map(rendition).collect()
    }

    /// A version's segments, by rendition and number.
    pub async fn segments(&self, id: &VersionId) -> Result<Vec<Segment>> {
        let rows = self.fetch_all("SELECT * FROM segments WHERE version_id = $1 ORDER BY rendition, number", args![id]).await?;
        rows.iter().map(segment).collect()
    }

    /// The initialisation segments of a version by rendition name; only those that were written.
    pub async fn inits(&self, id: &VersionId) -> Result<Vec<(RenditionName, Init)>> {
        let sql = "SELECT name, codecs, init_epoch, init_size_bytes, init_md5, init_sha256 FROM renditions WHERE version_id = $1 AND init_epoch IS NOT NULL";
        let init = |row: &Row| {
            let name = RenditionName::parse(&row.text("name")?)?;
            let (md5, sha256, codecs) = (row.text("init_md5")?, row.text("init_sha256")?, row.text("codecs")?);
            Ok((name, Init { epoch: row.int("init_epoch")?, size_bytes: row.count("init_size_bytes")?, md5, sha256, codecs }))
        };
        self.fetch_all(sql, args![id]).await?.iter().map(init).collect()
    }
}

impl Tx {
    /// Inserts a version in processing with its renditions and points its video at it, or the replacement of a video that plays;
    /// `remaining` jobs must settle before it is published.
    pub async fn insert_version(&mut self, new: &Version, renditions: &[NewRendition], outline: Outline, remaining: u64) -> Result<()> {
        self.insert_version_row(new, outline, remaining).await?;
        for rendition in renditions {
            let kind = if rendition.size.is_some() { "video" } else { "audio" };
            let (width, height) = rendition.size.unzip();
            let sql = "INSERT INTO renditions (version_id, name, kind, width, height) VALUES ($1, $2, $3, $4, $5)";
            self.execute(sql, args![&new.id, rendition.name.as_str(), kind, width.map(i64::from), height.map(i64::from)]).await?;
        }
        let (width, height) = outline.size.unzip();
        let sql = "UPDATE videos SET version_id = $2, duration_ms = $3, width = $4, height = $5, truncated = $6, stage = 'encoding'
            WHERE id = $1 AND state = 'processing'";
        let row = args![&new.video, &new.id, outline.duration_ms, width.map(i64::from), height.map(i64::from), outline.truncated];
        if self.execute(sql, row).await? == 1 || self.plan_replacement(&new.video, &new.source, &new.id).await? {
            return Ok(());
        }
        Err(Error::conflict("not-processing", format!("video {} is not in processing", new.video)))
    }

    async fn insert_version_row(&mut self, new: &Version, outline: Outline, remaining: u64) -> Result<()> {
        let now = self.now().await?;
        let sql = "INSERT INTO versions (id, video_id, source_id, state, facts, plan, remaining, pictures_expected, created_at,
                duration_ms, width, height, truncated, trim_in_ms, trim_out_ms, source_duration_ms)
            VALUES ($1, $2, $3, 'processing', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
        let ((width, height), (in_ms, out_ms)) = (outline.size.unzip(), points(new.trim));
        let row = args![
            &new.id,
            &new.video,
            &new.source,
            &new.facts,
            &new.plan,
            remaining,
            new.pictures_expected,
            now,
            outline.duration_ms,
            width.map(i64::from),
            height.map(i64::from),
            outline.truncated,
            in_ms,
            out_ms,
            outline.source_duration_ms,
        ];
        self.execute(sql, row).await.map(drop)
    }

    /// Adopts a segment: from now on its blob is the one of its number. A second one is `Conflict`.
    pub async fn adopt_segment(&mut self, version: &VersionId, new: &Segment) -> Result<()> {
        let sql =
            "INSERT INTO segments (version_id, rendition, number, epoch, key_index, duration_ticks, size_bytes, md5, sha256, init_sha256)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (version_id, rendition, number) DO NOTHING";
        let row = args![
            version,
            new.rendition.as_str(),
            new.number,
            new.epoch,
            new.key_index,
            new.duration_ticks,
            new.size_bytes,
            &new.md5,
            &new.sha256,
            &new.init_sha256,
        ];
        let changed = self.execute(sql, row).await?;
        if changed == 1 {
            Ok(())
        } else {
            let what = format!("segment {} of rendition {} already has its blob", new.number, new.rendition);
            Err(Error::conflict("segment-adopted", what))
        }
    }

    /// Adopts a rendition's initialisation segment; a second one is `Conflict`.
    pub async fn adopt_init(&mut self, version: &VersionId, rendition: &RenditionName, init: &Init) -> Result<()> {
        let sql = "UPDATE renditions SET codecs = $3, init_epoch = $4, init_size_bytes = $5, init_md5 = $6, init_sha256 = $7
            WHERE version_id = $1 AND name = $2 AND init_epoch IS NULL";
        let row = args![version, rendition.as_str(), &init.codecs, init.epoch, init.size_bytes, &init.md5, &init.sha256];
        let changed = self.execute(sql, row).await?;
        if changed == 1 {
            Ok(())
        } else {
            Err(Error::conflict("init-adopted", format!("rendition {rendition} already has its init segment")))
        }
    }

    /// Takes a rendition out of a version that is not published: it could not be made.
    pub async fn drop_rendition(&mut self, version: &VersionId, rendition: &RenditionName) -> Result<()> {
        self.execute("DELETE FROM renditions WHERE version_id = $1 AND name = $2", args![version, rendition.as_str()]).await.map(drop)
    }

    /// Lets go of all that was adopted of a rendition, which is to be made another way: its blobs are nobody's from then on.
    pub async fn forsake_rendition(&mut self, version: &VersionId, rendition: &RenditionName) -> Result<()> {
        let row = || args![version, rendition.as_str()];
        self.execute("DELETE FROM segments WHERE version_id = $1 AND rendition = $2", row()).await?;
        let sql = "UPDATE renditions SET codecs = NULL, init_epoch = NULL, init_size_bytes = NULL, init_md5 = NULL, init_sha256 = NULL
            WHERE version_id = $1 AND name = $2";
        self.execute(sql, row()).await.map(drop)
    }

    /// Counts one job of the version as settled, with the pictures it brought; gives how many remain (invariant 3: asked, never counted).
    pub async fn count_down(&mut self, version: &VersionId, pictures_decoded: u64) -> Result<u64> {
        let sql =
            "UPDATE versions SET remaining = remaining - 1, pictures_decoded = pictures_decoded + $2 WHERE id = $1 RETURNING remaining";
        let row = self.fetch_optional(sql, args![version, pictures_decoded]).await?;
        row.ok_or_else(|| Error::not_found(format!("there is no version {version}")))?.count("remaining")
    }

    /// Takes one count back: a job that had counted as settled runs again, and counts down once more when it ends.
    pub async fn count_up(&mut self, version: &VersionId) -> Result<()> {
        self.execute("UPDATE versions SET remaining = remaining + 1 WHERE id = $1", args![version]).await.map(drop)
    }

    /// What there is to say of a version that is being made and is its video's first: replacements are not seen before they are whole.
    pub async fn growing(&mut self, version: &VersionId) -> Result<Option<Growing>> {
        let now = self.now().await?;
        let sql = "SELECT versions.created_at, playable_at FROM versions JOIN videos ON videos.version_id = versions.id
            WHERE versions.id = $1 AND versions.state = 'processing' AND remaining > 0 AND videos.state = 'processing'";
        let growing = |row: &Row| {
            Ok(Growing { elapsed_ms: now.saturating_sub(row.int("created_at")?), playable: row.opt_int("playable_at")?.is_some() })
        };
        self.fetch_optional(sql, args![version]).await?.as_ref().map(growing).transpose()
    }

    /// Marks a video in processing as one that can be watched, by the version that is being made; `false` when it was before, or that is not its
    /// version.
    pub async fn mark_playable(&mut self, video: &VideoId, version: &VersionId) -> Result<bool> {
        let now = self.now().await?;
        let sql = "UPDATE videos SET playable_at = $3
            WHERE id = $1 AND version_id = $2 AND state = 'processing' AND playable_at IS NULL";
        Ok(self.execute(sql, args![video, version, now]).await? == 1)
    }

    /// Publishes a version: the one compare-and-set that makes its video ready, or makes it the one that plays (invariant 3). The version
    /// it replaces is kept for `keep_superseded_ms` at least.
    pub async fn publish_version(
        &mut self,
        version: &VersionId,
        video: &VideoId,
        truncated: bool,
        keep_superseded_ms: i64,
    ) -> Result<Publication> {
        let now = self.now().await?;
        let sql = "UPDATE versions SET state = 'published', published_at = $2, truncated = CASE WHEN $3 = 1 THEN 1 ELSE truncated END
            WHERE id = $1 AND state = 'processing' AND remaining = 0";
        if self.execute(sql, args![version, now, truncated]).await? != 1 {
            return Ok(Publication::None);
        }
        let sql =
            "UPDATE videos SET state = 'ready', stage = 'done', percent = 100, ready_at = $3, playable_at = COALESCE(playable_at, $3),
            truncated = CASE WHEN $4 = 1 THEN 1 ELSE truncated END
            WHERE id = $1 AND version_id = $2 AND state = 'processing'";
        if self.execute(sql, args![video, version, now, truncated]).await? == 1 {
            return Ok(Publication::First);
        }
        self.switch_version(version, video, now.saturating_add(keep_superseded_ms)).await?;
        Ok(Publication::Replacement)
    }

    /// Ends a version that will never be published.
    pub async fn abandon_versions(&mut self, video: &VideoId) -> Result<()> {
        self.execute("UPDATE versions SET state = 'abandoned' WHERE video_id = $1 AND state = 'processing'", args![video]).await.map(drop)
    }
}
