//! Where the clock of a source jumps ahead for picture and sound alike: nothing happened there, a recorder was set anew or two recordings joined.

use super::pictures::{MAX_PAUSE_S, restarts, typical_step};
use super::scan::{AudioSpan, Picture};
use crate::time::{Rational, TICKS_PER_SECOND};
use serde::{Deserialize, Serialize};

/// Picture and sound that pause alike within this did not pause: the clock jumped.
const SHARED_SLACK_TICKS: i64 = 2 * TICKS_PER_SECOND;

/// A jump of the source's clock that is taken out, with picture and sound on both sides as far apart as they were. All times that are planned with
/// are those of the clock without its jumps; only seeks need the source's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jump {
    /// Where the last picture and sound before it end, in ticks of the source's own clock.
    pub from_ticks: i64,
    /// How far ahead the next ones are.
    pub by_ticks: i64,
}

impl Jump {
    /// The middle of the time in which nothing is: what is later by the source's own clock comes after the jump, decode times too.
    pub(crate) fn middle_ticks(self) -> i64 {
        self.from_ticks + self.by_ticks / 2
    }
}

/// The source's own time of a time without jumps; what lies at a jump is taken for what follows it.
pub(crate) fn with_jumps(jumps: &[Jump], ticks: i64) -> i64 {
    jumps.iter().fold(ticks, |ticks, jump| if ticks >= jump.from_ticks { ticks + jump.by_ticks } else { ticks })
}

/// The time without jumps of one of the source's own.
pub(super) fn without_jumps(jumps: &[Jump], ticks: i64) -> i64 {
    ticks - jumps.iter().filter(|jump| ticks >= jump.middle_ticks()).map(|jump| jump.by_ticks).sum::<i64>()
}

/// Takes the jumps out of the packets' times.
pub(super) fn take_out(jumps: &[Jump], packets: &mut [Picture], base: Rational) {
    if jumps.is_empty() {
        return;
    }
    for time in packets.iter_mut().flat_map(|packet| [&mut packet.pts, &mut packet.dts]).flatten() {
        *time = Rational::TICK.rescale(without_jumps(jumps, base.ticks(*time)), base);
    }
}

/// Finds the jumps: pauses of the picture too long to be kept, in which the sound pauses as well and about as long. None in a clock that also runs
/// back: one time may then be of two places.
pub(super) fn find(pictures: &[Picture], base: Rational, sound: &AudioSpan, sound_base: Rational) -> Vec<Jump> {
    if pictures.iter().any(restarts(base)) {
        return Vec::new();
    }
    let mut times: Vec<i64> = pictures.iter().filter_map(|packet| packet.pts.or(packet.dts)).collect();
    times.sort_unstable();
    let step = base.ticks(typical_step(&times).unwrap_or(0));
    let pauses = times.windows(2).map(|pair| (base.ticks(pair[0]) + step, base.ticks(pair[1])));
    let long = pauses.filter(|(end, next)| next - end > MAX_PAUSE_S * TICKS_PER_SECOND);
    long.filter_map(|(end, next)| {
        let silences = sound.pauses.iter().map(|pause| (sound_base.ticks(pause.end_pts), sound_base.ticks(pause.next_pts)));
        let shared = silences.map(|(sound_end, sound_next)| (sound_end.max(end), sound_next.min(next), sound_next - sound_end));
        let alike = |&(from, to, length): &(i64, i64, i64)| (length - (next - end)).abs() <= SHARED_SLACK_TICKS && from < to;
        let (from_ticks, to, _) = shared.filter(alike).max_by_key(|(from, to, _)| to - from)?;
        Some(Jump { from_ticks, by_ticks: to - from_ticks })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::scan::Pause;
    use super::*;

    const MS: Rational = Rational { num: 1, den: 1000 };

    fn between(times: &[i64], pauses: &[(i64, i64)]) -> Vec<Jump> {
        let packet = |&pts: &i64| Picture { pts: Some(pts), dts: Some(pts), duration: 40, size_bytes: 900, key: true, discard: false };
        let pauses = pauses.iter().map(|&(end_pts, next_pts)| Pause { end_pts, next_pts }).collect();
        let sound = AudioSpan { first_pts: 0, start_pts: 0, end_pts: 0, packets: 9, length: 0, pauses };
        find(&times.iter().map(packet).collect::<Vec<_>>(), MS, &sound, MS)
    }

    #[test]
    fn a_pause_is_a_jump_if_the_sound_has_it_too() {
        let times = [0, 40, 80, 90_000, 90_040, 90_080, 190_000];
        let jump = |from: i64, to: i64| Jump { from_ticks: from * 90, by_ticks: (to - from) * 90 };
        assert_eq!(between(&times, &[(130, 90_000)]), [jump(130, 90_000)]);
        assert_eq!(between(&times, &[(60, 89_800), (90_100, 190_300)]), [jump(120, 89_800), jump(90_120, 190_000)]);
        assert_eq!(between(&times, &[(130, 80_000)]), [], "the sound goes on over a slide");
        assert_eq!(between(&times, &[(90_300, 180_170)]), [], "as long, but elsewhere");
        assert_eq!(between(&[0, 40, 80, 50_000], &[(100, 50_000)]), [], "short enough to be kept");
    }

    proptest::proptest! {
        #[test]
        fn times_come_back(lengths in proptest::collection::vec((1i64..9000, 60i64..9000), 0..5), ticks in 0i64..50_000) {
            let mut jumps: Vec<Jump> = Vec::new();
            let mut now = 0;
            for (length, by_ticks) in lengths {
                jumps.push(Jump { from_ticks: now + length, by_ticks });
                now += length + by_ticks;
            }
            let own = with_jumps(&jumps, ticks);
            proptest::prop_assert_eq!(without_jumps(&jumps, own), ticks);
            proptest::prop_assert!(jumps.iter().all(|jump| own < jump.from_ticks || own >= jump.from_ticks + jump.by_ticks));
        }
    }
}
