//! Packets → the pictures a decoder will show, where decoding may begin, and whether the timestamps can be kept.

use super::scan::Picture;
use crate::time::Rational;
use serde::{Deserialize, Serialize};

/// Above this many pictures per second, kept up for a second, they are thinned out.
const MAX_OUTPUT_RATE: f64 = 61.0;
/// A pause longer than this many seconds is filled with repeated pictures, so that no segment grows without bound.
pub(super) const MAX_PAUSE_S: i64 = 60;

/// Largest packet that may stand for no picture of its own: ffmpeg's bound for MPEG-4's pictures that are not coded.
const MAX_EMPTY_BYTES: u64 = 19;

/// Rates nearer than this are one: half a second in three hours.
const SAME_RATE: f64 = 0.000_05;

/// How picture times of the output relate to those of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Cadence {
    /// Every picture keeps its own time.
    Source,
    /// Pictures at a constant rate, repeated or dropped as needed: too many, too few, or times not to be trusted one by one.
    Constant {
        /// Pictures per second.
        rate: Rational,
    },
    /// Timestamps run backwards: pictures are numbered from the first one, which means decoding from the start every time.
    Counted {
        /// Pictures per second.
        rate: Rational,
    },
}

/// A place where decoding may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyframe {
    /// Its presentation time, in the stream's time base.
    pub pts: i64,
    /// Its decode time.
    pub dts: i64,
    /// No later packet is shown before it: decoding from here loses nothing that is shown from here on.
    pub clean: bool,
}

/// Presentation times in the stream's time base, ascending but where the clock runs back; serialised as runs of equal distances.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Runs", into = "Runs")]
pub struct PictureTimes(pub Vec<i64>);

/// First time, then (distance, count) pairs.
#[derive(Serialize, Deserialize)]
struct Runs(Option<i64>, Vec<(i64, u32)>);

impl From<PictureTimes> for Runs {
    fn from(times: PictureTimes) -> Self {
        let mut runs: Vec<(i64, u32)> = Vec::new();
        for pair in times.0.windows(2) {
            match runs.last_mut() {
                Some((step, count)) if *step == pair[1] - pair[0] => *count += 1,
                _ => runs.push((pair[1] - pair[0], 1)),
            }
        }
        Self(times.0.first().copied(), runs)
    }
}

impl From<Runs> for PictureTimes {
    fn from(runs: Runs) -> Self {
        let mut times: Vec<i64> = runs.0.into_iter().collect();
        for (step, count) in runs.1 {
            for _ in 0..count {
                times.push(times.last().copied().unwrap_or(0).saturating_add(step));
            }
        }
        Self(times)
    }
}

/// What the video packets amount to.
pub(super) struct Analysis {
    pub times: Vec<i64>,
    /// Times of packets that must hold a picture, each once.
    pub solid: Vec<i64>,
    pub end_pts: i64,
    pub keyframes: Vec<Keyframe>,
    pub cadence: Cadence,
    /// Mean pictures per second, at least 1.
    pub rate: Rational,
}

/// Takes packets in decode order, their time base, the codec and the rate the header claims; gives `None` when no picture can be shown.
pub(super) fn analyse(packets: &[Picture], base: Rational, codec: &str, claimed: Option<Rational>) -> Option<Analysis> {
    let first_key = packets.iter().position(|packet| packet.key)?;
    let packets = &packets[first_key..];
    let key_time = shown_at(&packets[0]);
    let first_group = packets.iter().skip(1).position(|packet| packet.key).map_or(packets.len(), |at| at + 1);
    // ffmpeg's H.264 decoder shows pictures that lead the very first keyframe; those of other codecs drop them. What lies below it further on
    // leads nothing: the clock ran back.
    let leads = |&(at, packet): &(usize, &Picture)| {
        codec != "h264" && at < first_group && shown_at(packet).is_some_and(|time| key_time.is_some_and(|key| time < key))
    };
    let visible = packets.iter().enumerate().filter(|item| !item.1.discard && !leads(item)).map(|(_, packet)| packet);
    let times_of = |packets: &mut dyn Iterator<Item = &Picture>| {
        let mut times: Vec<i64> = packets.filter_map(shown_at).collect();
        times.sort_unstable();
        times
    };
    let every = times_of(&mut visible.clone());
    let mut times = every.clone();
    times.dedup();
    let mut solid = times_of(&mut visible.clone().filter(|packet| packet.size_bytes > MAX_EMPTY_BYTES));
    solid.dedup();
    if solid.is_empty() {
        // However small: nothing tells a picture from a repetition here, and nothing at all would be expected to decode.
        solid.clone_from(&times);
    }
    let (first, last) = (*times.first()?, *times.last()?);
    let step = typical_step(&times).unwrap_or_else(|| claimed.map_or(0, |rate| rate.inverse().rescale(1, base)).max(1));
    let claimed_end = visible.clone().filter(|packet| shown_at(packet) == Some(last)).map(|packet| packet.duration).max().unwrap_or(0);
    let length = if (1..=step.saturating_mul(10)).contains(&claimed_end) { claimed_end } else { step };
    let rate = mean_rate(times.len(), last - first, base).or(claimed).unwrap_or(Rational { num: 25, den: 1 });
    let trouble =
        Trouble { untimed: packets.iter().any(|packet| packet.pts.is_none()), doubled: (every.len() - times.len()) * 50 > every.len() };
    let sane = claimed.filter(|rate| (1.0..MAX_OUTPUT_RATE).contains(&rate.as_f64()));
    let recordings = recordings(visible, base);
    let (cadence, times) = match recordings.len() {
        1 => (cadence(&times, base, rate, sane, &trouble), times),
        // In the order of the file, so that the first is that of the picture shown first, be it the latest of all.
        _ => (Cadence::Counted { rate: counted_rate(&recordings, base, sane) }, recordings.concat()),
    };
    Some(Analysis { end_pts: last.saturating_add(length), keyframes: keyframes(packets), times, solid, cadence, rate })
}

