//! Runs of segments that one job encodes, and where its decoding begins.

use super::{Mark, Segment};
use crate::ladder::ladder;
use crate::probe::{Cadence, Facts, Keyframe, VideoFacts};
use crate::time::{Rational, TICKS_PER_SECOND};
use serde::{Deserialize, Serialize};

/// Most segments one job encodes, unless each job must decode from the source's start: then the fewer jobs the better.
const MAX_RUN: usize = 5;
/// Most bytes the segments of one job may come to if each rendition takes all it may: they are kept in memory until they are judged.
const BUDGET_BYTES: i64 = 512 << 20;
/// What a rendition of next to nothing may take besides: headers, and pictures before the encoder's rate control knows them.
const LEAST_BYTES: u64 = 16 << 20;
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
    /// Reading begins anywhere, not on a keyframe: decoders complain until they meet one, long before the chunk, and their complaints cannot be told
    /// from those about its own pictures. A whole keyframe interval more is decoded before it; a seek that lands later still loses its head.
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

    /// Bytes beyond which something is wrong with a rendition of this chunk: twice what its cap and the encoder's buffer of two seconds allow.
    pub fn max_bytes(&self, maxrate_kbps: u32) -> u64 {
        let seconds = (self.end_ticks() - self.start_ticks()).max(0).unsigned_abs().div_ceil(TICKS_PER_SECOND.unsigned_abs()) + 2;
        LEAST_BYTES + 2 * seconds * u64::from(maxrate_kbps) * 125
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
/// most, or, `from_start_only`, once; never fewer than three jobs when there are three segments, and none longer than `most_ticks` if it can be helped.
fn runs(segments: &[Segment], slots: usize, from_start_only: bool, most_ticks: i64) -> Vec<usize> {
    let Some((first, rest)) = segments.split_first() else { return Vec::new() };
    let slots = slots.max(1);
    let wanted = if from_start_only { rest.len().div_ceil(slots) } else { rest.len().div_ceil(3 * slots).min(MAX_RUN) };
    let run = wanted.min(rest.len() / 2).max(1);
    let (mut runs, mut start_ticks) = (vec![1], first.end_ticks);
    for (index, segment) in rest.iter().enumerate() {
        let full = index == 0 || runs.last() == Some(&run) || segment.end_ticks - start_ticks > most_ticks;
        match runs.last_mut() {
            Some(last) if !full => *last += 1,
            _ => {
                runs.push(1);
                start_ticks = segment.start_ticks;
            }
        }
    }
    runs
}

/// How long a chunk may be for all its renditions to stay within the budget.
fn most_ticks(video: &VideoFacts) -> i64 {
    let bytes_per_second = ladder(video).iter().map(|rendition| i64::from(rendition.maxrate_kbps) * 125).sum::<i64>();
    BUDGET_BYTES * TICKS_PER_SECOND / bytes_per_second.max(1)
}

/// Cuts the segments into chunks.
pub(crate) fn chunks(facts: &Facts, video: &VideoFacts, marks: &[Mark], segments: &[Segment], slots: usize) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let (mut segment, mut mark) = (0, 0);
    for run in runs(segments, slots, video.from_start_only, most_ticks(video)) {
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
            loose_seek: facts.demuxer.lands_anywhere() && near_ticks.is_some(),
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

/// The first picture of each segment, and the first one after each equal part of two seconds, a tenth more at most.
fn idr_ticks(segments: &[Segment], marks: &[Mark]) -> Vec<i64> {
    let mut times: Vec<i64> = Vec::new();
    for segment in segments {
        let length = segment.duration_ticks();
        let parts = ((length + IDR_TICKS * 9 / 10) / IDR_TICKS).max(1);
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
    // A deinterlacer looks at the picture before.
    let at = if video.interlaced && time(&keys[below - 1]) == start { below - 2 } else { below - 1 };
    let near = if keys[at].clean && facts.demuxer.has_index() { at } else { at.saturating_sub(1) };
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
    use crate::plan::Plan;
    use crate::probe::tests_support::{facts, video};

    fn segments(count: usize) -> Vec<Segment> {
        let at = |index: usize| 6 * TICKS_PER_SECOND * index as i64;
        (0..count).map(|index| Segment { start_ticks: at(index), end_ticks: at(index + 1), pictures: 1 }).collect()
    }

    fn of(count: usize, slots: usize, from_start_only: bool) -> Vec<usize> {
        runs(&segments(count), slots, from_start_only, i64::MAX)
    }

    #[test]
    fn the_first_run_is_one_and_none_exceeds_five() {
        assert_eq!(of(0, 2, false), Vec::<usize>::new());
        assert_eq!(of(1, 2, false), [1]);
        assert_eq!(of(3, 1, false), [1, 1, 1]);
        assert_eq!(of(5, 2, false), [1, 1, 1, 1, 1]);
        assert_eq!(of(62, 2, false)[..3], [1, 5, 5]);
        assert_eq!(of(61, 2, true), [1, 30, 30]);
    }

    #[test]
    fn no_two_idr_pictures_are_more_than_two_seconds_apart_and_a_little() {
        for (length_ms, idrs) in [(1000, 1), (2002, 1), (2300, 2), (4080, 2), (4670, 3), (6006, 3), (7000, 4)] {
            let segment = Segment { start_ticks: 0, end_ticks: length_ms * 90, pictures: 1 };
            let marks: Vec<Mark> = (0..length_ms / 40).map(|at| Mark { ticks: at * 3600, name: at }).collect();
            let times = idr_ticks(&[segment], &marks);
            assert_eq!(times.len(), idrs, "{length_ms} ms");
            let ends = times.iter().skip(1).copied().chain([segment.end_ticks]);
            assert!(times.iter().zip(ends).all(|(start, end)| end - start <= IDR_TICKS * 11 / 10 + 3600), "{length_ms} ms: {times:?}");
        }
    }

    #[test]
    fn no_run_exceeds_the_memory_it_may_take() {
        let mut video = video(1920, 1080);
        video.from_start_only = true;
        let most = most_ticks(&video);
        assert_eq!(most / TICKS_PER_SECOND, 429, "ten megabits a second in half a gibibyte");
        let hour = runs(&segments(600), 2, true, most);
        assert_eq!(hour, [vec![1], vec![71; 8], vec![31]].concat());
        assert_eq!(runs(&segments(600), 2, true, 1).len(), 600);
    }

    #[test]
    fn a_rendition_at_its_cap_fits_its_limit() {
        let mut video = video(1920, 1080);
        video.pictures.0 = (0..90_000).map(|i| i * 40).collect();
        (video.end_pts, video.from_start_only) = (3_600_000, true);
        let renditions = ladder(&video);
        for chunk in Plan::new(&facts(video), 2).video.unwrap().chunks {
            let seconds = ((chunk.end_ticks() - chunk.start_ticks()) / TICKS_PER_SECOND).unsigned_abs();
            let limits: u64 = renditions.iter().map(|rendition| chunk.max_bytes(rendition.maxrate_kbps)).sum();
            assert!(
                renditions
                    .iter()
                    .all(|rendition| chunk.max_bytes(rendition.maxrate_kbps) > seconds * u64::from(rendition.maxrate_kbps) * 125)
            );
            assert!(limits < 5 << 28, "{limits} bytes may be held in memory");
        }
    }

    proptest::proptest! {
        #[test]
        fn runs_cover_every_segment_once(
            count in 0usize..3000, slots in 0usize..64, from_start in proptest::prelude::any::<bool>(), most in 1i64..900_000_000
        ) {
            let runs = runs(&segments(count), slots, from_start, most);
            proptest::prop_assert_eq!(runs.iter().sum::<usize>(), count);
            proptest::prop_assert!(runs.iter().all(|&run| run > 0 && (run == 1 || run as i64 * 6 * TICKS_PER_SECOND <= most)));
            proptest::prop_assert!(runs.len() >= count.min(3));
        }
    }
}
