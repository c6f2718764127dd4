//! The programs themselves: where they are and what they can do.

use super::Program;
use crate::domain::{Error, ErrorKind, Result};
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Where ffmpeg and ffprobe are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// An absolute path.
    pub ffmpeg: PathBuf,
    /// An absolute path.
    pub ffprobe: PathBuf,
}

/// What `doctor` says about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// ffmpeg's own version, such as `5.1.9-0+deb12u1`.
    pub version: String,
    /// What Theatrum needs and this build lacks, such as `encoder libx264`; without these, nothing is encoded.
    pub missing: Vec<String>,
    /// What this build lacks of the formats that sources come in; such sources are refused.
    pub unreadable: Vec<String>,
}

/// What every job needs: (kind, listing option, names).
const NEEDED: [(&str, &str, &[&str]); 5] = [
    ("encoder", "-encoders", &["libx264", "aac", "mjpeg", "wrapped_avframe"]),
    ("muxer", "-muxers", &["mp4", "matroska", "null", "framecrc"]),
    ("demuxer", "-demuxers", &["mov", "matroska", "mpegts"]),
    ("protocol", "-protocols", &["http", "tcp", "pipe"]),
    ("filter", "-filters", &["scale", "trim", "split", "aresample"]),
];

/// What sources come in.
const READ: [(&str, &str, &[&str]); 2] = [
    ("demuxer", "-demuxers", &["avi", "asf", "flv", "mpeg", "ogg", "mp3", "wav", "flac", "aac"]),
    (
        "decoder",
        "-decoders",
        &[
            "h264",
            "hevc",
            "vp8",
            "vp9",
            "mpeg4",
            "mpeg2video",
            "mjpeg",
            "prores",
            "aac",
            "mp3float",
            "opus",
            "vorbis",
            "ac3",
            "flac",
            "pcm_s16le",
        ],
    ),
];

impl Tools {
    /// The configured paths, or the first on `PATH`. `Unavailable` (`ffmpeg-missing`) says which is not there and how to get it.
    pub fn find(ffmpeg: Option<&Path>, ffprobe: Option<&Path>) -> Result<Self> {
        Ok(Self { ffmpeg: locate("ffmpeg", ffmpeg)?, ffprobe: locate("ffprobe", ffprobe)? })
    }

    /// The path of `program`.
    pub fn path(&self, program: Program) -> &Path {
        match program {
            Program::Ffmpeg => &self.ffmpeg,
            Program::Ffprobe => &self.ffprobe,
        }
    }

    /// Asks ffmpeg, outside the sandbox since no stranger's file is involved.
    pub async fn describe(&self) -> Result<Description> {
        let version = self.ask("-version").await?;
        let version = version.lines().next().and_then(|line| line.split(' ').nth(2)).unwrap_or("unknown").to_owned();
        Ok(Description { version, missing: self.lacks(&NEEDED).await?, unreadable: self.lacks(&READ).await? })
    }

    async fn lacks(&self, wanted: &[(&str, &str, &[&str])]) -> Result<Vec<String>> {
        let mut lacking = Vec::new();
        for (kind, option, names) in wanted {
            let listing = self.ask(option).await?;
            lacking.extend(names.iter().filter(|name| !lists(&listing, name)).map(|name| format!("{kind} {name}")));
        }
        Ok(lacking)
    }

    async fn ask(&self, option: &str) -> Result<String> {
        let mut command = Command::new(&self.ffmpeg);
        command.args(["-hide_banner", option]).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        let cannot = |error| Error::unavailable(format!("cannot run {}", self.ffmpeg.display()), error);
        Ok(String::from_utf8_lossy(&command.output().await.map_err(cannot)?.stdout).into_owned())
    }
}

/// A listing has one thing per line: flags, then names parted by commas, then prose.
fn lists(listing: &str, name: &str) -> bool {
    listing.lines().any(|line| line.split_whitespace().take(2).any(|word| word.split(',').any(|part| part == name)))
}

fn locate(name: &str, configured: Option<&Path>) -> Result<PathBuf> {
    // A bare name is looked up on the PATH, as a shell would.
    let configured = configured.filter(|path| path.components().count() > 1 || path.is_absolute());
    if let Some(path) = configured {
        let found = fs::canonicalize(path).ok().filter(|path| is_program(path));
        return found.ok_or_else(|| missing(format!("{} is no program; correct the setting that names it", path.display())));
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| is_program(path));
    found
        .and_then(|path| fs::canonicalize(path).ok())
        .ok_or_else(|| missing(format!("{name} is not on the PATH; install it (Debian: apt install ffmpeg) or set its path")))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn missing(message: String) -> Error {
    Error::new(ErrorKind::Unavailable, "ffmpeg-missing", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_of_ffmpeg_5_are_read() {
        let demuxers = " D  matroska,webm   Matroska / WebM\n D  mov,mp4,m4a,3gp,3g2,mj2 QuickTime / MOV\n";
        assert!(lists(demuxers, "mp4") && lists(demuxers, "matroska"));
        assert!(!lists(demuxers, "QuickTime"));
        assert!(lists(" V....D libx264              libx264 H.264 / AVC (codec h264)\n", "libx264"));
        assert!(lists("Output:\n  http\n", "http"));
    }

    #[tokio::test]
    async fn the_ffmpeg_of_this_machine_has_all_we_need() {
        let tools = Tools::find(None, None).expect("ffmpeg is installed where Theatrum is built");
        let description = tools.describe().await.expect("it runs");
        assert_eq!(description.missing, Vec::<String>::new());
        assert!(description.version.starts_with(|c: char| c.is_ascii_alphanumeric()), "{}", description.version);
        let error = Tools::find(Some(Path::new("/nonexistent/ffmpeg")), None).expect_err("no such file");
        assert_eq!(error.code(), "ffmpeg-missing");
    }
}
