//! Videos that play before all of them is made.

use crate::support::clips::{PICTURES, clip, film, play};
use crate::support::http::header;
use crate::support::orphans::assert_no_orphans;
use crate::support::publishing::{Publishing, assert_published_once};
use crate::support::server::Server;
use crate::support::waiting::wait_for;
use m3u8_rs::{MediaPlaylistType, parse_master_playlist_res, parse_media_playlist_res};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use theatrum::domain::ids::VideoId;

/// Forty seconds in two renditions: encoded in a few seconds, and on a busy machine sooner than they are watched all the same.
fn film_of_forty(server: &Server) -> PathBuf {
    film(server.scratch(), "forty.mp4", "testsrc2=s=854x480:r=25:d=40", 40)
}

/// The video that is being made, once it can be watched.
async fn playable(server: &Server) -> VideoId {
    let video = wait_for(server, "a playable video", async || {
        let list = server.get("/v1/videos").await;
        let video = &list["videos"][0];
        assert_ne!(video["state"], "ready", "it was ready before it was seen playable");
        video["playable"].as_bool().filter(|playable| *playable)?;
        video["video"].as_str().map(str::to_owned)
    });
    VideoId::parse(&video.await).expect("an id")
}

/// Plays a URL from its beginning to its end, however long that takes to be there; gives the pictures.
fn play_growing(url: &str) -> usize {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-xerror", "-prefer_x_start", "1", "-i", url, "-map", "0:v:0", "-map", "0:a:0", "-f", "framemd5", "-"]);
    let output = command.output().expect("ffmpeg is installed");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{url} does not play: {complaints}");
    String::from_utf8(output.stdout).expect("text").lines().filter(|line| line.starts_with("0,")).count()
}

/// Tier: `make test`. A viewer sees a long video and watches it while it is made: every playlist that is announced comes, none may be kept for
/// long, and whoever began early sees all of it to its end.
#[tokio::test]
async fn a_viewer_who_begins_early_sees_the_end() {
    let server = Server::start_with(&[("THEATRUM_PROCESSING__SLOTS", "2")]);
    let publishing = Publishing::begin(&server, &film_of_forty(&server));
    let video = playable(&server).await;
    let viewer = server.client(&server.token("viewer", "vera"));
    assert_eq!(viewer.get(&format!("/v1/videos/{video}")).await["state"], "processing");
    let playback = viewer.post(&format!("/v1/videos/{video}/playback"), &Value::Null).await;
    let url = playback["playback_url"].as_str().expect("a url").to_owned();
    let watching = {
        let url = url.clone();
        tokio::task::spawn_blocking(move || play_growing(&url))
    };
    let client = reqwest::Client::new();
    let answer = client.get(&url).send().await.expect("an answer");
    assert_eq!(header(&answer, "cache-control"), "private, max-age=1");
    let text = answer.text().await.expect("text");
    assert!(text.contains("#EXT-X-START:TIME-OFFSET=0,PRECISE=YES"), "{text}");
    let master = parse_master_playlist_res(text.as_bytes()).expect("a master playlist");
    let early: Vec<_> = master.variants.iter().map(|variant| variant.codecs.clone()).collect();
    assert_eq!(early.len(), 2, "what is planned is announced: {text}");
    for variant in &master.variants {
        let answer = client.get(url.replace("master.m3u8", &variant.uri)).send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), header(&answer, "cache-control")), (200, "private, max-age=1"), "{}", variant.uri);
        let text = answer.text().await.expect("text");
        let playlist = parse_media_playlist_res(text.as_bytes()).expect("a media playlist");
        assert!(!playlist.end_list && playlist.playlist_type == Some(MediaPlaylistType::Event), "{text}");
    }
    let missing = client.get(url.replace("master.m3u8", "2160p/playlist.m3u8")).send().await.expect("an answer");
    assert_eq!(missing.status(), 404, "what is not announced is not waited for");
    assert_eq!(watching.await.expect("a player"), 1000);
    let answer = publishing.answer(&server);
    assert_eq!(answer["state"], "ready", "{answer}\n{}", server.log());
    let answer = client.get(&url).send().await.expect("an answer");
    assert_eq!(header(&answer, "cache-control"), "private, max-age=60");
    let text = answer.text().await.expect("text");
    let master = parse_master_playlist_res(text.as_bytes()).expect("a master playlist");
    assert_eq!(master.variants.iter().map(|variant| variant.codecs.clone()).collect::<Vec<_>>(), early, "the codecs were foreseen");
    assert!(!text.contains("EXT-X-START"), "{text}");
    assert_eq!(play(&url), 1000);
}

/// Tier: `make test`. invariants 1 and 3: a worker killed while a playlist grows, or as it is about to say that the video can be watched, loses
/// nothing, and what is said is said once.
#[tokio::test]
async fn growth_survives_a_kill() {
    for failpoint in ["grow", "grow:2", "grow:3", "playable", "audio-run"] {
        let mut server = Server::prepare(&[]);
        server.restart(&[("THEATRUM_FAILPOINT", failpoint)]);
        let publishing = Publishing::begin(&server, &clip(server.scratch(), "clip.mp4"));
        server.wait_killed(Duration::from_secs(60));
        server.restart(&[]);
        let video = publishing.plays(&server);
        assert_eq!(play(&server.playback_url(&video).await), PICTURES, "{failpoint}");
        server.kill();
        let catalog = server.catalog().await;
        assert_published_once(&catalog, &video).await;
        assert_no_orphans(&server, &catalog, &[video]).await;
    }
}
