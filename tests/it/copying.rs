//! H.264 that is good as it is: copied as the top rendition, and encoded after all where it was not what it promised.

use crate::support::orphans::{assert_no_orphans, assert_reconciles};
use crate::support::publishing::{Publishing, assert_published_once};
use crate::support::server::Server;
use crate::support::waiting::wait_until;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use theatrum::domain::ids::VideoId;

/// MD5 of every picture of a file, as ffmpeg decodes it.
fn pictures(file: &Path) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(file).args(["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-"]);
    let text = String::from_utf8(command.output().expect("ffmpeg is installed").stdout).expect("text");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().expect("a digest").trim().to_owned()).collect()
}

fn download(server: &Server, video: &VideoId, rendition: &str) -> Vec<String> {
    let file = server.scratch().join(format!("{video}-{rendition}.mp4"));
    let mut command = server.command(&["download", &video.to_string(), "--rendition", rendition, "--output"]);
    let output = command.arg(&file).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    pictures(&file)
}

/// How many jobs of each kind the video took, whatever became of them.
async fn jobs(server: &Server, video: &VideoId) -> Vec<(String, String)> {
    let list = server.get(&format!("/v1/jobs?video={video}&limit=100")).await;
    let word = |job: &Value, member: &str| job[member].as_str().expect("a word").to_owned();
    let mut jobs: Vec<(String, String)> =
        list["jobs"].as_array().expect("a list").iter().map(|job| (word(job, "kind"), word(job, "state"))).collect();
    jobs.sort();
    jobs
}

/// A film of moving shapes that takes as few bits as a recorder's would, with sound.
fn film(server: &Server, name: &str, size: &str, seconds: u32) -> PathBuf {
    let path = server.scratch().join(name);
    let pictures = format!("testsrc2=s={size}:r=25:d={seconds},format=yuv420p");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", &format!("sine=d={seconds}")]);
    command.args(["-c:v", "libx264", "-preset", "veryfast", "-crf", "36", "-g", "50", "-c:a", "aac"]).arg(&path);
    let output = command.output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

/// Twenty-four seconds of 854×480: two renditions, the upper one copied.
fn long_film(server: &Server, name: &str) -> PathBuf {
    film(server, name, "854x480", 24)
}

/// Tier: `make test`. The top rendition holds the source's own pictures, bit by bit; the one below has as many.
#[tokio::test]
async fn the_top_rendition_is_the_source_itself() {
    let server = Server::start();
    let file = long_film(&server, "film.mp4");
    let answer = server.publish(&file);
    assert_eq!(answer["state"], "ready", "{answer}\n{}", server.log());
    let video = VideoId::parse(answer["video"].as_str().expect("an id")).expect("an id");
    let kinds: Vec<String> = jobs(&server, &video).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "copy").count(), 1, "{kinds:?}");
    let source = pictures(&file);
    assert_eq!(source.len(), 600);
    assert!(download(&server, &video, "480p") == source, "the copied rendition differs from its source");
    assert_eq!(download(&server, &video, "360p").len(), 600);
    assert_reconciles(&server);
}

/// Tier: `make test`. invariants 2 and 3: killed in its middle, a copy goes on from the segments that have their rows.
#[tokio::test]
async fn a_copy_that_is_killed_goes_on_where_it_was() {
    let mut server = Server::prepare(&[]);
    server.restart(&[("THEATRUM_FAILPOINT", "copy-settle")]);
    let file = film(&server, "long.mp4", "320x180", 110);
    let publishing = Publishing::begin(&server, &file);
    server.wait_killed(std::time::Duration::from_secs(60));
    let catalog = server.catalog().await;
    let adopted = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM segments WHERE rendition = '180p'");
    let before = adopted.fetch_one(&mut server.rows().await).await.expect("a count");
    assert!(before >= 10, "{before} segments had their rows before the kill");
    drop(catalog);
    server.restart(&[]);
    let answer = publishing.answer(&server);
    assert_eq!(answer["state"], "ready", "{answer}\n{}", server.log());
    let video = VideoId::parse(answer["video"].as_str().expect("an id")).expect("an id");
    assert!(download(&server, &video, "180p") == pictures(&file));
    let epochs = sqlx::query_scalar::<_, i64>("SELECT DISTINCT epoch FROM segments WHERE rendition = '180p' ORDER BY epoch");
    assert_eq!(epochs.fetch_all(&mut server.rows().await).await.expect("epochs"), [1, 2], "what had its rows was kept");
    server.kill();
    let catalog = server.catalog().await;
    assert_published_once(&catalog, &video).await;
    assert_no_orphans(&server, &catalog, &[video]).await;
}

/// Tier: `make test`. invariant 5: what its header promised and its pictures do not keep is encoded, on the same timeline, and nothing of
/// what was copied is left.
#[tokio::test]
async fn a_broken_promise_is_encoded_instead() {
    let mut server = Server::start();
    let file = long_film(&server, "rotten.mp4");
    let length = fs::metadata(&file).expect("its size").len();
    // Behind the ninth second no unit has its length any more; the pictures that begin a segment are left alone.
    let rotten = fs::OpenOptions::new().write(true).open(&file).expect("the film");
    rotten.write_all_at(&[0xff; 3000], length / 2).expect("space on the disk");
    let answer = server.publish(&file);
    assert_eq!(answer["state"], "ready", "{answer}\n{}", server.log());
    let video = VideoId::parse(answer["video"].as_str().expect("an id")).expect("an id");
    let jobs = jobs(&server, &video).await;
    assert!(jobs.iter().all(|(_, state)| state == "done"), "{jobs:?}");
    let count = |wanted: &str| jobs.iter().filter(|(kind, _)| kind == wanted).count();
    assert_eq!((count("copy"), count("encode") % 2), (1, 0), "each chunk once for either rendition: {jobs:?}");
    wait_until(&server, "it says why", || server.log().contains("what was to be copied is encoded instead"));
    let (upper, lower) = (download(&server, &video, "480p"), download(&server, &video, "360p"));
    assert_eq!(upper.len(), lower.len());
    assert_reconciles(&server);
    server.kill();
    let catalog = server.catalog().await;
    assert_no_orphans(&server, &catalog, &[video]).await;
}
