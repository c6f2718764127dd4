//! The master playlist against what it lists.

use super::lines::{Attributes, MasterLines};
use super::rule::{self, Finding};
use super::{Read, SegmentFacts};

/// The master playlist's name in findings.
const MASTER: &str = "master playlist";
/// How far measured and declared rates may be apart (1.26, 1.27), with a little for rounding.
const RATE_SLACK: f64 = 0.1;
/// How far the declared number of pictures a second may be off: it is a mean, and written with three decimals.
const FRAME_RATE_SLACK: f64 = 0.05;
/// Sides are even, so one may be a pixel off its exact length.
const ASPECT_SLACK_PIXELS: f64 = 2.0;
/// The highest level (H.264 table A-1), times ten, and the one up to 1080p that devices of any age take.
const MOST_LEVEL: u8 = 52;
const COMMON_LEVEL: u8 = 41;
/// H.264's Baseline, Main and High.
const PROFILES: [u8; 3] = [66, 77, 100];
/// AAC-LC (ISO/IEC 14496-3 table 1.17).
const AAC_LC: u8 = 2;

pub(super) fn check(master: &MasterLines<'_>, read: &[Read<'_>], findings: &mut Vec<Finding>) {
    for line in &master.nonsense {
        findings.push(rule::SYNTAX.broken(MASTER, format!("{line:?} makes no sense there")));
    }
    if master.version.is_none_or(|version| version < 6) {
        findings.push(rule::VERSION.broken(MASTER, format!("EXT-X-VERSION is {:?}", master.version)));
    }
    if !master.is_independent {
        findings.push(rule::INDEPENDENT.broken(MASTER, "EXT-X-INDEPENDENT-SEGMENTS is missing"));
    }
    if master.i_frames.is_empty() && read.iter().any(Read::is_picture) {
        findings.push(rule::I_FRAMES.broken(MASTER, "no I-frame playlist is listed"));
    }
    for group in &master.media {
        if group.get("TYPE") != Some(&"VIDEO") && group.get("LANGUAGE").is_none_or(|language| language.is_empty()) {
            findings.push(rule::LANGUAGE.broken(MASTER, "EXT-X-MEDIA has no LANGUAGE"));
        }
    }
    check_listing(master, read, findings);
    for (attributes, uri) in &master.variants {
        if let Some(own) = read.iter().find(|rendition| rendition.uri == *uri) {
            check_variant(own, attributes, sound(master, attributes, read), findings);
        }
    }
    check_aspect(read, findings);
    read.iter().for_each(|rendition| check_track(rendition, findings));
}

/// The sound that is played with a variant.
fn sound<'a>(master: &MasterLines<'_>, variant: &Attributes<'_>, read: &'a [Read<'a>]) -> Option<&'a Read<'a>> {
    let wanted = variant.get("AUDIO")?;
    let group = master.media.iter().find(|group| group.get("GROUP-ID") == Some(wanted) && group.get("TYPE") == Some(&"AUDIO"))?;
    read.iter().find(|rendition| Some(&rendition.uri) == group.get("URI"))
}

/// Each rendition is in the master playlist, once, and each address there is a rendition.
fn check_listing(master: &MasterLines<'_>, read: &[Read<'_>], findings: &mut Vec<Finding>) {
    let audio = master.media.iter().filter(|group| group.get("TYPE") == Some(&"AUDIO")).filter_map(|group| group.get("URI").copied());
    let listed: Vec<&str> = master.variants.iter().map(|(_, uri)| *uri).chain(audio).collect();
    for rendition in read {
        let times = listed.iter().filter(|uri| **uri == rendition.uri).count();
        if times != 1 {
            findings.push(rule::LISTED.broken(MASTER, format!("{} is listed {times} times", rendition.uri)));
        }
    }
    for uri in listed {
        if !read.iter().any(|rendition| rendition.uri == uri) {
            findings.push(rule::LISTED.broken(MASTER, format!("{uri} is listed, but there is no such rendition")));
        }
    }
    for (attributes, uri) in &master.variants {
        let is_group = |group: &Attributes<'_>| group.get("GROUP-ID") == attributes.get("AUDIO");
        if attributes.contains_key("AUDIO") && !master.media.iter().any(is_group) {
            findings.push(rule::LISTED.broken(MASTER, format!("the AUDIO group of {uri} is not there")));
        }
    }
}

