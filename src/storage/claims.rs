//! Whether a blob is somebody's.

use crate::blobs::{Key, Thing};
use crate::catalog::Catalog;
use crate::catalog::claims::{Standing, Writer};
use crate::domain::ids::{UploadId, VersionId, VideoId};
use crate::domain::job::Kind;
use crate::domain::upload::State as UploadState;
use crate::domain::video::{RenditionName, State};
use crate::domain::{ErrorKind, Result};
use std::collections::{BTreeSet, HashMap, HashSet};

/// All claims to the blobs of one video.
#[derive(Debug, Default)]
pub(super) struct Claims {
    standing: Option<Standing>,
    writers: Vec<Writer>,
    uploads: HashMap<UploadId, Parts>,
    versions: HashMap<VersionId, Version>,
}

#[derive(Debug)]
enum Parts {
    /// Parts may come, and be recorded, at any moment.
    Open,
    /// None can be recorded any more; these were.
    Recorded(HashSet<String>),
}

#[derive(Debug, Default)]
struct Version {
    is_alive: bool,
    poster: Option<i64>,
    inits: HashMap<RenditionName, i64>,
    segments: HashMap<(RenditionName, u64), i64>,
}

impl Claims {
    /// Reads the claims to what was seen in the folders of a video. Read them after `things` were listed: see `catalog::claims` for the order.
    pub async fn read(catalog: &Catalog, video: &VideoId, things: &[Thing]) -> Result<Self> {
        let writers = catalog.writers(video).await?;
        let standing = catalog.standing(video).await?;
        let mut claims = Self { standing, writers, ..Self::default() };
        let uploads = things.iter().filter_map(|thing| match thing {
            Thing::Blob(Key::SourcePart { upload, .. }, _) => Some(upload.clone()),
            _ => None,
        });
        for upload in uploads.collect::<BTreeSet<_>>() {
            if let Some(parts) = Parts::of(catalog, &upload).await? {
                claims.uploads.insert(upload, parts);
            }
        }
        for version in catalog.version_standings(video).await? {
            let inits = catalog.inits(&version.id).await?.into_iter().map(|(name, init)| (name, init.epoch)).collect();
            let segments = catalog.segments(&version.id).await?.into_iter().map(|it| ((it.rendition, it.number), it.epoch)).collect();
            claims.versions.insert(version.id, Version { is_alive: version.is_alive, poster: version.poster_epoch, inits, segments });
        }
        Ok(claims)
    }

    /// Whether a blob is nobody's, and can never become anybody's.
    pub fn is_orphan(&self, key: &Key) -> bool {
        match &self.standing {
            // The purge has them in hand.
            Some(standing) if standing.is_to_be_purged => return false,
            // It has been there: what came afterwards was written by someone fenced off.
            Some(standing) if matches!(standing.state, State::Deleted | State::Refused) => return true,
            _ => {}
        }
        match key {
            Key::SourcePart { upload, .. } => match self.uploads.get(upload) {
                Some(Parts::Open) => false,
                Some(Parts::Recorded(parts)) => !parts.contains(&key.path()),
                None => true,
            },
            Key::MediaPlaylist { version, .. } | Key::MasterPlaylist { version, .. } => !self.lives(version),
            Key::Init { version, rendition, epoch, .. } => {
                let adopted = self.versions.get(version).and_then(|version| version.inits.get(rendition));
                self.is_unadopted(version, adopted.copied(), *epoch)
            }
            Key::Segment { version, rendition, index, epoch, .. } => {
                let place = (rendition.clone(), u64::from(*index));
                let adopted = self.versions.get(version).and_then(|version| version.segments.get(&place));
                self.is_unadopted(version, adopted.copied(), *epoch)
            }
            // Whoever makes a poster adopts it as they settle, so the row of the job says all.
            Key::Poster { version, epoch, .. } => {
                !(self.lives(version) && self.wrote(version, *epoch, |writer| matches!(writer.kind, Kind::Stills | Kind::Repair)))
            }
        }
    }

    /// The version that plays, or is being made, and whose blobs must be there.
    pub fn current(&self) -> Option<&VersionId> {
        self.standing.as_ref().and_then(current).filter(|version| self.lives(version))
    }

    /// The blobs that must be there for the current version, but for its source.
    pub fn needed(&self, video: &VideoId) -> Vec<Key> {
        let Some((id, version)) = self.current().and_then(|id| Some((id, self.versions.get(id)?))) else { return Vec::new() };
        let mut needed = Vec::with_capacity(version.segments.len() + 2 * version.inits.len() + 2);
        let is_ready = self.standing.as_ref().is_some_and(|standing| standing.state == State::Ready);
        if is_ready {
            needed.push(Key::MasterPlaylist { video: video.clone(), version: id.clone() });
        }
        if let Some(epoch) = version.poster {
            needed.push(Key::Poster { video: video.clone(), version: id.clone(), epoch: epoch.cast_unsigned() });
        }
        for (rendition, epoch) in &version.inits {
            let (video, version, rendition) = (video.clone(), id.clone(), rendition.clone());
            if is_ready {
                needed.push(Key::MediaPlaylist { video: video.clone(), version: version.clone(), rendition: rendition.clone() });
            }
            needed.push(Key::Init { video, version, rendition, epoch: epoch.cast_unsigned() });
        }
        for ((rendition, number), epoch) in &version.segments {
            let (video, version, rendition) = (video.clone(), id.clone(), rendition.clone());
            let index = u32::try_from(*number).unwrap_or(u32::MAX);
            needed.push(Key::Segment { video, version, rendition, index, epoch: epoch.cast_unsigned() });
        }
        needed
    }

    fn lives(&self, version: &VersionId) -> bool {
        self.versions.get(version).is_some_and(|version| version.is_alive)
    }

    fn is_unadopted(&self, version: &VersionId, adopted: Option<i64>, epoch: u64) -> bool {
        let is_adopted = self.lives(version) && adopted == Some(epoch.cast_signed());
        !is_adopted && !self.wrote(version, epoch, |writer| writer.is_running)
    }

    fn wrote(&self, version: &VersionId, epoch: u64, fits: impl Fn(&Writer) -> bool) -> bool {
        self.writers.iter().any(|writer| writer.version.as_ref() == Some(version) && writer.epoch == epoch.cast_signed() && fits(writer))
    }
}

/// The version that a video plays, or is to play.
pub(super) fn current(standing: &Standing) -> Option<&VersionId> {
    let is_alive = matches!(standing.state, State::Processing | State::Ready | State::Failed);
    standing.version.as_ref().filter(|_| is_alive && !standing.is_to_be_purged)
}

impl Parts {
    async fn of(catalog: &Catalog, upload: &UploadId) -> Result<Option<Self>> {
        let state = match catalog.upload(upload).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            row => row?.state,
        };
        match state {
            UploadState::Open => Ok(Some(Self::Open)),
            // What an ended upload left is on its way out, whatever its rows still say.
            UploadState::Aborted | UploadState::Expired => Ok(Some(Self::Recorded(HashSet::new()))),
            UploadState::Finished => {
                let parts = catalog.upload_parts(upload).await?;
                Ok(Some(Self::Recorded(parts.into_iter().filter_map(|part| part.blob).collect())))
            }
        }
    }
}
