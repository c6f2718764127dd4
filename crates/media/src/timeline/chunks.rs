//! Runs of segments that one job encodes, and where its decoding begins.

use super::{Mark, Segment};
use crate::probe::{Cadence, Facts, Keyframe, VideoFacts};
use crate::time::{Rational, TICKS_PER_SECOND};
use serde::{Deserialize, Serialize};

/// Most segments one job encodes.
const MAX_RUN: usize = 5;
/// Most segments one job encodes of a source that must be decoded from its start every time.
const MAX_RUN_FROM_START: usize = 500;
/// An IDR picture every so often.
const IDR_TICKS: i64 = 2 * TICKS_PER_SECOND;
/// A seek without an index may land late by up to this much.
const LOOSE_SEEK_TICKS: i64 = 2 * TICKS_PER_SECOND;
/// How much further back the second attempt begins.
const EARLIER_TICKS: i64 = 10 * TICKS_PER_SECOND;
/// Pictures by which a decoder's output may lag behind its input.
const MAX_REORDERED: i64 = 6;
/// What ffmpeg takes off a seek in files with reordered pictures (3/23 s), and a little.
const FFMPEG_SEEK_SLACK_TICKS: i64 = 12_600;

/// A run of consecutive segments, all renditions of which one job encodes from one decode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its number, from 0.
    pub index: u32,
    /// Number of its first segment.
    pub first_segment: u32,
    /// Its segments, with their times on the timeline.
    pub segments: Vec<Segment>,
    /// Name of its first picture, in the cadence's terms.
    pub first_picture: i64,
    /// Name of the first picture after it.
    pub end_picture: i64,
    /// Pictures expected.
    pub pictures: u32,
    /// Time of the first expected picture.
    pub first_picture_ticks: i64,
    /// When IDR pictures must stand: every segment start and about every 2 s between.
    pub idr_ticks: Vec<i64>,
    /// Where the first attempt begins to read, in ticks of the source's clock; `None`: at the start.
    pub near_ticks: Option<i64>,
    /// Where the second attempt does.
    pub earlier_ticks: Option<i64>,
    /// Reading begins anywhere, not on a keyframe: decoders complain until they meet one, long before the chunk.
    pub loose_seek: bool,
    /// By what to judge it instead of `pictures`: only where those are made at a constant rate.
    #[serde(default)]
    pub evidence: Option<Evidence>,
}

/// Pictures of the source in a chunk whose own are made at a constant rate: repeated through every hole, they prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// How many the decoder must give at least; none in a pause.
    pub pictures: u32,
    /// Time of the first of them on the timeline; the chunk's start if there is none.
    pub first_ticks: i64,
    /// How much earlier or later than its packet says a picture may come out: by what the decoder reorders, where packets have no times of their own.
    pub slack_ticks: i64,
}

impl Chunk {
    /// First tick of its first segment.
    pub fn start_ticks(&self) -> i64 {
        self.segments.first().map_or(0, |segment| segment.start_ticks)
    }

    /// Pictures that must decode for the source to be whole here: its own, or those of the source where they are judged by.
    pub fn expected(&self) -> u32 {
        self.evidence.map_or(self.pictures, |evidence| evidence.pictures)
    }

    /// First tick after its last segment.
    pub fn end_ticks(&self) -> i64 {
        self.segments.last().map_or(0, |segment| segment.end_ticks)
    }
}

/// How many segments each job takes: one first, so that something plays soon; then enough to keep `slots` jobs busy three times over, five at
/// most; never fewer than three jobs when there are three segments.
pub fn runs(segments: usize, slots: usize, from_start_only: bool) -> Vec<usize> {
    let rest = segments.saturating_sub(1);
    let slots = slots.max(1);
    let (wanted, most) = if from_start_only { (rest.div_ceil(slots), MAX_RUN_FROM_START) } else { (rest.div_ceil(3 * slots), MAX_RUN) };
    let run = wanted.min(most).min(rest / 2).max(1);
    let mut runs = vec![1; segments.min(1)];
    runs.extend(std::iter::repeat_n(run, rest / run));
    runs.extend(Some(rest % run).filter(|&left| left > 0));
    runs
}

/// Cuts the segments into chunks.
pub(crate) fn chunks(facts: &Facts, video: &VideoFacts, marks: &[Mark], segments: &[Segment], slots: usize) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let (mut segment, mut mark) = (0, 0);
    for run in runs(segments.len(), slots, video.from_start_only) {
        let segments = &segments[segment..segment + run];
        let pictures = segments.iter().map(|segment| segment.pictures as usize).sum::<usize>();
        let inside = &marks[mark..mark + pictures];
        let after = marks.get(mark + pictures).map(|mark| mark.name);
        let first = inside.first().copied().unwrap_or(Mark { ticks: segments[0].start_ticks, name: 0 });
        let (near_ticks, earlier_ticks) = starts(facts, video, first.ticks + facts.origin_ticks());
        chunks.push(Chunk {
            index: chunks.len() as u32,
            first_segment: segment as u32,
            segments: segments.to_vec(),
            first_picture: first.name,
            end_picture: after.or(inside.last().map(|mark| mark.name + 1)).unwrap_or(first.name),
            pictures: pictures as u32,
            first_picture_ticks: first.ticks,
            idr_ticks: idr_ticks(segments, inside),
            near_ticks,
            earlier_ticks,
            loose_seek: !facts.demuxer.has_index() && near_ticks.is_some(),
            evidence: evidence(facts, video, segments),
        });
        (segment, mark) = (segment + run, mark + pictures);
    }
    chunks
}

