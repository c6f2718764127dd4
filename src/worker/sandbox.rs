//! The sandbox: where ffmpeg meets files from strangers. The boundary is the kernel's, not ffmpeg's flags.
//!
//! For each run the worker starts itself again as a [helper](enter_if_asked). The helper leaves for an empty network, opens a listener
//! there and hands it to the worker (the *door*, [`super::door`]), gives up its rights, its files (Landlock), its system calls (seccomp)
//! and its environment, and becomes ffmpeg. ffmpeg then knows one address, and behind it are its source and its outputs.

mod ffi;
mod files;
mod helper;
mod launch;
mod loopback;
mod orders;
mod spawner;
mod syscalls;

use super::door::{self, Output, Source};
use super::ffmpeg::{Limits, Program, Run, Tools};
use crate::domain::{Error, ErrorKind, Result};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use helper::enter_if_asked;
pub(super) use launch::Launched;
pub(crate) use spawner::Process;
use spawner::Spawner;

/// The hidden first argument that makes this program the helper.
const HELPER: &str = "__sandbox";
/// This very program, even after its file was replaced by an upgrade.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What the configuration asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setting {
    /// The strongest level this host can give; none is an error at start.
    #[default]
    Auto,
    /// No sandbox worth the name: for hosts that forbid it and sources that are trusted.
    Off,
}

impl FromStr for Setting {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => Err(Error::invalid("bad-setting", format!("sandbox is \"auto\" or \"off\", not {text:?}"))),
        }
    }
}

/// How far the confinement goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// An empty network with the door in it, Landlock, seccomp, limits.
    Namespace,
    /// Limits, and of Landlock and seccomp what can be had; the door is a port of the host behind a secret path.
    Off,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespace => "namespace",
            Self::Off => "off",
        })
    }
}

/// A sandbox that was tried and works. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sandbox {
    house: Arc<House>,
    landlock_abi: u32,
}

#[derive(Debug)]
struct House {
    level: Level,
    tools: Tools,
    helper: PathBuf,
    spawner: Spawner,
}

impl Sandbox {
    /// Runs `tools.ffmpeg` once in the sandbox that `setting` asks for, through the door and back. `Unavailable` with the code
    /// `sandbox-unavailable` says what the host lacks and how to mend it.
    pub async fn detect(setting: Setting, tools: Tools) -> Result<Self> {
        Self::detect_with(setting, tools, Path::new(OWN_PROGRAM)).await
    }

    /// [`Sandbox::detect`] with another program in the helper's part, one whose `main` calls [`enter_if_asked`]: for tests.
    pub async fn detect_with(setting: Setting, tools: Tools, helper: &Path) -> Result<Self> {
        let level = match setting {
            Setting::Auto => Level::Namespace,
            Setting::Off => Level::Off,
        };
        let spawner = Spawner::start().map_err(|error| unavailable("cannot start the thread that starts ffmpeg").with_source(error))?;
        let house = Arc::new(House { level, tools, helper: helper.to_owned(), spawner });
        let mut sandbox = Self { house, landlock_abi: 0 };
        sandbox.landlock_abi = sandbox.probe().await?;
        Ok(sandbox)
    }

    /// The level every run has.
    pub fn level(&self) -> Level {
        self.house.level
    }

    /// The Landlock version in force (1 in Linux 5.13, 3 in 6.2, 6 in 6.12 …); 0 at level `off` on a kernel without.
    pub fn landlock_abi(&self) -> u32 {
        self.landlock_abi
    }

    /// The programs it runs.
    pub fn tools(&self) -> &Tools {
        &self.house.tools
    }

    /// Copies a little silence through ffmpeg: proves the namespaces, the listener, the filters, the program and its libraries.
    async fn probe(&self) -> Result<u32> {
        let (sender, mut echo) = mpsc::channel(PROBE_BYTES);
        let raw_audio = ["-f", "u8", "-ar", "8000", "-ac", "1"];
        let mut args = vec!["-nostdin", "-v", "error"];
        args.extend(raw_audio);
        args.extend(["-i", door::SOURCE_URL]);
        args.extend(raw_audio);
        args.extend(["-method", "PUT"]);
        let mut args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        args.push(door::output_url("echo"));
        let run = Run {
            program: Program::Ffmpeg,
            args,
            source: Arc::new(Silence),
            outputs: vec![Output { name: "echo".to_owned(), sender, max_bytes: PROBE_BYTES as u64 }],
            stdout: None,
            limits: Limits { wall: Duration::from_secs(20), ..Limits::default() },
        };
        let finished = self.run(run, CancellationToken::new()).await?;
        let mut bytes = 0;
        while let Some(piece) = echo.recv().await {
            bytes += piece.len();
        }
        if finished.success && bytes == PROBE_BYTES {
            return Ok(finished.landlock_abi);
        }
        let program = self.tools().ffmpeg.display();
        let told = finished.stderr_tail.trim();
        Err(unavailable(format!("{program} does not work in the sandbox ({}): {told}; try it by hand with -version", finished.exit)))
    }
}

const PROBE_BYTES: usize = 800;

/// A source that is always there.
struct Silence;

impl Source for Silence {
    fn size_bytes(&self) -> u64 {
        PROBE_BYTES as u64
    }

    fn read(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let length = range.end.saturating_sub(range.start).min(PROBE_BYTES as u64);
        stream::iter([Ok(Bytes::from(vec![128; length as usize]))]).boxed()
    }
}

/// The host cannot give what a sandbox needs; it may once it is mended.
fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, "sandbox-unavailable", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_settings_are_known() {
        assert_eq!("auto".parse::<Setting>().expect("known"), Setting::Auto);
        assert_eq!("off".parse::<Setting>().expect("known"), Setting::Off);
        assert!("none".parse::<Setting>().is_err());
    }
}
