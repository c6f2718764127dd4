//! Facts of a part of a source: what lies between two points, on a timeline of its own.

use super::pictures::{Cadence, steady};
use super::{Facts, VideoFacts};
use crate::time::{Rational, TICKS_PER_SECOND};
use serde::{Deserialize, Serialize};

/// How long the first picture between the points may keep a viewer waiting; longer, and the picture that was on the screen is repeated.
const MAX_HEAD_TICKS: i64 = TICKS_PER_SECOND;
/// How long the last one may stay.
const MAX_TAIL_TICKS: i64 = 20 * TICKS_PER_SECOND;
const TICKS_PER_MS: i64 = TICKS_PER_SECOND / 1000;

/// Where a trimmed version begins and ends, in ticks from the source's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Points {
    /// The first tick shown.
    pub in_ticks: i64,
    /// The first tick not shown any more; absent: the source's end.
    pub out_ticks: Option<i64>,
}

/// The interval of a trimmed source that is shown, in ticks of the source's own clock (its jumps taken out).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The first tick shown: the zero of the timeline.
    pub start_ticks: i64,
    /// The first tick not shown any more.
    pub end_ticks: i64,
}

impl Points {
    /// Points given in milliseconds.
    pub fn of_ms(in_ms: u64, out_ms: Option<u64>) -> Self {
        let ticks = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(TICKS_PER_MS);
        Self { in_ticks: ticks(in_ms), out_ticks: out_ms.map(ticks) }
    }
}

impl Facts {
    /// The same source between two points: the pictures and the sound whose presentation time is in the half-open interval, on a timeline
    /// that starts at zero there. Without sound it starts at the first of the pictures. Where no picture begins for long after the in
    /// point or before the out point, the one that was on the screen is repeated.
    pub fn trimmed(&self, points: Points) -> Self {
        let (origin, end) = (self.origin_ticks(), self.end_ticks());
        let mut window = Window {
            start_ticks: origin.saturating_add(points.in_ticks.max(0)).min(end - 1),
            end_ticks: points.out_ticks.map_or(end, |out| origin.saturating_add(out).min(end)),
        };
        window.end_ticks = window.end_ticks.max(window.start_ticks + 1);
        let begins_in_time = |start: i64| start < window.end_ticks;
        let audio = self.audio.clone().filter(|audio| {
            let ticks = |pts| audio.time_base.ticks(pts);
            begins_in_time(ticks(audio.start_pts)) && ticks(audio.end_pts) > window.start_ticks
        });
        let mut video = self.video.clone().filter(|video| video.start_ticks().is_some_and(begins_in_time));
        if let Some(video) = &mut video {
            fill(video, window);
            let first = first_within(video, window).filter(|_| audio.is_none() && video.cadence == Cadence::Source);
            window.start_ticks = first.unwrap_or(window.start_ticks);
        }
        Self { video, audio, window: Some(window), ..self.clone() }
    }

    /// The length of the source, or of what is shown of it, in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        let length = self.end_ticks().saturating_sub(self.origin_ticks());
        Rational::TICK.rescale(length, Rational { num: 1, den: 1000 }).max(0).unsigned_abs()
    }
}

/// Where pictures are too far apart at the points, they are repeated at a constant rate.
fn fill(video: &mut VideoFacts, window: Window) {
    if video.cadence != Cadence::Source {
        return;
    }
    let last = video.pictures.0.iter().rev().map(|&pts| video.time_base.ticks(pts)).find(|&ticks| ticks < window.end_ticks);
    let waits = first_within(video, window).is_none_or(|first| first - window.start_ticks > MAX_HEAD_TICKS);
    let stays = last.is_none_or(|last| window.end_ticks - last > MAX_TAIL_TICKS);
    if waits || stays {
        video.cadence = Cadence::Constant { rate: steady(video.rate, None) };
    }
}

