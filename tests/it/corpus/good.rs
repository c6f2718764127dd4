//! Good files come out as playable, correct video.

use super::decode::{Decoded, decode, shown_size, worst_psnr};
use crate::support::player::{Player, Rendition, Stream};
use crate::support::samples::corpus;
use crate::support::server::Server;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Costs minutes; see FACTS: once per long run.
const SLOW: &str = "22_";
/// One frame of the sound that comes out: 1024 samples at 48 kHz.
const SOUND_FRAME_S: f64 = 1024.0 / 48000.0;
/// Timestamps are rounded to 1/90000 s, and Matroska's to 1 ms before.
const ROUNDING_S: f64 = 0.0015;
/// Below this a picture is not the source's: grey or smeared by a reference that was not there.
const LEAST_PSNR: f64 = 25.0;

/// Tier: `make test`. "Every file of `media/good`: ready; cut into at least 3 chunks if longer than 4 s; ffmpeg decodes each rendition from its
/// playback URL with the pictures of the source; first and last timestamps agree; one list of durations." All but the one that takes minutes.
#[test]
fn every_good_file_comes_out_as_it_went_in() {
    publish_and_check(good_files(|name| !name.starts_with(SLOW)));
}

/// Tier: `make test-all`. The same for the long one. The samples that `scripts/make-samples` makes hold none: `scripts/test` then leaves this
/// test out and says so.
#[test]
#[ignore = "takes minutes: make test-all"]
fn the_long_good_file_comes_out_as_it_went_in() {
    publish_and_check(good_files(|name| name.starts_with(SLOW)));
}

/// Tier: `make test`. Sound that ends seconds before the picture does, as in file 22: one list of durations, and no sound made up.
#[test]
fn sound_may_end_before_its_picture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("short-sound.mp4");
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=14.5"]);
    ffmpeg.args(["-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000:duration=12.2"]);
    ffmpeg.args(["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac"]);
    assert!(ffmpeg.arg(&file).status().expect("ffmpeg runs").success());
    publish_and_check(vec![file]);
}

/// The good files by name; `THEATRUM_GOOD` narrows them while one is looked into.
fn good_files(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let only = std::env::var("THEATRUM_GOOD").unwrap_or_default();
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    corpus("good").into_iter().filter(|path| wanted(&name(path)) && name(path).starts_with(&only)).collect()
}

