//! Players that people have already, each with nothing but a `playback_url`: no cookie, no header, no word of ours.

use crate::support::clips::{film, play};
use crate::support::server::Server;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use sqlx::Row;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

/// Keys change every ten segments of six seconds: this video has two.
const SECONDS: u32 = 75;
const PICTURES: usize = 75 * 25;
const SEGMENTS: u64 = 13;
const IN_BROWSERS: [&str; 3] = ["hls.js", "shaka", "video.js"];

/// A video of two key periods, and a session on it for each player.
struct Hall {
    server: Server,
    video: String,
}

impl Hall {
    fn open() -> Self {
        let server = Server::start();
        let file = film(server.scratch(), "lecture.mp4", &format!("testsrc2=s=320x180:r=25:d={SECONDS}"), SECONDS);
        let answer = server.publish(&file);
        assert_eq!(answer["state"], "ready", "{answer}\n{}", server.log());
        Self { video: answer["video"].as_str().expect("an id").to_owned(), server }
    }

    /// A session of its own; gives its address and its name in the audit log.
    async fn session(&self) -> (String, String) {
        let client = self.server.client(&self.server.admin_token());
        let answer = client.send(Method::POST, &format!("/v1/videos/{}/playback", self.video), &Value::Null).await;
        let answer: Value = answer.json().await.expect("json");
        let url = Url::parse(&self.server.url()).and_then(|base| base.join(answer["playback_url"].as_str().expect("a url")));
        (url.expect("an address").to_string(), answer["session"].as_str().expect("a session").to_owned())
    }

    /// Both keys of some pictures and of the sound left in this session, each with its row (invariant 8).
    async fn assert_both_keys(&self, player: &str, session: &str) {
        let sql = "SELECT object FROM audit WHERE action = 'key' AND decision = 'allow' AND session_id = $1";
        let rows = sqlx::query(sql).bind(session).fetch_all(&mut self.server.rows().await).await.expect("rows");
        let released: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        for key in ["audio/0", "audio/1", "p/0", "p/1"] {
            assert!(released.iter().any(|object| object.ends_with(key)), "{player}: no {key} among {released:?}");
        }
    }
}

fn succeeded(player: &str, output: &Output) -> String {
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{player}: {}\n{said}\n{complaints}", output.status);
    said.into_owned()
}

/// Tier: `make test`. hls.js, Shaka, video.js, mpv, ffmpeg and streamlink play a video with a key change to its end.
#[tokio::test(flavor = "multi_thread")]
async fn every_player_plays_to_the_end() {
    let hall = Hall::open();
    let mut sessions = BTreeMap::new();
    for player in IN_BROWSERS.into_iter().chain(["mpv", "ffmpeg", "streamlink"]) {
        sessions.insert(player, hall.session().await);
    }
    let address = |player: &str| sessions[player].0.clone();
    let urls = json!(IN_BROWSERS.map(|player| (player, address(player))).into_iter().collect::<BTreeMap<_, _>>());
    let browsers = tokio::task::spawn_blocking(move || browsers(&urls));
    assert_eq!(play(&address("ffmpeg")), PICTURES, "ffmpeg");
    let (mpv_url, streamlink_url, folder) = (address("mpv"), address("streamlink"), hall.server.scratch().to_owned());
    tokio::task::spawn_blocking(move || {
        mpv(&mpv_url);
        streamlink(&streamlink_url, &folder);
    })
    .await
    .expect("they play");
    browsers.await.expect("they play");
    for (player, (_, session)) in &sessions {
        hall.assert_both_keys(player, session).await;
    }
}

fn browsers(urls: &Value) {
    let mut command = Command::new("node");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/web/e2e/players.mjs")).env("PLAYBACK_URLS", urls.to_string());
    let output = command.output().expect("Node is installed");
    let lines = succeeded("the browser", &output);
    let results: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert_eq!(results.len(), IN_BROWSERS.len(), "{lines}");
    for result in results {
        let player = result["player"].as_str().expect("a name");
        println!("{player}: at {} s, {} pictures", result["time"], result["frames"]);
        assert_eq!(result["problems"], json!([]), "{player}");
        assert_eq!(result["ended"], true, "{player}: no `ended` event");
        assert!(result["time"].as_f64().expect("seconds") > f64::from(SECONDS) - 0.5, "{player}: {}", result["time"]);
        assert_eq!(result["cookies"], 0, "{player}");
        let requests: Vec<&str> =
            result["requests"].as_array().expect("a list").iter().map(|path| path.as_str().expect("a path")).collect();
        for number in 0..SEGMENTS {
            for rendition in ["/audio/", "p/"] {
                let segment = format!("{rendition}{number:06}-");
                assert!(requests.iter().any(|path| path.contains(&segment)), "{player} never asked for segment {number} of {rendition}");
            }
        }
    }
}

/// Without a screen and as fast as it can; its last status line says where it ended.
fn mpv(url: &str) {
    let mut command = Command::new("mpv");
    command.args(["--no-config", "--ytdl=no", "--vo=null", "--ao=null", "--untimed", "--ao-null-untimed=yes"]);
    let output = command.args(["--term-status-msg=at ${=time-pos} s,", url]).output().expect("mpv is installed");
    let said = succeeded("mpv", &output) + &String::from_utf8_lossy(&output.stderr);
    let positions = said.split("at ").filter_map(|text| text.split_once(" s,")?.0.parse::<f64>().ok());
    let last = positions.fold(0.0, f64::max);
    println!("mpv: at {last} s");
    assert!(said.contains("Exiting... (End of file)"), "mpv did not come to the end: {said}");
    assert!(last > f64::from(SECONDS) - 1.0, "mpv ended at {last} s: {said}");
}

/// It keeps what it gets: all pictures, and sound.
fn streamlink(url: &str, folder: &Path) {
    let file = folder.join("streamlink.ts");
    // Not Debian's: see scripts/pins/streamlink.txt.
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.cache/tools/bin/streamlink"));
    command.args(["--no-config", "--loglevel", "warning", "--output"]).arg(&file).args([url, "best"]);
    succeeded("streamlink", &command.output().expect("streamlink, from scripts/setup test"));
    let pictures = play(&file.to_string_lossy());
    println!("streamlink: {pictures} pictures");
    assert_eq!(pictures, PICTURES, "streamlink");
}
