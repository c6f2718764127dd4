//! What a source says besides its pictures reaches no output, and nothing plain reaches the disk.

use crate::support::player::Player;
use crate::support::server::Server;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CANARY: &str = "CANARY-PATIENT-JANE-DOE-4711";
/// Where files of media begin to tell what they are (ISO/IEC 14496-12, JPEG, Matroska).
const MAGIC: [&[u8]; 6] = [b"ftyp", b"moof", b"mdat", b"styp", b"\xff\xd8\xff", b"\x1a\x45\xdf\xa3"];
/// The demuxers that a published file could be read by; ffmpeg's guess at raw streams finds music in random bytes.
const CONTAINERS: &str = "mov,matroska,mpegts,jpeg_pipe,image2,image2pipe";

/// Tier: `make test`. "A canary title in the source's metadata is in no output blob", neither as stored nor as played.
///
/// invariant 6: nothing plain at rest: no file of the data folder holds the canary, a piece of the source, or anything that plays.
#[test]
fn what_a_source_says_of_its_patient_is_in_no_output() {
    let server = Server::start();
    let source = canary_source(server.scratch());
    let output = server.command(&["publish", "--json", "--title", "A lecture"]).arg(&source).output().expect("the command line runs");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    assert_eq!(answer["state"], "ready", "{answer}\n{}", server.log());
    let (player, token) = (Player::new(), server.admin_token());
    let master = answer["playback_url"].as_str().expect("a playback url");
    let stream = player.open(master);
    assert_clean(stream.master_text.as_bytes(), "the master playlist");
    for rendition in stream.renditions() {
        assert_clean(rendition.text.as_bytes(), &rendition.url);
        let pieces = player.clear(rendition);
        assert_eq!(pieces.len(), rendition.playlist.segments.len() + 1, "{}", rendition.text);
        pieces.iter().for_each(|piece| assert_clean(piece, &rendition.url));
        assert!(pieces.iter().skip(1).all(|piece| holds(piece, b"moof")), "{}: segments decrypt to fragments", rendition.url);
    }
    let poster = player.get(&format!("{}/v1/videos/{}/poster", server.url(), answer["video"].as_str().expect("an id")), Some(&token));
    assert_eq!((poster.status, poster.body.get(..3)), (200, Some(&b"\xff\xd8\xff"[..])), "a poster");
    assert_clean(&poster.body, "the poster");
    assert_nothing_plain(&server.data(), &fs::read(&source).expect("the source"));
    assert!(!server.log().contains(CANARY), "{}", server.log());
}

/// Tier: `make test`. invariant 6: nothing plain at rest: a part is ciphertext from the first byte written, long before its upload is finished.
#[tokio::test]
async fn an_unfinished_upload_leaves_nothing_plain() {
    let server = Server::start();
    let source = fs::read(canary_source(server.scratch())).expect("the source");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let post = async |path: String, body: Value| -> Value {
        let request = client.post(format!("{}{path}", server.url())).bearer_auth(server.admin_token()).json(&body);
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        answer.json().await.expect("json")
    };
    let begin = json!({"filename": "lecture.mp4", "size_bytes": (8 << 20) + 1, "title": "A lecture"});
    let upload = post("/v1/uploads".to_owned(), begin).await;
    let part_bytes = usize::try_from(upload["part_size_bytes"].as_u64().expect("a size")).expect("a size");
    let part: Vec<u8> = source.iter().copied().cycle().take(part_bytes).collect();
    let wanted = json!([{"number": 1, "size_bytes": part.len(), "sha256": hex::encode(digest(&SHA256, &part))}]);
    let urls = post(format!("/v1/uploads/{}/parts", upload["upload"].as_str().expect("an id")), wanted).await;
    let mut request = client.put(urls[0]["url"].as_str().expect("a url")).body(part);
    for (name, value) in urls[0]["headers"].as_object().expect("headers") {
        request = request.header(name, value.as_str().expect("a value"));
    }
    let stored = request.send().await.expect("an answer");
    assert!(stored.status().is_success(), "{stored:?}");
    let kept: u64 = files(&server.data().join("blobs")).iter().map(|path| path.metadata().expect("a file").len()).sum();
    assert!(kept >= part_bytes as u64, "the part is on the disk");
    assert_nothing_plain(&server.data(), &source);
}

