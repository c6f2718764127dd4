//! Damaged sources: what decodes is published, what mostly does not is refused.

use crate::support::server::Server;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use theatrum::domain::ids::VideoId;

/// Pictures of a film made here, five a second: thirteen segments, all but the first in pairs.
const PICTURES: usize = 13 * 30;

/// Two encode jobs at once, whatever the machine.
const TWO_SLOTS: (&str, &str) = ("THEATRUM_PROCESSING__SLOTS", "2");

fn film(folder: &Path, name: &str, encoder: &str) -> PathBuf {
    let path = folder.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=96x64:r=5:d=78"]).args(encoder.split(' ')).arg(&path);
    let output = command.output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

/// Zeroes the coded pictures for which `is_lost` says so, counted in decode order.
fn lose(film: &Path, is_lost: impl Fn(usize) -> bool) {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v", "-show_entries", "packet=pos,size", "-of", "csv=p=0"]).arg(film);
    let text = String::from_utf8(command.output().expect("ffprobe is installed").stdout).expect("text");
    let packets: Vec<(usize, u64)> = text.lines().filter_map(|line| line.split_once(',')).filter_map(size_and_position).collect();
    assert_eq!(packets.len(), PICTURES, "{text}");
    let file = OpenOptions::new().write(true).open(film).expect("the film");
    for (_, &(size, position)) in packets.iter().enumerate().filter(|(index, _)| is_lost(*index)) {
        file.write_all_at(&vec![0; size], position).expect("space on the disk");
    }
}

fn size_and_position((size, position): (&str, &str)) -> Option<(usize, u64)> {
    Some((size.parse().ok()?, position.trim_end_matches(',').parse().ok()?))
}

/// Tier: `make test`. invariant 5: of a source that lost one segment in each of most chunks, what decodes counts: three fifths are enough.
#[tokio::test]
async fn a_segment_lost_from_most_chunks_is_held() {
    let server = Server::start_with(&[TWO_SLOTS]);
    let film = film(server.scratch(), "holes.mp4", "-c:v libx264 -preset ultrafast -g 30 -bf 0");
    lose(&film, |index| index >= 90 && (index / 30) % 2 == 1);
    let answer = server.publish(&film);
    assert_eq!(answer["state"], "ready", "{answer}\n{}", server.log());
    let video = server.get(&format!("/v1/videos/{}", answer["video"].as_str().expect("an id"))).await;
    assert_eq!(video["truncated"], true);
}

/// Tier: `make test`. invariant 5: a source whose pictures are made anew at a constant rate, every hole filled, is judged by what decodes.
#[tokio::test]
async fn repeated_pictures_are_not_decoded_ones() {
    let server = Server::start_with(&[TWO_SLOTS]);
    // B-frames: an AVI does not say when they are shown, so the times are made.
    let film = film(server.scratch(), "rotten.avi", "-c:v mpeg4 -g 30 -bf 2 -q:v 4");
    let answer = server.publish(&film);
    assert_eq!(answer["state"], "ready", "{answer}\n{}", server.log());
    let id = VideoId::parse(answer["video"].as_str().expect("an id")).expect("an id");
    let video = server.catalog().await.video(&id).await.expect("a video");
    assert!(!video.truncated);
    let version = server.catalog().await.version(&video.version.expect("a version")).await.expect("a version");
    assert!(version.plan.contains(r#""kind":"constant""#), "{}", version.plan);
    lose(&film, |index| index > PICTURES / 8);
    let answer = server.publish(&film);
    assert_eq!((&answer["state"], &answer["code"]), (&"refused".into(), &"undecodable".into()), "{answer}\n{}", server.log());
}
