//! Publishing: playlists from the rows, then one compare-and-set that makes the video ready.

use super::attempt::{Attempt, Failed};
use crate::blobs::{Key, Prefix};
use crate::catalog::Catalog;
use crate::catalog::versions::{Init, Publication, Segment, Version};
use crate::domain::event::Kind as EventKind;
use crate::domain::ids::{VersionId, VideoId};
use crate::domain::job::{Kind, NewJob};
use crate::domain::video::RenditionName;
use crate::domain::{Error, Result};
use crate::failpoint;
use crate::transaction;
use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::HashMap;
use theatrum_media::crypt::KEY_PERIOD;
use theatrum_media::plan::Plan;
use theatrum_media::playlist::{AudioEntry, MediaPlaylist, PlaylistError, Rates, VideoEntry, master, target_duration_s};
use theatrum_media::probe::{Code, Refusal, enough_decoded};
use theatrum_media::time::Rational;

/// The job that publishes a version: nothing is more urgent.
pub(super) fn job(video: &VideoId, version: &VersionId) -> NewJob {
    NewJob { kind: Kind::Publish, payload: "{}".to_owned(), video: video.clone(), version: Some(version.clone()), priority: 0, weight: 1 }
}

/// Runs the job.
pub(super) async fn run(attempt: &Attempt<'_>) -> Result<(), Failed> {
    failpoint::hit("publishing");
    let id = attempt.version()?;
    let catalog = &attempt.state.catalog;
    let version = catalog.version(id).await?;
    if version.pictures_expected > 0 && !enough_decoded(version.pictures_expected, version.pictures_decoded) {
        return Err(Refusal::from(Code::Undecodable).into());
    }
    let plan: Plan = serde_json::from_str(&version.plan).map_err(|error| Error::internal("a version's plan cannot be read", error))?;
    let poster = Poster::of(catalog, &attempt.job.video, id).await?;
    let inits = catalog.inits(id).await?.into_iter().collect();
    let made = Made { plan, inits, segments: by_rendition(catalog.segments(id).await?), poster };
    for (key, text) in made.playlists(&attempt.job.video, id)? {
        put(attempt, &key, text).await?;
    }
    // Before the job settles: after a kill in the middle the next attempt sweeps again.
    sweep(attempt, id, &made).await;
    failpoint::hit("publish");
    announce(attempt, &version).await?;
    failpoint::hit("published");
    Ok(())
}

/// Deletes what attempts that were fenced off left beside the version's own blobs: nobody points at it, and every other job has settled.
/// A disk that fails here does not hold up the publication.
async fn sweep(attempt: &Attempt<'_>, version: &VersionId, made: &Made) {
    let blobs = &attempt.state.blobs;
    let mut present = blobs.list_prefix(&Prefix::Version(attempt.job.video.clone(), version.clone()));
    while let Some(found) = present.next().await {
        let swept = match found {
            Ok((key, _)) if made.is_orphan(&key) => blobs.delete(&key).await,
            found => found.map(drop),
        };
        if let Err(error) = swept {
            tracing::warn!(%version, cause = %error.chain(), "could not sweep the orphans of a version");
        }
    }
}

/// The one transaction that makes the video ready, or switches it to this version, with its events and its audit entry (invariant 3).
async fn announce(attempt: &Attempt<'_>, version: &Version) -> Result<()> {
    let video = &attempt.job.video;
    let has_holes = version.pictures_decoded < version.pictures_expected;
    let keep_ms = i64::try_from(attempt.state.limits.keep_superseded.as_millis()).unwrap_or(i64::MAX);
    transaction!(attempt.state.catalog, |tx| {
        tx.settle(&attempt.lease).await?;
        let (events, reason): (&[EventKind], _) = match tx.publish_version(&version.id, video, has_holes, keep_ms).await? {
            Publication::None => return Ok(()),
            Publication::First => (&[EventKind::VideoPlayable, EventKind::VideoReady], "complete"),
            Publication::Replacement => (&[EventKind::VideoReplaced], "replacement"),
        };
        for event in events {
            tx.append_event(*event, video, "{}").await?;
        }
        tx.append_audit(&attempt.entry("publish", reason)).await
    })
}

