//! The inbox, by the clients that people have: each operation of each, against a real server. The cells of the matrix in docs/s3.md.

mod checksums;
pub mod chunks;
mod crash;
mod scope;
pub mod signed;
mod suite;

use crate::support::clips::{PICTURES, clip, play};
use crate::support::s3::{Access, Program, arrived, noise, source_bytes, videos};
use crate::support::server::Server;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use theatrum::catalog::Catalog;
use theatrum::domain::video::State;

/// Sources that are no videos are looked at once they were refused.
const KEEP_REFUSED: (&str, &str) = ("THEATRUM_PROCESSING__KEEP_REFUSED", "7d");
/// Three parts of the least size, the last smaller.
const LARGE_BYTES: usize = (11 << 20) + 7;

macro_rules! matrix {
    ($($(#[$doc:meta])* $test:ident: $program:ident,)+) => {
        $($(#[$doc])* #[tokio::test] async fn $test() { every_cell_of(Program::$program).await; })+
    };
}

matrix! {
    /// Tier: `make test`. aws-cli 1.46 × every operation.
    aws_cli_1: Aws1,
    /// Tier: `make test`. aws-cli 2.9 × every operation.
    aws_cli_2: Aws2,
    /// Tier: `make test`. boto3 1.44 × every operation, presigned ones too.
    boto3: Boto3,
    /// Tier: `make test`. rclone 1.60 × every operation.
    rclone: Rclone,
    /// Tier: `make test`. s3cmd 2.3 × every operation.
    s3cmd: S3cmd,
}

/// A file that was sent, and the place where it must have arrived.
struct Sent {
    file: PathBuf,
    collection: Option<&'static str>,
    title: &'static str,
}

async fn every_cell_of(program: Program) {
    let mut server = Server::start_with(&[KEEP_REFUSED]);
    let catalog = server.catalog().await;
    let access = server.access("ada", "");
    let mut sent = uploads(&server, &access, program);
    sent.extend(folder(&server, &access, program));
    if program == Program::Boto3 {
        sent.extend(presigned(&server, &access));
    }
    for it in &sent {
        let video = arrived(&catalog, it.collection, it.title).await;
        assert_eq!(video.owner, "ada");
    }
    assert_eq!(videos(&catalog).await.len(), sent.len(), "one video for each file");
    empty(&access, program);
    refusals(&server, &access, program);
    assert_eq!(videos(&catalog).await.len(), sent.len(), "nothing came in by a key that is none");
    becomes_ready(&server, &catalog).await;
    server.kill();
    for it in &sent {
        let video = arrived(&catalog, it.collection, it.title).await;
        let (there, here) = (source_bytes(&server, &catalog, &video.id).await, std::fs::read(&it.file).expect("the file"));
        assert!(there == here, "{program:?}: {} arrived altered: {} bytes of {}", it.title, there.len(), here.len());
    }
}

/// Single PUT of a film, multipart of noise.
fn uploads(server: &Server, access: &Access, program: Program) -> Vec<Sent> {
    let film = clip(server.scratch(), "op 7.mp4");
    let large = noise(server.scratch(), "large.bin", LARGE_BYTES);
    put(access, program, &film, "cardiology/2026/op 7.mp4");
    multipart(access, program, &large, "a+b é/large & more.bin");
    let film = Sent { file: film, collection: Some("cardiology/2026"), title: "op 7" };
    vec![film, Sent { file: large, collection: Some("a+b é"), title: "large & more" }]
}

fn put(access: &Access, program: Program, file: &Path, key: &str) {
    let (file, url) = (text(file), format!("s3://inbox/{key}"));
    let said = match program {
        Program::Aws1 | Program::Aws2 => access.done(program, &["s3api", "put-object", "--bucket", "inbox", "--key", key, "--body", file]),
        Program::Boto3 => access.done(program, &["put", file, key]),
        Program::Rclone => access.done(program, &["copyto", file, &format!("inbox:inbox/{key}")]),
        Program::S3cmd => access.done(program, &["put", file, &url]),
    };
    drop(said);
}

fn multipart(access: &Access, program: Program, file: &Path, key: &str) {
    let (file, url) = (text(file), format!("s3://inbox/{key}"));
    match program {
        Program::Aws1 | Program::Aws2 => access.done(program, &["s3", "cp", "--no-progress", file, &url]),
        Program::Boto3 => access.done(program, &["multipart", file, key]),
        Program::Rclone => {
            let sizes = ["--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M"];
            access.done(program, &[&["copyto", file, &format!("inbox:inbox/{key}")][..], &sizes].concat())
        }
        Program::S3cmd => access.done(program, &["put", "--multipart-chunk-size-mb=5", file, &url]),
    };
}

/// A folder with a folder in it, as each client copies one.
fn folder(server: &Server, access: &Access, program: Program) -> Vec<Sent> {
    let root = server.scratch().join("tree");
    let (one, two) = (noise(&root, "one.bin", 40_000), noise(&root, "deep/two.bin", 1));
    let source = text(&root);
    match program {
        Program::Aws1 | Program::Aws2 => access.done(program, &["s3", "sync", "--no-progress", source, "s3://inbox/tree"]),
        Program::Boto3 => access.done(program, &["folder", source, "tree/"]),
        Program::Rclone => access.done(program, &["sync", source, "inbox:inbox/tree"]),
        Program::S3cmd => access.done(program, &["sync", &format!("{source}/"), "s3://inbox/tree/"]),
    };
    vec![Sent { file: one, collection: Some("tree"), title: "one" }, Sent { file: two, collection: Some("tree/deep"), title: "two" }]
}

/// What needs no secret where it is sent from.
fn presigned(server: &Server, access: &Access) -> Vec<Sent> {
    let (whole, parts) = (noise(server.scratch(), "whole.bin", 70_000), noise(server.scratch(), "parts.bin", LARGE_BYTES));
    access.done(Program::Boto3, &["presigned", text(&whole), "whole.bin"]);
    access.done(Program::Boto3, &["presigned_parts", text(&parts), "p/parts.bin"]);
    vec![Sent { file: whole, collection: None, title: "whole" }, Sent { file: parts, collection: Some("p"), title: "parts" }]
}

/// What came in has left the inbox: no listing shows it, and to delete it is fine and does nothing.
fn empty(access: &Access, program: Program) {
    let key = "cardiology/2026/op 7.mp4";
    let (list, delete): (&[&str], Vec<String>) = match program {
        Program::Aws1 | Program::Aws2 => {
            (&["s3api", "list-objects-v2", "--bucket", "inbox", "--query", "Contents"], words(&["s3", "rm", &format!("s3://inbox/{key}")]))
        }
        Program::Boto3 => (&["ls"], words(&["delete", key])),
        Program::Rclone => (&["lsf", "-R", "inbox:inbox"], words(&["deletefile", &format!("inbox:inbox/{key}")])),
        Program::S3cmd => (&["ls", "--recursive", "s3://inbox/"], words(&["del", &format!("s3://inbox/{key}")])),
    };
    let nothing = if matches!(program, Program::Aws1 | Program::Aws2) { "null" } else { "" };
    assert_eq!(access.done(program, list).trim(), nothing);
    access.done(program, &delete.iter().map(String::as_str).collect::<Vec<_>>());
    let buckets: &[&str] = match program {
        Program::Aws1 | Program::Aws2 => &["s3", "ls"],
        Program::Boto3 => return,
        Program::Rclone => &["lsd", "inbox:"],
        Program::S3cmd => &["ls"],
    };
    assert!(access.done(program, buckets).trim_end().ends_with("inbox"), "{program:?} sees its bucket");
}

/// A wrong secret, and a key that was revoked: the code is one that the client understands and shows.
fn refusals(server: &Server, access: &Access, program: Program) {
    let file = noise(server.scratch(), "unwanted.bin", 1_000);
    let send: Vec<String> = match program {
        Program::Aws1 | Program::Aws2 => words(&["s3", "cp", "--no-progress", text(&file), "s3://inbox/no.bin"]),
        Program::Boto3 => words(&["put", text(&file), "no.bin"]),
        Program::Rclone => words(&["copyto", text(&file), "inbox:inbox/no.bin"]),
        Program::S3cmd => words(&["put", text(&file), "s3://inbox/no.bin"]),
    };
    let send: Vec<&str> = send.iter().map(String::as_str).collect();
    // rclone looks for the object first, by HEAD, whose answer has no body that could hold a code.
    let code = |code: &'static str| if program == Program::Rclone { "403" } else { code };
    let told = access.with_secret("another secret").refused(program, &send);
    assert!(told.contains(code("SignatureDoesNotMatch")), "{program:?}: {told}");
    let revoked = server.cli(&["s3", "credentials", "revoke", &access.id]);
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    let told = access.refused(program, &send);
    assert!(told.contains(code("InvalidAccessKeyId")), "{program:?}: {told}");
}

/// The film that came in by a single PUT plays.
async fn becomes_ready(server: &Server, catalog: &Catalog) {
    let begun = Instant::now();
    let film = loop {
        let film = arrived(catalog, Some("cardiology/2026"), "op 7").await;
        if film.state == State::Ready {
            break film;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the film is {:?}:\n{}", film.state, server.log());
        tokio::time::sleep(Duration::from_millis(50)).await; // tidy: polling
    };
    let playback = server.client(&server.admin_token()).post(&format!("/v1/videos/{}/playback", film.id), &serde_json::Value::Null).await;
    let url = playback["playback_url"].as_str().expect("a url");
    let url = if url.starts_with("http") { url.to_owned() } else { format!("{}{url}", server.url()) };
    assert_eq!(play(&url), PICTURES);
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("utf-8")
}
