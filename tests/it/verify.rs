//! Integrity: what is damaged is found and named, made again where it can be, and nothing else is touched.

use crate::support::clips::{clip, play};
use crate::support::http::{ok, problem};
use crate::support::orphans::{assert_no_orphans, files};
use crate::support::server::Server;
use crate::support::waiting::{wait_for, wait_until};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use theatrum::domain::ids::{VersionId, VideoId};

const SOON: Duration = Duration::from_secs(60);
/// Fourteen seconds, 25 pictures in each.
const PICTURES: usize = 350;

/// What is done to a blob.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip,
    Truncate,
    Delete,
}

impl Harm {
    const ALL: [Self; 3] = [Self::Flip, Self::Truncate, Self::Delete];

    fn inflict(self, blob: &Path) {
        let mut bytes = fs::read(blob).expect("the blob is there");
        let middle = bytes.len() / 2;
        match self {
            Self::Flip => bytes[middle] ^= 1,
            Self::Truncate => bytes.truncate(middle),
            Self::Delete => return fs::remove_file(blob).expect("deleted"),
        }
        fs::write(blob, bytes).expect("written");
    }

    /// What a verification calls it. Only of what has its size in a row is it known that bytes are missing at its end.
    fn problem(self, piece: &str) -> &'static str {
        match (self, piece) {
            (Self::Delete, _) => "missing",
            (Self::Truncate, "segment" | "init" | "source") => "size",
            _ => "altered",
        }
    }
}

/// A published video of two renditions, the upper one copied, with sound.
struct Film {
    video: VideoId,
    version: VersionId,
}

impl Film {
    async fn publish(server: &Server) -> Self {
        let answer = server.publish(&film(server));
        assert_eq!(answer["state"], "ready", "{answer}\n{}", server.log());
        let video = VideoId::parse(answer["video"].as_str().expect("an id")).expect("an id");
        let version = server.catalog().await.video(&video).await.expect("a video").version.expect("a version");
        Self { video, version }
    }

    /// Where a rendition's segment lies by its row.
    async fn segment(&self, server: &Server, rendition: &str, number: u64) -> PathBuf {
        let segments = server.catalog().await.segments(&self.version).await.expect("segments");
        let row = segments.iter().find(|it| it.rendition.as_str() == rendition && it.number == number).expect("a segment");
        self.folder(server).join(format!("{rendition}/{number:06}-{}.m4s", row.epoch))
    }

    async fn init(&self, server: &Server, rendition: &str) -> PathBuf {
        let inits = server.catalog().await.inits(&self.version).await.expect("inits");
        let (_, init) = inits.iter().find(|(name, _)| name.as_str() == rendition).expect("an init segment");
        self.folder(server).join(format!("{rendition}/init-{}.mp4", init.epoch))
    }

    fn folder(&self, server: &Server) -> PathBuf {
        server.data().join(format!("blobs/videos/{}/{}", self.video, self.version))
    }

    /// One blob of every kind but the source, with the word for its kind.
    async fn one_of_each(&self, server: &Server) -> Vec<(&'static str, PathBuf)> {
        let poster = server.catalog().await.poster_epoch(&self.version).await.expect("rows").expect("a poster");
        let mut blobs = vec![
            ("poster", server.data().join(format!("blobs/sidecars/{}/{}/poster-{poster}", self.video, self.version))),
            ("playlist", self.folder(server).join("master.m3u8")),
        ];
        for rendition in ["360p", "480p", "audio"] {
            blobs.push(("segment", self.segment(server, rendition, 1).await));
            blobs.push(("init", self.init(server, rendition).await));
            blobs.push(("playlist", self.folder(server).join(rendition).join("playlist.m3u8")));
        }
        blobs
    }

    async fn part(&self, server: &Server) -> PathBuf {
        let catalog = server.catalog().await;
        let source = catalog.source(&catalog.version(&self.version).await.expect("a version").source).await.expect("a source");
        let parts = catalog.upload_parts(&source.upload).await.expect("parts");
        server.data().join("blobs").join(parts[0].blob.as_ref().expect("received"))
    }
}