/// Writes a playlist. One that an earlier attempt left is replaced: nobody can have a token for a version that is not published.
async fn put(attempt: &Attempt<'_>, key: &Key, text: String) -> Result<()> {
    let blobs = &attempt.state.blobs;
    let present = match blobs.get(key).await {
        Ok(bytes) => Some(crate::blobs::ETag::of(&bytes)),
        Err(error) if error.kind() == crate::domain::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    blobs.put_playlist(key, Bytes::from(text), present.as_ref()).await.map(drop)
}

fn by_rendition(segments: Vec<Segment>) -> HashMap<RenditionName, Vec<Segment>> {
    let mut grouped: HashMap<_, Vec<_>> = HashMap::new();
    for segment in segments {
        grouped.entry(segment.rendition.clone()).or_default().push(segment);
    }
    grouped
}

/// All that was made of a version.
struct Made {
    plan: Plan,
    inits: HashMap<RenditionName, Init>,
    segments: HashMap<RenditionName, Vec<Segment>>,
    poster: Poster,
}

/// Which posters are the version's.
struct Poster {
    adopted: Option<i64>,
    /// Whoever writes a poster from now on does so under a higher epoch.
    settled: i64,
}

impl Poster {
    /// A dead poster job may be redriven at any time: what that writes is none of the orphans, though no row points at it yet.
    async fn of(catalog: &Catalog, video: &VideoId, version: &VersionId) -> Result<Self> {
        let settled = catalog.settled_epoch(video, version, Kind::Stills).await?;
        // Read last: what settled before is adopted by now.
        Ok(Self { adopted: catalog.poster_epoch(version).await?, settled })
    }

    fn is_orphan(&self, epoch: u64) -> bool {
        let epoch = epoch.cast_signed();
        epoch <= self.settled && self.adopted != Some(epoch)
    }
}

/// One rendition, whole.
struct Whole<'a> {
    name: RenditionName,
    uri: String,
    init: &'a Init,
    segments: &'a [Segment],
    /// Pixels and pictures per second; absent for audio.
    picture: Option<(u32, u32, Rational)>,
}

impl Made {
    /// Whether a blob of the version is one that no row adopted.
    fn is_orphan(&self, key: &Key) -> bool {
        match key {
            Key::Init { rendition, epoch, .. } => self.inits.get(rendition).is_none_or(|init| init.epoch.cast_unsigned() != *epoch),
            Key::Segment { rendition, index, epoch, .. } => {
                let adopted = self.segments.get(rendition).and_then(|segments| segments.get(*index as usize));
                adopted.is_none_or(|segment| segment.epoch.cast_unsigned() != *epoch)
            }
            Key::Poster { epoch, .. } => self.poster.is_orphan(*epoch),
            Key::SourcePart { .. } | Key::MediaPlaylist { .. } | Key::MasterPlaylist { .. } => false,
        }
    }

    /// Every playlist of the version, the master last.
    fn playlists(&self, video: &VideoId, version: &VersionId) -> Result<Vec<(Key, String)>> {
        let unwritable = |error: PlaylistError| Error::internal("a playlist cannot be written", error);
        let renditions = self.renditions()?;
        let target_s = target_duration_s(renditions.iter().flat_map(|rendition| rendition.segments).map(ticks));
        let mut playlists = Vec::with_capacity(renditions.len() + 1);
        for rendition in &renditions {
            let key = Key::MediaPlaylist { video: video.clone(), version: version.clone(), rendition: rendition.name.clone() };
            playlists.push((key, rendition.playlist(target_s).map_err(unwritable)?));
        }
        let pictures: Vec<VideoEntry<'_>> = renditions.iter().filter_map(|rendition| rendition.video_entry(target_s)).collect();
        let sound = renditions.iter().find(|rendition| rendition.picture.is_none()).map(|rendition| rendition.audio_entry(target_s));
        let key = Key::MasterPlaylist { video: video.clone(), version: version.clone() };
        playlists.push((key, master(&pictures, sound.as_ref()).map_err(unwritable)?));
        Ok(playlists)
    }

