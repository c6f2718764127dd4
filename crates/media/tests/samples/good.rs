//! Every good file comes out with the pictures of one plain run of ffmpeg, at their times, however it is cut.

use crate::run::{Made, encode, probe, run, sample, sound, times};
use std::path::Path;
use theatrum_media::cmaf::{Init, PackagedSegment};
use theatrum_media::command::{EncodeJob, Mode, StartLevel, encode_argv, still_argv};
use theatrum_media::plan::Plan;
use theatrum_media::probe::Facts;

pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Times of all pictures of one plain run, in ticks from the plan's origin.
pub fn reference(facts: &Facts, path: &Path) -> Vec<i64> {
    let mut argv = words("-nostdin -v error -copyts -i");
    argv.push(path.to_str().unwrap().to_owned());
    argv.extend(words("-map 0:v:0 -fps_mode passthrough -enc_time_base -1 -f framecrc -"));
    let base = facts.video.as_ref().unwrap().time_base;
    let text = String::from_utf8(run("ffmpeg", &argv).0).unwrap();
    let pictures = text.lines().filter(|line| !line.starts_with('#'));
    let mut times: Vec<i64> = pictures.map(|line| base.ticks(line.split(',').nth(2).unwrap().trim().parse().unwrap())).collect();
    times.sort_unstable();
    times.iter().map(|ticks| ticks - facts.origin_ticks()).collect()
}

/// MD5 of each picture of each chunk after scaling to the smallest rendition: what the encoder is given.
pub fn picture_hashes(plan: &Plan, path: &Path, level: StartLevel, mode: Mode) -> Vec<String> {
    let video = plan.video.as_ref().unwrap();
    let mut hashes = Vec::new();
    for chunk in &video.chunks {
        let job = EncodeJob { plan, video, chunk, renditions: &video.renditions[..1], level, mode };
        let argv = encode_argv(&job, path.to_str().unwrap(), "http://127.0.0.1:1");
        let mut argv: Vec<String> =
            argv.into_iter().take_while(|word| word != "-map").filter(|word| word != "-progress" && word != "pipe:1").collect();
        argv.extend(words(&format!("-map [{}] -fps_mode passthrough -enc_time_base 1:90000 -f framemd5 -", video.renditions[0].name)));
        let text = String::from_utf8(run("ffmpeg", &argv).0).unwrap();
        hashes.extend(text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit(',').next().unwrap().trim().to_owned()));
    }
    hashes
}

/// ffmpeg decodes the rendition without a word; gives the number of pictures or frames.
pub fn plays(init: &Init, segments: &[PackagedSegment]) -> usize {
    let file = std::env::temp_dir().join(format!("theatrum-{}-{:?}.mp4", std::process::id(), std::thread::current().id()));
    let bytes: Vec<u8> = init.bytes.iter().copied().chain(segments.iter().flat_map(|segment| segment.bytes.iter().copied())).collect();
    std::fs::write(&file, bytes).unwrap();
    let mut argv = words("-nostdin -v warning -i");
    argv.push(file.to_str().unwrap().to_owned());
    argv.extend(words("-fps_mode passthrough -enc_time_base -1 -f framecrc -"));
    let (stdout, stderr, success) = run("ffmpeg", &argv);
    std::fs::remove_file(&file).unwrap();
    assert!(success && stderr.is_empty(), "{stderr}");
    String::from_utf8(stdout).unwrap().lines().filter(|line| !line.starts_with('#')).count()
}

fn check_video(plan: &Plan, made: &Made, wanted: &[i64]) {
    assert_eq!(times(&made.init, &made.segments), wanted);
    assert_eq!(made.missing, 0);
    assert_eq!(plays(&made.init, &made.segments), wanted.len());
    assert_eq!(made.segments.iter().map(|segment| segment.duration_ticks).sum::<i64>(), plan.duration_ticks);
    assert!(made.segments.iter().zip(0..).all(|(segment, index)| segment.index == index));
}