struct Trouble {
    untimed: bool,
    doubled: bool,
}

fn cadence(times: &[i64], base: Rational, rate: Rational, sane: Option<Rational>, trouble: &Trouble) -> Cadence {
    let pause = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    let paused = base.ticks(pause) > MAX_PAUSE_S * crate::time::TICKS_PER_SECOND;
    let lasting = base.ticks(times[times.len() - 1] - times[0]) >= crate::time::TICKS_PER_SECOND;
    if rate.as_f64() > MAX_OUTPUT_RATE && lasting {
        return Cadence::Constant { rate: thinned(rate) };
    }
    if trouble.untimed || trouble.doubled || paused {
        return Cadence::Constant { rate: steady(rate, sane) };
    }
    Cadence::Source
}

/// The rate for pictures that must be spaced anew: the claimed one when it is plausible, else a few per second.
pub(super) fn steady(measured: Rational, claimed: Option<Rational>) -> Rational {
    let plausible = claimed.filter(|rate| (0.5..2.0).contains(&(rate.as_f64() / measured.as_f64())));
    plausible.unwrap_or_else(|| Rational { num: (measured.as_f64().round() as u32).clamp(2, 60), den: 1 })
}

/// Divides a rate above 60 until it is not, snapped to a usual one.
fn thinned(rate: Rational) -> Rational {
    let value = rate.as_f64() / (rate.as_f64() / 60.5).ceil();
    let usual = [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (48, 1), (50, 1), (60_000, 1001), (60, 1)];
    let close = usual.iter().map(|&(num, den)| Rational { num, den }).find(|usual| (usual.as_f64() / value - 1.0).abs() < 0.000_5);
    close.unwrap_or(Rational { num: (value.round() as u32).clamp(1, 60), den: 1 })
}

fn shown_at(packet: &Picture) -> Option<i64> {
    packet.pts.or(packet.dts)
}

/// Tells of each packet in turn whether its decode time jumps back by more than a second: a clip edited without renumbering, or a stream restarted.
pub(super) fn restarts(base: Rational) -> impl FnMut(&Picture) -> bool {
    let second = Rational { num: 1, den: 1 }.rescale(1, base).max(1);
    let mut latest = i64::MIN;
    move |packet| {
        let Some(time) = packet.dts.or(packet.pts) else { return false };
        let is_back = latest != i64::MIN && time < latest.saturating_sub(second);
        latest = if is_back { time } else { latest.max(time) };
        is_back
    }
}

/// All times, two at one time being two, ascending in each of the recordings that lie one after the other in the file.
fn recordings<'a>(packets: impl Iterator<Item = &'a Picture>, base: Rational) -> Vec<Vec<i64>> {
    let (mut all, mut is_restart) = (vec![Vec::new()], restarts(base));
    for packet in packets {
        if is_restart(packet) {
            all.push(Vec::new());
        }
        all.iter_mut().last().into_iter().for_each(|times| times.extend(shown_at(packet)));
    }
    all.iter_mut().for_each(|times| times.sort_unstable());
    all
}

/// The rate at which all pictures take as long as their recordings do, so that lost ones do not part them from the sound; the claimed one if that
/// is the same.
fn counted_rate(recordings: &[Vec<i64>], base: Rational, sane: Option<Rational>) -> Rational {
    let longest = Rational { num: 1, den: 1 }.rescale(MAX_PAUSE_S, base);
    let steps = recordings.iter().flat_map(|times| times.windows(2)).map(|pair| pair[1] - pair[0]).filter(|&step| step <= longest);
    let (count, span) = steps.fold((0, 0), |(count, span), step| (count + 1, span + step));
    let fits = |rate: &Rational| (1.0..MAX_OUTPUT_RATE).contains(&rate.as_f64());
    let Some(measured) = mean_rate(count + 1, span, base).filter(fits) else { return sane.unwrap_or(Rational { num: 25, den: 1 }) };
    sane.filter(|rate| (rate.as_f64() / measured.as_f64() - 1.0).abs() < SAME_RATE).unwrap_or(measured)
}

