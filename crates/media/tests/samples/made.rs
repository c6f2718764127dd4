//! Sources made on the spot: other containers and codecs, long enough for seeks to go wrong, and timestamps that cannot be kept.

use crate::good::{picture_hashes, plays, reference, words};
use crate::run::{encode, probe, run, times};
use std::path::PathBuf;
use theatrum_media::command::{Mode, StartLevel};
use theatrum_media::plan::Plan;
use theatrum_media::probe::Cadence;

/// A file that is gone when the test ends.
pub struct Source(pub PathBuf);

impl Drop for Source {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub fn make(name: &str, argv: &str) -> Source {
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
pub fn remade(source: &Source, is_expected: fn(Cadence) -> bool) -> Plan {
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

/// A deinterlacer looks at both neighbours of a picture, those in other chunks too.
#[test]
fn deinterlaced_chunks_are_those_of_one_run() {
    let interlace = "-vf interlace,setfield=tff -flags +ildct+ilme";
    exact(&moving("fields.mp4", &format!("{interlace} -c:v libx264 -preset veryfast -g 50 -x264-params tff=1")), false);
    exact(&moving("fields.mkv", &format!("{interlace} -c:v mpeg2video -bf 0 -g 25 -q:v 4")), false);
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
