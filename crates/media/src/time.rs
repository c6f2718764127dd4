//! Exact time: rational time bases, and the one rounding everybody uses.

use serde::{Deserialize, Serialize};

/// Ticks per second of the common timeline; every time in a plan is a count of these.
pub const TICKS_PER_SECOND: i64 = 90_000;

/// Samples per second of every audio rendition.
pub const AUDIO_RATE: i64 = 48_000;

/// A positive fraction: a time base in seconds per unit, or a rate in pictures per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rational {
    /// Numerator.
    pub num: u32,
    /// Denominator.
    pub den: u32,
}

impl Rational {
    /// The time base of the common timeline.
    pub const TICK: Self = Self { num: 1, den: TICKS_PER_SECOND as u32 };
    /// The time base of audio renditions.
    pub const AUDIO: Self = Self { num: 1, den: AUDIO_RATE as u32 };

    /// Takes ffprobe's `1/90000` or `16:11`; gives `None` unless both halves are positive.
    pub fn parse(text: &str) -> Option<Self> {
        let (num, den) = text.split_once(['/', ':'])?;
        let (num, den) = (num.parse().ok()?, den.parse().ok()?);
        (num > 0 && den > 0).then_some(Self { num, den })
    }

    /// The fraction turned over: a time base from a rate.
    pub fn inverse(self) -> Self {
        Self { num: self.den, den: self.num }
    }

    /// The value as a float, for display and thresholds only.
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// Converts `value` units of `self` into units of `to`, rounding half away from zero as ffmpeg's `av_rescale_q` does,
    /// so that a time computed here equals the one ffmpeg's `settb` filter computes.
    pub fn rescale(self, value: i64, to: Self) -> i64 {
        let num = i128::from(value) * i128::from(self.num) * i128::from(to.den);
        let den = i128::from(self.den) * i128::from(to.num);
        let half = den / 2;
        let rounded = if num >= 0 { (num + half) / den } else { -((-num + half) / den) };
        rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// Converts `value` units of this time base into ticks.
    pub fn ticks(self, value: i64) -> i64 {
        self.rescale(value, Self::TICK)
    }
}

/// Seconds as a float from ticks, for playlists and display.
pub fn ticks_to_seconds(ticks: i64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND as f64
}

/// Decimal seconds, cut (not rounded) to the microsecond, the resolution of ffmpeg's time options.
/// Cutting keeps `force_key_frames` at or before the picture it names.
pub fn ticks_to_decimal(ticks: i64) -> String {
    let micros = (i128::from(ticks) * 1_000_000).div_euclid(i128::from(TICKS_PER_SECOND));
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescale_rounds_half_away_from_zero() {
        let third = Rational { num: 1, den: 180_000 };
        assert_eq!(third.ticks(1), 1);
        assert_eq!(third.ticks(-1), -1);
        assert_eq!(third.ticks(2), 1);
        assert_eq!(Rational { num: 1001, den: 30_000 }.ticks(1), 3003);
    }

    #[test]
    fn decimals_are_cut_not_rounded() {
        assert_eq!(ticks_to_decimal(1), "0.000011");
        assert_eq!(ticks_to_decimal(-45_000), "-0.500000");
        assert_eq!(ticks_to_decimal(900_001), "10.000011");
    }

    #[test]
    fn fractions_need_two_positive_halves() {
        assert_eq!(Rational::parse("0/1"), None);
        assert_eq!(Rational::parse("4:3"), Some(Rational { num: 4, den: 3 }));
    }
}