    /// The planned renditions, lowest first, audio last; each must be whole.
    fn renditions(&self) -> Result<Vec<Whole<'_>>> {
        let mut renditions = Vec::new();
        if let Some(video) = &self.plan.video {
            for rung in video.ladder() {
                renditions.push(self.whole(RenditionName::parse(&rung.name)?, Some((rung.width, rung.height, video.rate)))?);
            }
        }
        // Planned sound that could not be decoded has left no rendition.
        if self.inits.contains_key(&RenditionName::audio()) {
            renditions.push(self.whole(RenditionName::audio(), None)?);
        }
        Ok(renditions)
    }

    fn whole(&self, name: RenditionName, picture: Option<(u32, u32, Rational)>) -> Result<Whole<'_>> {
        let incomplete = |what: &str| Error::internal(format!("rendition {name} is not complete"), what.to_owned());
        let init = self.inits.get(&name).ok_or_else(|| incomplete("it has no init segment"))?;
        let segments = self.segments.get(&name).map(Vec::as_slice).unwrap_or_default();
        if segments.len() != self.plan.segments.len() || segments.iter().zip(0..).any(|(segment, number)| segment.number != number) {
            return Err(incomplete("a segment is missing"));
        }
        if segments.iter().any(|segment| segment.init_sha256 != init.sha256) {
            return Err(incomplete("its chunks were encoded with different parameter sets"));
        }
        Ok(Whole { uri: format!("{name}/playlist.m3u8"), name, init, segments, picture })
    }
}

impl Whole<'_> {
    fn playlist(&self, target_duration_s: u64) -> Result<String, PlaylistError> {
        let uri = |segment: &Segment| format!("{:06}-{}.m4s", segment.number, segment.epoch);
        let segments: Vec<_> = self.segments.iter().map(|segment| (ticks(segment), uri(segment))).collect();
        let init_uri = format!("init-{}.mp4", self.init.epoch);
        MediaPlaylist { init_uri: &init_uri, segments: &segments, key_period: Some(KEY_PERIOD), target_duration_s }.write()
    }

    fn rates(&self, target_duration_s: u64) -> Rates {
        let segments: Vec<_> = self.segments.iter().map(|segment| (segment.size_bytes, ticks(segment))).collect();
        Rates::of(&segments, target_duration_s)
    }

    fn video_entry(&self, target_s: u64) -> Option<VideoEntry<'_>> {
        let (width, height, rate) = self.picture?;
        Some(VideoEntry { uri: &self.uri, rates: self.rates(target_s), codec: &self.init.codecs, width, height, rate })
    }

    fn audio_entry(&self, target_s: u64) -> AudioEntry<'_> {
        AudioEntry { uri: &self.uri, rates: self.rates(target_s), codec: &self.init.codecs }
    }
}

fn ticks(segment: &Segment) -> i64 {
    i64::try_from(segment.duration_ticks).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{LONG_MS, catalog, claim, version};
    use super::*;
    use crate::catalog::jobs::{Failure, Lease};

    /// invariant 2: a poster is swept when its epoch is over and no row adopted it; one that a redriven job may be writing is not.
    #[tokio::test]
    async fn a_poster_is_an_orphan_once_nobody_can_adopt_it() {
        let (_folder, catalog) = catalog().await;
        let version = version(&catalog, &[Kind::Stills]).await;
        let orphans = async || {
            let poster = Poster::of(&catalog, &version.video, &version.id).await.expect("rows");
            (0..6).filter(|epoch| poster.is_orphan(*epoch)).collect::<Vec<u64>>()
        };
        let buried = Failure { error: "no room".to_owned(), stderr_tail: None };
        for (epoch, while_running, when_dead) in [(1, vec![0], vec![0, 1]), (2, vec![0, 1], vec![0, 1, 2])] {
            let job = claim(&catalog, LONG_MS).await;
            assert_eq!((job.epoch, orphans().await), (epoch, while_running));
            transaction!(catalog, |tx| tx.bury(&Lease::of(&job), &buried).await).expect("buried");
            assert_eq!(orphans().await, when_dead);
            transaction!(catalog, |tx| tx.redrive(&job.id).await).expect("redriven");
            assert_eq!(orphans().await, when_dead);
        }
        let job = claim(&catalog, LONG_MS).await;
        transaction!(catalog, |tx| {
            tx.settle(&Lease::of(&job)).await?;
            tx.set_poster(&version.video, &version.id, job.epoch).await
        })
        .expect("settled");
        assert_eq!(orphans().await, [0, 1, 2], "epoch 3 is the poster");
    }
}
