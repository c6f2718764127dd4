//! The playlists of a version, written from its rows: growing ones while it is made, then the ones that stay.

use crate::blobs::Key;
use crate::catalog::Catalog;
use crate::catalog::versions::{Init, Segment};
use crate::domain::ids::{VersionId, VideoId};
use crate::domain::video::RenditionName;
use crate::domain::{Error, Result};
use std::collections::{HashMap, HashSet};
use theatrum_media::crypt::KEY_PERIOD;
use theatrum_media::ladder::Rendition;
use theatrum_media::plan::{Plan, VideoPlan};
use theatrum_media::playlist::{AudioEntry, MediaPlaylist, PlaylistError, PlaylistType, Rates, VideoEntry, master};
use theatrum_media::time::Rational;

/// By RFC 6381: what sound is encoded as, and copied if it is.
const AUDIO_CODEC: &str = "mp4a.40.2";
/// What sound may take, its fragments' headers included, in bits per second.
const AUDIO_BPS: u64 = 144_000;

/// Pixels and pictures per second.
type Picture = (u32, u32, Rational);

/// All that was made of a version so far.
#[derive(Debug)]
pub(super) struct Made<'a> {
    pub plan: &'a Plan,
    /// Of those that were planned, the ones that were not given up.
    names: HashSet<RenditionName>,
    inits: HashMap<RenditionName, Init>,
    segments: HashMap<RenditionName, Vec<Segment>>,
}

/// One rendition, as far as it is there.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub name: RenditionName,
    uri: String,
    init: &'a Init,
    /// From the first on, with no gap.
    pub segments: &'a [Segment],
    /// Absent for audio.
    picture: Option<Picture>,
}

impl<'a> Made<'a> {
    /// Reads the rows.
    pub async fn read(catalog: &Catalog, version: &VersionId, plan: &'a Plan) -> Result<Self> {
        let names = catalog.renditions(version).await?.into_iter().map(|rendition| rendition.name).collect();
        let inits = catalog.inits(version).await?.into_iter().collect();
        let mut segments: HashMap<_, Vec<_>> = HashMap::new();
        for segment in catalog.segments(version).await? {
            segments.entry(segment.rendition.clone()).or_default().push(segment);
        }
        Ok(Self { plan, names, inits, segments })
    }

    /// Whether a segment or an init segment of the version is one that no row adopted.
    pub fn is_orphan(&self, key: &Key) -> bool {
        match key {
            Key::Init { rendition, epoch, .. } => self.inits.get(rendition).is_none_or(|init| init.epoch.cast_unsigned() != *epoch),
            Key::Segment { rendition, index, epoch, .. } => {
                let adopted = self.segments.get(rendition).and_then(|segments| segments.get(*index as usize));
                adopted.is_none_or(|segment| segment.epoch.cast_unsigned() != *epoch)
            }
            _ => false,
        }
    }

    /// Every playlist of a version of which all is there, the master last.
    pub fn playlists(&self, video: &VideoId, version: &VersionId) -> Result<Vec<(Key, String)>> {
        let renditions = self.whole_renditions()?;
        let target_s = self.plan.target_duration_s();
        let mut playlists = Vec::with_capacity(renditions.len() + 1);
        for rendition in &renditions {
            playlists.push((rendition.key(video, version), rendition.playlist(target_s, PlaylistType::Vod)?));
        }
        let pictures: Vec<VideoEntry<'_>> = renditions.iter().filter_map(|rendition| rendition.video_entry(target_s)).collect();
        let sound = renditions.iter().find(|rendition| rendition.picture.is_none()).map(|rendition| rendition.audio_entry(target_s));
        let key = Key::MasterPlaylist { video: video.clone(), version: version.clone() };
        playlists.push((key, master(&pictures, sound.as_ref(), PlaylistType::Vod).map_err(unwritable)?));
        Ok(playlists)
    }

    /// The master playlist of a version that is growing: the planned renditions with the rates that they may take; `None` where their codecs
    /// are not known yet.
    pub fn growing_master(&self) -> Result<Option<String>> {
        let mut planned = Vec::new();
        for (video, rung) in self.ladder()? {
            let Some(codec) = self.codec(video, rung)? else { return Ok(None) };
            planned.push((format!("{}/playlist.m3u8", rung.name), codec, video.rate, rung));
        }
        let pictures: Vec<_> = planned.iter().map(|(uri, codec, rate, rung)| may_take(uri, codec, *rate, rung)).collect();
        let rates = Rates { peak_bps: AUDIO_BPS, average_bps: AUDIO_BPS };
        let sound = self.has_sound().then_some(AudioEntry { uri: "audio/playlist.m3u8", rates, codec: AUDIO_CODEC });
        master(&pictures, sound.as_ref(), PlaylistType::Event).map(Some).map_err(unwritable)
    }

    fn codec(&self, video: &VideoPlan, rung: &Rendition) -> Result<Option<String>> {
        let made = self.inits.get(&RenditionName::parse(&rung.name)?);
        Ok(made.map(|init| init.codecs.clone()).or_else(|| video.codec(rung)))
    }