/// The median distance of ascending times.
pub(super) fn typical_step(times: &[i64]) -> Option<i64> {
    let mut steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let middle = steps.len().checked_sub(1)? / 2;
    Some(*steps.select_nth_unstable(middle).1)
}

fn mean_rate(count: usize, span: i64, base: Rational) -> Option<Rational> {
    let micros = base.rescale(span, Rational { num: 1, den: 1_000_000 });
    let milli = (count as i128 - 1) * 1_000_000_000 / i128::from(micros.max(1));
    (count > 1 && span > 0).then(|| Rational { num: u32::try_from(milli).unwrap_or(u32::MAX).max(1), den: 1000 })
}

fn keyframes(packets: &[Picture]) -> Vec<Keyframe> {
    let mut found: Vec<Keyframe> = Vec::new();
    for packet in packets {
        let Some(pts) = packet.pts.or(packet.dts) else { continue };
        match found.last_mut() {
            _ if packet.key => found.push(Keyframe { pts, dts: packet.dts.unwrap_or(pts), clean: true }),
            Some(key) if pts < key.pts => key.clean = false,
            _ => {}
        }
    }
    found.sort_by_key(|key| key.pts);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Rational = Rational { num: 1, den: 1000 };

    fn packet(pts: i64, dts: i64, key: bool) -> Picture {
        Picture { pts: Some(pts), dts: Some(dts), duration: 40, size_bytes: 900, key, discard: false }
    }

    #[test]
    fn leading_pictures_of_the_first_keyframe_count_in_h264_only() {
        let packets = [packet(0, -40, false), packet(120, 0, true), packet(40, 40, false), packet(160, 80, false)];
        assert_eq!(analyse(&packets, MS, "h264", None).unwrap().times, [40, 120, 160]);
        let hevc = analyse(&packets, MS, "hevc", None).unwrap();
        assert_eq!((hevc.times, hevc.end_pts, hevc.keyframes[0].clean), (vec![120, 160], 200, false));
    }

    #[test]
    fn what_follows_a_restart_lower_leads_nothing() {
        let first = [packet(9080, 9000, true), packet(9000, 9040, false), packet(9120, 9080, false)];
        let second = [packet(80, 0, true), packet(0, 40, false), packet(40, 80, false), packet(120, 120, false)];
        let times = |codec| analyse(&[&first[..], &second[..]].concat(), MS, codec, None).unwrap().times;
        assert_eq!(times("mpeg2video"), [9080, 9120, 0, 40, 80, 120]);
        assert_eq!(times("h264"), [9000, 9080, 9120, 0, 40, 80, 120]);
    }

    #[test]
    fn pictures_that_are_all_of_next_to_nothing_count() {
        let sized = |sizes: [u64; 3]| {
            let packets = sizes.map(|size_bytes| Picture { size_bytes, ..packet(40 * size_bytes as i64, 0, true) });
            analyse(&packets, MS, "zlib", None).unwrap().solid
        };
        assert_eq!(sized([15, 16, 19]), [600, 640, 760]);
        assert_eq!(sized([15, 16, 20]), [800]);
    }

    #[test]
    fn cadence_follows_the_timestamps() {
        let kind = |times: &[i64]| {
            let packets: Vec<_> = times.iter().map(|&t| packet(t, t, true)).collect();
            analyse(&packets, MS, "h264", None).unwrap().cadence
        };
        assert_eq!(kind(&[0, 40, 80, 5000]), Cadence::Source);
        assert!(matches!(kind(&[0, 40, 80, 90_000]), Cadence::Constant { .. }));
        assert_eq!(kind(&[9000, 9040, 9080, 0, 60, 120]), Cadence::Counted { rate: Rational { num: 20_000, den: 1000 } });
        assert_eq!(kind(&[0, 2, 4, 6]), Cadence::Source, "a burst is no frame rate");
        let fast: Vec<i64> = (0..240).map(|i| i * 25 / 3).collect();
        assert_eq!(kind(&fast), Cadence::Constant { rate: Rational { num: 60, den: 1 } });
    }

    proptest::proptest! {
        #[test]
        fn times_survive_their_text(mut times in proptest::collection::vec(-1_000_000i64..1_000_000, 0..50)) {
            times.sort_unstable();
            let text = serde_json::to_string(&PictureTimes(times.clone())).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<PictureTimes>(&text).unwrap().0, times);
        }
    }
}
