//! Clear segments in, encrypted blobs out, each with its digests for the catalog.

use super::attempt::Attempt;
use super::repair;
use crate::blobs::{Digests, Key};
use crate::catalog::Tx;
use crate::catalog::damage::Damage;
use crate::catalog::versions::{Init, Segment};
use crate::domain::ids::VersionId;
use crate::domain::video::RenditionName;
use crate::domain::{Error, Result};
use crate::failpoint;
use crate::keys::RootKey;
use bytes::Bytes;
use theatrum_media::cmaf::{self, CmafError, PackagedSegment};
use theatrum_media::crypt::{self, KEY_PERIOD, content_key, key_index};
use tokio::sync::mpsc;

/// Writes the segments of one rendition.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub attempt: &'a Attempt<'a>,
    pub version: &'a VersionId,
    pub rendition: RenditionName,
    pub root: &'a RootKey,
}

/// What was written of one rendition, ready to be adopted.
#[derive(Debug)]
pub(super) struct Written {
    pub rendition: RenditionName,
    /// Only from the job that is to write it.
    pub init: Option<Init>,
    pub segments: Vec<Segment>,
}

impl Writer<'_> {
    /// Encrypts and stores segments, for a repair those that were found damaged. Each is durable when this returns; none counts before its
    /// row is there.
    pub async fn segments(&self, packaged: Vec<PackagedSegment>, init_sha256: &str) -> Result<Vec<Segment>> {
        let wanted = if self.attempt.is_repair() { Some(self.damage(init_sha256).await?.segments) } else { None };
        let mut written = Vec::with_capacity(packaged.len());
        for segment in packaged.into_iter().filter(|segment| wanted.as_ref().is_none_or(|wanted| wanted.contains(&segment.index.into()))) {
            written.push(self.segment(segment, init_sha256).await?);
        }
        Ok(written)
    }

    async fn segment(&self, packaged: PackagedSegment, init_sha256: &str) -> Result<Segment> {
        let index = key_index(packaged.index, KEY_PERIOD);
        let failed = |error: crypt::CryptError| Error::internal("could not encrypt a segment", error);
        let key = content_key(self.root.expose(), self.version.as_str(), self.rendition.as_str(), index).map_err(failed)?;
        let mut bytes = packaged.bytes;
        key.encrypt(u64::from(packaged.index), &mut bytes).map_err(failed)?;
        failpoint::hit("segment-write");
        let blob = Key::Segment {
            video: self.attempt.job.video.clone(),
            version: self.version.clone(),
            rendition: self.rendition.clone(),
            index: packaged.index,
            epoch: self.epoch(),
        };
        self.attempt.writes(&blob);
        let Digests { size_bytes, md5, sha256 } = self.attempt.state.blobs.put_new(&blob, Bytes::from(bytes)).await?;
        Ok(Segment {
            rendition: self.rendition.clone(),
            number: u64::from(packaged.index),
            epoch: self.attempt.job.epoch,
            key_index: u64::from(index),
            duration_ticks: packaged.duration_ticks.max(0).cast_unsigned(),
            size_bytes,
            md5: hex::encode(md5),
            sha256: hex::encode(sha256),
            init_sha256: init_sha256.to_owned(),
        })
    }

    /// What of the rendition is to be made again. What was made must fit what is not: `Conflict` unless the initialisation segment is the same.
    async fn damage(&self, init_sha256: &str) -> Result<Damage> {
        let damage = self.attempt.state.catalog.damage(self.version, &self.rendition).await?;
        if damage.init_sha256.as_deref() == Some(init_sha256) { Ok(damage) } else { Err(repair::misfit(&self.rendition)) }
    }

    /// Stores the initialisation segment, clear: it holds codec parameters and nothing of the source. A repair that needs none stores none.
    pub async fn init(&self, init: cmaf::Init) -> Result<Option<Init>> {
        if self.attempt.is_repair() && !self.damage(&init_sha256(&init)).await?.init {
            return Ok(None);
        }
        let blob = Key::Init {
            video: self.attempt.job.video.clone(),
            version: self.version.clone(),
            rendition: self.rendition.clone(),
            epoch: self.epoch(),
        };
        self.attempt.writes(&blob);
        let Digests { size_bytes, md5, sha256 } = self.attempt.state.blobs.put_new(&blob, Bytes::from(init.bytes)).await?;
        let (md5, sha256) = (hex::encode(md5), hex::encode(sha256));
        Ok(Some(Init { epoch: self.attempt.job.epoch, size_bytes, md5, sha256, codecs: init.codec }))
    }

    fn epoch(&self) -> u64 {
        self.attempt.job.epoch.cast_unsigned()
    }
}

/// Hands the pieces of an output to its packager as they come; gives the segments they complete, or the packager's first complaint.
///
/// The rest is taken all the same: an output that nobody takes would end the run with a cause that says neither what is wrong with it nor what
/// ffmpeg had to say.
pub(super) async fn feed(
    mut pieces: mpsc::Receiver<Bytes>,
    mut push: impl FnMut(&[u8]) -> Result<Vec<PackagedSegment>, CmafError>,
) -> Result<Vec<PackagedSegment>, CmafError> {
    let mut fed = Ok(Vec::new());
    while let Some(piece) = pieces.recv().await {
        if let Ok(mut segments) = fed {
            fed = push(&piece).map(|done| {
                segments.extend(done);
                segments
            });
        }
    }
    fed
}

/// The digest by which chunks of one rendition prove that they share an initialisation segment.
pub(super) fn init_sha256(init: &cmaf::Init) -> String {
    hex::encode(crypt::Digests::of(&init.bytes).sha256)
}

/// Adopts what was written: from now on these blobs are the version's (invariant 2).
pub(super) async fn adopt(tx: &mut Tx, version: &VersionId, written: &[Written]) -> Result<()> {
    for rendition in written {
        if let Some(init) = &rendition.init {
            tx.adopt_init(version, &rendition.rendition, init).await?;
        }
        for segment in &rendition.segments {
            tx.adopt_segment(version, segment).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use theatrum_media::cmaf::VideoPackager;
    use theatrum_media::timeline::Chunk;

    #[tokio::test]
    async fn a_packager_that_complains_is_heard_and_the_output_still_taken() {
        let chunk: Chunk = serde_json::from_value(serde_json::json!({
            "index": 0, "first_segment": 0, "segments": [], "first_picture": 0, "end_picture": 0, "pictures": 0, "first_picture_ticks": 0,
            "idr_ticks": [], "near_ticks": null, "earlier_ticks": null, "loose_seek": false
        }))
        .expect("a chunk as an earlier version planned it");
        let mut packager = VideoPackager::new(&chunk, 16, 16);
        let (sender, pieces) = mpsc::channel(1);
        let fed = tokio::spawn(feed(pieces, move |piece| packager.push(piece)));
        for piece in [b"\0\0\0\x08moof".as_slice(), b"more", b"and more"] {
            sender.send(Bytes::from_static(piece)).await.expect("the output is taken to its end");
        }
        drop(sender);
        assert_eq!(fed.await.expect("no panic"), Err(CmafError::Malformed("moof before moov")));
    }
}
