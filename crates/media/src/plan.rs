//! The plan of a version: everything its jobs need, derived once from the facts and kept in the catalog.

use crate::copy::{self, Look, Obstacle};
use crate::ladder::{Rendition, ladder};
use crate::playlist::target_duration_s;
use crate::probe::{Cadence, Colour, Demuxer, Facts, Jump, Points, VideoFacts, Window};
use crate::time::{Rational, TICKS_PER_SECOND, ticks_to_seconds};
use crate::timeline::{self, Chunk, Segment};
use serde::{Deserialize, Serialize};

/// Of the one rendition of the sound, its fragments' headers included.
const AUDIO_KBPS: u64 = 144;
/// What is longer than [`SHORT_TICKS`] has as many segments at least: places to begin, and work for more than one slot.
const LEAST_SEGMENTS: usize = 3;
const SHORT_TICKS: i64 = 4 * TICKS_PER_SECOND;
/// Samples in an AAC frame.
const AAC_FRAME: i64 = 1024;

/// What is made of a source: renditions, their common timeline, the jobs that make them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The demuxer to force.
    pub demuxer: Demuxer,
    /// The timeline's zero, in ticks of the source's own clock.
    pub origin_ticks: i64,
    /// The timeline's length.
    pub duration_ticks: i64,
    /// Where the source's own clock jumps. All times here are of the clock without, as if it went on; the commands know.
    #[serde(default)]
    pub jumps: Vec<Jump>,
    /// Only a part of the source is there.
    pub truncated: bool,
    /// Segments of every rendition, audio included.
    pub segments: Vec<Segment>,
    /// The picture, unless there is only sound.
    pub video: Option<VideoPlan>,
    /// The sound, unless there is only picture.
    pub audio: Option<AudioPlan>,
}

/// What the encode jobs make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoPlan {
    /// ffmpeg's number of the stream.
    pub stream: u32,
    /// Seconds per unit of its timestamps.
    pub time_base: Rational,
    /// Whether its times are kept.
    pub cadence: Cadence,
    /// To be deinterlaced.
    pub interlaced: bool,
    /// Its colours.
    pub colour: Colour,
    /// Mean pictures per second of the output.
    pub rate: Rational,
    /// Those that are encoded, lowest first.
    pub renditions: Vec<Rendition>,
    /// The source's own picture as the top rendition.
    #[serde(default)]
    pub copied: Option<Rendition>,
    /// Its codec by RFC 6381.
    #[serde(default)]
    pub copied_codec: Option<String>,
    /// Why it is encoded as well.
    #[serde(default)]
    pub obstacle: Option<Obstacle>,
    /// The jobs that encode, in order.
    pub chunks: Vec<Chunk>,
    /// Pictures expected in all.
    pub pictures: u64,
    /// Where the poster is taken.
    pub poster: Poster,
}

/// The picture shown before playing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poster {
    /// The source timestamp from which on the first picture is taken.
    pub pts: i64,
    /// Where to begin reading, in ticks of the source's clock; `None`: at the start.
    pub near_ticks: Option<i64>,
    /// Width in pixels, at most 1280.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Of a trimmed source, from which picture on and before which one it is taken, in the cadence's terms, as `pts` is then.
    #[serde(default)]
    pub within: Option<(i64, i64)>,
}

/// What the audio job makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioPlan {
    /// ffmpeg's number of the stream.
    pub stream: u32,
    /// Latest time, in ticks of the source's clock, at which sound is taken.
    pub end_ticks: i64,
    /// Samples are numbered from this time on, in ticks of the source's clock, as the pictures are: [`Cadence::Counted`].
    #[serde(default)]
    pub counted_from_ticks: Option<i64>,
    /// Of a trimmed source, the time before which no sound is taken.
    #[serde(default)]
    pub cut_from_ticks: Option<i64>,
    /// Of a source trimmed at its end, the time from which on no sound is taken, to the sample.
    #[serde(default)]
    pub cut_end_ticks: Option<i64>,
}

impl VideoPlan {
    /// All renditions, lowest first.
    pub fn ladder(&self) -> impl Iterator<Item = &Rendition> {
        self.renditions.iter().chain(&self.copied)
    }