fn check_sound(plan: &Plan, facts: &Facts, path: &Path) {
    let (init, segments) = sound(plan, path);
    assert_eq!(segments.len(), plan.segments.len());
    let mut drift = 0;
    for (sound, segment) in segments.iter().zip(&plan.segments).take(segments.len() - 1) {
        drift += sound.duration_ticks - segment.duration_ticks();
        assert!((0..1920).contains(&drift), "segment {} is {drift} ticks off", segment.start_ticks);
    }
    let audio = facts.audio.as_ref().unwrap();
    let times = times(&init, &segments);
    let first = audio.time_base.ticks(audio.start_pts) - plan.origin_ticks;
    let last = audio.time_base.ticks(audio.end_pts) - plan.origin_ticks;
    assert!((times[0] * 15 / 8 - first).abs() <= 1920, "first sound at {} not {first}", times[0] * 15 / 8);
    let end = (times.last().unwrap() + 1024) * 15 / 8;
    assert!((end - last).abs() <= 2 * 1920, "sound ends at {end} not {last}");
    assert_eq!(plays(&init, &segments), times.len());
}

/// Cuts as planned, and into pieces of `short_ticks` to try the borders hard.
fn check(prefix: &str, short_ticks: i64, all_renditions: bool) {
    let Some(path) = sample("good", prefix) else { return };
    let facts = probe(&path).unwrap();
    assert!(!facts.truncated);
    let plan = Plan::new(&facts, 2);
    if facts.audio.is_some() {
        check_sound(&plan, &facts, &path);
    }
    let Some(video) = &plan.video else { return };
    assert!(video.chunks.len() >= 3 || plan.duration_ticks <= 4 * 90_000, "{} chunks", video.chunks.len());
    let wanted = reference(&facts, &path);
    let short = Plan::with_target(&facts, 2, short_ticks);
    let whole = Plan::with_target(&facts, 2, i64::MAX / 4);
    assert_eq!(whole.video.as_ref().unwrap().chunks.len(), 1);
    let truth = picture_hashes(&whole, &path, StartLevel::FromStart, Mode::Planned);
    assert_eq!(truth.len(), wanted.len());
    for plan in [&plan, &short] {
        assert!(picture_hashes(plan, &path, StartLevel::Near, Mode::Planned) == truth, "pictures differ from those of one run");
        let video = plan.video.as_ref().unwrap();
        let count = if all_renditions { video.renditions.len() } else { 1 };
        for made in encode(plan, &path, &video.renditions[..count]) {
            assert_eq!(made.retries, 0, "a chunk had to be made again");
            check_video(plan, &made, &wanted);
        }
    }
    check_poster(&plan, &path);
}

/// The poster is made, of nothing but the picture.
pub fn check_poster(plan: &Plan, path: &Path) {
    let (sink, video) = (crate::sink::Sink::new(), plan.video.as_ref().unwrap());
    let (_, stderr, success) = run("ffmpeg", &still_argv(plan, video, StartLevel::Near, path.to_str().unwrap(), &sink.url));
    assert!(success, "{stderr}");
    let jpeg = sink.take("poster");
    assert!(jpeg.starts_with(b"\xff\xd8") && jpeg.ends_with(b"\xff\xd9") && !jpeg.windows(4).any(|at| at == b"Lavc"));
}

macro_rules! files {
    ($($name:ident $prefix:literal $short:literal $all:literal;)*) => {
        $(#[test] fn $name() { check($prefix, $short, $all); })*
    };
}

files! {
    f01_film "01_" 180_000 false;
    f03_slides_with_edit_list "03_" 90_000 true;
    f05_avchd_transport_stream "05_" 20_000 false;
    f06_slides_444 "06_" 180_000 false;
    f07_full_range_matroska "07_" 45_000 false;
    f10_iphone_hdr_turned "10_" 45_000 false;
    f14_screen_recording "14_" 45_000 false;
    f15_fragmented_turned "15_" 45_000 false;
    f16_hevc "16_" 90_000 false;
    f18_mpeg2_transport_stream "18_" 45_000 false;
    f20_vp8_webm "20_" 20_000 false;
    f26_sound_alone "26_" 90_000 false;
    f28_matroska_with_subtitles "28_" 20_000 false;
    f29_film_720p "29_" 90_000 true;
    f30_wide_pixels "30_" 90_000 false;
    f40_film_full_range "40_" 90_000 false;
}

/// The long one: its lowest rendition, cut as planned.
#[test]
fn f22_six_minutes() {
    let Some(path) = sample("good", "22_") else { return };
    let facts = probe(&path).unwrap();
    let plan = Plan::new(&facts, 2);
    check_sound(&plan, &facts, &path);
    let made = encode(&plan, &path, &plan.video.as_ref().unwrap().renditions[..1]);
    assert_eq!(made[0].retries, 0);
    check_video(&plan, &made[0], &reference(&facts, &path));
}