/// Fourteen seconds of moving shapes that take as few bits as a recorder's would, with a tone.
fn film(server: &Server) -> PathBuf {
    let path = server.scratch().join("film.mp4");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=854x480:r=25:d=14,format=yuv420p"]);
    command.args(["-f", "lavfi", "-i", "sine=d=14", "-c:v", "libx264", "-preset", "veryfast", "-crf", "36", "-g", "50", "-c:a", "aac"]);
    let output = command.arg(&path).output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

/// How many pictures of a rendition decode, without one complaint.
fn pictures(master: &str, rendition: &str) -> usize {
    let url = master.replace("master.m3u8", &format!("{rendition}/playlist.m3u8"));
    let mut command = Command::new("ffmpeg");
    let output = command.args(["-v", "error", "-xerror", "-i", &url, "-map", "0:v:0", "-f", "framemd5", "-"]).output().expect("ffmpeg");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{url} does not play: {complaints}");
    String::from_utf8(output.stdout).expect("text").lines().filter(|line| line.starts_with("0,")).count()
}

/// Runs `theatrum verify --json` with these arguments; gives what it found, and the exit code.
fn verify(server: &Server, args: &[&str]) -> (Value, Option<i32>) {
    let output = server.cli(&[&["verify", "--json"], args].concat());
    let found =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}\n{}", String::from_utf8_lossy(&output.stderr), server.log()));
    (found, output.status.code())
}

/// Path, kind, problem and outcome of each finding.
fn findings(found: &Value) -> BTreeSet<[String; 4]> {
    let word = |finding: &Value, member: &str| finding[member].as_str().expect("a word").to_owned();
    let of = |finding| ["path", "piece", "problem", "outcome"].map(|member| word(finding, member));
    found["findings"].as_array().expect("findings").iter().map(of).collect()
}

fn contents(server: &Server, mark: &str) -> BTreeMap<String, Vec<u8>> {
    let read = |path: String| {
        let bytes = fs::read(server.data().join("blobs").join(&path)).expect("a blob");
        (path, bytes)
    };
    files(server).into_iter().filter(|path| path.contains(mark)).map(read).collect()
}

/// Tier: `make test`. invariant 10: whatever blob is altered, cut short or gone is found, and named for what it is; `--repair` makes all of it again
/// while what is whole stays where players know it to be; then nothing is found, nothing is left over, and other videos are as they were.
#[tokio::test]
async fn whatever_is_damaged_is_named_and_made_again() {
    let server = Server::start();
    let film = Film::publish(&server).await;
    let other = VideoId::parse(server.publish(&clip(server.scratch(), "other.mp4"))["video"].as_str().expect("an id")).expect("an id");
    let (clean, code) = verify(&server, &[]);
    assert_eq!((&clean["found"], &clean["videos"], code), (&json!(0), &json!(2), Some(0)), "{clean}");
    let untouched = contents(&server, other.as_str());
    let root = server.data().join("blobs");
    let name = |path: &Path| path.strip_prefix(&root).expect("a blob").to_string_lossy().into_owned();
    for harm in Harm::ALL {
        let blobs = film.one_of_each(&server).await;
        let whole: BTreeSet<String> =
            files(&server).into_iter().filter(|path| !blobs.iter().any(|(_, blob)| name(blob) == *path)).collect();
        blobs.iter().for_each(|(_, blob)| harm.inflict(blob));
        let expected = |outcome: &str| -> BTreeSet<[String; 4]> {
            let finding = |(piece, blob): &(&str, PathBuf)| [name(blob), (*piece).into(), harm.problem(piece).into(), outcome.into()];
            blobs.iter().map(finding).collect()
        };
        let (looked, code) = verify(&server, &[film.video.as_str()]);
        assert_eq!((findings(&looked), code), (expected("found"), Some(1)), "{harm:?}");
        let (repaired, code) = verify(&server, &["--repair"]);
        assert_eq!((findings(&repaired), code), (expected("repaired"), Some(0)), "{harm:?}\n{}", server.log());
        let (again, code) = verify(&server, &[]);
        assert_eq!((&again["found"], code), (&json!(0), Some(0)), "{harm:?} {again}");
        assert!(whole.is_subset(&files(&server)), "what was whole stays where it is for those who watch");
        let url = server.playback_url(&film.video).await;
        assert_eq!([play(&url), pictures(&url, "360p"), pictures(&url, "480p")], [PICTURES; 3], "{harm:?}");
        assert_no_orphans(&server, &server.catalog().await, &[film.video.clone(), other.clone()]).await;
    }
    assert_eq!(contents(&server, other.as_str()), untouched);
    let entries = server.catalog().await.audit_entries(None, 1_000).await.expect("entries");
    let of = |action: &str| entries.iter().filter(|entry| entry.action == action).count();
    assert_eq!((of("verify"), of("repair")), (10, 3), "each run, and each repair, is in the audit log");
}