    /// The codec by RFC 6381 that a rendition of [`Self::ladder`] is going to have; absent where that cannot be known.
    pub fn codec(&self, rendition: &Rendition) -> Option<String> {
        if self.copied.as_ref() == Some(rendition) { self.copied_codec.clone() } else { Some(rendition.codec()) }
    }

    /// Pictures that must decode for the source to be whole; at least half of them for it to be published. None where nothing is to be encoded.
    pub fn expected(&self) -> u64 {
        if self.renditions.is_empty() {
            return 0;
        }
        self.chunks.iter().map(|chunk| u64::from(chunk.expected())).sum()
    }
}

impl Plan {
    /// Plans a version for a house that runs `slots` encode jobs at once.
    pub fn new(facts: &Facts, slots: usize) -> Self {
        let duration = facts.end_ticks() - facts.origin_ticks();
        Self::with_target(facts, slots, timeline::default_target(duration))
    }

    /// As [`Plan::new`], for what lies between two points of the source. Times and names are the source's own, so n chunks give exactly the
    /// pictures of one run over the interval.
    pub fn trimmed(facts: &Facts, slots: usize, points: Points) -> Self {
        let trimmed = facts.trimmed(points);
        let mut plan = Self::new(&trimmed, slots);
        if let (Some(audio), true) = (&mut plan.audio, trimmed.end_ticks() < facts.end_ticks()) {
            audio.cut_end_ticks = Some(trimmed.end_ticks());
        }
        plan
    }

    /// Whether nothing can come of it: between the points of a trim lies a gap.
    pub fn is_empty(&self) -> bool {
        self.video.is_none() && self.audio.is_none()
    }

    /// As [`Plan::new`], with segments of about `target_ticks`.
    pub fn with_target(facts: &Facts, slots: usize, target_ticks: i64) -> Self {
        let target = target_ticks.max(1);
        let duration_ticks = (facts.end_ticks() - facts.origin_ticks()).max(1);
        let marks = facts.video.as_ref().map(|video| timeline::marks(facts, video)).unwrap_or_default();
        let sound_end =
            facts.audio.as_ref().map(|audio| audio.time_base.ticks(audio.end_pts).min(facts.end_ticks()) - facts.origin_ticks());
        let copied = facts.video.as_ref().map(|video| {
            let segments = copy::segments(&idrs(facts, video)?, &marks, duration_ticks, target, sound_end);
            let is_enough = segments.len() >= LEAST_SEGMENTS || duration_ticks <= SHORT_TICKS;
            if is_enough { Ok(segments) } else { Err(Obstacle::Idrs) }
        });
        let (segments, obstacle) = match copied {
            Some(Ok(segments)) => (segments, None),
            Some(Err(obstacle)) => (timeline::video_segments(&marks, duration_ticks, target, sound_end), Some(obstacle)),
            None => (timeline::sound_segments(duration_ticks, target), None),
        };
        let video = facts.video.as_ref().map(|video| {
            let chunks = timeline::chunks(facts, video, &marks, &segments, slots);
            video_plan(facts, video, obstacle, chunks)
        });
        let counted = facts.video.as_ref().is_some_and(|video| matches!(video.cadence, Cadence::Counted { .. }));
        let audio = facts.audio.as_ref().map(|audio| AudioPlan {
            stream: audio.stream,
            end_ticks: facts.end_ticks(),
            counted_from_ticks: counted.then(|| audio.time_base.ticks(audio.start_pts)),
            cut_from_ticks: facts.window.map(|window| window.start_ticks),
            cut_end_ticks: None,
        });
        Self {
            demuxer: facts.demuxer,
            origin_ticks: facts.origin_ticks(),
            duration_ticks,
            jumps: facts.jumps.clone(),
            truncated: facts.truncated,
            segments,
            video,
            audio,
        }
    }

    /// What all renditions take on the disk if each keeps to its cap.
    pub fn most_bytes(&self) -> u64 {
        let caps = self.video.iter().flat_map(VideoPlan::ladder).map(|rendition| u64::from(rendition.maxrate_kbps));
        let kbps = caps.chain(self.audio.iter().map(|_| AUDIO_KBPS)).fold(0, u64::saturating_add);
        let seconds = ticks_to_seconds(self.duration_ticks).max(0.0).ceil() as u64;
        kbps.saturating_mul(125).saturating_mul(seconds)
    }

