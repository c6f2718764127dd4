//! Sources made on the spot: other containers and codecs, long enough for seeks to go wrong, and timestamps that cannot be kept.

use crate::good::{picture_hashes, plays, reference, words};
use crate::run::{encode, probe, run, sound, times};
use std::path::PathBuf;
use theatrum_media::command::{Mode, StartLevel};
use theatrum_media::plan::Plan;
use theatrum_media::probe::Cadence;

/// A file that is gone when the test ends.
struct Source(PathBuf);

impl Drop for Source {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn make(name: &str, argv: &str) -> Source {
    let path = std::env::temp_dir().join(format!("theatrum-{}-{name}", std::process::id()));
    let mut argv = words(&format!("-nostdin -v error -y {argv}"));
    argv.push(path.to_str().unwrap().to_owned());
    let (_, stderr, success) = run("ffmpeg", &argv);
    assert!(success, "{stderr}");
    Source(path)
}

/// Forty seconds of moving picture with the given encoder options.
fn moving(name: &str, encoder: &str) -> Source {
    make(name, &format!("-f lavfi -i testsrc2=size=192x108:rate=25:duration=40 {encoder}"))
}

/// The chunks of a source give, picture by picture, what one run gives, whether they are started near or had to go back.
fn exact(source: &Source, may_retry: bool) {
    let facts = probe(&source.0).unwrap();
    let plan = Plan::new(&facts, 1);
    let video = plan.video.as_ref().unwrap();
    assert_eq!(video.cadence, Cadence::Source);
    assert!(video.chunks.len() >= 3);
    let wanted = reference(&facts, &source.0);
    if !may_retry {
        let whole = Plan::with_target(&facts, 1, i64::MAX / 4);
        let truth = picture_hashes(&whole, &source.0, StartLevel::FromStart, Mode::Planned);
        assert!(picture_hashes(&plan, &source.0, StartLevel::Near, Mode::Planned) == truth, "pictures differ from those of one run");
    }
    let made = encode(&plan, &source.0, &video.renditions[..1]).remove(0);
    assert!(may_retry || made.retries == 0);
    assert_eq!(times(&made.init, &made.segments), wanted);
    assert_eq!(plays(&made.init, &made.segments), wanted.len());
}

/// A source whose times are made anew: as many pictures as planned, each segment full.
fn remade(source: &Source, is_expected: fn(Cadence) -> bool) -> Plan {
    let facts = probe(&source.0).unwrap();
    let plan = Plan::new(&facts, 2);
    let video = plan.video.as_ref().unwrap();
    assert!(is_expected(video.cadence), "{:?}", video.cadence);
    let made = encode(&plan, &source.0, &video.renditions[..1]).remove(0);
    assert_eq!(made.segments.len(), plan.segments.len());
    assert_eq!((made.retries, made.missing), (0, 0));
    assert_eq!(plays(&made.init, &made.segments) as u64, video.pictures);
    plan
}

const OPEN_GOP: &str = "-c:v libx264 -preset veryfast -x264-params open-gop=1:keyint=50:bframes=3:scenecut=0:log-level=error";

#[test]
fn open_gop_matroska() {
    exact(&moving("open.mkv", OPEN_GOP), false);
}

#[test]
fn open_gop_mp4() {
    exact(&moving("open.mp4", OPEN_GOP), false);
}

#[test]
fn open_gop_transport_stream() {
    exact(&moving("open.ts", OPEN_GOP), false);
}

#[test]
fn hevc_transport_stream() {
    exact(&moving("hevc.ts", "-c:v libx265 -preset ultrafast -x265-params keyint=50:log-level=error"), false);
}

#[test]
fn mpeg2_program_stream() {
    let source = moving("mpeg2.mpg", "-c:v mpeg2video -bf 2 -g 15 -q:v 4 -f vob");
    remade(&source, |cadence| matches!(cadence, Cadence::Constant { rate } if rate.as_f64() == 25.0));
}

#[test]
fn flash_video() {
    exact(&moving("film.flv", "-c:v libx264 -preset veryfast -g 100"), false);
}

#[test]
fn vp9_with_hidden_pictures() {
    exact(&moving("vp9.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 200k -auto-alt-ref 1 -lag-in-frames 16 -g 100"), true);
}

#[test]
fn windows_media() {
    exact(&moving("film.wmv", "-c:v wmv2 -g 50"), true);
}

#[test]
fn avi_without_presentation_times() {
    remade(
        &moving("film.avi", "-c:v mpeg4 -bf 2 -g 50 -q:v 4"),
        |cadence| matches!(cadence, Cadence::Constant { rate } if rate.as_f64() == 25.0),
    );
}

/// A packet's place in its file and its size.
fn packets(source: &Source) -> Vec<(u64, usize)> {
    let mut argv = words("-v error -select_streams v -show_entries packet=pos,size -of csv=p=0");
    argv.push(source.0.to_str().unwrap().to_owned());
    let text = String::from_utf8(run("ffprobe", &argv).0).unwrap();
    let fields = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    fields.map(|fields| (fields[1].parse().unwrap(), fields[0].parse().unwrap())).collect()
}

/// Zeroes packets; gives what the plan expects to decode, and how much of it does not.
fn decayed(source: &Source, lost: std::ops::Range<usize>) -> (u64, u32) {
    let mut bytes = std::fs::read(&source.0).unwrap();
    packets(source)[lost].iter().for_each(|&(at, size)| bytes[at as usize..][..size].fill(0));
    std::fs::write(&source.0, bytes).unwrap();
    let facts = probe(&source.0).unwrap();
    let plan = Plan::new(&facts, 1);
    let video = plan.video.as_ref().unwrap();
    assert!(matches!(video.cadence, Cadence::Constant { .. }));
    let made = encode(&plan, &source.0, &video.renditions[..1]).remove(0);
    assert_eq!(plays(&made.init, &made.segments) as u64, video.pictures, "every hole is filled");
    (video.expected(), made.missing)
}

#[test]
fn pictures_repeated_at_a_constant_rate_are_not_decoded_ones() {
    let avi = || moving("rotten.avi", "-c:v mpeg4 -bf 2 -g 50 -q:v 4");
    let (expected, missing) = decayed(&avi(), 130..1000);
    assert!((995..=1000).contains(&expected) && (830..=870).contains(&missing), "{missing} of {expected}");
    let (_, missing) = decayed(&avi(), 300..600);
    assert!((250..=320).contains(&missing), "{missing}");
}

/// Black pictures of sixteen pixels are fifteen bytes each.
#[test]
fn pictures_of_next_to_nothing_are_missed_all_the_same() {
    let source = make("tiny.avi", "-f lavfi -i color=black:size=16x16:rate=120:duration=10 -c:v zlib");
    assert!(packets(&source).iter().all(|&(_, size)| size <= 19));
    let (expected, missing) = decayed(&source, 300..1200);
    assert_eq!(expected, 1200);
    assert!((890..=900).contains(&missing), "{missing}");
}

#[test]
fn reordered_pictures_without_times_are_not_missed() {
    let constant: fn(Cadence) -> bool = |cadence| matches!(cadence, Cadence::Constant { .. });
    remade(&moving("deep.avi", "-c:v libx264 -preset veryfast -bf 4 -b_strategy 0 -g 50"), constant);
    let source = moving("middle.mpg", "-c:v mpeg2video -bf 2 -g 15 -q:v 4 -f vob");
    let bytes = std::fs::read(&source.0).unwrap();
    let packs = bytes.windows(4).enumerate().skip(bytes.len() / 3).find(|(_, window)| *window == [0, 0, 1, 0xba]);
    std::fs::write(&source.0, &bytes[packs.unwrap().0..]).unwrap();
    remade(&source, constant);
}

#[test]
fn an_avi_chunk_that_decodes_with_complaints_is_made_again() {
    let source = moving("scratched.avi", "-c:v mpeg4 -bf 2 -g 50 -q:v 4");
    let mut bytes = std::fs::read(&source.0).unwrap();
    let (at, size) = packets(&source)[500];
    bytes[at as usize + size / 2..at as usize + size].fill(0);
    std::fs::write(&source.0, bytes).unwrap();
    let plan = Plan::new(&probe(&source.0).unwrap(), 1);
    let made = encode(&plan, &source.0, &plan.video.as_ref().unwrap().renditions[..1]).remove(0);
    assert_eq!((made.retries, made.missing), (1, 0));
}

#[test]
fn interlaced_keeps_every_picture() {
    exact(&moving("fields.ts", "-vf interlace,setfield=tff -flags +ildct+ilme -c:v mpeg2video -bf 2 -g 15 -q:v 4"), true);
}

#[test]
fn above_sixty_is_halved() {
    let source = make("fast.mp4", "-f lavfi -i testsrc2=size=128x72:rate=120:duration=10 -c:v libx264 -preset veryfast -g 120");
    let plan = remade(&source, |cadence| matches!(cadence, Cadence::Constant { rate } if rate.as_f64() == 60.0));
    assert_eq!(plan.video.unwrap().pictures, 600);
}

#[test]
fn a_slide_with_a_lecture_on_it_is_repeated() {
    let inputs = "-f lavfi -i testsrc2=size=128x72:rate=25:duration=0.04 -f lavfi -i sine=duration=45";
    let source = make("slide.mp4", &format!("{inputs} -c:v libx264 -c:a aac"));
    let plan = remade(&source, |cadence| matches!(cadence, Cadence::Constant { .. }));
    assert!(plan.segments.len() >= 7 && plan.segments.iter().all(|segment| segment.duration_ticks() < 9 * 90_000));
}

#[test]
fn times_that_run_backwards_are_counted() {
    let one = make("one.ts", "-f lavfi -i testsrc2=size=128x72:rate=25:duration=8 -c:v libx264 -preset veryfast -g 50");
    let path = std::env::temp_dir().join(format!("theatrum-{}-twice.ts", std::process::id()));
    let bytes = std::fs::read(&one.0).unwrap();
    std::fs::write(&path, [bytes.clone(), bytes].concat()).unwrap();
    let plan = remade(&Source(path), |cadence| matches!(cadence, Cadence::Counted { .. }));
    assert_eq!(plan.video.unwrap().pictures, 400);
}

/// Seconds of the made sound in which there is something to be heard.
fn heard_s(plan: &Plan, source: &Source) -> f64 {
    let (init, segments) = sound(plan, &source.0);
    let bytes: Vec<u8> = init.bytes.iter().copied().chain(segments.iter().flat_map(|segment| segment.bytes.iter().copied())).collect();
    let file = Source(source.0.with_extension("sound.mp4"));
    std::fs::write(&file.0, bytes).unwrap();
    let mut argv = words("-nostdin -v error -i");
    argv.push(file.0.to_str().unwrap().to_owned());
    argv.extend(words("-ac 1 -f s16le -"));
    let samples = run("ffmpeg", &argv).0;
    let loud = samples.chunks(960).filter(|part| part.chunks_exact(2).any(|pair| i16::from_le_bytes([pair[0], pair[1]]).abs() > 500));
    loud.count() as f64 / 100.0
}

/// One of two recordings of eight seconds with sound: when its clock starts, how long after the picture the sound begins, and the sizes of both.
#[derive(Clone, Copy)]
struct Part {
    clock_s: u32,
    sound_late_s: f64,
    size: &'static str,
    channels: u8,
}

const PART: Part = Part { clock_s: 0, sound_late_s: 0.0, size: "128x72", channels: 2 };
const H264: &str = "-c:v libx264 -preset veryfast -g 50";

/// Both recordings, one after the other in one transport stream.
fn joined(name: &str, encoder: &str, parts: [Part; 2]) -> Source {
    let part = |part: Part| {
        let inputs = format!("-f lavfi -i testsrc2=size={}:rate=25:duration=8", part.size);
        let sound = format!("-itsoffset {} -f lavfi -i sine=duration={}", part.sound_late_s, 8.0 - part.sound_late_s);
        let argv = format!("{inputs} {sound} {encoder} -c:a aac -ac {} -output_ts_offset {}", part.channels, part.clock_s);
        std::fs::read(&make(&format!("{}-{name}", part.clock_s), &argv).0).unwrap()
    };
    let path = std::env::temp_dir().join(format!("theatrum-{}-{name}", std::process::id()));
    std::fs::write(&path, parts.map(part).concat()).unwrap();
    Source(path)
}

fn clocks(clocks_s: [u32; 2]) -> [Part; 2] {
    clocks_s.map(|clock_s| Part { clock_s, ..PART })
}

/// As [`remade`], for two joined recordings that are counted.
fn counted(source: &Source, name: &str) -> Plan {
    let plan = remade(source, |cadence| matches!(cadence, Cadence::Counted { rate } if rate.as_f64() == 25.0));
    assert_eq!(plan.video.as_ref().unwrap().pictures, 400, "{name}");
    assert!((1400..1500).contains(&(plan.duration_ticks / 1000)), "{name}: {} ticks", plan.duration_ticks);
    plan
}

/// The second clock of `far` is so much lower that ffmpeg takes it for one that overflowed and counts on: time jumps ahead there.
#[test]
fn sound_follows_pictures_over_a_jump_of_the_clock() {
    for (name, clocks_s) in [("again.ts", [3, 3]), ("back.ts", [40, 3]), ("far.ts", [500, 7]), ("ahead.ts", [7, 500])] {
        let source = joined(name, H264, clocks(clocks_s));
        let heard_s = heard_s(&counted(&source, name), &source);
        assert!((15.8..=16.2).contains(&heard_s), "{name}: {heard_s} s are heard");
    }
}

#[test]
fn a_clock_that_restarts_lower_keeps_picture_and_sound_together() {
    let encoders = [
        ("h264.ts", H264),
        ("mpeg2.ts", "-c:v mpeg2video -bf 2 -g 15 -q:v 4"),
        ("hevc.ts", "-c:v libx265 -preset ultrafast -x265-params keyint=50:log-level=error"),
    ];
    for (name, encoder) in encoders {
        for (late_s, then_s) in [(0.0, 0.0), (0.6, 0.0), (0.0, 0.6)] {
            let parts = [Part { clock_s: 40, sound_late_s: late_s, ..PART }, Part { clock_s: 3, sound_late_s: then_s, ..PART }];
            let source = joined(name, encoder, parts);
            let plan = counted(&source, name);
            let first_heard_s = times_of_sound(&plan, &source)[0] as f64 / 48_000.0;
            let first_seen_s = plan.video.as_ref().unwrap().chunks[0].first_picture_ticks as f64 / 90_000.0;
            assert!(
                (first_heard_s - first_seen_s - late_s).abs() < 0.1,
                "{name}: {first_heard_s} s {first_seen_s} s, not {late_s} s apart"
            );
        }
    }
}

fn times_of_sound(plan: &Plan, source: &Source) -> Vec<i64> {
    let (init, segments) = sound(plan, &source.0);
    times(&init, &segments)
}

#[test]
fn counting_goes_on_where_the_format_changes() {
    let first = Part { clock_s: 40, ..PART };
    let fields = format!("-vf setfield=tff -flags +ildct+ilme {H264} -x264-params tff=1");
    for (name, encoder, then) in [
        ("mono.ts", H264, Part { channels: 1, ..PART }),
        ("surround.ts", H264, Part { clock_s: 40, channels: 6, ..PART }),
        ("larger.ts", H264, Part { size: "160x90", ..PART }),
        ("smaller.ts", &fields, Part { size: "96x56", ..PART }),
    ] {
        let source = joined(name, encoder, [first, then]);
        let plan = counted(&source, name);
        let heard_s = heard_s(&plan, &source);
        assert!((15.8..=16.2).contains(&heard_s), "{name}: {heard_s} s are heard");
        let mut hashes = picture_hashes(&plan, &source.0, StartLevel::FromStart, Mode::Planned);
        assert!(picture_hashes(&plan, &source.0, StartLevel::FromStart, Mode::Hold) == hashes, "{name}: holding changes pictures");
        hashes[200..].sort_unstable();
        hashes[200..].windows(2).for_each(|pair| assert!(pair[0] != pair[1], "{name}: a picture is shown twice"));
        assert_eq!(hashes.len(), 400, "{name}");
    }
}

#[test]
fn counted_pictures_are_held_by_their_numbers() {
    let source = joined("held.ts", H264, clocks([40, 3]));
    let plan = Plan::new(&probe(&source.0).unwrap(), 1);
    let truth = picture_hashes(&plan, &source.0, StartLevel::FromStart, Mode::Planned);
    assert_eq!(truth.len(), 400);
    assert!(
        picture_hashes(&plan, &source.0, StartLevel::FromStart, Mode::Hold) == truth,
        "holding changes pictures though none is missing"
    );
}

#[test]
fn a_hole_in_the_middle_holds_the_last_picture() {
    let source = moving("hole.mp4", "-c:v libx264 -preset veryfast -g 50");
    let mut bytes = std::fs::read(&source.0).unwrap();
    let length = bytes.len();
    bytes[length * 35 / 100..length * 65 / 100].fill(0);
    std::fs::write(&source.0, bytes).unwrap();
    let facts = probe(&source.0).unwrap();
    let plan = Plan::new(&facts, 1);
    let made = encode(&plan, &source.0, &plan.video.as_ref().unwrap().renditions[..1]).remove(0);
    assert_eq!(made.segments.len(), plan.segments.len());
    assert!(made.retries > 0 && made.missing > 200, "{} missing", made.missing);
    assert!(plays(&made.init, &made.segments) > 500);
}
