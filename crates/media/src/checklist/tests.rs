//! The list over a version that is right, and over one for each rule that is spoiled in just that way.

use super::*;
use crate::cmaf::Init;
use crate::playlist::{AudioEntry, MediaPlaylist, PlaylistType, Rates, VideoEntry, master};
use crate::time::Rational;

/// Sets of High profile, level 3.1, as `avcC` holds them (ISO/IEC 14496-15 §5.3.3.1).
const AVCC: [u8; 19] = [1, 100, 0, 31, 0xff, 0xe1, 0, 4, 0x67, 100, 0, 31, 1, 0, 4, 0x68, 1, 2, 3];
const SEGMENTS: u64 = 12;
const SEGMENT_S: u64 = 6;
const RATE: u64 = 25;
const SOUND: &str = "audio/playlist.m3u8";
const LOW: &str = "360p/playlist.m3u8";
const HIGH: &str = "720p/playlist.m3u8";

#[derive(Clone)]
struct Made {
    master: String,
    renditions: Vec<MadeRendition>,
    deliveries: Vec<Delivery<'static>>,
}

#[derive(Clone)]
struct MadeRendition {
    uri: &'static str,
    playlist: String,
    init: Vec<u8>,
    segments: Vec<SegmentFacts>,
}

impl Made {
    fn new() -> Self {
        let picture = |uri, width, height, bytes| {
            let init = Init::video(&AVCC, width, height).unwrap().bytes;
            MadeRendition { uri, playlist: playlist(), init, segments: segments(90_000, SEGMENT_S * RATE, bytes) }
        };
        let sound =
            MadeRendition { uri: SOUND, playlist: playlist(), init: Init::audio().unwrap().bytes, segments: segments(48_000, 281, 90_000) };
        let pictures = [picture(LOW, 640, 360, 600_000), picture(HIGH, 1280, 720, 2_000_000)];
        let entry = |made: &MadeRendition, size: (u32, u32)| VideoEntry {
            uri: made.uri,
            rates: rates(made),
            codec: "avc1.64001f",
            width: size.0,
            height: size.1,
            rate: Rational { num: 25, den: 1 },
        };
        let entries = [entry(&pictures[0], (640, 360)), entry(&pictures[1], (1280, 720))];
        let audio = AudioEntry { uri: SOUND, rates: rates(&sound), codec: "mp4a.40.2" };
        let mut master = master(&entries, Some(&audio), PlaylistType::Vod).unwrap();
        if !master.contains("I-FRAME") {
            master += "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=90000,CODECS=\"avc1.64001f\",RESOLUTION=640x360,URI=\"iframes.m3u8\"\n";
        }
        let deliveries = vec![Delivery { uri: "master.m3u8", status: 200, encoding: Some("gzip") }];
        Self { master, renditions: pictures.into_iter().chain([sound]).collect(), deliveries }
    }

    fn check(&self) -> Vec<Finding> {
        let renditions = self.renditions.iter().map(|made| Rendition {
            uri: made.uri,
            playlist: &made.playlist,
            init: &made.init,
            segments: made.segments.clone(),
        });
        check(&Presentation { master: &self.master, renditions: renditions.collect(), deliveries: self.deliveries.clone() })
    }

    /// The higher pictures.
    fn top(&mut self) -> &mut MadeRendition {
        &mut self.renditions[1]
    }

    fn sound(&mut self) -> &mut MadeRendition {
        &mut self.renditions[2]
    }

    fn swap_in_master(&mut self, from: &str, to: &str) {
        assert!(self.master.contains(from), "{from} in {}", self.master);
        self.master = self.master.replace(from, to);
    }
}

impl MadeRendition {
    fn swap(&mut self, from: &str, to: &str) {
        assert!(self.playlist.contains(from), "{from} in {}", self.playlist);
        self.playlist = self.playlist.replacen(from, to, 1);
    }

    /// Replaces four letters of the init segment, at their last occurrence.
    fn rename(&mut self, from: &[u8; 4], to: &[u8; 4]) {
        let at = self.init.windows(4).rposition(|window| window == from).unwrap();
        self.init[at..at + 4].copy_from_slice(to);
    }
}

fn playlist() -> String {
    let segments: Vec<_> = (0..SEGMENTS).map(|number| (SEGMENT_S as i64 * 90_000, format!("{number:06}-1.m4s"))).collect();
    let playlist = MediaPlaylist {
        init_uri: "init-1.mp4",
        segments: &segments,
        key_period: Some(10),
        target_duration_s: SEGMENT_S,
        playlist_type: PlaylistType::Vod,
    };
    playlist.write().unwrap()
}