    /// EXT-X-TARGETDURATION of all its playlists, in seconds, known before any segment is: sound is cut where its frames end.
    pub fn target_duration_s(&self) -> u64 {
        let frame = if self.audio.is_some() { Rational::AUDIO.ticks(AAC_FRAME) } else { 0 };
        target_duration_s(self.segments.iter().map(|segment| segment.end_ticks - segment.start_ticks + frame))
    }

    /// Length in milliseconds, for people.
    pub fn duration_ms(&self) -> u64 {
        (ticks_to_seconds(self.duration_ticks) * 1000.0).round().max(0.0) as u64
    }
}

/// When the IDR pictures of a source that is copied show on the timeline.
fn idrs(facts: &Facts, video: &VideoFacts) -> Result<Vec<i64>, Obstacle> {
    let top = ladder(video).pop().ok_or(Obstacle::Shape)?;
    copy::may_be(facts, video, &top)?;
    let groups = &video.look.as_ref().map_err(|obstacle| *obstacle)?.groups;
    Ok(groups.iter().map(|group| video.time_base.ticks(group.pts) - facts.origin_ticks()).collect())
}

fn video_plan(facts: &Facts, video: &VideoFacts, obstacle: Option<Obstacle>, chunks: Vec<Chunk>) -> VideoPlan {
    let pictures = chunks.iter().map(|chunk| u64::from(chunk.pictures)).sum();
    let rate = match video.cadence {
        Cadence::Source => lasting_rate(video, pictures, facts.end_ticks() - facts.origin_ticks()),
        Cadence::Constant { rate } | Cadence::Counted { rate } => rate,
    };
    let mut renditions = ladder(&VideoFacts { rate, ..video.clone() });
    let poster = poster(facts, video, renditions.last());
    let copied = if obstacle.is_none() { renditions.pop() } else { None };
    let looked = video.look.as_ref().ok().filter(|_| copied.is_some());
    VideoPlan {
        stream: video.stream,
        time_base: video.time_base,
        cadence: video.cadence,
        interlaced: video.interlaced,
        colour: video.colour.clone(),
        rate,
        pictures,
        poster,
        renditions,
        copied,
        copied_codec: looked.map(|look: &Look| look.codec.clone()),
        obstacle,
        chunks,
    }
}

/// Pictures per second over the whole timeline, where that is less than over the time between first and last picture.
fn lasting_rate(video: &VideoFacts, pictures: u64, duration_ticks: i64) -> Rational {
    let milli = u128::from(pictures) * 90_000_000 / duration_ticks.max(1).unsigned_abs() as u128;
    let over_all = Rational { num: u32::try_from(milli).unwrap_or(u32::MAX).max(1), den: 1000 };
    if over_all.as_f64() < video.rate.as_f64() * 0.9 { over_all } else { video.rate }
}

/// A picture from about a tenth of the way in, the top rendition's size or the same shape within 1280.
fn poster(facts: &Facts, video: &VideoFacts, top: Option<&Rendition>) -> Poster {
    let (width, height) = top.map_or((2, 2), |top| (top.width, top.height));
    let shrink = (1280.0 / f64::from(width.max(1))).min(1.0);
    let even = |side: u32| ((f64::from(side) * shrink / 2.0).round() as u32).max(1) * 2;
    let (names, within) = match facts.window {
        None => (video.pictures.0.clone(), None),
        Some(window) => {
            let names = names_within(video, window);
            // No picture: none.
            let within = (names.first().copied().unwrap_or(0), names.last().map_or(0, |last| last + 1));
            (names, Some(within))
        }
    };
    let pts = names.get(names.len() / 10).copied().unwrap_or(0);
    let key = video.keyframes.iter().rev().find(|key| key.pts <= pts).filter(|_| !video.from_start_only);
    let begins = facts.window.and(video.start_ticks()).unwrap_or(facts.origin_ticks());
    let near = key.map(|key| video.time_base.ticks(key.pts)).filter(|&ticks| ticks > begins + 90_000);
    Poster { pts, near_ticks: near, width: even(width), height: even(height), within }
}

