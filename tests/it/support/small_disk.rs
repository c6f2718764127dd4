//! A small file system of a server's own, which a test can fill to the last byte.
//!
//! A tmpfs in a mount namespace: for root one of its own, for everyone else together with a user namespace, as ffmpeg's sandbox has them. A
//! keeper holds it while the server dies and comes back; the test reaches into it by the keeper's `/proc/PID/root`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a file of the filler grows by, coarse to fine, until nothing fits any more.
const STEPS: [usize; 3] = [1 << 20, 64 << 10, 4 << 10];

/// A disk that ends with its owner.
pub struct SmallDisk {
    keeper: Child,
    place: PathBuf,
}

impl SmallDisk {
    /// A disk of `size_bytes` at `place`, which is made; only the server and the test's own [`SmallDisk::inside`] see what is on it.
    pub fn new(place: &Path, size_bytes: u64) -> Self {
        std::fs::create_dir_all(place).expect("a folder");
        let script = format!("mount -t tmpfs -o size={size_bytes},mode=0700 tmpfs \"$0\" && echo mounted && exec cat");
        let mut command = Command::new("unshare");
        command.args(namespaces()).arg("sh").arg("-c").arg(script).arg(place);
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare is installed");
        let mut said = String::new();
        BufReader::new(keeper.stdout.as_mut().expect("piped")).read_line(&mut said).expect("text");
        assert_eq!(said, "mounted\n", "no tmpfs can be mounted in a namespace here");
        Self { keeper, place: place.to_owned() }
    }

    /// A command that runs `program` where the disk is seen.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.keeper.id().to_string()).arg("--mount");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// The disk as the test sees it.
    pub fn inside(&self) -> PathBuf {
        let place = self.place.strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.keeper.id().to_string()).join("root").join(place)
    }

    /// What is free.
    pub fn free_bytes(&self) -> u64 {
        let volume = rustix::fs::statvfs(self.inside()).expect("a disk");
        volume.f_bavail * volume.f_frsize
    }

    /// Fills the disk until only `left_bytes` are free.
    pub fn fill(&self, left_bytes: u64) {
        let mut filler = OpenOptions::new().create(true).append(true).open(self.filler()).expect("a file");
        for step in STEPS {
            while self.free_bytes() >= left_bytes + step as u64 && filler.write_all(&vec![1; step]).is_ok() {}
        }
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("the filler");
        File::open(self.inside()).and_then(|folder| folder.sync_all()).expect("a disk");
    }

    fn filler(&self) -> PathBuf {
        self.inside().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn namespaces() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] }
}
