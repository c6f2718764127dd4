//! A rendition with its sound as one MP4, made from the segments while it is read: nothing of it is ever stored.

use super::Library;
use crate::blobs::{Blobs, Key, PIECE_BYTES};
use crate::catalog::versions::Segment;
use crate::domain::ids::{VersionId, VideoId};
use crate::domain::video::RenditionName;
use crate::domain::{Error, Result};
use crate::keys::RootKey;
use crate::recent::Recent;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use theatrum_media::cmaf::{CmafError, Layout, Piece, SegmentHead, Track};
use theatrum_media::crypt::{BLOCK_BYTES, content_key, initial_vector};

/// What the layouts remembered may take together: those of ten films of two hours. They hold no key.
const REMEMBERED_BYTES: usize = 64 << 20;
/// Enough for the head of nearly every segment.
const HEAD_BYTES: u64 = 8 << 10;
/// Segments whose heads are read at once.
const READ_AT_ONCE: usize = 8;

/// Layouts made lately.
#[derive(Debug)]
pub struct Layouts {
    remembered: Mutex<Recent<(VersionId, RenditionName), Arc<Layout>>>,
}

impl Default for Layouts {
    fn default() -> Self {
        Self { remembered: Mutex::new(Recent::new(REMEMBERED_BYTES)) }
    }
}

/// Random access to the bytes of the file. Cheap to clone.
#[derive(Clone)]
pub(super) struct Movie {
    shared: Arc<Shared>,
}

struct Shared {
    layout: Arc<Layout>,
    tracks: Vec<Sources>,
}

/// The segments of one track, and what opens them.
struct Sources {
    blobs: Blobs,
    video: VideoId,
    version: VersionId,
    rendition: RenditionName,
    root: RootKey,
    segments: Vec<Segment>,
}

impl Library {
    /// Opens the file of a rendition, with the sound if there is any; `NotFound` if the version has no such rendition.
    pub(super) async fn movie(&self, video: &VideoId, version: &VersionId, rendition: &RenditionName) -> Result<Movie> {
        let inits = self.catalog.inits(version).await?;
        if !inits.iter().any(|(name, _)| name == rendition) {
            return Err(Error::not_found(format!("the video has no rendition {rendition}")));
        }
        let root = self.keys.open(video, &self.catalog.wrapped_root_key(video).await?).await?;
        let segments = self.catalog.segments(version).await?;
        let audio = RenditionName::audio();
        let wanted = [rendition.clone()].into_iter().chain((*rendition != audio).then_some(audio));
        let mut tracks = Vec::new();
        for name in wanted.filter(|name| inits.iter().any(|(found, _)| found == name)) {
            let own = segments.iter().filter(|segment| segment.rendition == name).cloned().collect();
            let (blobs, video, version, root) = (self.blobs.clone(), video.clone(), version.clone(), root.clone());
            tracks.push(Sources { blobs, video, version, rendition: name, root, segments: own });
        }
        let known = self.layouts.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(&(version.clone(), rendition.clone()));
        let layout = match known {
            Some(layout) => layout,
            None => {
                let layout =
                    Arc::new(self.lay_out(&tracks, &inits.into_iter().map(|(name, init)| (name, init.epoch)).collect::<Vec<_>>()).await?);
                let weight = layout.head.len() + layout.pieces.len() * size_of::<Piece>();
                let mut remembered = self.layouts.remembered.lock().unwrap_or_else(PoisonError::into_inner);
                remembered.insert((version.clone(), rendition.clone()), layout.clone(), weight);
                layout
            }
        };
        Ok(Movie { shared: Arc::new(Shared { layout, tracks }) })
    }

    async fn lay_out(&self, tracks: &[Sources], inits: &[(RenditionName, i64)]) -> Result<Layout> {
        let mut read = Vec::with_capacity(tracks.len());
        for track in tracks {
            let epoch = inits.iter().find(|(name, _)| *name == track.rendition).map_or(0, |(_, epoch)| epoch.cast_unsigned());
            let (video, version, rendition) = (track.video.clone(), track.version.clone(), track.rendition.clone());
            let init = self.blobs.get(&Key::Init { video, version, rendition, epoch }).await?.to_vec();
            let heads = stream::iter(0..track.segments.len()).map(|number| track.head(number)).buffered(READ_AT_ONCE);
            read.push(Track { init, segments: heads.try_collect().await? });
        }
        let laid_out = tokio::task::spawn_blocking(move || Layout::new(&read)).await;
        let layout = laid_out.map_err(|error| Error::internal("could not lay out a download", error))?.map_err(unusable)?;
        // PKCS#7 always pads: the media data ends in the last block, and with it the segment.
        let block = BLOCK_BYTES as u64;
        let fills = |piece: &Piece| (piece.data.end / block + 1) * block == tracks[piece.track].segments[piece.segment].size_bytes;
        if layout.pieces.iter().all(fills) { Ok(layout) } else { Err(unusable(CmafError::Malformed("segment's length"))) }
    }
}

