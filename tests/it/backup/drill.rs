//! A house, a depot, and the commands that go from one to the other.

use crate::support::server::Server;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use theatrum::blobs::Digests;
use theatrum::catalog::Catalog;
use theatrum::domain::ids::VideoId;

/// Where a drill's backups go, and how they are opened.
pub struct Drill {
    place: String,
    passphrase: PathBuf,
    variables: Vec<(String, String)>,
}

impl Drill {
    /// Backups in a folder beside the server's data.
    pub fn folder(server: &Server) -> Self {
        Self::at(server, &server.scratch().join("depot").to_string_lossy(), &[])
    }

    /// Backups at `place`, which needs these variables.
    pub fn at(server: &Server, place: &str, variables: &[(&str, &str)]) -> Self {
        let passphrase = server.scratch().join("passphrase");
        write_secret(&passphrase, "five words nobody would guess");
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { place: place.to_owned(), passphrase, variables }
    }

    /// The depot, if it is a folder.
    pub fn path(&self) -> &Path {
        Path::new(&self.place)
    }

    /// `theatrum WHAT PLACE ARGS… --json`.
    pub fn command(&self, server: &Server, what: &str, args: &[&str]) -> Command {
        let mut command = server.command(&[what, &self.place, "--json", "--passphrase-file"]);
        command.arg(&self.passphrase).args(args).envs(self.variables.iter().cloned()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, server: &Server, what: &str, args: &[&str]) -> Output {
        self.command(server, what, args).output().expect("the command line runs")
    }

    /// Runs what must be done; gives its answer.
    pub fn done(&self, server: &Server, what: &str, args: &[&str]) -> Value {
        answer(self.run(server, what, args))
    }

    /// Runs what must fail with exit code 1; gives what it said.
    pub fn refused(&self, server: &Server, what: &str, args: &[&str]) -> String {
        let output = self.run(server, what, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        said
    }

    /// Starts it beside the test.
    pub fn begin(&self, server: &Server, what: &str) -> Child {
        self.command(server, what, &[]).spawn().expect("the command line starts")
    }

    /// The ids of its snapshots.
    pub fn snapshots(&self, server: &Server) -> Vec<String> {
        let list = self.done(server, "restore", &["--list"]);
        list.as_array().expect("a list").iter().map(|row| row["snapshot"].as_str().expect("an id").to_owned()).collect()
    }
}

/// The answer of a command that must have done all it was asked.
pub fn answer(output: Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("json")
}

/// A file that only its owner can read.
pub fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod");
}

/// The server dies and its data is gone.
pub fn lose_everything(server: &mut Server) {
    server.kill();
    fs::remove_dir_all(server.data()).expect("wiped");
}

/// All files below a folder, by their paths in it.
pub fn files(root: &Path) -> BTreeSet<String> {
    let (mut folders, mut files) = (vec![root.to_owned()], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            if entry.file_type().expect("a type").is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(entry.path().strip_prefix(root).expect("inside").to_string_lossy().into_owned());
            }
        }
    }
    files
}

/// invariant 10: each segment and initialisation segment of a video has the digest that its row tells of. Gives how many there were.
pub async fn assert_digests(catalog: &Catalog, data: &Path, video: &VideoId) -> usize {
    let row = catalog.video(video).await.expect("a video");
    let version = row.version.expect("a version");
    let folder = data.join(format!("blobs/videos/{video}/{version}"));
    let inits = catalog.inits(&version).await.expect("inits");
    let inits = inits.into_iter().map(|(rendition, init)| (format!("{rendition}/init-{}.mp4", init.epoch), init.sha256));
    let segments = catalog.segments(&version).await.expect("segments");
    let segments = segments.into_iter().map(|row| (format!("{}/{:06}-{}.m4s", row.rendition, row.number, row.epoch), row.sha256));
    let expected: Vec<_> = inits.chain(segments).collect();
    for (path, sha256) in &expected {
        let bytes = fs::read(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(hex::encode(Digests::of(&bytes).sha256), *sha256, "{path}");
    }
    expected.len()
}