fn check_variant(own: &Read<'_>, attributes: &Attributes<'_>, sound: Option<&Read<'_>>, findings: &mut Vec<Finding>) {
    let mut find = |rule: rule::Rule, what: String| findings.push(rule.broken(own.uri, what));
    let codecs: Vec<String> = [Some(own), sound].into_iter().flatten().filter_map(|track| track.init.codec()).collect();
    let declared = attributes.get("CODECS").copied().unwrap_or_default();
    if declared != codecs.join(",") {
        find(rule::CODECS, format!("CODECS is {declared:?}, the init segments hold {:?}", codecs.join(",")));
    }
    if let Some((width, height)) = own.init.size {
        let (declared, size) = (attributes.get("RESOLUTION").copied().unwrap_or_default(), format!("{width}x{height}"));
        if declared != size {
            find(rule::RESOLUTION, format!("RESOLUTION is {declared:?}, the init segment says {size}"));
        }
        let (declared, mean, most) = (number(attributes, "FRAME-RATE"), pictures_per_second(own), most_per_second(own));
        // A mean, or the rate where nothing is missing: a source cut short or with a hole has fewer pictures than it says.
        if declared.is_none_or(|rate| rate < mean * (1.0 - FRAME_RATE_SLACK) || rate > most.max(1.0) * (1.0 + FRAME_RATE_SLACK)) {
            find(rule::FRAME_RATE, format!("FRAME-RATE is {declared:?}, measured {mean:.3} in the mean and {most:.3} at most"));
        }
    }
    check_rates(own, attributes, sound, findings);
}

/// Declared rates against measured ones: those of a variant are the sums of its renditions' (RFC 8216 §4.3.4.2).
fn check_rates(own: &Read<'_>, attributes: &Attributes<'_>, sound: Option<&Read<'_>>, findings: &mut Vec<Finding>) {
    let (Some(peak), Some(average)) = (number(attributes, "BANDWIDTH"), number(attributes, "AVERAGE-BANDWIDTH")) else {
        return findings.push(rule::DECLARED.broken(own.uri, "BANDWIDTH or AVERAGE-BANDWIDTH is missing"));
    };
    let tracks = || [Some(own), sound].into_iter().flatten();
    let measured_average: f64 = tracks().map(average_bps).sum();
    let measured_peak: f64 = tracks().map(peak_bps).sum();
    let differs = |declared: f64, measured: f64| (declared - measured).abs() > measured * RATE_SLACK;
    if differs(average, measured_average) {
        findings.push(rule::AVERAGE.broken(own.uri, format!("AVERAGE-BANDWIDTH is {average}, measured {measured_average:.0}")));
    }
    if differs(peak, measured_peak) {
        findings.push(rule::PEAK.broken(own.uri, format!("BANDWIDTH is {peak}, measured {measured_peak:.0}")));
    }
    if measured_peak > 2.0 * measured_average {
        let what = format!("the peak of {measured_peak:.0} is above 200 % of the average of {measured_average:.0}");
        findings.push(rule::SPREAD.broken(own.uri, what));
    }
}

