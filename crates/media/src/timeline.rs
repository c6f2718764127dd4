//! Facts → one timeline for all renditions: where segments begin, which run of them one job encodes.
//!
//! Times are ticks of 1/90000 s from the origin, the earlier of first picture and first sound.

mod chunks;
mod cut;

pub(crate) use chunks::chunks;
pub use chunks::{Chunk, Evidence};
pub use cut::{Segment, default_target};
pub(crate) use cut::{is_silent, sound_segments, video_segments};

use crate::probe::{Cadence, Facts, VideoFacts};

/// One expected picture: when it shows on the timeline, and how the source names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Ticks from the origin.
    pub ticks: i64,
    /// Source timestamp, or number on the constant grid, or number since the first: see [`Cadence`].
    pub name: i64,
}

/// The pictures the output shall have, in order, no two at one tick.
pub(crate) fn marks(facts: &Facts, video: &VideoFacts) -> Vec<Mark> {
    let origin = facts.origin_ticks();
    let named = |name: i64, ticks: i64| Mark { ticks: ticks - origin, name };
    let mut marks: Vec<Mark> = match video.cadence {
        Cadence::Source => video.pictures.0.iter().map(|&pts| named(pts, video.time_base.ticks(pts))).collect(),
        Cadence::Constant { rate } => {
            let step = rate.inverse();
            let from = crate::time::Rational::TICK.rescale(origin, step) - 1;
            let grid = (from..).map(|name| named(name, step.ticks(name))).skip_while(|mark| mark.ticks < 0);
            grid.take_while(|mark| mark.ticks + origin < facts.end_ticks()).collect()
        }
        Cadence::Counted { rate } => {
            let start = video.start_ticks().unwrap_or(0);
            (0..video.pictures.0.len() as i64).map(|name| named(name, start + rate.inverse().ticks(name))).collect()
        }
    };
    if let Some(window) = facts.window {
        marks.retain(|mark| (0..window.end_ticks - window.start_ticks).contains(&mark.ticks));
    }
    marks.dedup_by_key(|mark| mark.ticks);
    marks
}