/// Publishes the files at one server, two at a time, and checks each; every file is heard before the test fails.
fn publish_and_check(files: Vec<PathBuf>) {
    assert!(!files.is_empty(), "no such sample in THEATRUM_SAMPLES: a test that tests nothing must not pass");
    let server = Server::start();
    let (queue, failed) = (Mutex::new(files.into_iter()), Mutex::new(Vec::new()));
    let work = || {
        let player = Player::new();
        loop {
            let next = queue.lock().expect("no panic while locked").next();
            let Some(file) = next else { return };
            if catch_unwind(AssertUnwindSafe(|| check(&server, &player, &file))).is_err() {
                failed.lock().expect("no panic while locked").push(file);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let failed = failed.into_inner().expect("no panic while locked");
    assert!(failed.is_empty(), "wrong: {failed:?}");
}

fn check(server: &Server, player: &Player, file: &Path) {
    let name = file.file_name().expect("a name").to_string_lossy();
    let answer = server.publish(file);
    assert_eq!(answer["state"], "ready", "{name}: {answer}\n{}", server.log());
    let video = answer["video"].as_str().expect("an id");
    let master = answer["playback_url"].as_str().expect("a playback url");
    let stream = player.open(master);
    check_master(&stream, &name);
    check_chunks(server, player, video, &stream, &name);
    check_durations(&stream, &name);
    check_keys(player, &stream, &name);
    let source = decode(file.to_str().expect("a path in UTF-8"));
    assert_eq!(source.picture.is_some(), !stream.pictures.is_empty(), "{name}: pictures");
    assert_eq!(source.sound.is_some(), stream.sound.is_some(), "{name}: sound");
    if source.picture.is_some() {
        check_sizes(file, &stream, &name);
    }
    check_times(&source, &stream, &name);
    if let Some(size) = stream.top().size {
        let psnr = worst_psnr(file, &stream.top().url, size);
        println!("{name}: {} renditions, worst PSNR {psnr:.1} dB, {}", stream.pictures.len(), answer["timings_ms"]);
        assert!(psnr > LEAST_PSNR, "{name}: a picture of {size:?} is {psnr:.1} dB from the source's");
    }
}

/// What a reader needs to choose: codecs and rates for all, size and pictures per second where there are any.
fn check_master(stream: &Stream, name: &str) {
    for variant in &stream.master.variants {
        let rates = variant.bandwidth > 0 && variant.average_bandwidth.is_some_and(|average| average <= variant.bandwidth);
        assert!(rates && variant.codecs.is_some(), "{name}: {}", stream.master_text);
        let is_picture = variant.resolution.is_some();
        assert_eq!(variant.frame_rate.is_some(), is_picture, "{name}: {}", stream.master_text);
        assert_eq!(variant.audio.is_some(), is_picture && stream.sound.is_some(), "{name}: {}", stream.master_text);
    }
}

/// Longer than 4 s: at least three segments, and three jobs where there are pictures (sound is encoded once, whole).
fn check_chunks(server: &Server, player: &Player, video: &str, stream: &Stream, name: &str) {
    let token = server.admin_token();
    let ask = |path: String| -> Value {
        serde_json::from_slice(&player.get(&format!("{}{path}", server.url()), Some(&token)).body).expect("json")
    };
    let about = ask(format!("/v1/videos/{video}"));
    let jobs = ask(format!("/v1/jobs?video={video}"));
    let jobs = jobs["jobs"].as_array().expect("jobs");
    assert!(jobs.iter().all(|job| job["state"] == "done"), "{name}: {jobs:?}");
    assert_eq!(about["truncated"], false, "{name}");
    if about["duration_ms"].as_i64().expect("a duration") > 4000 {
        let encodes = jobs.iter().filter(|job| job["kind"] == "encode").count();
        let is_all_copied = encodes == 0 && jobs.iter().any(|job| job["kind"] == "copy");
        assert!(stream.pictures.is_empty() || is_all_copied || encodes >= 3, "{name}: {encodes} chunks");
        assert!(stream.top().playlist.segments.len() >= 3, "{name}: {}", stream.top().text);
    }
}

/// All pictures have one list of durations, and the sound's is within a frame of it.
fn check_durations(stream: &Stream, name: &str) {
    let durations = stream.top().durations();
    for rendition in stream.renditions() {
        let own = rendition.durations();
        assert_eq!(own.len(), durations.len(), "{name}: {}", rendition.url);
        let tolerance = if rendition.size.is_some() { 0.0 } else { SOUND_FRAME_S };
        let near = own.iter().zip(&durations).all(|(own, first)| (own - first).abs() <= tolerance);
        assert!(near, "{name}: {own:?} against {durations:?}");
        assert!(rendition.playlist.end_list, "{name}: {}", rendition.text);
        let target = rendition.playlist.target_duration;
        assert_eq!(target, stream.top().playlist.target_duration, "{name}");
        assert!(own.iter().all(|seconds| seconds.round() as u64 <= target), "{name}: {own:?} above {target}");
    }
}

/// A key comes with the token of its path and with no other.
fn check_keys(player: &Player, stream: &Stream, name: &str) {
    for rendition in stream.renditions() {
        let keys = rendition.key_urls();
        assert_eq!(keys.len(), rendition.playlist.segments.len().div_ceil(10), "{name}: a key for ten segments");
        for url in &keys {
            assert_eq!(player.fetch(url).len(), 16, "{name}: {url}");
        }
        let (head, tail) = keys[0].split_once("/v/").expect("a path under a token");
        let (signed, signature) = head.rsplit_once('.').expect("a signed token");
        let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
        for head in [forged, head.replace("/t/", "/t/x")] {
            let answer = player.get(&format!("{head}/v/{tail}"), None);
            assert_eq!(answer.status, 403, "{name}: {}", String::from_utf8_lossy(&answer.body));
        }
    }
}

/// Even sides, the source's shape, never larger than it; names and numbers of renditions differ.
fn check_sizes(file: &Path, stream: &Stream, name: &str) {
    let (width, height) = shown_size(file);
    for (index, rendition) in stream.pictures.iter().enumerate() {
        let size = rendition.size.expect("pictures have a size");
        assert!(size.0 % 2 == 0 && size.1 % 2 == 0, "{name}: {size:?}");
        assert!(stream.pictures[..index].iter().all(|lower| lower.size < rendition.size), "{name}: {size:?} twice");
        let (own_width, own_height) = (size.0 as f64, size.1 as f64);
        assert!(own_width <= width + 1.0 && own_height <= height + 1.0, "{name}: {size:?} upscaled from {width}x{height}");
        // Each side is even, so a side may be one pixel off its exact length.
        let off = (own_width * height - own_height * width).abs() / width.max(height);
        assert!(off <= 2.0, "{name}: {size:?} is not the shape of {width}x{height}");
    }
}

/// The same pictures at the same times, and sound that begins and ends where it did beside them.
fn check_times(source: &Decoded, stream: &Stream, name: &str) {
    let sound = stream.sound.as_ref().map(|rendition| decode(&rendition.url).sound.expect("sound that decodes"));
    for rendition in &stream.pictures {
        let made = decode(&rendition.url).picture.unwrap_or_default();
        check_pictures(source, &made.times, rendition, name);
        if let (Some(sound), Some(wanted)) = (&sound, &source.sound) {
            let zero = source.picture.as_ref().expect("pictures").times[0];
            let (start, end) = (sound.times[0] - made.times[0], sound.end - made.times[0]);
            let (wanted_start, wanted_end) = (wanted.times[0] - zero, wanted.end - zero);
            let near = (start - wanted_start).abs() <= SOUND_FRAME_S && (end - wanted_end).abs() <= SOUND_FRAME_S + ROUNDING_S;
            assert!(near, "{name}: sound from {start:.4} to {end:.4} s, not {wanted_start:.4} to {wanted_end:.4} s");
        }
    }
    if let (Some(sound), Some(wanted), true) = (&sound, &source.sound, stream.pictures.is_empty()) {
        let (length, wanted) = (sound.end - sound.times[0], wanted.end - wanted.times[0]);
        assert!((length - wanted).abs() <= SOUND_FRAME_S + ROUNDING_S, "{name}: {length:.4} s of sound, not {wanted:.4}");
    }
}

fn check_pictures(source: &Decoded, times: &[f64], rendition: &Rendition, name: &str) {
    let wanted = &source.picture.as_ref().expect("pictures").times;
    let size = rendition.size;
    assert_eq!(times.len(), wanted.len(), "{name}: pictures of {size:?}");
    let late = |(time, wanted_time): (&f64, &f64)| ((time - times[0]) - (wanted_time - wanted[0])).abs();
    let worst = times.iter().zip(wanted).map(late).fold(0.0, f64::max);
    assert!(worst <= ROUNDING_S, "{name}: a picture of {size:?} is {worst:.4} s off");
}
