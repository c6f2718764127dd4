//! Facts → renditions: which sizes are made, and how many bits they may cost.

use crate::probe::VideoFacts;
use serde::{Deserialize, Serialize};

/// The rungs: short side in pixels, and the most bits per second (in thousands) a 16:9 picture of it may take.
const RUNGS: [(u32, u32); 5] = [(360, 800), (480, 1400), (720, 2800), (1080, 5000), (2160, 16_000)];

/// Most renditions of one version.
pub const MAX_RENDITIONS: usize = 5;

/// One quality level to be encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    /// `720p`: the short side; unique within a version.
    pub name: String,
    /// Width in pixels, even, square pixels, upright.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Cap of the bit rate, in thousands of bits per second.
    pub maxrate_kbps: u32,
    /// H.264 level times ten, as in `avcC`: 31 for 3.1.
    pub level: u8,
}

impl Rendition {
    /// The codec by RFC 6381 that encoding it gives.
    pub fn codec(&self) -> String {
        format!("avc1.6400{:02x}", self.level)
    }
}

/// The size a picture has when shown: square pixels, upright. Gives (width, height).
pub fn display_size(video: &VideoFacts) -> (f64, f64) {
    let (width, height) = (f64::from(video.width) * video.sar.as_f64(), f64::from(video.height));
    if matches!(video.rotation, 90 | 270) { (height, width) } else { (width, height) }
}

/// The renditions of a source, lowest first: every rung up to its own short side, its own as the top when it is at least 1.15 × the rung
/// below; one of its own size when it is below all rungs. Never upscaled.
pub fn ladder(video: &VideoFacts) -> Vec<Rendition> {
    let (width, height) = display_size(video);
    let (short, long) = (width.min(height), width.max(height));
    let own = ((short / 2.0).floor() as u32).max(1) * 2;
    let mut sides: Vec<u32> = RUNGS.iter().map(|&(side, _)| side).filter(|&side| f64::from(side) <= short).collect();
    if sides.last().is_none_or(|&top| f64::from(own) >= f64::from(top) * 1.15) && sides.len() < MAX_RENDITIONS {
        sides.push(own);
    }
    let rate = video.rate.as_f64().clamp(1.0, 60.0);
    sides.into_iter().map(|side| rendition(side, long / short, width >= height, rate)).collect()
}

fn rendition(side: u32, aspect: f64, landscape: bool, rate: f64) -> Rendition {
    let long = even(f64::from(side) * aspect);
    let (width, height) = if landscape { (long, side) } else { (side, long) };
    Rendition {
        name: format!("{side}p"),
        width,
        height,
        maxrate_kbps: maxrate_kbps(side, width, height),
        level: level(width, height, rate),
    }
}

/// The nearest even number, at least 2: 4:2:0 pictures have no odd sides.
fn even(side: f64) -> u32 {
    ((side / 2.0).round() as u32).max(1) * 2
}

/// The rung's own cap, or one between its neighbours' by number of pixels.
fn maxrate_kbps(side: u32, width: u32, height: u32) -> u32 {
    if let Some(&(_, cap)) = RUNGS.iter().find(|&&(rung, _)| rung == side) {
        return cap;
    }
    let pixels = |side: u32| f64::from(side) * f64::from(side) * 16.0 / 9.0;
    let wanted = f64::from(width) * f64::from(height);
    let above = RUNGS.iter().position(|&(rung, _)| pixels(rung) > wanted).unwrap_or(RUNGS.len() - 1);
    let (high, high_cap) = RUNGS[above];
    let (low, low_cap) = if above == 0 { (0, 0) } else { RUNGS[above - 1] };
    let part = (wanted - pixels(low)) / (pixels(high) - pixels(low));
    (f64::from(low_cap) + part * (f64::from(high_cap) - f64::from(low_cap))).round().clamp(150.0, 24_000.0) as u32
}

