//! Which blobs the rows refer to: those, and no others, are in a backup.

use super::rows::{Batch, Record, count, text};
use super::seen::Seen;
use crate::blobs::Key;
use crate::domain::Result;
use crate::domain::ids::{UploadId, VersionId, VideoId};
use crate::domain::video::RenditionName;
use std::collections::HashMap;

/// One blob that must be there for its row to be true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub key: Key,
    /// Of its bytes, if its row knows it; hexadecimal.
    pub sha256: Option<String>,
    /// Of its plaintext, if its row knows that instead.
    pub plain_sha256: Option<String>,
}

impl Reference {
    /// To a blob of whose digests no row tells.
    fn to(key: Key) -> Self {
        Self { key, sha256: None, plain_sha256: None }
    }

    /// The folder of the blob store in which the blob lies with its kin: a version's, or an upload's.
    pub(super) fn folder(&self) -> String {
        self.key.path().split('/').take(3).collect::<Vec<_>>().join("/")
    }

    /// Whether the key alone says which bytes the blob has. A new kind of blob must be thought about here, and in [`Referrer`].
    pub(super) fn key_tells_all(&self) -> bool {
        match self.key {
            // Sixty-four random bits.
            Key::SourcePart { .. } => true,
            // A restored server uses the epochs anew that its predecessor used after the snapshot; playlists are replaced.
            Key::Init { .. } | Key::Segment { .. } | Key::Poster { .. } | Key::MediaPlaylist { .. } | Key::MasterPlaylist { .. } => false,
        }
    }
}

/// Turns rows into references; takes the tables in the order in which they were written, so parents first.
pub(super) struct Referrer<'a> {
    seen: &'a Seen,
    versions: HashMap<VersionId, (VideoId, bool)>,
    uploads: HashMap<UploadId, VideoId>,
}

impl<'a> Referrer<'a> {
    pub(super) fn new(seen: &'a Seen) -> Self {
        Self { seen, versions: HashMap::new(), uploads: HashMap::new() }
    }

    /// The references of some rows. Those of deleted videos have none.
    pub(super) fn of(&mut self, batch: &Batch) -> Result<Vec<Reference>> {
        let mut references = Vec::new();
        for row in &batch.rows {
            match batch.table.as_str() {
                "uploads" => {
                    self.uploads.insert(UploadId::parse(text(row, "id")?)?, VideoId::parse(text(row, "video_id")?)?);
                }
                "upload_parts" => references.extend(self.part(row)?),
                "versions" => {
                    references.extend(self.version(row)?);
                    references.extend(poster(row)?);
                }
                "renditions" => self.rendition(row, &mut references)?,
                "segments" => references.push(self.segment(row)?),
                _ => {}
            }
        }
        references.retain(|reference| self.seen.is_live(reference.key.video()));
        Ok(references)
    }

    fn part(&self, row: &Record) -> Result<Option<Reference>> {
        let Some(path) = row.get("blob").and_then(serde_json::Value::as_str) else { return Ok(None) };
        let plain_sha256 = Some(text(row, "sha256")?.to_owned());
        Ok(Some(Reference { plain_sha256, ..Reference::to(Key::parse(path)?) }))
    }

    fn version(&mut self, row: &Record) -> Result<Option<Reference>> {
        let (version, video) = (VersionId::parse(text(row, "id")?)?, VideoId::parse(text(row, "video_id")?)?);
        // What was purged has no blobs any more, and renditions neither.
        let is_published = !row["published_at"].is_null() && text(row, "state")? != "purged";
        self.versions.insert(version.clone(), (video.clone(), is_published));
        // Before it is published, its playlists are about to be written anew.
        Ok(is_published.then_some(Reference::to(Key::MasterPlaylist { video, version })))
    }

    fn rendition(&self, row: &Record, references: &mut Vec<Reference>) -> Result<()> {
        let (video, version, is_published) = self.place(row)?;
        let rendition = RenditionName::parse(text(row, "name")?)?;
        if is_published {
            let (video, version, rendition) = (video.clone(), version.clone(), rendition.clone());
            references.push(Reference::to(Key::MediaPlaylist { video, version, rendition }));
        }
        if !row["init_epoch"].is_null() {
            let (epoch, sha256) = (count(row, "init_epoch"), Some(text(row, "init_sha256")?.to_owned()));
            references.push(Reference { sha256, ..Reference::to(Key::Init { video, version, rendition, epoch }) });
        }
        Ok(())
    }

    fn segment(&self, row: &Record) -> Result<Reference> {
        let (video, version, _) = self.place(row)?;
        let (rendition, epoch) = (RenditionName::parse(text(row, "rendition")?)?, count(row, "epoch"));
        let index = u32::try_from(count(row, "number")).map_err(|error| misfit("segments.number", error))?;
        let sha256 = Some(text(row, "sha256")?.to_owned());
        Ok(Reference { sha256, ..Reference::to(Key::Segment { video, version, rendition, index, epoch }) })
    }

    fn place(&self, row: &Record) -> Result<(VideoId, VersionId, bool)> {
        let version = VersionId::parse(text(row, "version_id")?)?;
        let (video, is_published) = self.versions.get(&version).ok_or_else(|| misfit("version_id", "no such version"))?.clone();
        Ok((video, version, is_published))
    }
}

/// The poster of a version that plays or is being made: nobody sees that of any other.
fn poster(row: &Record) -> Result<Option<Reference>> {
    if row["poster_epoch"].is_null() || !matches!(text(row, "state")?, "processing" | "published") {
        return Ok(None);
    }
    let (video, version) = (VideoId::parse(text(row, "video_id")?)?, VersionId::parse(text(row, "id")?)?);
    Ok(Some(Reference::to(Key::Poster { video, version, epoch: count(row, "poster_epoch") })))
}

fn misfit(column: &str, cause: impl Into<crate::domain::error::Cause>) -> crate::domain::Error {
    crate::domain::Error::invalid("row-misfit", format!("a copied row has no sound {column}")).with_source(cause)
}
