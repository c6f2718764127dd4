//! What the rows of a snapshot tell of its videos, uploads in progress among them.

use super::rows::{ROOT_KEYS, Record, count, has, text};
use crate::blobs::Key;
use crate::domain::Result;
use crate::domain::ids::{UploadId, VersionId, VideoId};
use std::collections::{HashMap, HashSet};

/// All that was noted of the rows.
#[derive(Default)]
pub(super) struct Seen {
    /// The wrapped root keys; empty texts when they were read back from a snapshot.
    pub keys: HashMap<VideoId, String>,
    /// What people call the videos.
    pub titles: HashMap<VideoId, String>,
    /// Bytes that rows say their blobs have.
    pub blob_bytes: u64,
    videos: HashMap<VideoId, End>,
    /// Without a video of their own, as long as [`Self::videos`] does not tell of one.
    uploads: HashMap<VideoId, End>,
    versions: HashSet<VersionId>,
    sources: HashSet<UploadId>,
}

/// What a row says of the end of its video.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It lives.
    None,
    /// It ends with its key: refused, or its upload was given up.
    WithKey,
    /// It was deleted.
    Already,
}

impl Seen {
    /// Takes note of a row.
    pub(super) fn note(&mut self, table: &str, row: &Record) -> Result<()> {
        match table {
            ROOT_KEYS => {
                let wrapped = row.get("wrapped").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
                self.keys.insert(VideoId::parse(text(row, "video_id")?)?, wrapped);
            }
            "videos" => {
                let end = match text(row, "state")? {
                    "deleted" => End::Already,
                    "refused" => End::WithKey,
                    _ => End::None,
                };
                let video = self.named("id", row)?;
                self.videos.insert(video, end);
            }
            "uploads" => {
                let end = if matches!(text(row, "state")?, "aborted" | "expired") { End::WithKey } else { End::None };
                let video = self.named("video_id", row)?;
                self.uploads.insert(video, end);
            }
            "sources" if !has(row, "purge_at") && !has(row, "purged_at") => {
                self.sources.insert(UploadId::parse(text(row, "upload_id")?)?);
            }
            "versions" if matches!(text(row, "state")?, "processing" | "published") => {
                self.versions.insert(VersionId::parse(text(row, "id")?)?);
            }
            "segments" => self.blob_bytes += count(row, "size_bytes"),
            "renditions" => self.blob_bytes += count(row, "init_size_bytes"),
            "upload_parts" if has(row, "blob") => self.blob_bytes += count(row, "size_bytes"),
            _ => {}
        }
        Ok(())
    }

    fn named(&mut self, column: &str, row: &Record) -> Result<VideoId> {
        let video = VideoId::parse(text(row, column)?)?;
        self.titles.insert(video.clone(), text(row, "title")?.to_owned());
        Ok(video)
    }

    fn end(&self, video: &VideoId) -> End {
        self.videos.get(video).or_else(|| self.uploads.get(video)).copied().unwrap_or(End::None)
    }

    /// Whether the video's key is there, so that its blobs can be read.
    pub(super) fn is_live(&self, video: &VideoId) -> bool {
        self.keys.contains_key(video) && self.end(video) != End::Already
    }

    /// How many videos are live.
    pub(super) fn live(&self) -> u64 {
        self.titles.keys().filter(|video| self.is_live(video)).count() as u64
    }

    /// Videos that were deleted, refused and purged, or never became one. Not those that merely lack a key: that is a loss, and no end.
    pub(super) fn gone(&self) -> impl Iterator<Item = &VideoId> {
        self.titles.keys().filter(|video| match self.end(video) {
            End::None => false,
            End::WithKey => !self.keys.contains_key(*video),
            End::Already => true,
        })
    }

    /// Videos that nobody ended and whose key is not there.
    pub(super) fn keyless(&self) -> impl Iterator<Item = &VideoId> {
        self.titles.keys().filter(|video| self.end(video) == End::None && !self.keys.contains_key(*video))
    }

    /// Whether a video is less without this blob, by these rows: it is of the version that plays, of one in the making, or of their source.
    pub(super) fn needs(&self, key: &Key) -> bool {
        match key {
            Key::SourcePart { upload, .. } => self.sources.contains(upload),
            Key::Init { version, .. }
            | Key::Segment { version, .. }
            | Key::Poster { version, .. }
            | Key::MediaPlaylist { version, .. }
            | Key::MasterPlaylist { version, .. } => self.versions.contains(version),
        }
    }

    /// The title of a video, if it has one.
    pub(super) fn title(&self, video: &VideoId) -> String {
        self.titles.get(video).cloned().unwrap_or_default()
    }
}
