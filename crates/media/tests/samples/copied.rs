//! The source's own pictures come out bit by bit, at their times, cut where they begin anew.

use crate::good::{plays, reference, words};
use crate::made::make;
use crate::run::{encode, probe, run, sample, times};
use crate::sink::Sink;
use std::path::Path;
use theatrum_media::cmaf::{CmafError, Init, PackagedSegment, VideoPackager};
use theatrum_media::command::copy_argv;
use theatrum_media::copy::Obstacle;
use theatrum_media::plan::Plan;
use theatrum_media::probe::Facts;

type Copied = (Init, Vec<PackagedSegment>, Vec<u32>);

fn copy(plan: &Plan, path: &Path) -> Result<Copied, CmafError> {
    let video = plan.video.as_ref().unwrap();
    let top = video.copied.as_ref().unwrap();
    let sink = Sink::new();
    let (_, stderr, _) = run("ffmpeg", &copy_argv(plan, video, &top.name, path.to_str().unwrap(), &sink.url));
    let mut packager = VideoPackager::copying(&plan.segments, top.width, top.height);
    let mut segments = Vec::new();
    for bytes in sink.take(&top.name).chunks(4097) {
        segments.extend(packager.push(bytes).inspect_err(|error| eprintln!("{error}: {stderr}"))?);
    }
    let end = packager.finish()?;
    segments.extend(end.segments);
    Ok((end.init, segments, end.pictures))
}

/// MD5 of every decoded picture.
fn decoded(path: &Path) -> Vec<String> {
    let argv =
        [words("-nostdin -v error -i"), vec![path.to_str().unwrap().to_owned()], words("-map 0:v:0 -fps_mode passthrough -f framemd5 -")]
            .concat();
    let text = String::from_utf8(run("ffmpeg", &argv).0).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

/// Copies a source, and looks at what came of it.
fn check(path: &Path) -> (Facts, Plan, Copied) {
    let facts = probe(path).unwrap();
    let plan = Plan::new(&facts, 2);
    let video = plan.video.as_ref().unwrap();
    assert_eq!(video.obstacle, None);
    let (init, segments, pictures) = copy(&plan, path).unwrap();
    assert_eq!(pictures, plan.segments.iter().map(|segment| segment.pictures).collect::<Vec<_>>());
    assert_eq!(segments.len(), plan.segments.len());
    let wanted = reference(&facts, path);
    assert_eq!(times(&init, &segments), wanted);
    assert_eq!(plays(&init, &segments), wanted.len());
    let file = make(&format!("copied-{}", path.file_name().unwrap().to_str().unwrap()), "-f lavfi -i color=s=16x16:d=0.1");
    let bytes: Vec<u8> = init.bytes.iter().copied().chain(segments.iter().flat_map(|segment| segment.bytes.iter().copied())).collect();
    std::fs::write(&file.0, bytes).unwrap();
    assert!(decoded(&file.0) == decoded(path), "pictures differ from those of the source");
    (facts, plan, (init, segments, pictures))
}

const X264: &str = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -crf 36";

/// Tier: `make test`. Whatever the encoder's structure: reordered pictures, open ends, a late start, uneven times.
#[test]
fn pictures_are_copied_bit_by_bit() {
    for (name, input, encoder) in [
        ("plain.mp4", "testsrc2=size=640x360:rate=25:duration=31", "-g 250"),
        ("short.mp4", "testsrc2=size=640x360:rate=30:duration=7", "-g 60 -bf 3 -b_strategy 0"),
        ("none.mp4", "testsrc2=size=640x360:rate=25:duration=13", "-g 50 -bf 0 -movflags faststart"),
        ("negative.mp4", "testsrc2=size=640x360:rate=25:duration=13", "-g 100 -movflags negative_cts_offsets"),
        ("ntsc.mov", "testsrc2=size=640x360:rate=60000/1001:duration=9", "-g 120"),
        ("uneven.mp4", "testsrc2=size=640x360:rate=25:duration=20,select='not(mod(n\\,3))+gt(n\\,60)'", "-fps_mode vfr -g 40"),
    ] {
        let source = make(name, &format!("-f lavfi -i {input} {X264} {encoder}"));
        let (_, plan, _) = check(&source.0);
        assert!(plan.segments.len() > 1, "{name}");
    }
}

/// Tier: `make test`. The encoded renditions below share the copied one's segments.
#[test]
fn the_renditions_below_are_cut_where_the_copied_one_is() {
    let source =
        make("film.mp4", &format!("-f lavfi -i testsrc2=size=854x480:rate=25:duration=21 {X264} -g 125 -keyint_min 125 -sc_threshold 0"));
    let (_, plan, (_, copied, _)) = check(&source.0);
    let video = plan.video.as_ref().unwrap();
    let below = encode(&plan, &source.0, &video.renditions).remove(0);
    let lengths =
        |segments: &[PackagedSegment]| segments.iter().map(|segment| (segment.duration_ticks, segment.samples)).collect::<Vec<_>>();
    assert_eq!(lengths(&copied), lengths(&below.segments));
    assert_eq!(lengths(&copied).iter().map(|(ticks, _)| ticks / 90_000).collect::<Vec<_>>(), [5, 5, 5, 6]);
}

/// Tier: `make test`. What the encoder wrote about itself, and might have written about a patient, is not in what viewers get.
#[test]
fn words_in_the_stream_do_not_survive() {
    let source = make(
        "words.mp4",
        &format!(
            "-f lavfi -i testsrc2=size=640x360:rate=25:duration=3 {X264} -bsf:v h264_metadata=sei_user_data=086f3693-b7b3-4f2c-9653-21492feee5b8+PatientDoe"
        ),
    );
    let (_, _, (init, segments, _)) = check(&source.0);
    let has = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    let bytes = std::fs::read(&source.0).unwrap();
    assert!(has(&bytes, b"PatientDoe") && has(&bytes, b"x264"));
    for made in segments.iter().map(|segment| &segment.bytes).chain([&init.bytes]) {
        assert!(!has(made, b"PatientDoe") && !has(made, b"x264"));
    }
}

/// Tier: `make test`. What may not be copied says why.
#[test]
fn samples_say_why_they_are_encoded() {
    for (prefix, wanted) in [
        ("01", None),
        ("06", Some(Obstacle::FullRange)),
        ("14", None),
        ("16", Some(Obstacle::Format)),
        ("22", None),
        ("29", Some(Obstacle::Idrs)),
        ("30", Some(Obstacle::Shape)),
        ("40", Some(Obstacle::FullRange)),
    ] {
        let Some(path) = sample("good", prefix) else { continue };
        let plan = Plan::new(&probe(&path).unwrap(), 2);
        assert_eq!(plan.video.unwrap().obstacle, wanted, "{prefix}");
    }
}

/// Tier: `make test`. A stream that changes in its middle, though its header does not say so, is not copied.
#[test]
fn a_promise_that_is_broken_is_noticed() {
    let source = make("rotten.mp4", &format!("-f lavfi -i testsrc2=size=640x360:rate=25:duration=21 {X264} -g 125 -movflags faststart"));
    let facts = probe(&source.0).unwrap();
    let plan = Plan::new(&facts, 2);
    let mut bytes = std::fs::read(&source.0).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 20_000].fill(0);
    std::fs::write(&source.0, bytes).unwrap();
    let error = copy(&plan, &source.0).unwrap_err();
    assert!(matches!(error, CmafError::Malformed(_) | CmafError::NotIdr { .. }), "{error}");
}