/// The lowest H.264 level (Table A-1) that holds the picture at its rate; the rate a source claims is never asked.
fn level(width: u32, height: u32, rate: f64) -> u8 {
    const LEVELS: [(u8, u32, f64); 11] = [
        (21, 792, 19_800.0),
        (30, 1620, 40_500.0),
        (31, 3600, 108_000.0),
        (32, 5120, 216_000.0),
        (40, 8192, 245_760.0),
        (42, 8704, 522_240.0),
        (50, 22_080, 589_824.0),
        (51, 36_864, 983_040.0),
        (52, 36_864, 2_073_600.0),
        (60, 139_264, 4_177_920.0),
        (62, 139_264, 16_711_680.0),
    ];
    let blocks = width.div_ceil(16) * height.div_ceil(16);
    let fits = |&&(_, size, speed): &&(u8, u32, f64)| blocks <= size && f64::from(blocks) * rate <= speed;
    LEVELS.iter().find(fits).map_or(62, |&(level, ..)| level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::tests_support::video;
    use crate::time::Rational;

    fn sizes(width: u32, height: u32, sar: (u32, u32), rotation: u16) -> Vec<String> {
        let mut video = video(width, height);
        video.sar = Rational { num: sar.0, den: sar.1 };
        video.rotation = rotation;
        ladder(&video).iter().map(|r| format!("{} {}x{}", r.name, r.width, r.height)).collect()
    }

    #[test]
    fn rungs_by_the_short_side() {
        assert_eq!(sizes(1920, 1080, (1, 1), 0), ["360p 640x360", "480p 854x480", "720p 1280x720", "1080p 1920x1080"]);
        assert_eq!(sizes(1920, 1080, (1, 1), 90).last().unwrap(), "1080p 1080x1920");
        assert_eq!(sizes(640, 360, (2, 1), 0), ["360p 1280x360"]);
        assert_eq!(sizes(320, 180, (3, 4), 0), ["180p 240x180"]);
        assert_eq!(sizes(3026, 1386, (1, 1), 0).last().unwrap(), "1386p 3026x1386");
        assert_eq!(sizes(3026, 1387, (1, 1), 0).last().unwrap(), "1386p 3024x1386");
        assert_eq!(sizes(7680, 4320, (1, 1), 0).len(), MAX_RENDITIONS);
        assert_eq!(sizes(16, 16, (1, 1), 0), ["16p 16x16"]);
        assert_eq!(sizes(720, 400, (1, 1), 0), ["360p 648x360"]);
    }

    #[test]
    fn odd_tops_cost_between_their_neighbours() {
        let top = ladder(&video(3026, 1386)).pop().unwrap();
        assert!((5001..16_000).contains(&top.maxrate_kbps), "{}", top.maxrate_kbps);
        assert_eq!(ladder(&video(1920, 1080)).iter().map(|r| r.maxrate_kbps).collect::<Vec<_>>(), [800, 1400, 2800, 5000]);
        assert!(ladder(&video(160, 120))[0].maxrate_kbps < 800);
    }

    proptest::proptest! {
        #[test]
        fn never_larger_always_even(width in 16u32..8192, height in 16u32..4320, num in 1u32..4, den in 1u32..4, turn in 0u16..4) {
            let mut video = video(width, height);
            video.sar = Rational { num, den };
            video.rotation = turn * 90;
            let (w, h) = display_size(&video);
            let renditions = ladder(&video);
            proptest::prop_assert!((1..=MAX_RENDITIONS).contains(&renditions.len()));
            for r in &renditions {
                proptest::prop_assert!(r.width % 2 == 0 && r.height % 2 == 0);
                proptest::prop_assert!(f64::from(r.width) <= w.max(2.0) + 1.0 && f64::from(r.height) <= h.max(2.0) + 1.0);
                proptest::prop_assert!((f64::from(r.width) - f64::from(r.height) * w / h).abs() <= 1.0 + 2.0 * w.max(h) / w.min(h));
            }
            proptest::prop_assert!(renditions.windows(2).all(|pair| pair[0].width < pair[1].width));
        }
    }
}
