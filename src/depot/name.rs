//! What lies in a depot, and under which path.

use crate::blobs::Key;
use crate::domain::ids::{SnapshotId, VideoId};
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt;

/// The name of one object. Safe as a path by construction: every variable piece is an id, a digest or a blob's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// The keyring, sealed under a passphrase.
    Keyring,
    /// Who is writing, where no folder can be locked.
    Lock,
    /// "This video was deleted."
    Tombstone(VideoId),
    /// The wrapped root key of a video. Its digest keeps keys apart that were wrapped anew.
    RootKey {
        /// The video.
        video: VideoId,
        /// Of the wrapped text, hexadecimal.
        sha256: String,
    },
    /// A blob, as it is stored: ciphertext. Its digest keeps blobs apart that took turns at one key: playlists, and what a restored
    /// server writes at an epoch that its predecessor used too.
    Blob {
        /// The blob's own key.
        key: Key,
        /// Of its bytes, hexadecimal.
        sha256: String,
    },
    /// What a snapshot is made of; written last.
    Manifest(SnapshotId),
    /// A snapshot's rows, sealed.
    Rows(SnapshotId),
    /// The list of a snapshot's blobs, sealed.
    Blobs(SnapshotId),
}

impl Name {
    /// The folder of all tombstones.
    pub const TOMBSTONES: &str = "deleted";
    /// The folder of all root keys, one folder a video.
    pub const ROOT_KEYS: &str = "keys";
    /// The folder of all blobs, one folder a video.
    pub const BLOBS: &str = "blobs";
    /// The folder of all snapshots, one folder each.
    pub const SNAPSHOTS: &str = "snapshots";

    /// The name for a video's `wrapped` root key.
    pub fn root_key(video: &VideoId, wrapped: &str) -> Self {
        Self::RootKey { video: video.clone(), sha256: hex::encode(digest(&SHA256, wrapped.as_bytes())) }
    }

    /// The folder of a video's root keys.
    pub fn root_keys_of(video: &VideoId) -> String {
        format!("{}/{video}", Self::ROOT_KEYS)
    }

    /// The folder of a video's blobs.
    pub fn blobs_of(video: &VideoId) -> String {
        format!("{}/{video}", Self::BLOBS)
    }

    /// The folder of the blobs of a video that lie in the folder `within` of the blob store, such as one version's.
    pub fn blobs_within(video: &VideoId, within: &str) -> String {
        format!("{}/{video}/{within}", Self::BLOBS)
    }

    /// The folder of a snapshot.
    pub fn snapshot(id: &SnapshotId) -> String {
        format!("{}/{id}", Self::SNAPSHOTS)
    }

    /// Reads a path back; `None` for anything that [`Name`] does not write.
    pub fn parse(path: &str) -> Option<Self> {
        let (folder, rest) = path.split_once('/').unwrap_or(("", path));
        let name = match folder {
            "" if rest == "keyring.sealed" => Self::Keyring,
            "" if rest == "lock.json" => Self::Lock,
            Self::TOMBSTONES => Self::Tombstone(VideoId::parse(rest).ok()?),
            Self::ROOT_KEYS => {
                let (video, sha256) = rest.split_once('/')?;
                Self::RootKey { video: VideoId::parse(video).ok()?, sha256: sha256.to_owned() }
            }
            Self::BLOBS => {
                let (key, sha256) = rest.split_once('/')?.1.rsplit_once('.')?;
                Self::Blob { key: Key::parse(key).ok()?, sha256: sha256.to_owned() }
            }
            Self::SNAPSHOTS => {
                let (id, rest) = rest.split_once('/')?;
                let id = SnapshotId::parse(id).ok()?;
                match rest {
                    "manifest.json" => Self::Manifest(id),
                    "rows" => Self::Rows(id),
                    "blobs" => Self::Blobs(id),
                    _ => return None,
                }
            }
            _ => return None,
        };
        (name.has_digest() && name.to_string() == path).then_some(name)
    }

    fn has_digest(&self) -> bool {
        let (Self::RootKey { sha256, .. } | Self::Blob { sha256, .. }) = self else { return true };
        sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring => f.write_str("keyring.sealed"),
            Self::Lock => f.write_str("lock.json"),
            Self::Tombstone(video) => write!(f, "{}/{video}", Self::TOMBSTONES),
            Self::RootKey { video, sha256 } => write!(f, "{}/{video}/{sha256}", Self::ROOT_KEYS),
            Self::Blob { key, sha256 } => write!(f, "{}/{}/{key}.{sha256}", Self::BLOBS, key.video()),
            Self::Manifest(id) => write!(f, "{}/{id}/manifest.json", Self::SNAPSHOTS),
            Self::Rows(id) => write!(f, "{}/{id}/rows", Self::SNAPSHOTS),
            Self::Blobs(id) => write!(f, "{}/{id}/blobs", Self::SNAPSHOTS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::VersionId;

    #[test]
    fn names_read_back_and_nothing_else_is_one() {
        let (video, id) = (VideoId::new(), SnapshotId::new());
        let key = Key::MasterPlaylist { video: video.clone(), version: VersionId::new() };
        let names = [
            Name::Keyring,
            Name::Lock,
            Name::Tombstone(video.clone()),
            Name::root_key(&video, "wrapped"),
            Name::Blob { key, sha256: "0f".repeat(32) },
            Name::Manifest(id.clone()),
            Name::Rows(id.clone()),
            Name::Blobs(id),
        ];
        for name in names {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
        let other = VideoId::new();
        for path in [
            "keyring.json".to_owned(),
            format!("keys/{video}/short"),
            format!("keys/{video}"),
            format!("blobs/{other}/videos/{video}/{video}/master.m3u8.{}", "0f".repeat(32)),
            format!("blobs/{video}/videos/{video}/{video}/master.m3u8"),
            "snapshots/x/rows".to_owned(),
            "deleted/../x".to_owned(),
        ] {
            assert_eq!(Name::parse(&path), None, "{path}");
        }
    }
}
