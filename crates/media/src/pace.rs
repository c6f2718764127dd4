//! When a version that is still being made may be watched: once production outruns play.

use crate::ladder::Rendition;
use crate::plan::VideoPlan;

/// What decoding a pixel costs, where encoding one costs 1.
const DECODING: f64 = 0.15;
/// Production may turn out this much slower than it was so far.
const MARGIN: f64 = 1.2;

/// How far the production of a version is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Length of what can be watched already, from the beginning on; any unit, as long as all three share it.
    pub made: f64,
    /// How long it took.
    pub elapsed: f64,
    /// Length of all.
    pub whole: f64,
}

impl Pace {
    /// Whether someone who begins to watch now, and never pauses, is not going to wait, if production goes on `speed` times as fast as it went so far.
    pub fn outruns_play(self, speed: f64) -> bool {
        let Self { made, elapsed, whole } = self;
        if made >= whole {
            return true;
        }
        let rest = (whole - made) * elapsed / (made * speed);
        // NaN where nothing is made yet.
        made > 0.0 && rest * MARGIN <= whole
    }
}

impl VideoPlan {
    /// How many times as fast as one slot makes the lowest rendition alone `slots` of them make all that is encoded, by the number of pixels.
    pub fn speed_of_all(&self, slots: usize) -> f64 {
        let pixels = |rendition: &Rendition| f64::from(rendition.width) * f64::from(rendition.height);
        let decoding = DECODING * self.ladder().last().map_or(0.0, pixels);
        let lowest = self.renditions.first().map_or(0.0, pixels);
        let all: f64 = self.renditions.iter().map(pixels).sum();
        slots as f64 * (decoding + lowest) / (decoding + all).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::probe::tests_support::{facts, video};

    #[test]
    fn play_never_catches_up_with_production() {
        let pace = |made, elapsed, whole| Pace { made, elapsed, whole }.outruns_play(1.0);
        assert!(pace(6.0, 4.0, 10_800.0));
        assert!(!pace(6.0, 6.0, 10_800.0), "as fast as play is too slow to be sure of");
        assert!(!pace(6.0, 60.0, 600.0));
        assert!(pace(550.0, 5500.0, 600.0), "slow, and nearly there");
        assert!(pace(600.0, 1e9, 600.0));
        assert!(!pace(0.0, 5.0, 600.0) && !pace(0.0, 0.0, 600.0));
    }

    #[test]
    fn the_lowest_rendition_tells_how_fast_all_of_them_come() {
        let speed = |width, height, slots| Plan::new(&facts(video(width, height)), slots).video.unwrap().speed_of_all(slots);
        assert!((0.2..0.4).contains(&speed(1920, 1080, 2)), "{}", speed(1920, 1080, 2));
        assert!(speed(1920, 1080, 8) > 3.9 * speed(1920, 1080, 2));
        assert!(speed(3840, 2160, 2) < speed(1920, 1080, 2));
        assert!((speed(640, 360, 1) - 1.0).abs() < 1e-9);
    }
}