impl Sources {
    /// What the first bytes of a segment tell of it.
    async fn head(&self, number: usize) -> Result<SegmentHead> {
        let clear_at_most = self.segments[number].size_bytes.saturating_sub(1);
        let mut length = HEAD_BYTES.min(clear_at_most);
        loop {
            let start = self.read(number, 0..length).await?;
            match SegmentHead::read(&start).map_err(unusable)? {
                Some(head) => return Ok(head),
                None if length == clear_at_most => return Err(unusable(CmafError::Malformed("segment without media data"))),
                None => length = (length * 4).min(clear_at_most),
            }
        }
    }

    /// The bytes `clear` of a segment, decrypted; they may not reach into its padding.
    async fn read(&self, number: usize, clear: Range<u64>) -> Result<Bytes> {
        let segment = &self.segments[number];
        let block = BLOCK_BYTES as u64;
        let (first, end) = (clear.start / block * block, clear.end.div_ceil(block) * block);
        let before = first.saturating_sub(block);
        let mut bytes = BytesMut::from(self.blobs.get_range(&self.key(segment), before..end).await?);
        let previous = if first == 0 {
            initial_vector(segment.number)
        } else {
            bytes
                .split_to(BLOCK_BYTES)
                .as_ref()
                .try_into()
                .map_err(|error| Error::internal("a cipher block has a wrong length", Box::new(error)))?
        };
        let failed = |error| Error::internal("could not decrypt a segment", error);
        let index = u32::try_from(segment.key_index).map_err(|error| Error::internal("a key's index is out of range", error))?;
        let key = content_key(self.root.expose(), self.version.as_str(), self.rendition.as_str(), index).map_err(failed)?;
        key.decrypt_blocks(previous, &mut bytes).map_err(failed)?;
        let wanted = (clear.start - first) as usize..(clear.end - first) as usize;
        Ok(bytes.freeze().slice(wanted))
    }

    fn key(&self, segment: &Segment) -> Key {
        Key::Segment {
            video: self.video.clone(),
            version: self.version.clone(),
            rendition: self.rendition.clone(),
            index: u32::try_from(segment.number).unwrap_or(u32::MAX),
            epoch: segment.epoch.cast_unsigned(),
        }
    }
}

impl Movie {
    /// The length of the file.
    pub fn size_bytes(&self) -> u64 {
        self.shared.layout.size_bytes()
    }

    /// Everything before the media data: different for every different file of one version.
    pub fn head(&self) -> &[u8] {
        &self.shared.layout.head
    }

    /// The bytes `range` of the file, in pieces, each read and decrypted when it is asked for.
    pub fn read(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let movie = self.clone();
        let next = move |left: Range<u64>| {
            let movie = movie.clone();
            async move {
                if left.is_empty() {
                    return Ok(None);
                }
                let bytes = movie.piece(&left).await?;
                let rest = left.start + bytes.len() as u64..left.end;
                Ok(Some((bytes, rest)))
            }
        };
        stream::try_unfold(range, next).boxed()
    }

    /// The first bytes of a range that is not empty.
    async fn piece(&self, range: &Range<u64>) -> Result<Bytes> {
        let Shared { layout, tracks } = &*self.shared;
        let head_bytes = layout.head.len() as u64;
        if range.start < head_bytes {
            let end = range.end.min(head_bytes).min(range.start + PIECE_BYTES);
            return Ok(Bytes::copy_from_slice(&layout.head[range.start as usize..end as usize]));
        }
        let at = layout.pieces.partition_point(|piece| piece.end() <= range.start);
        let piece = layout.pieces.get(at).ok_or_else(|| Error::internal("a download ends before its range", "no piece"))?;
        let end = range.end.min(piece.end()).min(range.start + PIECE_BYTES);
        let clear = |place: u64| place - piece.at + piece.data.start;
        tracks[piece.track].read(piece.segment, clear(range.start)..clear(end)).await
    }
}

impl fmt::Debug for Movie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Movie").field("size_bytes", &self.size_bytes()).finish_non_exhaustive()
    }
}

fn unusable(error: CmafError) -> Error {
    Error::internal("the rendition cannot be made into one file", error)
}