/// What the track itself is.
fn check_track(rendition: &Read<'_>, findings: &mut Vec<Finding>) {
    let init = &rendition.init;
    let mut find = |rule: rule::Rule, what: String| findings.push(rule.broken(rendition.uri, what));
    if init.has_edit_list {
        find(rule::EDIT_LIST, "the init segment has an edit list".to_owned());
    }
    let Some((width, height)) = init.size else {
        if init.channels != Some(2) || init.object_type != Some(AAC_LC) {
            find(rule::STEREO, format!("object type {:?}, {:?} channels", init.object_type, init.channels));
        }
        return;
    };
    if init.entry != "avc1" && init.entry != "hvc1" {
        find(rule::SAMPLE_ENTRY, format!("the sample entry is {}", init.entry));
    }
    if let Some([profile, _, level]) = init.avc {
        if !PROFILES.contains(&profile) || level > MOST_LEVEL {
            find(rule::LEVEL, format!("profile {profile}, level {level}"));
        } else if level > COMMON_LEVEL && width.min(height) <= 1080 {
            find(rule::COMMON_LEVEL, format!("level {level} for {width}x{height}"));
        }
    }
    let rate = pictures_per_second(rendition);
    // A rate that is thinned out to sixty has a picture more or less at its ends.
    if rate > 61.0 {
        find(rule::RATE, format!("{rate:.3} pictures a second"));
    }
}

/// All pictures have one shape, each side a pixel more or less.
fn check_aspect(read: &[Read<'_>], findings: &mut Vec<Finding>) {
    let sizes = || read.iter().filter_map(|rendition| Some((rendition.uri, rendition.init.size?)));
    let Some((_, (wide, high))) = sizes().max_by_key(|(_, (width, height))| width * height) else { return };
    for (uri, (width, height)) in sizes() {
        let (wide, high) = (f64::from(wide), f64::from(high));
        let off = (f64::from(width) * high - f64::from(height) * wide).abs() / wide.max(high);
        if off > ASPECT_SLACK_PIXELS {
            findings.push(rule::ASPECT.broken(uri, format!("{width}x{height} is not the shape of {wide}x{high}")));
        }
    }
}

fn number(attributes: &Attributes<'_>, name: &str) -> Option<f64> {
    attributes.get(name)?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Over the whole timeline.
fn pictures_per_second(rendition: &Read<'_>) -> f64 {
    let pictures: f64 = rendition.segments.iter().map(|segment| f64::from(segment.samples)).sum();
    pictures / seconds(rendition).max(f64::EPSILON)
}

/// Where its pictures follow one another fastest.
fn most_per_second(rendition: &Read<'_>) -> f64 {
    let shortest = rendition.segments.iter().map(|segment| segment.shortest).filter(|&shortest| shortest > 0).min();
    let most = shortest.map_or(0.0, |shortest| f64::from(rendition.init.timescale) / f64::from(shortest));
    most.max(pictures_per_second(rendition))
}

fn seconds(rendition: &Read<'_>) -> f64 {
    rendition.lines.segments().map(|(seconds, _)| seconds).sum()
}

fn average_bps(rendition: &Read<'_>) -> f64 {
    let octets: f64 = rendition.segments.iter().map(|segment| segment.stored_bytes as f64).sum();
    octets * 8.0 / seconds(rendition).max(f64::EPSILON)
}

/// The highest rate of any run of segments that lasts between half and one and a half target durations (RFC 8216 §4.1); of a rendition
/// too short for one, its average.
fn peak_bps(rendition: &Read<'_>) -> f64 {
    let target = rendition.lines.target_s.unwrap_or(1) as f64;
    let pairs: Vec<(f64, f64)> = rendition.lines.segments().zip(rendition.segments).map(measure).collect();
    let mut peak = average_bps(rendition);
    for start in 0..pairs.len() {
        let (mut length, mut octets) = (0.0, 0.0);
        for (seconds, bytes) in &pairs[start..] {
            (length, octets) = (length + seconds, octets + bytes);
            if length > target * 1.5 {
                break;
            }
            if length >= target * 0.5 {
                peak = peak.max(octets * 8.0 / length.max(f64::EPSILON));
            }
        }
    }
    peak
}

fn measure(((seconds, _), segment): ((f64, &str), &SegmentFacts)) -> (f64, f64) {
    (seconds, segment.stored_bytes as f64)
}
