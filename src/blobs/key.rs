//! Typed keys: the only way to name a blob. A key owns its path, its content type and how long it may be cached.

use crate::domain::ids::{UploadId, VersionId, VideoId};
use crate::domain::video::RenditionName;
use crate::domain::{Error, Result};
use std::fmt;

/// The name of one blob. Safe as a path by construction: every variable piece is an id, a rendition name or a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// One part of a source, in encrypted frames.
    SourcePart {
        /// The video the source belongs to.
        video: VideoId,
        /// The upload that carried it.
        upload: UploadId,
        /// The part's number, from 1.
        number: u32,
        /// Random: a part sent again never meets the blob it replaces.
        nonce: u64,
    },
    /// The initialization section of a rendition; clear, since it holds no media.
    Init {
        /// The video.
        video: VideoId,
        /// Its version.
        version: VersionId,
        /// The rendition.
        rendition: RenditionName,
        /// The epoch of the job that wrote it.
        epoch: u64,
    },
    /// One media segment, AES-128-CBC.
    Segment {
        /// The video.
        video: VideoId,
        /// Its version.
        version: VersionId,
        /// The rendition.
        rendition: RenditionName,
        /// The media sequence number, from 0.
        index: u32,
        /// The epoch of the job that wrote it.
        epoch: u64,
    },
    /// The playlist of one rendition.
    MediaPlaylist {
        /// The video.
        video: VideoId,
        /// Its version.
        version: VersionId,
        /// The rendition.
        rendition: RenditionName,
    },
    /// The playlist that names the renditions.
    MasterPlaylist {
        /// The video.
        video: VideoId,
        /// Its version.
        version: VersionId,
    },
    /// The still picture of a version, in encrypted frames.
    Poster {
        /// The video.
        video: VideoId,
        /// Its version.
        version: VersionId,
        /// The epoch of the job that wrote it.
        epoch: u64,
    },
}

/// How long a blob may be kept by whoever received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheRule {
    /// Never leaves the house as it is stored.
    Never,
    /// A finished playlist: a minute.
    Playlist,
    /// A growing one, which only its content tells: a second.
    GrowingPlaylist,
    /// Written once: as long as they like.
    Immutable,
}

impl CacheRule {
    /// The value of `Cache-Control` (RFC 9111 §5.2, RFC 8246).
    pub fn header(self) -> &'static str {
        match self {
            Self::Never => "private, no-store",
            Self::Playlist => "public, max-age=60",
            Self::GrowingPlaylist => "public, max-age=1",
            Self::Immutable => "public, max-age=31536000, immutable",
        }
    }
}

impl Key {
    /// The key of a part about to be written: a new nonce each time.
    pub fn source_part(video: VideoId, upload: UploadId, number: u32) -> Self {
        Self::SourcePart { video, upload, number, nonce: rand::random() }
    }

    /// Whose blob it is.
    pub fn video(&self) -> &VideoId {
        match self {
            Self::SourcePart { video, .. }
            | Self::Init { video, .. }
            | Self::Segment { video, .. }
            | Self::MediaPlaylist { video, .. }
            | Self::MasterPlaylist { video, .. }
            | Self::Poster { video, .. } => video,
        }
    }

    /// Where the blob lies, relative to the store's root, without a leading slash.
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// Reads a path back. Only what [`Key::path`] writes is a key; anything else is `Invalid`.
    pub fn parse(path: &str) -> Result<Self> {
        let malformed = || Error::invalid("malformed-blob-key", "this is no path of a blob");
        let (tree, rest) = path.split_once('/').ok_or_else(malformed)?;
        let key = match tree {
            "sources" => parse_source(rest),
            "videos" => parse_video(rest),
            "sidecars" => parse_sidecar(rest),
            _ => None,
        };
        key.filter(|key| key.path() == path).ok_or_else(malformed)
    }

    /// What an edge may hand out: the playlists, init sections and segments of one version. `rest` is what follows
    /// `/v/{video}/{version}/` in the URL.
    pub fn delivery(video: &VideoId, version: &VersionId, rest: &str) -> Option<Self> {
        let key = parse_delivery(video.clone(), version.clone(), rest)?;
        (key.path() == format!("videos/{video}/{version}/{rest}")).then_some(key)
    }