/// What the source holds between the first and the last of `segments`.
fn evidence(facts: &Facts, video: &VideoFacts, segments: &[Segment]) -> Option<Evidence> {
    let Cadence::Constant { rate } = video.cadence else { return None };
    let (start, end) = (segments.first()?.start_ticks, segments.last()?.end_ticks);
    let ticks = |pts: &i64| video.time_base.ticks(*pts) - facts.origin_ticks();
    let solid = &video.solid.0;
    let inside = &solid[solid.partition_point(|pts| ticks(pts) < start)..solid.partition_point(|pts| ticks(pts) < end)];
    // Each field may be a packet of its own; two make one picture.
    let packets_each = if video.interlaced { 2 } else { 1 };
    Some(Evidence {
        pictures: inside.len().div_ceil(packets_each) as u32,
        first_ticks: inside.first().map_or(start, ticks),
        slack_ticks: rate.inverse().ticks(MAX_REORDERED).min(TICKS_PER_SECOND),
    })
}

/// The first picture of each segment, and the first one after each equal part of about two seconds.
fn idr_ticks(segments: &[Segment], marks: &[Mark]) -> Vec<i64> {
    let mut times: Vec<i64> = Vec::new();
    for segment in segments {
        let length = segment.duration_ticks();
        let parts = ((length + IDR_TICKS / 2) / IDR_TICKS).max(1);
        for part in 0..parts {
            let wanted = segment.start_ticks + part * length / parts;
            let at = marks.partition_point(|mark| mark.ticks < wanted);
            let found = marks.get(at).map(|mark| mark.ticks).filter(|&ticks| ticks < segment.end_ticks);
            times.extend(found.filter(|&ticks| times.last().is_none_or(|&last| last < ticks)));
        }
    }
    times
}

/// Where to begin reading so that everything shown from `start` (ticks of the source's clock) on decodes.
fn starts(facts: &Facts, video: &VideoFacts, start: i64) -> (Option<i64>, Option<i64>) {
    let keys = &video.keyframes;
    let time = |key: &Keyframe| video.time_base.ticks(key.pts);
    let below = keys.partition_point(|key| time(key) <= start);
    if video.from_start_only || below < 2 {
        return (None, None);
    }
    let at = below - 1;
    let near = if keys[at].clean && facts.demuxer.has_index() { at } else { at - 1 };
    let first = video.start_ticks().unwrap_or(0);
    let worth_it = |ticks: i64| Some(ticks).filter(|&ticks| ticks > first + TICKS_PER_SECOND / 2);
    let near_ticks = if facts.demuxer.has_index() { exact_seek(keys, near, video.time_base) } else { time(&keys[near]) - LOOSE_SEEK_TICKS };
    let earlier = time(&keys[near.saturating_sub(2)]).min(near_ticks - EARLIER_TICKS);
    (worth_it(near_ticks), worth_it(earlier))
}

/// A seek time from which ffmpeg lands on keyframe `at` itself, or, if the next one might be hit instead, on it or the one before.
fn exact_seek(keys: &[Keyframe], at: usize, base: Rational) -> i64 {
    let time = base.ticks(keys[at].pts);
    let generous = time + FFMPEG_SEEK_SLACK_TICKS;
    let next = keys[at + 1..].iter().map(|key| base.ticks(key.dts.min(key.pts))).min();
    if next.is_none_or(|next| next > generous + FFMPEG_SEEK_SLACK_TICKS) { generous } else { time }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_run_is_one_and_none_exceeds_five() {
        assert_eq!(runs(0, 2, false), Vec::<usize>::new());
        assert_eq!(runs(1, 2, false), [1]);
        assert_eq!(runs(3, 1, false), [1, 1, 1]);
        assert_eq!(runs(5, 2, false), [1, 1, 1, 1, 1]);
        assert_eq!(runs(62, 2, false)[..3], [1, 5, 5]);
        assert_eq!(runs(61, 2, true), [1, 30, 30]);
    }

    proptest::proptest! {
        #[test]
        fn runs_cover_every_segment_once(segments in 0usize..3000, slots in 0usize..64, from_start in proptest::prelude::any::<bool>()) {
            let runs = runs(segments, slots, from_start);
            proptest::prop_assert_eq!(runs.iter().sum::<usize>(), segments);
            proptest::prop_assert!(runs.iter().all(|&run| run > 0));
            proptest::prop_assert!(runs.len() >= segments.min(3));
        }
    }
}