/// Five seconds whose container, streams and chapters name the patient.
fn canary_source(folder: &Path) -> PathBuf {
    let (chapters, source) = (folder.join("chapters.txt"), folder.join("lecture.mp4"));
    let chapter = format!("[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=2000\ntitle={CANARY}\n");
    fs::write(&chapters, format!(";FFMETADATA1\ntitle={CANARY}\n{chapter}")).expect("a file of chapters");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=5"]);
    ffmpeg.args(["-f", "lavfi", "-i", "sine=frequency=330:duration=5", "-i"]).arg(&chapters);
    ffmpeg.args(["-map", "0", "-map", "1", "-map_metadata", "2", "-map_chapters", "2"]);
    ffmpeg.args(["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac"]);
    for tag in ["title", "comment", "artist", "description"] {
        ffmpeg.args(["-metadata", &format!("{tag}={CANARY}")]);
    }
    for (place, tag) in [("v", "handler_name"), ("a", "handler_name"), ("v", "title"), ("a", "title")] {
        ffmpeg.args([format!("-metadata:s:{place}:0"), format!("{tag}={CANARY}")]);
    }
    assert!(ffmpeg.arg(&source).status().expect("ffmpeg runs").success());
    let bytes = fs::read(&source).expect("the source");
    let named = bytes.windows(CANARY.len()).filter(|window| *window == CANARY.as_bytes()).count();
    assert!(named >= 6, "the source names its patient {named} times only");
    assert!(packets(&source) > 0, "ffprobe does not even find the source's packets");
    source
}

/// No file under `data` holds the canary, a piece of `source`, or media that can be played.
fn assert_nothing_plain(data: &Path, source: &[u8]) {
    let pieces: Vec<&[u8]> = source.chunks_exact(source.len() / 50).map(|piece| &piece[..32]).collect();
    let all = files(data);
    assert!(all.iter().any(|path| path.starts_with(data.join("blobs"))), "no blobs in {}", data.display());
    for path in all {
        // The write-ahead log and the like may vanish between the listing and the look.
        let Ok(bytes) = fs::read(&path) else { continue };
        assert_clean(&bytes, &path.display().to_string());
        assert!(!pieces.iter().any(|piece| holds(&bytes, piece)), "{} holds a piece of the source", path.display());
        // Initialisation segments are in the clear by design (DESIGN.md §5): they describe, they hold no picture.
        let describes = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("init-"));
        let head = &bytes[..bytes.len().min(16)];
        assert!(describes || !MAGIC.iter().any(|magic| holds(head, magic)), "{} begins like media", path.display());
        if path.starts_with(data.join("blobs")) {
            assert_eq!(packets(&path), 0, "{} plays", path.display());
        }
    }
}

/// How many packets ffprobe finds in a file by itself.
fn packets(path: &Path) -> u64 {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "quiet", "-format_whitelist", CONTAINERS, "-count_packets", "-show_entries", "stream=nb_read_packets"]);
    let output = ffprobe.args(["-of", "csv=p=0"]).arg(path).stdin(Stdio::null()).output().expect("ffprobe runs");
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.trim().parse::<u64>().ok()).sum()
}

fn assert_clean(bytes: &[u8], place: &str) {
    assert!(!holds(bytes, CANARY.as_bytes()), "the patient's name is in {place}");
}

fn holds(bytes: &[u8], piece: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == piece[0]) {
        if rest[at..].starts_with(piece) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// Every file under `folder`; what vanishes meanwhile is left out.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
