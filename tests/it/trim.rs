//! Trimming: what lies between two points of a source, to the picture and to the sample, and nothing of the rest.

use crate::support::http::{ok, problem};
use crate::support::publishing::Publishing;
use crate::support::server::Server;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use theatrum::domain::ids::VideoId;

/// Pictures are compared at this size, in greys.
const PIXELS: usize = 80 * 45;
const RATE: u64 = 25;
const SECONDS: u64 = 14;

/// Fourteen seconds whose every picture differs from its neighbours. Its sound is loud but for the time from `quiet_ms.0` to `quiet_ms.1`.
fn source(folder: &Path, quiet_ms: (u64, u64)) -> PathBuf {
    let path = folder.join("lecture.mov");
    let [from, to] = [quiet_ms.0, quiet_ms.1].map(|ms| format!("{}.{:03}", ms / 1000, ms % 1000));
    let pictures = format!("testsrc2=s=320x180:r={RATE}:d={SECONDS}");
    let sound = format!("aevalsrc='if(gte(t,{from})*lt(t,{to}),0,0.5*sin(2764*t))':s=48000:d={SECONDS}");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", &sound]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "60", "-c:a", "pcm_s16le"]).arg(&path);
    let output = command.output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

/// What ffmpeg decodes of `input`, by way of `args`.
fn decoded(input: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg").args(["-v", "error", "-i", input]).args(args).arg("-").output().expect("ffmpeg is installed");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{input}: {complaints}");
    output.stdout
}

fn pictures(input: &str, filter: &str) -> Vec<Vec<u8>> {
    let filter = format!("{filter}scale=80:45,format=gray");
    let raw = decoded(input, &["-map", "0:v:0", "-vf", &filter, "-fps_mode", "passthrough", "-f", "rawvideo"]);
    raw.chunks(PIXELS).map(<[u8]>::to_vec).collect()
}

/// Presentation times in 1/90000 s, the first one 0.
fn times(input: &str, filter: &str) -> Vec<i64> {
    let filter = format!("{filter}settb=1/90000");
    let text =
        decoded(input, &["-map", "0:v:0", "-vf", &filter, "-fps_mode", "passthrough", "-enc_time_base", "1:90000", "-f", "framecrc"]);
    let text = String::from_utf8(text).expect("text");
    let pts = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(',').nth(2)?.trim().parse::<i64>().ok());
    let pts: Vec<i64> = pts.collect();
    pts.iter().map(|time| time - pts[0]).collect()
}

fn difference(one: &[u8], other: &[u8]) -> u64 {
    one.iter().zip(other).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
}

/// Samples of the sound, mono.
fn sound(input: &str) -> Vec<i16> {
    let raw = decoded(input, &["-map", "0:a:0", "-ac", "1", "-ar", "48000", "-f", "s16le"]);
    raw.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn trim(server: &Server, video: &VideoId, options: &[&str]) -> Value {
    let output = server.command(&["videos", "trim", video.as_str(), "--json"]).args(options).output().expect("the command line runs");
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), server.log());
    serde_json::from_slice(&output.stdout).expect("json")
}