    /// The media type of the plain content (RFC 8216 §4 for playlists).
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::SourcePart { .. } => "application/octet-stream",
            Self::Init { rendition, .. } | Self::Segment { rendition, .. } if *rendition == RenditionName::audio() => "audio/mp4",
            Self::Init { .. } | Self::Segment { .. } => "video/mp4",
            Self::MediaPlaylist { .. } | Self::MasterPlaylist { .. } => "application/vnd.apple.mpegurl",
            Self::Poster { .. } => "image/jpeg",
        }
    }

    /// Whether and how long it may be cached.
    pub fn cache_rule(&self) -> CacheRule {
        match self {
            Self::SourcePart { .. } | Self::Poster { .. } => CacheRule::Never,
            Self::Init { .. } | Self::Segment { .. } => CacheRule::Immutable,
            Self::MediaPlaylist { .. } | Self::MasterPlaylist { .. } => CacheRule::Playlist,
        }
    }

    /// Whether the blob is encrypted frames; see [`super::frames`].
    pub fn is_sealed(&self) -> bool {
        matches!(self, Self::SourcePart { .. } | Self::Poster { .. })
    }

    /// Whether it is a playlist: the one kind of blob that is ever replaced.
    pub fn is_playlist(&self) -> bool {
        matches!(self, Self::MediaPlaylist { .. } | Self::MasterPlaylist { .. })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourcePart { video, upload, number, nonce } => write!(f, "sources/{video}/{upload}/{number:05}-{nonce:016x}"),
            Self::Init { video, version, rendition, epoch } => write!(f, "videos/{video}/{version}/{rendition}/init-{epoch}.mp4"),
            Self::Segment { video, version, rendition, index, epoch } => {
                write!(f, "videos/{video}/{version}/{rendition}/{index:06}-{epoch}.m4s")
            }
            Self::MediaPlaylist { video, version, rendition } => write!(f, "videos/{video}/{version}/{rendition}/playlist.m3u8"),
            Self::MasterPlaylist { video, version } => write!(f, "videos/{video}/{version}/master.m3u8"),
            Self::Poster { video, version, epoch } => write!(f, "sidecars/{video}/{version}/poster-{epoch}"),
        }
    }
}

/// A family of blobs that is listed or deleted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Everything of a video: sources, versions, sidecars.
    Video(VideoId),
    /// The sources of a video.
    Sources(VideoId),
    /// The parts of one upload.
    Upload(VideoId, UploadId),
    /// One version with its sidecars.
    Version(VideoId, VersionId),
}

impl Prefix {
    /// The folders that hold the family.
    pub fn folders(&self) -> Vec<String> {
        match self {
            Self::Video(video) => vec![format!("sources/{video}"), format!("videos/{video}"), format!("sidecars/{video}")],
            Self::Sources(video) => vec![format!("sources/{video}")],
            Self::Upload(video, upload) => vec![format!("sources/{video}/{upload}")],
            Self::Version(video, version) => vec![format!("videos/{video}/{version}"), format!("sidecars/{video}/{version}")],
        }
    }
}

// The parsers below are lenient about leading zeros and signs; the callers compare the key's own path with what was given.

fn parse_source(rest: &str) -> Option<Key> {
    let [video, upload, part] = pieces(rest)?;
    let (number, nonce) = part.split_once('-')?;
    Some(Key::SourcePart {
        video: VideoId::parse(video).ok()?,
        upload: UploadId::parse(upload).ok()?,
        number: number.parse().ok()?,
        nonce: u64::from_str_radix(nonce, 16).ok()?,
    })
}

fn parse_video(rest: &str) -> Option<Key> {
    let (video, rest) = rest.split_once('/')?;
    let (version, rest) = rest.split_once('/')?;
    parse_delivery(VideoId::parse(video).ok()?, VersionId::parse(version).ok()?, rest)
}

fn parse_sidecar(rest: &str) -> Option<Key> {
    let [video, version, name] = pieces(rest)?;
    let epoch = name.strip_prefix("poster-")?.parse().ok()?;
    Some(Key::Poster { video: VideoId::parse(video).ok()?, version: VersionId::parse(version).ok()?, epoch })
}

