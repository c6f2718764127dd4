//! One media playlist as a text: what it must say, and in which order.

use super::Read;
use super::lines::{Line, MediaLines};
use super::rule::{self, Finding};
use std::collections::BTreeSet;

/// By how much a segment may be longer than the target (7.7).
const ABOVE_TARGET_S: f64 = 0.5;
/// About six seconds; a video shorter than three of those is cut into thirds.
const SIX_S: std::ops::RangeInclusive<f64> = 4.0..=8.0;
const LONG_ENOUGH_S: f64 = 18.0;

pub(super) fn check(rendition: &Read<'_>, findings: &mut Vec<Finding>) {
    let Read { uri, lines, .. } = rendition;
    let mut find = |rule: rule::Rule, what: String| findings.push(rule.broken(*uri, what));
    for line in &lines.nonsense {
        find(rule::SYNTAX, format!("{line:?} makes no sense there"));
    }
    if lines.version.is_none_or(|version| version < 6) {
        find(rule::VERSION, format!("EXT-X-VERSION is {:?}", lines.version));
    }
    if lines.kind != Some("VOD") || !lines.has_end {
        find(
            rule::TYPE,
            format!("EXT-X-PLAYLIST-TYPE is {:?}, EXT-X-ENDLIST {}", lines.kind, if lines.has_end { "is there" } else { "is missing" }),
        );
    }
    if !lines.is_independent {
        find(rule::INDEPENDENT, "EXT-X-INDEPENDENT-SEGMENTS is missing".to_owned());
    }
    let count = lines.segments().count();
    if count != rendition.segments.len() {
        find(rule::LISTED, format!("{count} segments are listed, there are {}", rendition.segments.len()));
    }
    check_lengths(rendition, findings);
    check_keys(uri, lines, findings);
}

fn check_lengths(rendition: &Read<'_>, findings: &mut Vec<Finding>) {
    let lengths: Vec<f64> = rendition.lines.segments().map(|(seconds, _)| seconds).collect();
    let target = rendition.lines.target_s.map_or(0.0, |target| target as f64);
    for (number, seconds) in lengths.iter().enumerate().filter(|(_, seconds)| **seconds > target + ABOVE_TARGET_S) {
        let place = format!("{} segment {number}", rendition.uri);
        findings.push(rule::ABOVE_TARGET.broken(place, format!("{seconds} s, and EXT-X-TARGETDURATION is {target}")));
    }
    let total: f64 = lengths.iter().sum();
    let mean = total / (lengths.len() as f64).max(1.0);
    if total >= LONG_ENOUGH_S && !SIX_S.contains(&mean) {
        findings.push(rule::SIX_SECONDS.broken(rendition.uri, format!("segments last {mean:.1} s in the mean")));
    }
}

/// One clear map, then keys, each with an address of its own and no vector.
fn check_keys(uri: &str, lines: &MediaLines<'_>, findings: &mut Vec<Finding>) {
    let mut find = |rule: rule::Rule, what: String| findings.push(rule.broken(uri, what));
    let maps = lines.body.iter().filter(|line| matches!(line, Line::Map(_))).count();
    let first = lines.body.first();
    if maps != 1 || !first.is_some_and(|line| matches!(line, Line::Map(map) if map.contains_key("URI"))) {
        find(rule::MAP_FIRST, format!("{maps} maps, and the first line of the body is {first:?}"));
    }
    if lines.sequence.unwrap_or(0) != 0 {
        find(rule::IMPLICIT_IV, format!("EXT-X-MEDIA-SEQUENCE is {:?}", lines.sequence));
    }
    let first_key = lines.body.iter().position(|line| matches!(line, Line::Key(_)));
    let first_segment = lines.body.iter().position(|line| matches!(line, Line::Segment { .. }));
    if first_key.is_none() || first_key > first_segment {
        find(rule::ENCRYPTED, "no key stands before the first segment".to_owned());
    }
    let mut addresses = BTreeSet::new();
    for line in &lines.body {
        let Line::Key(key) = line else { continue };
        if key.get("METHOD") != Some(&"AES-128") || !key.contains_key("URI") {
            find(rule::ENCRYPTED, format!("a key is {key:?}"));
        }
        if key.contains_key("IV") {
            find(rule::IMPLICIT_IV, "a key has an IV".to_owned());
        }
        if let Some(address) = key.get("URI").filter(|address| !addresses.insert(**address)) {
            find(rule::KEY_ADDRESS, format!("{address} stands for two keys"));
        }
    }
}
