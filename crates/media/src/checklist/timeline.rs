//! Segments in time: one after another in a rendition, and side by side in all.

use super::Read;
use super::rule::{self, Finding};

/// Rounding of EXTINF, of times in units of a track, and of a picture's own duration.
const ROUNDING_S: f64 = 0.001;
/// 1024 samples at 48 kHz: what sound may be off a cut.
const SOUND_FRAME_S: f64 = 1024.0 / 48_000.0;
/// Two seconds, and a picture or two where a picture does not fall on them.
const LONGEST_GROUP_S: f64 = 2.2;

pub(super) fn check(rendition: &Read<'_>, findings: &mut Vec<Finding>) {
    let scale = f64::from(rendition.init.timescale);
    // In each rendition the first sample shown may begin after zero; the segments follow one another from there.
    let mut next: Option<u64> = None;
    for (number, (segment, (seconds, _))) in rendition.segments.iter().zip(rendition.lines.segments()).enumerate() {
        let mut find = |rule: rule::Rule, what: String| findings.push(rule.broken(format!("{} segment {number}", rendition.uri), what));
        if !segment.is_whole {
            find(rule::ONE_FRAGMENT, "its samples do not fill its media data".to_owned());
        }
        if next.is_some_and(|next| next != segment.decode_time) {
            find(rule::DECODE_TIME, format!("it begins at {}, its predecessor ends at {next:?}", segment.decode_time));
        }
        next = Some(segment.end());
        let before = number.checked_sub(1).and_then(|before| rendition.segments.get(before));
        if before.is_some_and(|before| before.sequence >= segment.sequence) {
            find(rule::SEQUENCE, format!("its number is {}", segment.sequence));
        }
        let lasts = segment.duration as f64 / scale;
        // The first segment of the sound lasts from the timeline's zero, whenever the sound begins.
        let slack = if rendition.is_picture() { ROUNDING_S } else { SOUND_FRAME_S };
        let is_end = number == 0 || number + 1 == rendition.segments.len();
        if (lasts - seconds).abs() > slack && (rendition.is_picture() || !is_end) {
            find(rule::DURATION, format!("EXTINF is {seconds}, its samples last {lasts:.6} s"));
        }
        if rendition.is_picture() {
            check_pictures(rendition, number, findings);
        }
    }
}

fn check_pictures(rendition: &Read<'_>, number: usize, findings: &mut Vec<Finding>) {
    let (segment, scale) = (&rendition.segments[number], f64::from(rendition.init.timescale));
    let mut find = |rule: rule::Rule, what: String| findings.push(rule.broken(format!("{} segment {number}", rendition.uri), what));
    if !segment.starts_with_idr {
        find(rule::STARTS_WITH_IDR, "its first picture is no IDR picture".to_owned());
    }
    let (start, end) = (segment.decode_time, segment.end());
    let is_inside = |shown: i64| u64::try_from(shown).is_ok_and(|shown| (start..end).contains(&shown));
    if segment.samples > 0 && !(is_inside(segment.first_shown) && is_inside(segment.last_shown)) {
        let what = format!("pictures are shown from {} to {}, it lasts from {start} to {end}", segment.first_shown, segment.last_shown);
        find(rule::WITHIN, what);
    }
    let ends = segment.idrs.iter().skip(1).copied().chain([i64::try_from(end).unwrap_or(i64::MAX)]);
    let longest = segment.idrs.iter().zip(ends).map(|(idr, end)| end.saturating_sub(*idr)).max().unwrap_or(0) as f64 / scale;
    let each = segment.duration as f64 / scale / f64::from(segment.samples.max(1));
    if longest > LONGEST_GROUP_S + 2.0 * each {
        find(rule::IDR_EVERY_2_S, format!("{longest:.2} s lie between two IDR pictures"));
    }
}

/// One timeline: the same lengths, the same targets, the same key periods.
pub(super) fn check_together(read: &[Read<'_>], findings: &mut Vec<Finding>) {
    let Some(first) = read.iter().find(|rendition| rendition.is_picture()).or(read.first()) else { return };
    let starts = starts(first);
    for other in read {
        let mut find = |rule: rule::Rule, what: String| findings.push(rule.broken(other.uri, what));
        if other.lines.target_s != first.lines.target_s {
            find(rule::TARGETS_EQUAL, format!("EXT-X-TARGETDURATION is {:?}, elsewhere {:?}", other.lines.target_s, first.lines.target_s));
        }
        if other.lines.key_changes() != first.lines.key_changes() {
            find(
                rule::KEY_PERIOD,
                format!("the key changes at {:?}, elsewhere at {:?}", other.lines.key_changes(), first.lines.key_changes()),
            );
        }
        let slack = if other.is_picture() == first.is_picture() { ROUNDING_S } else { SOUND_FRAME_S + ROUNDING_S };
        let own = self::starts(other);
        let apart = own.iter().zip(&starts).position(|(own, other)| (own - other).abs() > slack);
        if own.len() != starts.len() || apart.is_some() {
            find(rule::COMMON, format!("it has {} cuts, another {}; they part at segment {apart:?}", own.len(), starts.len()));
        }
        if let Some(at) = boxes_apart(other, &own, slack) {
            find(rule::COMMON, format!("segment {at} begins elsewhere by its boxes than by its playlist"));
        }
    }
}

/// Where each segment begins by the playlist, in seconds.
fn starts(rendition: &Read<'_>) -> Vec<f64> {
    let sums = rendition.lines.segments().scan(0.0, |at, (seconds, _)| {
        let start = *at;
        *at += seconds;
        Some(start)
    });
    sums.collect()
}

/// The first segment behind the first that begins elsewhere by its decode time: sound that sets in late has a late first segment.
fn boxes_apart(rendition: &Read<'_>, starts: &[f64], slack: f64) -> Option<usize> {
    let scale = f64::from(rendition.init.timescale);
    let first = usize::from(!rendition.is_picture());
    let pairs = rendition.segments.iter().zip(starts).enumerate().skip(first);
    let slack = slack.max(if rendition.is_picture() { ROUNDING_S } else { SOUND_FRAME_S });
    // Each length is written to the microsecond.
    let mut found = pairs.filter(|(at, (segment, start))| (segment.decode_time as f64 / scale - *start).abs() > slack + *at as f64 * 1e-6);
    found.next().map(|(at, _)| at)
}