/// Tier: `make test`. A damaged original is told, whatever was done to it; nothing is made again of it, and what plays goes on playing.
#[tokio::test]
async fn a_damaged_original_is_told_and_nothing_is_made_of_it() {
    let server = Server::start();
    let film = Film::publish(&server).await;
    let (part, segment) = (film.part(&server).await, film.segment(&server, "360p", 1).await);
    let intact = [&part, &segment].map(|path| fs::read(path).expect("a blob"));
    for harm in Harm::ALL {
        harm.inflict(&part);
        for args in [&[][..], &["--repair"]] {
            let (found, code) = verify(&server, args);
            let finding = &found["findings"][0];
            assert_eq!((&found["found"], code), (&json!(1), Some(1)), "{found}");
            assert_eq!(
                (&finding["piece"], &finding["problem"], &finding["number"]),
                (&json!("source"), &json!(harm.problem("source")), &json!(1))
            );
            assert!(finding["mend"].as_str().expect("a text").contains("restore the video from a backup"), "{finding}");
        }
        assert_eq!(play(&server.playback_url(&film.video).await), PICTURES);
        fs::write(&part, &intact[0]).expect("written");
    }
    Harm::Flip.inflict(&part);
    Harm::Flip.inflict(&segment);
    let output = server.cli(&["verify", film.video.as_str(), "--repair"]);
    let told = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("its source is damaged too") && told.ends_with("2 damaged, 0 made again, 2 LEFT\n"), "{told}");
    fs::write(&part, &intact[0]).expect("written");
    let (repaired, code) = verify(&server, &["--repair"]);
    assert_eq!((&repaired["repaired"], code), (&json!(1), Some(0)), "{repaired}\n{}", server.log());
}

/// Tier: `make test`. invariant 2: the server is killed while a blob is made again: what plays is what played before, and the next life brings the
/// repair to its end.
#[tokio::test]
async fn a_kill_in_the_middle_of_a_repair_leaves_what_plays() {
    let mut server = Server::start();
    let film = Film::publish(&server).await;
    for point in ["segment-write", "settle", "publishing"] {
        Harm::Flip.inflict(&film.segment(&server, "360p", 1).await);
        server.restart(&[("THEATRUM_FAILPOINT", point)]);
        let mut command = server.command(&["verify", film.video.as_str(), "--repair"]);
        let mut verifying = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        server.wait_killed(SOON);
        server.restart(&[]);
        let url = server.playback_url(&film.video).await;
        assert_eq!(pictures(&url, "480p"), PICTURES, "{point}: what was whole plays on");
        assert_eq!(verifying.wait().expect("it ends").code(), Some(0), "{point}\n{}", server.log());
        let (again, code) = verify(&server, &[]);
        assert_eq!((&again["found"], code), (&json!(0), Some(0)), "{point} {again}");
        assert_eq!(pictures(&url, "360p"), PICTURES, "{point}");
        assert_no_orphans(&server, &server.catalog().await, std::slice::from_ref(&film.video)).await;
    }
}