    /// The planned renditions as far as they are there, lowest first, audio last; those of which nothing is are left out.
    pub fn runs(&self) -> Result<Vec<Run<'_>>> {
        let planned = self.planned()?;
        Ok(planned.into_iter().filter_map(|(name, picture)| self.run(name, picture)).filter(|run| !run.segments.is_empty()).collect())
    }

    /// Whether there is to be sound: what could not be decoded has left no rendition.
    pub fn has_sound(&self) -> bool {
        self.plan.audio.is_some() && self.names.contains(&RenditionName::audio())
    }

    /// The lowest rendition of the picture.
    pub fn lowest(&self) -> Option<RenditionName> {
        self.ladder().ok()?.first().and_then(|(_, rung)| RenditionName::parse(&rung.name).ok())
    }

    fn ladder(&self) -> Result<Vec<(&'a VideoPlan, &'a Rendition)>> {
        let mut ladder = Vec::new();
        for (video, rung) in self.plan.video.iter().flat_map(|video| video.ladder().map(move |rung| (video, rung))) {
            if self.names.contains(&RenditionName::parse(&rung.name)?) {
                ladder.push((video, rung));
            }
        }
        Ok(ladder)
    }

    /// The planned renditions, lowest first, audio last; each must be whole.
    fn whole_renditions(&self) -> Result<Vec<Run<'_>>> {
        let mut renditions = Vec::new();
        for (name, picture) in self.planned()? {
            renditions.push(self.whole(name, picture)?);
        }
        Ok(renditions)
    }

    fn planned(&self) -> Result<Vec<(RenditionName, Option<Picture>)>> {
        let mut planned = Vec::new();
        for (video, rung) in self.ladder()? {
            planned.push((RenditionName::parse(&rung.name)?, Some((rung.width, rung.height, video.rate))));
        }
        planned.extend(self.has_sound().then(|| (RenditionName::audio(), None)));
        Ok(planned)
    }

    fn run(&self, name: RenditionName, picture: Option<Picture>) -> Option<Run<'_>> {
        let init = self.inits.get(&name)?;
        let segments = self.segments.get(&name).map(Vec::as_slice).unwrap_or_default();
        let length = segments
            .iter()
            .zip(0..)
            .take_while(|(segment, number)| segment.number == *number && segment.init_sha256 == init.sha256)
            .count();
        Some(Run { uri: format!("{name}/playlist.m3u8"), name, init, segments: &segments[..length], picture })
    }

    fn whole(&self, name: RenditionName, picture: Option<Picture>) -> Result<Run<'_>> {
        let incomplete = |what: &str| Error::internal(format!("rendition {name} is not complete"), what.to_owned());
        let run = self.run(name.clone(), picture).ok_or_else(|| incomplete("it has no init segment"))?;
        let adopted = self.segments.get(&name).map(Vec::as_slice).unwrap_or_default();
        if adopted.iter().any(|segment| segment.init_sha256 != run.init.sha256) {
            return Err(incomplete("its chunks were encoded with different parameter sets"));
        }
        if run.segments.len() != self.plan.segments.len() || adopted.len() != run.segments.len() {
            return Err(incomplete("a segment is missing"));
        }
        Ok(run)
    }
}

impl Run<'_> {
    /// Where its playlist lies.
    pub fn key(&self, video: &VideoId, version: &VersionId) -> Key {
        Key::MediaPlaylist { video: video.clone(), version: version.clone(), rendition: self.name.clone() }
    }

    /// The text of its playlist.
    pub fn playlist(&self, target_duration_s: u64, playlist_type: PlaylistType) -> Result<String> {
        let uri = |segment: &Segment| format!("{:06}-{}.m4s", segment.number, segment.epoch);
        let segments: Vec<_> = self.segments.iter().map(|segment| (ticks(segment), uri(segment))).collect();
        let init_uri = format!("init-{}.mp4", self.init.epoch);
        let playlist =
            MediaPlaylist { init_uri: &init_uri, segments: &segments, key_period: Some(KEY_PERIOD), target_duration_s, playlist_type };
        playlist.write().map_err(unwritable)
    }

    /// How long it is, in ticks.
    pub fn length_ticks(&self) -> i64 {
        self.segments.iter().map(ticks).sum()
    }

    /// Whether it is the sound.
    pub fn is_sound(&self) -> bool {
        self.picture.is_none()
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

fn may_take<'a>(uri: &'a str, codec: &'a str, rate: Rational, rung: &Rendition) -> VideoEntry<'a> {
    let bps = u64::from(rung.maxrate_kbps) * 1000;
    VideoEntry { uri, rates: Rates { peak_bps: bps, average_bps: bps }, codec, width: rung.width, height: rung.height, rate }
}

fn unwritable(error: PlaylistError) -> Error {
    Error::internal("a playlist cannot be written", error)
}

fn ticks(segment: &Segment) -> i64 {
    i64::try_from(segment.duration_ticks).unwrap_or(i64::MAX)
}
