//! Where segments begin: at pictures, about six seconds apart.

use super::Mark;
use crate::time::TICKS_PER_SECOND;
use serde::{Deserialize, Serialize};

/// Length of a segment of a long video.
const TARGET_TICKS: i64 = 6 * TICKS_PER_SECOND;
/// Up to this length a video is one segment.
const WHOLE_TICKS: i64 = 4 * TICKS_PER_SECOND;

/// One AAC frame at 48 kHz.
const AAC_FRAME_TICKS: i64 = 1920;

/// One segment of every rendition: a half-open interval of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// First tick.
    pub start_ticks: i64,
    /// First tick of the next one.
    pub end_ticks: i64,
    /// Pictures expected in it.
    pub pictures: u32,
}

impl Segment {
    /// Its length.
    pub fn duration_ticks(&self) -> i64 {
        self.end_ticks - self.start_ticks
    }
}

/// The segment length aimed at for a timeline of the given length: 6 s, or a third of what is shorter than 18 s, so that anything above 4 s
/// has three segments.
pub fn default_target(duration_ticks: i64) -> i64 {
    match duration_ticks {
        ..=WHOLE_TICKS => TARGET_TICKS,
        _ if duration_ticks < 3 * TARGET_TICKS => duration_ticks / 3,
        _ => TARGET_TICKS,
    }
}

/// Cuts at the first picture that lies at least `target` after the last cut; a remainder below a quarter of it stays with the last segment, and
/// so does one shorter than the others in which there is no sound any more. The first segment begins at the origin even when its first
/// picture shows later. `sound_end` is where the sound ends, if there is any.
pub(crate) fn video_segments(marks: &[Mark], duration_ticks: i64, target: i64, sound_end: Option<i64>) -> Vec<Segment> {
    let mut segments = Vec::new();
    let (mut start, mut pictures) = (0, 0);
    for mark in marks {
        // One tick of rounding is no reason to cut a picture later.
        let due = mark.ticks - start >= target - 1 && pictures > 0;
        let left = duration_ticks - mark.ticks;
        if due && left >= target / 4 && !(left < target && is_silent(sound_end, mark.ticks)) {
            segments.push(Segment { start_ticks: start, end_ticks: mark.ticks, pictures });
            (start, pictures) = (mark.ticks, 0);
        }
        pictures += 1;
    }
    let end_ticks = duration_ticks.max(start + 1);
    segments.push(Segment { start_ticks: start, end_ticks, pictures });
    segments
}

/// Whether there is sound no more from `ticks` on, though there is some before.
pub(crate) fn is_silent(sound_end: Option<i64>, ticks: i64) -> bool {
    sound_end.is_some_and(|end| end < ticks + AAC_FRAME_TICKS)
}

/// Sound alone is cut at exact multiples of `target`.
pub(crate) fn sound_segments(duration_ticks: i64, target: i64) -> Vec<Segment> {
    let count = ((duration_ticks + target / 2) / target).max(1);
    let end = |index: i64| if index == count { duration_ticks.max(1) } else { index * target };
    (0..count).map(|index| Segment { start_ticks: index * target, end_ticks: end(index + 1), pictures: 0 }).collect()
}
