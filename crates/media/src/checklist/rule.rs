//! The rules: where they stand, how hard they are, and what to do about each.

use std::fmt;

/// How hard a rule is, in the words of RFC 2119.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Players or Apple's review refuse what breaks it.
    Must,
    /// There may be a reason not to; it should be known.
    Should,
}

/// One item of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands: `1.13` is Apple's HLS authoring specification, anything else names its document.
    pub number: &'static str,
    /// How hard it is.
    pub severity: Severity,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// The file, and the segment if it is of one.
    pub place: String,
    /// What was found there.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.rule.severity {
            Severity::Must => "must",
            Severity::Should => "should",
        };
        write!(f, "{}: {} ({} {word}): {}", self.place, self.what, self.rule.number, self.rule.remedy)
    }
}

impl Rule {
    pub(super) fn broken(self, place: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { rule: self, place: place.into(), what: what.into() }
    }
}

const fn must(number: &'static str, remedy: &'static str) -> Rule {
    Rule { number, severity: Severity::Must, remedy }
}

const fn should(number: &'static str, remedy: &'static str) -> Rule {
    Rule { number, severity: Severity::Should, remedy }
}

pub(super) const INIT: Rule = must("ISO/IEC 23000-19 §7", "write an init segment with one track of avc1 or mp4a");
pub(super) const LEVEL: Rule = must("1.3", "encode H.264 in at most High profile, level 5.2");
pub(super) const COMMON_LEVEL: Rule =
    should("1.3 up to 1080p", "encode pictures up to 1080p in at most level 4.1, or know that old devices leave them out");
pub(super) const SAMPLE_ENTRY: Rule = must("1.10", "keep parameter sets in the sample entry: avc1, not avc3");
pub(super) const IDR_EVERY_2_S: Rule = should("1.13", "begin a group of pictures every two seconds; copied pictures keep their author's");
pub(super) const RATE: Rule = must("1.19", "show at most 60 pictures a second");
pub(super) const AVERAGE: Rule = must("1.26", "declare the measured average in AVERAGE-BANDWIDTH");
pub(super) const PEAK: Rule = must("1.27", "declare the measured peak in BANDWIDTH");
pub(super) const SPREAD: Rule = should("1.30", "cap the rate nearer to its average; copied pictures keep their author's");
pub(super) const ASPECT: Rule = must("1.33", "scale all renditions from one shape");
pub(super) const STEREO: Rule = must("2.3", "encode the sound as stereo AAC-LC");
pub(super) const I_FRAMES: Rule = should("6.1", "add an I-frame playlist (EXT-X-I-FRAME-STREAM-INF) for trick play");
pub(super) const STARTS_WITH_IDR: Rule = must("7.4", "begin each segment with an IDR picture");
pub(super) const SIX_SECONDS: Rule = should("7.5", "cut segments about six seconds apart");
pub(super) const ABOVE_TARGET: Rule = must("7.7", "raise EXT-X-TARGETDURATION, or cut the segment earlier");
pub(super) const TARGETS_EQUAL: Rule = must("8.2", "declare one EXT-X-TARGETDURATION in all media playlists");
pub(super) const TYPE: Rule = must("8.6", "write EXT-X-PLAYLIST-TYPE:VOD and EXT-X-ENDLIST");
pub(super) const LANGUAGE: Rule = must("8.10", "give EXT-X-MEDIA a LANGUAGE, und if nobody knows it");
pub(super) const REDIRECT: Rule = must("8.18", "answer with the file itself instead of a redirect");
pub(super) const CODECS: Rule = must("9.x CODECS", "declare in CODECS what the init segments hold");
pub(super) const RESOLUTION: Rule = must("9.x RESOLUTION", "declare in RESOLUTION the size in the init segment");
pub(super) const FRAME_RATE: Rule = must("9.x FRAME-RATE", "declare in FRAME-RATE the measured number of pictures a second");
pub(super) const DECLARED: Rule = must("9.x AVERAGE-BANDWIDTH", "declare BANDWIDTH and AVERAGE-BANDWIDTH of each variant");
pub(super) const INDEPENDENT: Rule = must("9.11", "write EXT-X-INDEPENDENT-SEGMENTS");
pub(super) const GZIP: Rule = must("10.1", "compress playlists by gzip for clients that take it");
pub(super) const LISTED: Rule = must("RFC 8216 §4.3.4", "list each rendition in the master playlist, and nothing else");
pub(super) const SYNTAX: Rule = must("RFC 8216 §4.1", "write tags, segments and addresses as the format has them");
pub(super) const VERSION: Rule = must("RFC 8216 §7", "write EXT-X-VERSION:6 or higher: EXT-X-MAP needs it");
pub(super) const MAP_FIRST: Rule = must(
    "RFC 8216 §4.3.2.5",
    "write the clear EXT-X-MAP once, before the first EXT-X-KEY: players take a key to hold for all maps after it",
);
pub(super) const ENCRYPTED: Rule =
    must("RFC 8216 §4.3.2.4", "put an EXT-X-KEY with METHOD=AES-128 and an address before the first segment");
pub(super) const KEY_ADDRESS: Rule = must("RFC 8216 §4.3.2.4 keys", "give each key an address of its own: players keep keys by address");
pub(super) const KEY_PERIOD: Rule = must("key period", "change the key at the same segments in every rendition");
pub(super) const IMPLICIT_IV: Rule =
    must("RFC 8216 §5.2", "number segments from EXT-X-MEDIA-SEQUENCE:0 and write no IV: the number is the vector");
pub(super) const EDIT_LIST: Rule = must("ISO/IEC 23000-19 §7.5", "write no edit list: what is shown when is in the segments");
pub(super) const ONE_FRAGMENT: Rule = must("ISO/IEC 23000-19 §7.3", "write each segment as one moof and one mdat that belong together");
pub(super) const DECODE_TIME: Rule = must("ISO/IEC 23000-19 §7.3.2", "begin each segment's decode times where its predecessor's end");
pub(super) const SEQUENCE: Rule = must("ISO/IEC 14496-12 §8.8.5", "number the fragments upwards");
pub(super) const DURATION: Rule = must("RFC 8216 §4.3.2.1", "write in EXTINF how long the segment's samples last");
pub(super) const WITHIN: Rule = must("common timeline: pictures", "keep each picture in the segment in whose interval it is shown");
pub(super) const COMMON: Rule = must("common timeline", "cut all renditions at the same times");

/// The whole list.
pub const RULES: [Rule; 40] = [
    INIT,
    LEVEL,
    COMMON_LEVEL,
    SAMPLE_ENTRY,
    IDR_EVERY_2_S,
    RATE,
    AVERAGE,
    PEAK,
    SPREAD,
    ASPECT,
    STEREO,
    I_FRAMES,
    STARTS_WITH_IDR,
    SIX_SECONDS,
    ABOVE_TARGET,
    TARGETS_EQUAL,
    TYPE,
    LANGUAGE,
    REDIRECT,
    CODECS,
    RESOLUTION,
    FRAME_RATE,
    DECLARED,
    INDEPENDENT,
    GZIP,
    LISTED,
    SYNTAX,
    VERSION,
    MAP_FIRST,
    ENCRYPTED,
    KEY_ADDRESS,
    KEY_PERIOD,
    IMPLICIT_IV,
    EDIT_LIST,
    ONE_FRAGMENT,
    DECODE_TIME,
    SEQUENCE,
    DURATION,
    WITHIN,
    COMMON,
];
