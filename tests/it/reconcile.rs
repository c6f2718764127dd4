//! Reconciliation beside everything else: it sweeps what is nobody's, tells what is missing, and never touches what is somebody's.

use crate::support::clips::{PICTURES, clip, padded_clip, play};
use crate::support::http::{ok, problem};
use crate::support::orphans::assert_no_orphans;
use crate::support::publishing::{Publishing, assert_published_once};
use crate::support::server::Server;
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use theatrum::domain::ids::VideoId;

const SOON: Duration = Duration::from_secs(60);
/// Nothing is too young to be swept, so that nothing but the claims protects it.
const AT_ONCE: (&str, &str) = ("THEATRUM_STORAGE__ORPHAN_AGE", "0");

/// Has the server reconcile by the command line; gives the report and the exit code.
fn reconcile(server: &Server, apply: bool) -> (Value, Option<i32>) {
    let args: &[&str] = if apply { &["doctor", "--reconcile", "--apply", "--json"] } else { &["doctor", "--reconcile", "--json"] };
    let output = server.cli(args);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (report, output.status.code())
}

fn plant(server: &Server, path: &str) -> PathBuf {
    let place = server.data().join("blobs").join(path);
    fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
    fs::write(&place, "planted").expect("a file");
    place
}

/// The paths of the video's version, its sidecars and its upload in the store.
async fn folders(server: &Server, video: &VideoId) -> [String; 3] {
    let catalog = server.catalog().await;
    let version = catalog.video(video).await.expect("a video").version.expect("a version");
    let source = catalog.source(&catalog.version(&version).await.expect("a version").source).await.expect("a source");
    [format!("videos/{video}/{version}"), format!("sidecars/{video}/{version}"), format!("sources/{video}/{}", source.upload)]
}

/// Tier: `make test`. invariant 2: what no row points at is found, and swept when asked for, whatever kind of blob it is; what is not ours is
/// told and left; what is missing is told and fails the command.
#[tokio::test]
async fn what_is_nobodys_is_swept_and_what_is_missing_is_told() {
    let server = Server::start_with(&[AT_ONCE]);
    let file = clip(server.scratch(), "clip.mp4");
    let video = Publishing::begin(&server, &file).plays(&server);
    let gone = Publishing::begin(&server, &file).plays(&server);
    let client = server.client(&server.admin_token());
    let [of_gone, ..] = folders(&server, &gone).await;
    ok(client.send(Method::DELETE, &format!("/v1/videos/{gone}"), &Value::Null).await).await;
    let begun = Instant::now();
    while server.data().join("blobs").join(&of_gone).exists() {
        assert!(begun.elapsed() < SOON, "it is not purged");
        std::thread::sleep(Duration::from_millis(20)); // tidy: polling
    }
    let [version, sidecars, upload] = folders(&server, &video).await;
    let (unknown, late) = (VideoId::new(), format!("{of_gone}/audio/000000-9.m4s"));
    let planted = [
        format!("{version}/audio/000000-99.m4s"),
        format!("{version}/audio/init-99.mp4"),
        format!("{version}/240p/playlist.m3u8"),
        format!("{sidecars}/poster-99"),
        format!("{upload}/00001-0123456789abcdef"),
        format!("videos/{unknown}/{unknown}/master.m3u8"),
        format!("sources/{unknown}/{unknown}/00001-0123456789abcdef"),
        late,
    ]
    .map(|path| plant(&server, &path));
    let playlist_of_nobody = &planted[2];
    let foreign = [format!("{version}/notes.txt"), "lost+found".to_owned()].map(|path| plant(&server, &path));
    let (looked, code) = reconcile(&server, false);
    assert_eq!((looked["orphans"]["count"].as_u64(), code), (Some(7), Some(0)), "{looked}");
    assert_eq!((&looked["foreign"]["count"], &looked["missing"]["count"]), (&json!(2), &json!(0)), "{looked}");
    assert!(planted.iter().chain(&foreign).all(|path| path.exists()), "it only looked");
    let (swept, code) = reconcile(&server, true);
    assert_eq!((&swept["orphans"], code), (&looked["orphans"], Some(0)), "{swept}");
    for path in &planted {
        // A playlist belongs to a version that lives: harmless, and perhaps about to be replaced.
        assert_eq!(path.exists(), path == playlist_of_nobody, "{}", path.display());
    }
    assert!(foreign.iter().all(|path| path.exists()));
    fs::remove_file(playlist_of_nobody).expect("a file");
    foreign.iter().for_each(|path| fs::remove_file(path).expect("a file"));
    assert_no_orphans(&server, &server.catalog().await, std::slice::from_ref(&video)).await;
    // And now a loss.
    let lost = first_of(&server.data().join("blobs").join(&version).join("audio"), ".m4s");
    fs::remove_file(&lost).expect("a segment");
    server.spoiled();
    let told = server.cli(&["doctor", "--reconcile", "--apply"]);
    let text = String::from_utf8(told.stdout).expect("text");
    assert_eq!(told.status.code(), Some(1), "{text}");
    let name = lost.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(text.contains("1  MISSING blobs: restore them from a backup") && text.contains(&name), "{text}");
    let examined = String::from_utf8(server.cli(&["doctor"]).stdout).expect("text");
    assert!(examined.contains("FAIL  blobs        1 are missing"), "{examined}");
    assert!(examined.contains("room  ") && examined.contains("quotas "), "{examined}");
    losses_of_every_kind_are_told(&server, [&version, &sidecars, &upload]);
    let entries = server.catalog().await.audit_entries(None, 1_000).await.expect("entries");
    let asked: Vec<_> = entries.iter().filter(|entry| entry.action == "reconcile").filter_map(|entry| entry.object.as_deref()).collect();
    assert_eq!(asked, ["look", "apply", "apply", "look"]);
    assert_eq!(server.cli(&["doctor", "--apply"]).status.code(), Some(2));
}