fn segments(timescale: u64, samples: u64, stored_bytes: u64) -> Vec<SegmentFacts> {
    let length = SEGMENT_S * timescale;
    let segment = |number: u64| {
        let start = (number * length) as i64;
        SegmentFacts {
            stored_bytes,
            sequence: number as u32 + 1,
            decode_time: number * length,
            duration: length,
            shortest: (length / samples) as u32,
            samples: samples as u32,
            first_shown: start,
            last_shown: start + (length - length / samples) as i64,
            idrs: (0..SEGMENT_S as i64 / 2).map(|at| start + at * 2 * timescale as i64).collect(),
            starts_with_idr: true,
            is_whole: true,
        }
    };
    (0..SEGMENTS).map(segment).collect()
}

fn rates(made: &MadeRendition) -> Rates {
    let segments: Vec<_> = made.segments.iter().map(|segment| (segment.stored_bytes, SEGMENT_S as i64 * 90_000)).collect();
    Rates::of(&segments, SEGMENT_S)
}

#[test]
fn what_is_right_has_no_findings() {
    let findings = Made::new().check();
    assert!(findings.is_empty(), "{findings:#?}");
}

type Spoil = fn(&mut Made);

/// Each rule, and a way to break it.
const SPOILED: [(Rule, Spoil); 47] = [
    (rule::INIT, |made| made.top().init.truncate(40)),
    (rule::LEVEL, |made| made.top().rename(b"\x01\x64\x00\x1f", b"\x01\x64\x00\x3c")),
    (rule::LEVEL, |made| made.top().rename(b"\x01\x64\x00\x1f", b"\x01\x7a\x00\x1f")),
    (rule::COMMON_LEVEL, |made| made.top().rename(b"\x01\x64\x00\x1f", b"\x01\x64\x00\x2a")),
    (rule::SAMPLE_ENTRY, |made| made.top().rename(b"avc1", b"avc3")),
    (rule::IDR_EVERY_2_S, |made| made.top().segments[3].idrs.truncate(1)),
    (rule::RATE, |made| made.top().segments.iter_mut().for_each(|segment| segment.samples = 480)),
    (rule::AVERAGE, |made| made.swap_in_master("AVERAGE-BANDWIDTH=2786667", "AVERAGE-BANDWIDTH=2400000")),
    (rule::PEAK, |made| made.swap_in_master("BANDWIDTH=2786667,A", "BANDWIDTH=3200000,A")),
    (rule::SPREAD, |made| made.top().segments[3].stored_bytes = 8_000_000),
    (rule::ASPECT, |made| made.top().init = Init::video(&AVCC, 1280, 700).unwrap().bytes),
    // The AudioSpecificConfig of one channel.
    (rule::STEREO, |made| made.sound().rename(b"\x05\x02\x11\x90", b"\x05\x02\x11\x88")),
    (rule::I_FRAMES, |made| made.swap_in_master("I-FRAME-STREAM-INF", "OTHER")),
    (rule::STARTS_WITH_IDR, |made| made.top().segments[4].starts_with_idr = false),
    (rule::SIX_SECONDS, |made| made.renditions.iter_mut().for_each(|it| it.playlist = it.playlist.replace("EXTINF:6", "EXTINF:2"))),
    (rule::ABOVE_TARGET, |made| made.top().swap("EXTINF:6.000000", "EXTINF:6.600000")),
    (rule::TARGETS_EQUAL, |made| made.sound().swap("TARGETDURATION:6", "TARGETDURATION:7")),
    (rule::TYPE, |made| made.top().swap("TYPE:VOD", "TYPE:EVENT")),
    (rule::TYPE, |made| made.top().swap("#EXT-X-ENDLIST\n", "")),
    (rule::LANGUAGE, |made| made.swap_in_master("LANGUAGE=\"und\",", "")),
    (rule::REDIRECT, |made| made.deliveries.push(Delivery { uri: "720p/000000-1.m4s", status: 302, encoding: None })),
    (rule::CODECS, |made| made.swap_in_master("avc1.64001f,mp4a.40.2", "avc1.64001f")),
    (rule::RESOLUTION, |made| made.swap_in_master("1280x720,F", "1280x718,F")),
    (rule::FRAME_RATE, |made| made.swap_in_master("FRAME-RATE=25.000", "FRAME-RATE=30.000")),
    (rule::DECLARED, |made| made.swap_in_master("AVERAGE-BANDWIDTH=2786667,", "")),
    (rule::INDEPENDENT, |made| made.swap_in_master("#EXT-X-INDEPENDENT-SEGMENTS\n", "")),
    (rule::INDEPENDENT, |made| made.top().swap("#EXT-X-INDEPENDENT-SEGMENTS\n", "")),
    (rule::GZIP, |made| made.deliveries[0].encoding = None),
    (rule::LISTED, |made| made.swap_in_master("720p/playlist.m3u8", "1080p/playlist.m3u8")),
    (rule::LISTED, |made| drop(made.top().segments.pop())),
    (rule::LISTED, |made| made.swap_in_master("GROUP-ID=\"audio\"", "GROUP-ID=\"other\"")),
    (rule::SYNTAX, |made| made.top().swap("#EXTINF:6.000000,\n", "")),
    (rule::SYNTAX, |made| made.swap_in_master("#EXTM3U\n", "")),
    (rule::VERSION, |made| made.top().swap("VERSION:6", "VERSION:5")),
    (rule::MAP_FIRST, |made| {
        made.top()
            .swap("#EXT-X-KEY:METHOD=AES-128,URI=\"keys/0\"\n", "#EXT-X-KEY:METHOD=AES-128,URI=\"keys/0\"\n#EXT-X-MAP:URI=\"init-1.mp4\"\n")
    }),
    (rule::MAP_FIRST, |made| {
        made.top().swap("#EXT-X-MAP:URI=\"init-1.mp4\"\n", "");
        made.top().swap(
            "#EXT-X-KEY:METHOD=AES-128,URI=\"keys/0\"\n",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"keys/0\"\n#EXT-X-MAP:URI=\"init-1.mp4\"\n",
        );
    }),
    (rule::ENCRYPTED, |made| made.top().swap("#EXT-X-KEY:METHOD=AES-128,URI=\"keys/0\"\n", "")),
    (rule::ENCRYPTED, |made| made.top().swap("METHOD=AES-128,URI=\"keys/1\"", "METHOD=NONE")),
    (rule::KEY_ADDRESS, |made| made.top().swap("keys/1", "keys/0")),
    (rule::KEY_PERIOD, |made| made.top().swap("#EXT-X-KEY:METHOD=AES-128,URI=\"keys/1\"\n", "")),
    (rule::IMPLICIT_IV, |made| made.top().swap("URI=\"keys/1\"", "URI=\"keys/1\",IV=0x1")),
    (rule::IMPLICIT_IV, |made| made.top().swap("MEDIA-SEQUENCE:0", "MEDIA-SEQUENCE:1")),
    (rule::ONE_FRAGMENT, |made| made.top().segments[2].is_whole = false),
    (rule::DECODE_TIME, |made| made.top().segments[5].decode_time += 1),
    (rule::SEQUENCE, |made| made.top().segments[5].sequence = 5),
    (rule::DURATION, |made| made.top().segments[11].duration -= 900),
    (rule::WITHIN, |made| made.top().segments[5].first_shown -= 1),
];