/// Tier: `make test`. What an encoder of today makes otherwise than it did cannot stand among what is left: the whole video is made again, and
/// replaces the damaged version without disturbing who watches that.
#[tokio::test]
async fn what_does_not_fit_any_more_is_made_again_as_a_whole() {
    let server = Server::start();
    let film = Film::publish(&server).await;
    let mut rows = server.rows().await;
    for sql in [
        "UPDATE renditions SET init_sha256 = 'another' WHERE name = '360p'",
        "UPDATE segments SET init_sha256 = 'another' WHERE rendition = '360p'",
    ] {
        sqlx::query(sql).execute(&mut rows).await.expect("changed");
    }
    let watching = server.playback_url(&film.video).await;
    let (found, _) = verify(&server, &["--repair"]);
    let outcome = found["findings"][0]["outcome"].as_str().expect("a word");
    assert!(["remaking", "repaired"].contains(&outcome), "{found}\n{}", server.log());
    let version = wait_for(&server, "the version is replaced", async || {
        let video = server.catalog().await.video(&film.video).await.expect("a video");
        video.version.filter(|version| *version != film.version)
    });
    assert_ne!(version.await, film.version);
    let (again, code) = verify(&server, &["--repair"]);
    assert_eq!((&again["found"], code), (&json!(0), Some(0)), "{again}");
    let url = server.playback_url(&film.video).await;
    assert_eq!([pictures(&url, "360p"), play(&watching)], [PICTURES; 2]);
}

/// Tier: `make test`. invariant 9: owners verify their own videos, administrators all; what one has found is nobody else's.
#[tokio::test]
async fn only_owners_and_administrators_verify() {
    let server = Server::start();
    let admin = server.client(&server.admin_token());
    let [olga, otto] = ["olga", "otto"].map(|name| server.client(&server.token("author", name)));
    let vera = server.client(&server.token("viewer", "vera"));
    let id = VideoId::new().to_string();
    let sql = "INSERT INTO videos (id, owner, title, state, stage, created_at) VALUES ($1, 'olga', 'A', 'processing', 'probing', 1)";
    sqlx::query(sql).bind(&id).execute(&mut server.rows().await).await.expect("a row");
    let wanted = json!({"video": id, "repair": true});
    for stranger in [&otto, &vera] {
        problem(stranger.send(Method::POST, "/v1/verifications", &wanted).await, 404, "not-found").await;
        problem(stranger.send(Method::POST, "/v1/verifications", &json!({"repair": true})).await, 403, "not-allowed").await;
    }
    problem(olga.send(Method::POST, "/v1/verifications", &json!({"repair": false})).await, 403, "not-allowed").await;
    problem(olga.send(Method::POST, "/v1/verifications", &json!({"video": "x", "repair": false})).await, 400, "malformed-id").await;
    problem(olga.send(Method::POST, "/v1/verifications", &json!({})).await, 400, "malformed-body").await;
    let begun = ok(olga.send(Method::POST, "/v1/verifications", &wanted).await).await;
    let path = format!("/v1/verifications/{}", begun["verification"].as_str().expect("an id"));
    problem(otto.send(Method::GET, &path, &Value::Null).await, 404, "not-found").await;
    problem(vera.send(Method::GET, "/v1/verifications", &Value::Null).await, 403, "not-allowed").await;
    assert_eq!(otto.get("/v1/verifications").await["verifications"], json!([]));
    for client in [&olga, &admin] {
        assert_eq!(client.get("/v1/verifications").await["verifications"][0]["video"], json!(id));
        assert_eq!(client.get(&path).await["actor"], json!("olga"));
    }
    // A video in processing has nothing published to read, and that is said.
    let (skipped, code) = verify(&server, &[&id]);
    assert_eq!((&skipped["skipped_videos"][0]["why"], code), (&json!("it is still in processing"), Some(1)), "{skipped}");
    assert_eq!(verify(&server, &[]).1, Some(0), "of all videos, there is none to read");
    assert_eq!(server.cli(&["verify", "nonsense"]).status.code(), Some(2));
    wait_until(&server, "the log tells of it", || server.log().contains("verification ends"));
}
