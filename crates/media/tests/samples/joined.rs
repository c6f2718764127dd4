//! Recordings joined in one transport stream: the clock runs back or jumps ahead, the format may change.

use crate::good::{check_poster, picture_hashes, reference, words};
use crate::made::{Source, make, remade};
use crate::run::{encode, probe, run, sound, times};
use theatrum_media::command::{EncodeJob, Mode, StartLevel, encode_argv};
use theatrum_media::plan::Plan;
use theatrum_media::probe::{Cadence, Facts};

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

const EVERY_FIFTH_LOST: &str = "-vf select='mod(n,5)' -fps_mode vfr -c:v libx264 -preset veryfast -g 50";

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

#[test]
fn sound_follows_pictures_where_the_clock_runs_back() {
    for (name, clocks_s) in [("again.ts", [3, 3]), ("back.ts", [40, 3])] {
        let source = joined(name, H264, clocks(clocks_s));
        let heard_s = heard_s(&counted(&source, name), &source);
        assert!((15.8..=16.2).contains(&heard_s), "{name}: {heard_s} s are heard");
    }
}

/// Lost pictures leave the counted ones as long as the sound.
#[test]
fn a_clock_that_runs_back_over_lost_pictures_keeps_their_length() {
    for (name, clocks_s) in [("again-lost.ts", [3, 3]), ("back-lost.ts", [40, 3])] {
        let source = joined(name, EVERY_FIFTH_LOST, clocks(clocks_s));
        let plan = remade(&source, |cadence| matches!(cadence, Cadence::Counted { .. }));
        let video = plan.video.as_ref().unwrap();
        let (last, lasts) = (video.chunks.last().unwrap(), video.rate.inverse());
        let pictures_s = (last.first_picture_ticks + lasts.ticks(i64::from(last.pictures))) as f64 / 90_000.0;
        let sound_s = (times_of_sound(&plan, &source).last().unwrap() + 1024) as f64 / 48_000.0;
        assert_eq!(video.pictures, 320, "{name}");
        assert!((pictures_s - sound_s).abs() < 0.2, "{name}: pictures for {pictures_s} s, sound for {sound_s} s");
    }
}

/// Distances of neighbours.
fn steps(times: &[i64]) -> Vec<i64> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// The clock of `far` is so much lower in the second recording that ffmpeg takes it for one that overflowed and counts on: time jumps ahead there.
#[test]
fn a_jump_ahead_is_taken_out_and_nothing_else() {
    let late = Part { clock_s: 7, sound_late_s: 0.6, ..PART };
    for (name, parts) in [("ahead.ts", clocks([7, 500])), ("far.ts", clocks([500, 7])), ("late.ts", [Part { clock_s: 500, ..PART }, late])]
    {
        let source = joined(name, EVERY_FIFTH_LOST, parts);
        let facts = probe(&source.0).unwrap();
        let plan = Plan::new(&facts, 2);
        let video = plan.video.as_ref().unwrap();
        assert_eq!((video.cadence, plan.jumps.len(), video.pictures), (Cadence::Source, 1, 320), "{name}");
        let short = Plan::with_target(&facts, 2, 90_000);
        assert!(last_seek_s(&short) > (plan.jumps[0].from_ticks + plan.jumps[0].by_ticks) as f64 / 90_000.0, "{name}");
        let truth = picture_hashes(&short, &source.0, StartLevel::FromStart, Mode::Planned);
        assert!(picture_hashes(&short, &source.0, StartLevel::Near, Mode::Planned) == truth, "{name}: pictures differ when sought");
        let made = encode(&plan, &source.0, &video.renditions[..1]).remove(0);
        assert_eq!((made.retries, made.missing), (0, 0), "{name}");
        check_late_poster(short, &facts, &source);
        let (shown, own) = (times(&made.init, &made.segments), reference(&facts, &source.0));
        let (shown_steps, own_steps) = (steps(&shown), steps(&own));
        let joint = own_steps.iter().position(|&step| step > 60 * 90_000).unwrap();
        assert!(shown_steps[joint] < 90_000, "{name}: the jump is {} ticks", shown_steps[joint]);
        assert_eq!((&shown_steps[..joint], &shown_steps[joint + 1..]), (&own_steps[..joint], &own_steps[joint + 1..]), "{name}");
        let ends = sound_ends(&source);
        let own_s = (ends - own.last().unwrap() - facts.origin_ticks()) as f64 / 90_000.0;
        let sound_end = (times_of_sound(&plan, &source).last().unwrap() + 1024) * 15 / 8;
        let made_s = (sound_end - shown.last().unwrap()) as f64 / 90_000.0;
        assert!((made_s - own_s).abs() < 0.05, "{name}: sound ends {made_s} s after the last picture, not {own_s} s");
        let (heard_s, wanted_s) = (heard_s(&plan, &source), 16.0 - parts[1].sound_late_s);
        assert!((heard_s - wanted_s).abs() < 0.2, "{name}: {heard_s} s are heard");
    }
}

/// The last picture, sought like any other, makes a poster.
fn check_late_poster(mut plan: Plan, facts: &Facts, source: &Source) {
    let video = plan.video.as_mut().unwrap();
    video.poster.pts = *facts.video.as_ref().unwrap().pictures.0.last().unwrap();
    video.poster.near_ticks = video.chunks.last().unwrap().near_ticks;
    check_poster(&plan, &source.0);
}

/// Where the job of the last chunk begins to read, by the source's own clock.
fn last_seek_s(plan: &Plan) -> f64 {
    let video = plan.video.as_ref().unwrap();
    let (chunk, level, mode) = (video.chunks.last().unwrap(), StartLevel::Near, Mode::Planned);
    let argv = encode_argv(&EncodeJob { plan, video, chunk, renditions: &video.renditions, level, mode }, "in", "out");
    let seek = argv.iter().position(|word| word == "-ss").unwrap();
    argv[seek + 1].parse().unwrap()
}

/// The end of the last packet of sound, in ticks of the source's clock.
fn sound_ends(source: &Source) -> i64 {
    let mut argv = words("-v error -select_streams a -show_entries packet=pts,duration -of csv=p=0");
    argv.push(source.0.to_str().unwrap().to_owned());
    let text = String::from_utf8(run("ffprobe", &argv).0).unwrap();
    let packets = text.lines().map(|line| line.split(',').filter_map(|field| field.parse::<i64>().ok()).sum::<i64>());
    packets.max().unwrap()
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

/// Without sound, a jump of the clock is a long pause.
#[test]
fn a_constant_rate_goes_on_where_the_size_changes() {
    let part = |(clock_s, size): (u32, &str)| {
        let argv = format!("-f lavfi -i testsrc2=size={size}:rate=25:duration=8 {H264} -output_ts_offset {clock_s}");
        std::fs::read(&make(&format!("{size}-pause.ts"), &argv).0).unwrap()
    };
    let path = std::env::temp_dir().join(format!("theatrum-{}-pause.ts", std::process::id()));
    std::fs::write(&path, [(3, "128x72"), (83, "160x90")].map(part).concat()).unwrap();
    remade(&Source(path), |cadence| matches!(cadence, Cadence::Constant { .. }));
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
