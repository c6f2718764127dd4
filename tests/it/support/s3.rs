//! Real S3 clients, unmodified, and what came of the files they sent.

use super::server::Server;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};
use theatrum::blobs::{Blobs, Key, Source};
use theatrum::catalog::Catalog;
use theatrum::catalog::videos::{Listing, Unready};
use theatrum::domain::collection::Name;
use theatrum::domain::ids::{UploadId, VideoId};
use theatrum::domain::video::Video;
use theatrum::keys::Keys;
use theatrum::kms::{Keyring, Kms};

const LONGEST: Duration = Duration::from_secs(60);
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// A program that people have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// aws-cli 1, from PyPI.
    Aws1,
    /// aws-cli 2, Debian's.
    Aws2,
    /// boto3 in a script.
    Boto3,
    /// rclone, Debian's.
    Rclone,
    /// s3cmd, Debian's.
    S3cmd,
}

/// An access key to the inbox of a server, and a folder for what the clients write.
pub struct Access {
    /// The server's S3 endpoint.
    pub endpoint: String,
    /// The key's name.
    pub id: String,
    /// Its secret.
    pub secret: String,
    home: PathBuf,
}

impl Server {
    /// A new access key, made by the command line for `subject`.
    pub fn access(&self, subject: &str, prefix: &str) -> Access {
        let output = self.cli(&["s3", "credentials", "create", "--json", "--subject", subject, "--prefix", prefix]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let made: Value = serde_json::from_slice(&output.stdout).expect("json");
        let text = |field: &str| made[field].as_str().expect("text").to_owned();
        assert_eq!((text("endpoint_url"), text("bucket")), (self.s3_url(), "inbox".to_owned()));
        Access::new(self.s3_url(), &text("access_key_id"), &text("secret_access_key"), self.scratch())
    }
}

impl Access {
    /// The same key with another secret.
    pub fn with_secret(&self, secret: &str) -> Self {
        self.with_pair(&self.id, secret)
    }

    /// The same key at an endpoint that has moved.
    pub fn at(self, endpoint: String) -> Self {
        let access = Self { endpoint, ..self };
        access.configure();
        access
    }

    /// Another key at the same endpoint.
    pub fn with_pair(&self, id: &str, secret: &str) -> Self {
        Self::new(self.endpoint.clone(), id, secret, self.home.parent().expect("a folder"))
    }

    fn new(endpoint: String, id: &str, secret: &str, scratch: &Path) -> Self {
        let home = scratch.join(format!("home-{:08x}", rand::random::<u32>()));
        std::fs::create_dir_all(&home).expect("a folder");
        let access = Self { endpoint, id: id.to_owned(), secret: secret.to_owned(), home };
        access.configure();
        access
    }

    /// Writes what clients read their settings from: the least that each needs.
    fn configure(&self) {
        let Self { endpoint, id, secret, home } = self;
        let host = endpoint.trim_start_matches("http://");
        let write = |name: &str, text: String| std::fs::write(home.join(name), text).expect("written");
        write("aws", format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"));
        let rclone =
            format!("[inbox]\ntype = s3\nprovider = Other\naccess_key_id = {id}\nsecret_access_key = {secret}\nendpoint = {endpoint}\n");
        write("rclone.conf", rclone);
        let s3cmd =
            format!("[default]\naccess_key = {id}\nsecret_key = {secret}\nhost_base = {host}\nhost_bucket = {host}\nuse_https = False\n");
        write("s3cmd.conf", s3cmd);
        write(
            "aws.conf",
            "[default]\nregion = us-east-1\nmax_attempts = 1\ns3 =\n  multipart_threshold = 5MB\n  multipart_chunksize = 5MB\n".to_owned(),
        );
    }

    /// Runs a client to its end.
    pub fn run(&self, program: Program, arguments: &[&str]) -> Output {
        let mut command = self.command(program);
        let output = command.args(arguments).output();
        output.unwrap_or_else(|error| panic!("{program:?} does not run ({error}): `scripts/setup test` installs it"))
    }

    /// Runs a client that must succeed; gives what it printed.
    pub fn done(&self, program: Program, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        let (said, complained) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{program:?} {arguments:?}: {said}\n{complained}");
        said
    }

    /// Runs a client that must fail; gives all that it said.
    pub fn refused(&self, program: Program, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!output.status.success(), "{program:?} {arguments:?} was let in: {said}");
        said
    }