#[test]
fn each_rule_finds_what_breaks_it() {
    for (rule, spoil) in SPOILED {
        let mut made = Made::new();
        spoil(&mut made);
        let findings = made.check();
        assert!(findings.iter().any(|finding| finding.rule == rule), "{} is not among {findings:#?}", rule.number);
    }
}

#[test]
fn an_edit_list_is_found() {
    let mut made = Made::new();
    // An empty edit list between the track's header and its media.
    let init = &mut made.top().init;
    let at = |init: &[u8], kind: &[u8; 4]| init.windows(4).position(|window| window == kind).unwrap() - 4;
    let mdia = at(init, b"mdia");
    init.splice(mdia..mdia, [0, 0, 0, 8, b'e', b'd', b't', b's']);
    for kind in [b"moov", b"trak"] {
        let at = at(init, kind);
        let size = u32::from_be_bytes(init[at..at + 4].try_into().unwrap()) + 8;
        init[at..at + 4].copy_from_slice(&size.to_be_bytes());
    }
    let findings = made.check();
    assert_eq!(findings.iter().map(|finding| finding.rule).collect::<Vec<_>>(), [rule::EDIT_LIST], "{findings:#?}");
}

#[test]
fn renditions_that_part_are_found() {
    let mut made = Made::new();
    made.top().playlist =
        made.top().playlist.replacen("EXTINF:6.000000", "EXTINF:6.400000", 1).replacen("EXTINF:6.000000", "EXTINF:5.600000", 1);
    assert!(made.check().iter().any(|finding| finding.rule == rule::COMMON && finding.place == HIGH));
    let mut made = Made::new();
    made.sound().segments.iter_mut().for_each(|segment| segment.decode_time += 9600);
    assert!(made.check().iter().any(|finding| finding.rule == rule::COMMON && finding.place == SOUND));
}