/// Tier: `make test`. The pictures are those of one run of ffmpeg over the range, each at its time; of the sound and the pictures outside of it
/// nothing is left, and all of it comes back when the trim is undone.
#[tokio::test]
async fn a_trim_shows_exactly_what_lies_between_its_points() {
    const POINTS_MS: (u64, u64) = (3_330, 11_710);
    let server = Server::start();
    let file = source(server.scratch(), POINTS_MS);
    let answer = Publishing::begin(&server, &file).answer(&server);
    let video = VideoId::parse(answer["video"].as_str().expect("an id")).expect("an id");
    let whole = server.get(&format!("/v1/videos/{video}")).await;
    assert_eq!(whole["trim"], json!({"in_ms": 0, "out_ms": null, "source_duration_ms": 14_000}), "{whole}");

    let trimmed = trim(&server, &video, &["--from", "3.33", "--to", "0:11.710"]);
    assert_eq!((&trimmed["trim"]["in_ms"], &trimmed["trim"]["out_ms"]), (&json!(POINTS_MS.0), &json!(POINTS_MS.1)));
    assert_eq!((&trimmed["duration_ms"], &trimmed["title"]), (&json!(POINTS_MS.1 - POINTS_MS.0), &whole["title"]));
    assert_eq!(trimmed["has_poster"], true);
    let (url, local) = (server.playback_url(&video).await, file.to_str().expect("text"));
    let range = format!("trim=start={}ms:end={}ms,", POINTS_MS.0, POINTS_MS.1);
    assert_eq!(times(&url, ""), times(local, &range));
    let (shown, wanted, all) = (pictures(&url, ""), pictures(local, &range), pictures(local, ""));
    assert_eq!(shown.len(), wanted.len());
    let first = POINTS_MS.0.div_ceil(1000 / RATE) as usize;
    for (number, picture) in shown.iter().enumerate() {
        let around = (first + number).saturating_sub(4)..(first + number + 5).min(all.len());
        let nearest = around.min_by_key(|&other| difference(picture, &all[other])).expect("pictures");
        assert_eq!(nearest, first + number, "picture {number} is another one");
    }
    let samples = sound(&url);
    let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().expect("sound");
    assert!(loudest < 300, "{loudest}: sound from outside is heard");
    let seconds = samples.len() as f64 / 48_000.0;
    assert!((8.3..8.5).contains(&seconds), "{seconds} s of sound");

    let again = trim(&server, &video, &["--to", "2"]);
    assert_eq!(again["duration_ms"], 2_000, "the second trim counts from the source's beginning");
    let whole = trim(&server, &video, &["--whole"]);
    assert_eq!((&whole["trim"]["out_ms"], &whole["duration_ms"]), (&Value::Null, &json!(14_000)));
    assert_eq!(times(&server.playback_url(&video).await, "").len(), all.len());
    let events = server.catalog().await.events(&video).await.expect("events");
    assert_eq!(events.iter().filter(|event| event.kind == "video.replaced").count(), 3);
}

/// Tier: `make test`. Points that cannot be are named, and change nothing.
#[tokio::test]
async fn wrong_points_are_refused() {
    let server = Server::start();
    let file = source(server.scratch(), (0, 0));
    let answer = Publishing::begin(&server, &file).answer(&server);
    let video = answer["video"].as_str().expect("an id");
    let client = server.client(&server.admin_token());
    let path = format!("/v1/videos/{video}/trim");
    for (points, status, code) in [
        (json!({"in_ms": 20_000}), 400, "trim-out-of-range"),
        (json!({"in_ms": 0, "out_ms": 14_001}), 400, "trim-out-of-range"),
        (json!({"in_ms": 5_000, "out_ms": 5_000}), 400, "trim-order"),
        (json!({"in_ms": 5_000, "out_ms": 5_999}), 400, "trim-too-short"),
        (json!({"in_ms": 0, "out_ms": null}), 409, "trim-unchanged"),
        (json!({"in_ms": -1}), 400, "malformed-body"),
        (json!({"in_ms": 1, "to": 2}), 400, "malformed-body"),
    ] {
        problem(client.send(Method::POST, &path, &points).await, status, code).await;
    }
    let shown = ok(client.send(Method::GET, &format!("/v1/videos/{video}"), &Value::Null).await).await;
    assert_eq!((&shown["replacement"], &shown["duration_ms"]), (&Value::Null, &json!(14_000)));
    let said = server.cli(&["videos", "trim", video, "--from", "20"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stderr).contains("14000 ms long"), "{}", String::from_utf8_lossy(&said.stderr));
}

/// Sound for three seconds, and pictures from the eighth on.
fn with_a_gap(folder: &Path) -> PathBuf {
    let path = folder.join("gap.mp4");
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        "sine=d=3",
        "-itsoffset",
        "8",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x180:r=25:d=4",
    ]);
    command
        .args(["-map", "1:v", "-map", "0:a", "-fps_mode", "passthrough", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"])
        .arg(&path);
    assert!(command.status().expect("ffmpeg is installed").success());
    path
}

/// Tier: `make test`. invariant 4: every job ends: where there is neither picture nor sound, nothing is made, and that is said.
#[tokio::test]
async fn a_trim_into_a_gap_is_refused() {
    let server = Server::start();
    let file = with_a_gap(server.scratch());
    let answer = Publishing::begin(&server, &file).answer(&server);
    let video = answer["video"].as_str().expect("an id");
    let said = server.cli(&["videos", "trim", video, "--from", "4", "--to", "6"]);
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stderr).contains("neither picture nor sound"), "{said:?}");
    let shown = server.get(&format!("/v1/videos/{video}")).await;
    let replacement = &shown["replacement"];
    assert_eq!((&replacement["state"], &replacement["refusal"]["code"]), (&json!("refused"), &json!("nothing-there")), "{shown}");
    assert_eq!(shown["state"], "ready");
}
