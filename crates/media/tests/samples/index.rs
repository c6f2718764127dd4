//! The packets that a `moov` tells are those that ffprobe reads.

use crate::good::words;
use crate::run::{moov, run, sample};
use std::path::Path;
use theatrum_media::probe::{HEAD_BYTES, Index, PacketScan, Packets, Picture, StreamReport, packets_argv, sniff, streams_argv};

/// By the header and by ffprobe.
fn both(path: &Path) -> (Option<Packets>, Packets) {
    let bytes = std::fs::read(path).unwrap();
    let container = sniff(&bytes[..bytes.len().min(HEAD_BYTES)], bytes.len() as u64).unwrap();
    let url = path.to_str().unwrap();
    let report = StreamReport::parse(&run("ffprobe", &streams_argv(container.demuxer, url)).0).unwrap();
    let chosen = report.choose().unwrap();
    let told = moov(&bytes).and_then(Index::read).and_then(|index| index.packets(&chosen, bytes.len() as u64));
    let mut scan = PacketScan::new(chosen);
    let (lines, stderr, _) = run("ffprobe", &packets_argv(container.demuxer, url));
    scan.push(&lines);
    (told, scan.finish(&stderr))
}

/// Compares; gives whether the header said enough.
fn agrees(path: &Path) -> bool {
    let (told, read) = both(path);
    let Some(told) = told else { return false };
    // Where pictures are reordered ffprobe gives each the duration of the mean rate, the header its own: as good.
    let lasting = |picture: &Picture| Picture { duration: 0, ..*picture };
    let differs = told.video.iter().zip(&read.video).find(|(one, other)| lasting(one) != lasting(other));
    assert_eq!(differs, None, "{}", path.display());
    assert_eq!((told.video.len(), &told.audio), (read.video.len(), &read.audio), "{}", path.display());
    true
}

/// Tier: `make test`. Cameras' and encoders' files are read by their headers; the rest is left to ffprobe: edits that hide something (03, 10), fragments (15).
#[test]
fn headers_of_samples_say_what_ffprobe_reads() {
    for (prefix, wanted) in [
        ("01", true),
        ("03", false),
        ("06", true),
        ("10", false),
        ("14", true),
        ("15", false),
        ("16", true),
        ("22", true),
        ("26", true),
        ("29", true),
        ("40", true),
    ] {
        let Some(path) = sample("good", prefix) else { continue };
        assert_eq!(agrees(&path), wanted, "{prefix}");
    }
}

/// Tier: `make test`. What muxers may do to times, with the answer that is expected of the header; a wrong one is never given.
#[test]
fn headers_of_made_files_say_what_ffprobe_reads() {
    let picture = "-f lavfi -i testsrc2=d=4:s=320x180:r=25";
    let sound = "-f lavfi -i sine=d=4:r=48000";
    let x264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 50";
    let folder = std::env::temp_dir().join(format!("theatrum-index-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, arguments, wanted) in [
        ("plain.mp4", format!("{picture} {sound} {x264} -c:a aac"), true),
        ("first.mov", format!("{picture} {sound} {x264} -c:a aac -movflags faststart"), true),
        ("negative.mp4", format!("{picture} {sound} {x264} -c:a aac -movflags negative_cts_offsets"), true),
        ("late-picture.mp4", format!("-itsoffset 0.7 {picture} {sound} {x264} -c:a aac"), true),
        ("late-sound.mp4", format!("{picture} -itsoffset 0.3 {sound} {x264} -c:a aac"), false),
        ("pcm.mov", format!("{picture} {sound} {x264} -c:a pcm_s16le"), true),
        (
            "uneven.mp4",
            format!("{picture} {x264} -vf select='not(mod(n\\,3))+gt(n\\,60)' -fps_mode vfr -video_track_timescale 90000"),
            true,
        ),
        ("fragments.mp4", format!("{picture} {sound} {x264} -c:a aac -movflags frag_keyframe"), false),
        ("hevc.mp4", format!("{picture} -c:v libx265 -x265-params log-level=none -tag:v hvc1"), true),
    ] {
        let path = folder.join(name);
        let mut argv = words(&format!("-nostdin -v error -y {arguments}"));
        argv.push(path.to_str().unwrap().to_owned());
        let (_, stderr, made) = run("ffmpeg", &argv);
        assert!(made, "{name}: {stderr}");
        assert_eq!(agrees(&path), wanted, "{name}");
    }
    let path = folder.join("first.mov");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() * 9 / 10]).unwrap();
    assert!(!agrees(&path), "what is not there whole is for ffprobe to read");
    // An edit that begins between two key pictures hides those before it.
    let cut = folder.join("cut.mp4");
    let mut argv = words("-nostdin -v error -y -ss 1 -i");
    argv.extend([folder.join("plain.mp4"), "-c".into(), "copy".into(), cut.clone()].map(|word| word.to_str().unwrap().to_owned()));
    run("ffmpeg", &argv);
    assert!(!agrees(&cut));
    std::fs::remove_dir_all(&folder).unwrap();
}
