//! Uploads over a network that cuts, stalls and corrupts connections, without TLS to notice: what arrives is the file, bit by bit.

use crate::support::chance::seeded;
use crate::support::clips::{PICTURES, noisy_clip, play};
use crate::support::network::Network;
use crate::support::server::Server;
use crate::support::waiting::wait_for;
use futures_util::StreamExt;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use theatrum::blobs::{Blobs, Key, Source};
use theatrum::domain::ids::VideoId;
use theatrum::keys::Keys;
use theatrum::kms::{Keyring, Kms};

const MIB: u64 = 1 << 20;

/// A server behind a bad network, and a large film to bring there.
struct Trial {
    server: Server,
    network: Network,
    file: PathBuf,
    size_bytes: u64,
}

impl Trial {
    /// A film of `size_bytes`, a fault each `calm_bytes` of a part besides those that meet requests and answers.
    async fn begin(size_bytes: u64, calm_bytes: u64) -> Self {
        let network = Network::new(&mut seeded("has the same mishaps in the same order"), calm_bytes).await;
        let [url, s3_url] = network.urls();
        let server = Server::start_with(&[("THEATRUM_SERVER__PUBLIC_URL", &url), ("THEATRUM_SERVER__S3_PUBLIC_URL", &s3_url)]);
        network.lead_to([server.url(), server.s3_url()]);
        let file = noisy_clip(server.scratch(), "large.mp4", size_bytes);
        Self { server, network, file, size_bytes }
    }

    fn url(&self) -> String {
        self.network.urls()[0].clone()
    }

    /// The video has arrived: it plays, its source is the file, and the network was as bad as it was meant to be.
    async fn arrived(&mut self, video: &VideoId) {
        self.network.set_bad(false);
        let happened = self.network.happened();
        println!("{} MiB arrived in spite of {happened:?}", self.size_bytes / MIB);
        assert_eq!(happened.len(), 6, "each fault: {happened:?}");
        let client = self.server.client(&self.server.admin_token());
        let session = client.post(&format!("/v1/videos/{video}/playback"), &Value::Null).await;
        let path = session["playback_url"].as_str().and_then(|url| url.split_once("/t/")).expect("a url").1;
        assert_eq!(play(&format!("{}/t/{path}", self.server.url())), PICTURES);
        self.server.kill();
        assert_same(&self.file, &self.source(video).await).await;
    }

    /// The source as the worker reads it, decrypted.
    async fn source(&self, video: &VideoId) -> Source {
        let (data, catalog) = (self.server.data(), self.server.catalog().await);
        let keyring = Keyring::open_or_create(&data.join("keyring.json")).expect("a keyring");
        let wrapped = catalog.wrapped_root_key(video).await.expect("a root key");
        let root = Keys::new(Kms::Local(Arc::new(keyring))).open(video, &wrapped).await.expect("opens");
        let version = catalog.video(video).await.expect("a video").version.expect("a version");
        let source = catalog.version(&version).await.expect("a version").source;
        let upload = catalog.source(&source).await.expect("a source").upload;
        let parts = catalog.upload_parts(&upload).await.expect("parts").into_iter();
        let parts = parts.map(|part| (Key::parse(&part.blob.expect("received")).expect("a key"), part.size_bytes));
        Source::new(Blobs::open(&data.join("blobs")).await.expect("blobs"), root, parts)
    }
}

/// Bit by bit, a piece at a time.
async fn assert_same(file: &Path, source: &Source) {
    let mut file = BufReader::new(File::open(file).expect("the film"));
    let mut pieces = source.read(0..source.size_bytes());
    let (mut at, mut sent) = (0, Vec::new());
    while let Some(piece) = pieces.next().await {
        let arrived = piece.expect("a piece under its key");
        sent.resize(arrived.len(), 0);
        file.read_exact(&mut sent).expect("as long as what arrived");
        assert!(arrived == sent, "it differs somewhere between bytes {at} and {}", at + arrived.len());
        at += arrived.len();
    }
    assert_eq!(file.read(&mut [0]).expect("its end"), 0, "it is longer than the {at} bytes that arrived");
}

async fn by_command_line(size_bytes: u64, calm_bytes: u64) {
    let mut trial = Trial::begin(size_bytes, calm_bytes).await;
    let mut command = trial.server.command(&["publish", "--json"]);
    command.env_remove("THEATRUM_DATA").env("THEATRUM_URL", trial.url()).env("THEATRUM_TOKEN", trial.server.token("author", "anna"));
    trial.network.set_bad(true);
    let output = command.arg(&trial.file).output().expect("the command line runs");
    let (line, notes) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_str(line.trim()).unwrap_or_else(|error| panic!("{error}: {line}\n{notes}"));
    assert_eq!(answer["state"], "ready", "{answer}\n{notes}\n{}", trial.server.log());
    trial.arrived(&VideoId::parse(answer["video"].as_str().expect("an id")).expect("an id")).await;
}

async fn by_page(size_bytes: u64, calm_bytes: u64) {
    let mut trial = Trial::begin(size_bytes, calm_bytes).await;
    let mut page = Page::open(&trial);
    trial.network.set_bad(true);
    page.say("send");
    page.hear("arrived");
    trial.network.set_bad(false);
    page.end();
    let videos = trial.server.get("/v1/videos").await;
    let video = videos["videos"][0]["video"].as_str().expect("a video").to_owned();
    assert_eq!(videos["videos"].as_array().map(Vec::len), Some(1), "{videos}");
    let client = trial.server.client(&trial.server.admin_token());
    wait_for(&trial.server, "the video is ready", async || {
        (client.get(&format!("/v1/videos/{video}")).await["state"] == "ready").then_some(())
    })
    .await;
    trial.arrived(&VideoId::parse(&video).expect("an id")).await;
}

/// Our page in Chromium, signed in; it does as it is told.
struct Page {
    node: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Page {
    fn open(trial: &Trial) -> Self {
        let mut command = Command::new("node");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/web/e2e/sending.mjs"));
        command
            .env("THEATRUM_URL", trial.url())
            .env("THEATRUM_TOKEN", trial.server.token("author", "anna"))
            .env("THEATRUM_FILE", &trial.file);
        let mut node = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Node is installed");
        let lines = BufReader::new(node.stdout.take().expect("piped")).lines();
        let mut page = Self { node, lines };
        page.hear("open");
        page
    }

    fn say(&mut self, word: &str) {
        writeln!(self.node.stdin.as_mut().expect("piped"), "{word}").expect("it listens");
    }

    fn hear(&mut self, word: &str) {
        let heard = self.lines.next().and_then(Result::ok).unwrap_or_default();
        assert_eq!(heard, word, "what the page said");
    }

    fn end(mut self) {
        assert!(self.node.wait().expect("an end").success(), "the page met errors");
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

/// Tier: `make test`. invariant 10: no checksum, no blob: what was damaged on its way is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_arrives_by_command_line() {
    by_command_line(64 * MIB, 6 * MIB).await;
}

/// Tier: `make test`. As above, by the page in Chromium.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_arrives_by_page() {
    by_page(64 * MIB, 6 * MIB).await;
}

/// Tier: `make test-all`. Two gigabytes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes and four gigabytes"]
async fn two_gigabytes_arrive_by_command_line() {
    by_command_line(2048 * MIB, 32 * MIB).await;
}

/// Tier: `make test-all`. As above, by the page in Chromium.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes and four gigabytes"]
async fn two_gigabytes_arrive_by_page() {
    by_page(2048 * MIB, 32 * MIB).await;
}