fn first_within(video: &VideoFacts, window: Window) -> Option<i64> {
    let within = window.start_ticks..window.end_ticks;
    video.pictures.0.iter().map(|&pts| video.time_base.ticks(pts)).find(|ticks| within.contains(ticks))
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::{facts, video};
    use super::super::{AudioFacts, Keyframe, PictureTimes};
    use super::*;
    use crate::plan::Plan;
    use proptest::prelude::*;

    fn sound(start_pts: i64, end_pts: i64) -> AudioFacts {
        let time_base = Rational { num: 1, den: 1000 };
        AudioFacts { stream: 1, codec: "aac".into(), channels: 2, sample_rate: 48_000, time_base, start_pts, end_pts }
    }

    fn plan(facts: &Facts, in_ms: u64, out_ms: Option<u64>) -> Plan {
        Plan::trimmed(facts, 2, Points::of_ms(in_ms, out_ms))
    }

    #[test]
    fn pictures_and_sound_are_cut_at_the_points() {
        let whole = Facts { audio: Some(sound(0, 10_000)), ..facts(video(640, 360)) };
        let plan = plan(&whole, 3_010, Some(7_000));
        assert_eq!((plan.origin_ticks, plan.duration_ticks), (3_010 * 90, 3_990 * 90));
        let video = plan.video.unwrap();
        let (first, last) = (&video.chunks[0], video.chunks.last().unwrap());
        assert_eq!((first.first_picture, first.first_picture_ticks, last.end_picture, video.pictures), (3_040, 30 * 90, 6_961, 99));
        let audio = plan.audio.unwrap();
        assert_eq!((audio.cut_from_ticks, audio.cut_end_ticks), (Some(3_010 * 90), Some(7_000 * 90)));
        assert_eq!(video.poster.within, Some((3_040, 6_961)));
        assert!((3_040..7_000).contains(&video.poster.pts));
    }

    #[test]
    fn a_gap_between_sound_and_pictures_is_nothing() {
        let mut late = video(640, 360);
        let shift = |pts: &mut i64| *pts += 8_000;
        late.pictures.0.iter_mut().chain(&mut late.solid.0).for_each(shift);
        late.end_pts += 8_000;
        let whole = Facts { audio: Some(sound(0, 3_000)), ..facts(late) };
        assert!(plan(&whole, 4_000, Some(6_000)).is_empty());
        assert!(!plan(&whole, 2_000, Some(6_000)).is_empty() && !plan(&whole, 4_000, Some(9_000)).is_empty());
    }

    #[test]
    fn the_whole_source_between_its_own_ends_is_planned_as_ever() {
        let whole = facts(video(640, 360));
        let (trimmed, plain) = (plan(&whole, 0, None), Plan::new(&whole, 2));
        assert_eq!((&trimmed.segments, trimmed.duration_ticks), (&plain.segments, plain.duration_ticks));
        assert_eq!(trimmed.video.unwrap().chunks, plain.video.unwrap().chunks);
    }

    #[test]
    fn without_sound_the_timeline_starts_at_a_picture() {
        let plan = plan(&facts(video(640, 360)), 3_010, None);
        assert_eq!((plan.origin_ticks, plan.video.unwrap().chunks[0].first_picture_ticks), (3_040 * 90, 0));
    }

    #[test]
    fn a_slide_that_was_on_the_screen_stays_on_it() {
        let mut slides = video(640, 360);
        slides.pictures = PictureTimes(vec![0, 9_000, 18_000, 27_000]);
        slides.solid = slides.pictures.clone();
        slides.keyframes = slides.pictures.0.iter().map(|&pts| Keyframe { pts, dts: pts, clean: true }).collect();
        slides.end_pts = 36_000;
        let whole = Facts { audio: Some(sound(0, 36_000)), ..facts(slides) };
        for (in_ms, out_ms, evidence) in [(10_000, Some(16_000), 0), (10_000, Some(30_000), 2)] {
            let plan = plan(&whole, in_ms, out_ms);
            let video = plan.video.as_ref().unwrap();
            assert!(matches!(video.cadence, Cadence::Constant { .. }), "{:?}", video.cadence);
            assert!(video.chunks[0].first_picture_ticks < 90_000 && video.expected() == evidence, "{video:?}");
        }
    }

    #[test]
    fn what_lies_outside_altogether_is_left_out() {
        let late = Facts { audio: Some(sound(8_000, 10_000)), ..facts(video(640, 360)) };
        assert_eq!(plan(&late, 0, Some(5_000)).audio, None);
        assert!(plan(&late, 0, Some(9_000)).audio.is_some());
        let mut pictures = video(640, 360);
        pictures.pictures.0.retain(|&pts| pts >= 6_000);
        let late = Facts { audio: Some(sound(0, 10_000)), ..facts(pictures) };
        assert_eq!(plan(&late, 0, Some(5_000)).video, None);
    }

    proptest! {
        /// n chunks hold exactly the pictures between the points, each in one segment.
        #[test]
        fn every_picture_between_the_points_is_in_one_chunk(
            steps in prop::collection::vec(1i64..1000, 20..200), slots in 1usize..9, points in (0.0f64..0.9, 0.1f64..1.0), with_sound in any::<bool>()
        ) {
            let mut video = video(640, 360);
            let times: Vec<i64> = steps.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
            video.end_pts = times.last().unwrap() + 40;
            video.keyframes = times.iter().step_by(10).map(|&pts| Keyframe { pts, dts: pts, clean: true }).collect();
            video.pictures = PictureTimes(times.clone());
            let audio = with_sound.then(|| sound(0, video.end_pts));
            let whole = Facts { audio, ..facts(video) };
            let length_ms = whole.duration_ms();
            let in_ms = (points.0 * length_ms as f64) as u64;
            let out_ms = in_ms + ((length_ms - in_ms) as f64 * points.1) as u64;
            let trimmed = whole.trimmed(Points::of_ms(in_ms, Some(out_ms)));
            prop_assume!(trimmed.video.as_ref().is_some_and(|video| video.cadence == Cadence::Source));
            let plan = Plan::trimmed(&whole, slots, Points::of_ms(in_ms, Some(out_ms)));
            let (from, to) = (whole.origin_ticks() + in_ms as i64 * 90, whole.origin_ticks() + out_ms as i64 * 90);
            let wanted: Vec<i64> = times.iter().copied().filter(|pts| (from..to).contains(&(pts * 90))).collect();
            prop_assert!(plan.segments.windows(2).all(|pair| pair[0].end_ticks == pair[1].start_ticks));
            prop_assert_eq!((plan.segments[0].start_ticks, plan.segments.last().unwrap().end_ticks), (0, plan.duration_ticks));
            prop_assert_eq!(plan.origin_ticks + plan.duration_ticks, to.min(whole.end_ticks()));
            let made = plan.video.unwrap();
            let kept = |chunk: &crate::timeline::Chunk| times.iter().copied().filter(|pts| (chunk.first_picture..chunk.end_picture).contains(pts)).collect::<Vec<_>>();
            prop_assert_eq!(made.chunks.iter().flat_map(kept).collect::<Vec<_>>(), wanted.clone());
            prop_assert_eq!(made.chunks.iter().map(|chunk| chunk.pictures as usize).sum::<usize>(), wanted.len());
            prop_assert_eq!(made.chunks[0].first_picture_ticks, wanted[0] * 90 - plan.origin_ticks);
        }
    }
}