/// The pictures of a trimmed source, by number where they are counted, else by their own times.
fn names_within(video: &VideoFacts, window: Window) -> Vec<i64> {
    let within = window.start_ticks..window.end_ticks;
    let times = &video.pictures.0;
    match video.cadence {
        Cadence::Counted { rate } => {
            let start = video.start_ticks().unwrap_or(0);
            (0..times.len() as i64).filter(|&name| within.contains(&(start + rate.inverse().ticks(name)))).collect()
        }
        _ => times.iter().copied().filter(|&pts| within.contains(&video.time_base.ticks(pts))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::tests_support::{facts, video};
    use crate::probe::{AudioFacts, PictureTimes};
    use proptest::prelude::*;

    #[test]
    fn ten_seconds_are_three_segments_cut_at_pictures() {
        let plan = Plan::new(&facts(video(1280, 720)), 2);
        assert_eq!(plan.segments.iter().map(|s| s.pictures).collect::<Vec<_>>(), [84, 84, 82]);
        let chunks = &plan.video.as_ref().unwrap().chunks;
        assert_eq!(chunks.len(), 3);
        assert_eq!((chunks[1].first_picture, chunks[1].end_picture), (3360, 6720));
        assert_eq!(chunks[1].near_ticks, Some(2000 * 90 + 12_600));
        assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    }

    #[test]
    fn a_plan_takes_no_more_than_its_caps_allow() {
        let plan = Plan::new(&facts(video(1280, 720)), 2);
        assert_eq!(plan.most_bytes(), 10 * (800 + 1400 + 2800) * 125);
    }

    #[test]
    fn sound_alone_is_cut_at_multiples() {
        let audio = AudioFacts {
            stream: 0,
            codec: "aac".into(),
            channels: 1,
            sample_rate: 8000,
            time_base: Rational { num: 1, den: 8000 },
            start_pts: 0,
            end_pts: 482_048,
        };
        let mut facts = facts(video(64, 64));
        facts.video = None;
        facts.audio = Some(audio);
        let plan = Plan::new(&facts, 2);
        assert_eq!(plan.segments.len(), 10);
        assert_eq!(plan.segments[3].start_ticks, 3 * 540_000);
        assert_eq!(plan.segments.last().unwrap().end_ticks, plan.duration_ticks);
    }

    proptest! {
        #[test]
        fn every_picture_is_in_one_chunk_and_one_segment(
            steps in prop::collection::vec(1i64..3000, 1..200), first in -5000i64..5000, slots in 1usize..9, target in 9000i64..900_000
        ) {
            let mut video = video(640, 360);
            let times: Vec<i64> = steps.iter().scan(first, |at, step| { *at += step; Some(*at) }).collect();
            video.end_pts = times.last().unwrap() + 40;
            video.keyframes = times.iter().step_by(10).map(|&pts| crate::probe::Keyframe { pts, dts: pts, clean: true }).collect();
            video.pictures = PictureTimes(times.clone());
            let plan = Plan::with_target(&facts(video), slots, target);
            prop_assert!(plan.segments.windows(2).all(|pair| pair[0].end_ticks == pair[1].start_ticks));
            prop_assert_eq!(plan.segments[0].start_ticks, 0);
            prop_assert_eq!(plan.segments.last().unwrap().end_ticks, plan.duration_ticks);
            let made = plan.video.unwrap();
            prop_assert_eq!(made.pictures as usize, times.len());
            prop_assert!(made.chunks.windows(2).all(|pair| pair[0].end_picture == pair[1].first_picture));
            for chunk in &made.chunks {
                prop_assert!(chunk.segments.iter().all(|segment| segment.pictures > 0 && segment.duration_ticks() > 0));
                prop_assert!(chunk.idr_ticks.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(chunk.index == 0 || chunk.segments.iter().all(|segment| chunk.idr_ticks.contains(&segment.start_ticks)));
                prop_assert!(chunk.near_ticks.is_none_or(|near| near - plan.origin_ticks <= chunk.first_picture_ticks + 12_600));
            }
        }
    }
}