#[test]
fn every_rule_has_been_broken() {
    let elsewhere = [rule::EDIT_LIST, rule::COMMON];
    for rule in RULES {
        assert!(elsewhere.contains(&rule) || SPOILED.iter().any(|(spoiled, _)| *spoiled == rule), "nothing breaks {}", rule.number);
    }
}

#[test]
fn sound_alone_and_pictures_alone_are_right_too() {
    let mut made = Made::new();
    made.renditions.truncate(2);
    made.master = made.master.replace(",AUDIO=\"audio\"", "").replace(",mp4a.40.2", "");
    made.master = made.master.lines().filter(|line| !line.starts_with("#EXT-X-MEDIA:")).map(|line| format!("{line}\n")).collect();
    let wrong: Vec<&str> = made.check().iter().map(|finding| finding.rule.number).collect();
    assert_eq!(wrong, ["1.26", "1.27"], "the rates counted the sound");
    let mut made = Made::new();
    made.renditions.drain(..2);
    let audio = AudioEntry { uri: SOUND, rates: rates(&made.renditions[0]), codec: "mp4a.40.2" };
    made.master = master(&[], Some(&audio), PlaylistType::Vod).unwrap();
    assert_eq!(made.check(), []);
}

#[test]
fn a_finding_says_where_what_and_what_to_do() {
    let finding = rule::SPREAD.broken("720p/playlist.m3u8", "the peak is high");
    let said =
        "720p/playlist.m3u8: the peak is high (1.30 should): cap the rate nearer to its average; copied pictures keep their author's";
    assert_eq!(finding.to_string(), said);
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), kind.as_slice(), body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A segment of these samples: duration, offset, data.
fn segment(samples: &[(u32, i32, &[u8])]) -> Vec<u8> {
    let entries: Vec<u32> = samples.iter().flat_map(|(duration, offset, data)| [*duration, data.len() as u32, 0, *offset as u32]).collect();
    let trun = boxed(b"trun", &words(&[&[0x0100_0f01, samples.len() as u32, 0], entries.as_slice()].concat()));
    let traf = [boxed(b"tfhd", &words(&[0x2_0000, 1])), boxed(b"tfdt", &words(&[0x0100_0000, 0, 540_000])), trun].concat();
    let moof = boxed(b"moof", &[boxed(b"mfhd", &words(&[0, 7])), boxed(b"traf", &traf)].concat());
    [moof, boxed(b"mdat", &samples.iter().flat_map(|(_, _, data)| data.to_vec()).collect::<Vec<u8>>())].concat()
}

#[test]
fn a_segment_is_read_by_its_boxes_and_its_nal_units() {
    let (idr, other): (&[u8], &[u8]) = (&[0, 0, 0, 2, 0x65, 1], &[0, 0, 0, 2, 0x41, 1]);
    let clear = segment(&[(3600, 0, idr), (3600, 7200, other), (3600, -3600, other), (3600, 0, idr)]);
    let facts = SegmentFacts::read(&clear, 999).unwrap();
    assert_eq!((facts.stored_bytes, facts.sequence, facts.decode_time, facts.duration), (999, 7, 540_000, 14_400));
    assert_eq!((facts.samples, facts.first_shown, facts.last_shown), (4, 540_000, 550_800));
    assert_eq!((facts.idrs.as_slice(), facts.starts_with_idr, facts.is_whole), (&[540_000, 550_800][..], true, true));
    assert!(!SegmentFacts::read(&segment(&[(1, 0, other), (1, 0, idr)]), 0).unwrap().starts_with_idr);
    let longer = [clear.clone(), boxed(b"mdat", &[0; 9])].concat();
    assert!(SegmentFacts::read(&longer, 0).is_none_or(|facts| !facts.is_whole), "two pieces of media data");
    assert_eq!(SegmentFacts::read(&clear[..clear.len() - 9], 0), None, "a sample is missing");
    assert_eq!(SegmentFacts::read(b"", 0), None);
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_read_makes_it_panic(master in "(#EXT[-A-Z0-9]*[:=,\"a-z0-9.\n/]*|[a-z/.]*\n){0,20}", bytes: Vec<u8>) {
        let renditions = vec![Rendition { uri: "a", playlist: &master, init: &bytes, segments: SegmentFacts::read(&bytes, 1).into_iter().collect() }];
        check(&Presentation { master: &master, renditions, deliveries: Vec::new() });
    }
}