fn parse_delivery(video: VideoId, version: VersionId, rest: &str) -> Option<Key> {
    if rest == "master.m3u8" {
        return Some(Key::MasterPlaylist { video, version });
    }
    let [rendition, name] = pieces(rest)?;
    let rendition = RenditionName::parse(rendition).ok()?;
    if name == "playlist.m3u8" {
        return Some(Key::MediaPlaylist { video, version, rendition });
    }
    if let Some(epoch) = name.strip_prefix("init-").and_then(|name| name.strip_suffix(".mp4")) {
        return Some(Key::Init { video, version, rendition, epoch: epoch.parse().ok()? });
    }
    let (index, epoch) = name.strip_suffix(".m4s")?.split_once('-')?;
    Some(Key::Segment { video, version, rendition, index: index.parse().ok()?, epoch: epoch.parse().ok()? })
}

fn pieces<const N: usize>(rest: &str) -> Option<[&str; N]> {
    rest.split('/').collect::<Vec<_>>().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<Key> {
        let (video, version, upload) = (VideoId::new(), VersionId::new(), UploadId::new());
        let rendition = RenditionName::parse("720p").expect("a name");
        vec![
            Key::SourcePart { video: video.clone(), upload: upload.clone(), number: 1, nonce: 7 },
            Key::SourcePart { video: video.clone(), upload, number: 10_000, nonce: u64::MAX },
            Key::Init { video: video.clone(), version: version.clone(), rendition: rendition.clone(), epoch: 1 },
            Key::Segment { video: video.clone(), version: version.clone(), rendition: RenditionName::audio(), index: 1_234_567, epoch: 12 },
            Key::MediaPlaylist { video: video.clone(), version: version.clone(), rendition },
            Key::MasterPlaylist { video: video.clone(), version: version.clone() },
            Key::Poster { video, version, epoch: 3 },
        ]
    }

    #[test]
    fn paths_are_those_of_the_contract_and_read_back() {
        for key in examples() {
            assert_eq!(Key::parse(&key.path()).expect("own path"), key);
        }
        let video = VideoId::parse(&"a".repeat(32)).expect("an id");
        let version = VersionId::parse(&"b".repeat(32)).expect("an id");
        let segment = Key::Segment { video, version, rendition: RenditionName::audio(), index: 42, epoch: 2 };
        assert_eq!(segment.path(), format!("videos/{}/{}/audio/000042-2.m4s", "a".repeat(32), "b".repeat(32)));
        assert_eq!(segment.content_type(), "audio/mp4");
    }

    #[test]
    fn a_blob_has_one_path_only() {
        let id = "0123456789abcdef0123456789abcdef";
        for path in [
            format!("videos/{id}/{id}/720p/42-1.m4s"),
            format!("videos/{id}/{id}/720p/0000042-1.m4s"),
            format!("videos/{id}/{id}/720p/000042-01.m4s"),
            format!("videos/{id}/{id}/720p/000042-+1.m4s"),
            format!("videos/{id}/{id}/720p/init-.mp4"),
            format!("videos/{id}/{id}/../{id}/master.m3u8"),
            format!("videos/{id}/{id}//master.m3u8"),
            format!("/videos/{id}/{id}/master.m3u8"),
            format!("sources/{id}/{id}/00001-00000000000000AB"),
            format!("sources/{id}/{id}/00001-00000000000000ab#1"),
            format!("sidecars/{id}/{id}/poster-1/"),
            "keyring.json".to_owned(),
        ] {
            assert!(Key::parse(&path).is_err(), "{path}");
        }
    }

    #[test]
    fn the_edge_is_given_deliverable_keys_only() {
        let (video, version) = (VideoId::new(), VersionId::new());
        let deliver = |rest: &str| Key::delivery(&video, &version, rest);
        for rest in ["master.m3u8", "720p/playlist.m3u8", "audio/init-3.mp4", "2160p/000000-1.m4s"] {
            assert_eq!(deliver(rest).map(|key| key.path()), Some(format!("videos/{video}/{version}/{rest}")));
        }
        for rest in
            ["", "poster-1", "../x/master.m3u8", "720p/keys/1", "720p/1-1.m4s", "720p/%30.m4s", "720P/playlist.m3u8", "master.m3u8/"]
        {
            assert_eq!(deliver(rest), None, "{rest}");
        }
    }
}