/// Besides the segment that is missing already: a part, a poster, the playlists, and what a player needs before the first segment.
fn losses_of_every_kind_are_told(server: &Server, [version, sidecars, upload]: [&String; 3]) {
    let blobs = server.data().join("blobs");
    let audio = blobs.join(version).join("audio");
    let lost = [
        first_of(&blobs.join(upload), ""),
        first_of(&blobs.join(sidecars), ""),
        blobs.join(version).join("master.m3u8"),
        first_of(&audio, ".m3u8"),
        first_of(&audio, ".mp4"),
    ];
    lost.iter().for_each(|path| fs::remove_file(path).expect("a blob"));
    let (told, code) = reconcile(server, false);
    let paths = told["missing"]["paths"].as_array().expect("paths");
    for path in &lost {
        let name = path.strip_prefix(&blobs).expect("a blob").to_str().expect("text");
        assert!(paths.contains(&json!(name)), "{name} is missing: {told}");
    }
    assert_eq!((told["missing"]["count"].as_u64(), code), (Some(lost.len() as u64 + 1), Some(1)), "{told}");
}

fn first_of(folder: &Path, ending: &str) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.into_iter().find(|path| path.to_string_lossy().ends_with(ending)).expect("one")
}

/// Tier: `make test`. invariant 2: it sweeps without a pause while files come in, are encoded, and the server is killed; nothing that anybody
/// adopts ever goes, and nothing that nobody does stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweeping_all_the_time_takes_nothing_from_anybody() {
    let mut server = Server::prepare(&[AT_ONCE, ("THEATRUM_UPLOADS__PART_SIZE_BYTES", "5242880")]);
    let files: Vec<PathBuf> = (0..3).map(|number| padded_clip(server.scratch(), &format!("{number}.mp4"), 12 << 20)).collect();
    let sweeper = Sweeper::start(&server);
    let mut publishing = Vec::new();
    for (file, point) in files.iter().zip(["part-stored", "segment-write:4", "publish"]) {
        server.restart(&[("THEATRUM_FAILPOINT", point)]);
        publishing.push(Publishing::begin(&server, file));
        server.wait_killed(SOON);
    }
    server.restart(&[]);
    let videos: Vec<VideoId> = publishing.into_iter().map(|publishing| publishing.plays(&server)).collect();
    assert!(sweeper.stop() > 5, "it swept all the while");
    let begun = Instant::now();
    let client = server.client(&server.admin_token());
    while !client.get("/v1/storage").await["reconciling"].is_null() {
        assert!(begun.elapsed() < SOON, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await; // tidy: polling
    }
    let (report, code) = reconcile(&server, true);
    assert_eq!((&report["missing"]["count"], code), (&json!(0), Some(0)), "{report}");
    for video in &videos {
        let playback = client.post(&format!("/v1/videos/{video}/playback"), &Value::Null).await;
        assert_eq!(play(playback["playback_url"].as_str().expect("a url")), PICTURES);
    }
    server.kill();
    let catalog = server.catalog().await;
    for video in &videos {
        assert_published_once(&catalog, video).await;
    }
    assert_no_orphans(&server, &catalog, &videos).await;
}

/// Asks for one reconciliation after the other, of whichever life of the server is there.
struct Sweeper {
    ends: Arc<AtomicBool>,
    begun: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Sweeper {
    fn start(server: &Server) -> Self {
        let (ends, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (data, stop, count) = (server.data(), ends.clone(), begun.clone());
        let task = tokio::spawn(async move {
            let http = reqwest::Client::builder().no_proxy().build().expect("a client");
            while !stop.load(Ordering::Relaxed) {
                let read = |name: &str| fs::read_to_string(data.join(name)).unwrap_or_default();
                let url =
                    serde_json::from_str::<Value>(&read("server.json")).ok().and_then(|found| found["url"].as_str().map(str::to_owned));
                if let Some(url) = url {
                    let asked =
                        http.post(format!("{url}/v1/reconcile")).bearer_auth(read("admin.token").trim()).json(&json!({"apply": true}));
                    let answer = asked.send().await;
                    count.fetch_add(u64::from(answer.is_ok_and(|answer| answer.status().as_u16() == 202)), Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(5)).await; // tidy: polling
            }
        });
        Self { ends, begun, task }
    }

    fn stop(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.task.abort();
        self.begun.load(Ordering::Relaxed)
    }
}

/// Tier: `make test`. A reconciliation is for administrators, and one at a time.
#[tokio::test]
async fn what_is_asked_wrongly_is_refused() {
    let server = Server::start();
    let client = server.client(&server.admin_token());
    problem(client.send(Method::POST, "/v1/reconcile", &json!({"apply": "yes"})).await, 400, "malformed-body").await;
    let otto = server.client(&server.token("author", "otto"));
    problem(otto.send(Method::POST, "/v1/reconcile", &json!({"apply": true})).await, 403, "not-allowed").await;
    let (empty, code) = reconcile(&server, true);
    assert_eq!((&empty["videos"], code), (&json!(0), Some(0)));
}