    /// A client about to run.
    pub fn command(&self, program: Program) -> Command {
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/tools/s3-clients");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/inbox/boto.py");
        let mut command = self.bare_command(program);
        match program {
            Program::Aws1 => command.env("PYTHONPATH", &packages).arg(packages.join("bin/aws")).args(["--endpoint-url", &self.endpoint]),
            Program::Aws2 => command.args(["--endpoint-url", &self.endpoint]),
            Program::Boto3 => command.env("PYTHONPATH", &packages).arg(script).args([&self.endpoint, &self.id, &self.secret]),
            Program::Rclone => {
                command.arg("--config").arg(self.home.join("rclone.conf")).args(["--retries", "1", "--low-level-retries", "1"])
            }
            Program::S3cmd => command.arg("-c").arg(self.home.join("s3cmd.conf")).arg("--no-progress"),
        };
        command
    }

    /// The program alone, with nothing of whoever runs the tests: no settings, no proxies, no certificates, no packages of the system's.
    pub fn bare_command(&self, program: Program) -> Command {
        let mut command = match program {
            Program::Aws1 | Program::Boto3 => {
                let mut python = Command::new(SYSTEM_PYTHON);
                python.arg("-S");
                python
            }
            Program::Aws2 => Command::new("/usr/bin/aws"),
            Program::Rclone => Command::new("rclone"),
            Program::S3cmd => Command::new("s3cmd"),
        };
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &self.home)
            .env("LC_ALL", "C.UTF-8")
            .env("NO_PROXY", "*");
        command.env("AWS_SHARED_CREDENTIALS_FILE", self.home.join("aws")).env("AWS_CONFIG_FILE", self.home.join("aws.conf"));
        command
    }
}

/// Random bytes in a file of `folder`.
pub fn noise(folder: &Path, name: &str, size_bytes: usize) -> PathBuf {
    let mut bytes = vec![0; size_bytes];
    aws_lc_rs::rand::fill(&mut bytes).expect("randomness");
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, bytes).expect("space on the disk");
    path
}

/// All that lies where parts do, finished or not.
pub fn parts(server: &Server) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![server.data().join("blobs/sources")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files
}

/// Every video, newest first.
pub async fn videos(catalog: &Catalog) -> Vec<Video> {
    let listing = Listing { unready: Unready::Everyones, filter: Default::default(), before: None, limit: 1_000 };
    catalog.videos(&listing).await.expect("videos")
}

/// The video of this title in this collection, once there is one.
pub async fn arrived(catalog: &Catalog, collection: Option<&str>, title: &str) -> Video {
    let begun = Instant::now();
    loop {
        let all = videos(catalog).await;
        let found = all.iter().find(|video| video.title == title && video.collection.as_ref().map(Name::as_str) == collection);
        if let Some(video) = found {
            return video.clone();
        }
        let there: Vec<_> = all.iter().map(|video| (&video.collection, &video.title)).collect();
        assert!(begun.elapsed() < LONGEST, "no video {title} came into {collection:?}: {there:?}");
        tokio::time::sleep(Duration::from_millis(20)).await; // tidy: polling
    }
}

/// The bytes of a video's source, decrypted by what lies in the data folder of a server that does not run.
pub async fn source_bytes(server: &Server, catalog: &Catalog, video: &VideoId) -> Vec<u8> {
    use futures_util::TryStreamExt;
    let keyring = Keyring::open_or_create(&server.data().join("keyring.json")).expect("a keyring");
    let wrapped = catalog.wrapped_root_key(video).await.expect("a key");
    let root = Keys::new(Kms::Local(Arc::new(keyring))).open(video, &wrapped).await.expect("opens");
    let sql = "SELECT upload_id FROM sources WHERE video_id = $1";
    let row = catalog.fetch_optional(sql, theatrum::args![video]).await.expect("an answer").expect("a source");
    let upload = UploadId::parse(&row.text("upload_id").expect("text")).expect("an id");
    let parts = catalog.upload_parts(&upload).await.expect("parts").into_iter();
    let parts = parts.map(|part| (Key::parse(&part.blob.expect("received")).expect("a key"), part.size_bytes)).collect::<Vec<_>>();
    let blobs = Blobs::open(&server.data().join("blobs")).await.expect("blobs");
    let source = Source::new(blobs, root, parts);
    source.read(0..source.size_bytes()).try_collect::<Vec<_>>().await.expect("reads").concat()
}
