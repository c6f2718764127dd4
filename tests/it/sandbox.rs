//! The sandbox with a real ffmpeg, a real kernel, and a Python script in the part of an ffmpeg that was taken over.

mod confinement;
mod endings;
mod media;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use theatrum::domain::{Error, Result};
use theatrum::worker::door::{Output, Source};
use theatrum::worker::ffmpeg::{Finished, Limits, Program, Run, Tools};
use theatrum::worker::sandbox::{Sandbox, Setting};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Where tests that run as somebody else find a helper that somebody else may execute.
const HELPER_VARIABLE: &str = "THEATRUM_TEST_HELPER";
const PIECE_BYTES: usize = 64 << 10;

fn helper() -> PathBuf {
    std::env::var_os(HELPER_VARIABLE).map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_theatrum")), PathBuf::from)
}

async fn sandbox() -> Sandbox {
    sandbox_with(Setting::Auto, tools()).await
}

async fn sandbox_with(setting: Setting, tools: Tools) -> Sandbox {
    Sandbox::detect_with(setting, tools, &helper()).await.expect("this machine can sandbox")
}

fn tools() -> Tools {
    Tools::find(None, None).expect("ffmpeg is installed")
}

/// A source in memory, which counts what is read of it.
#[derive(Clone)]
struct Memory(Bytes);

impl Source for Memory {
    fn size_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let whole = self.0.slice(range.start as usize..range.end as usize);
        let pieces = (0..whole.len()).step_by(PIECE_BYTES).map(move |at| Ok(whole.slice(at..whole.len().min(at + PIECE_BYTES))));
        stream::iter(pieces).boxed()
    }
}

/// A source that says when it is read, and never answers.
struct Stuck(mpsc::UnboundedSender<()>);

impl Source for Stuck {
    fn size_bytes(&self) -> u64 {
        1 << 40
    }

    fn read(&self, _: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let _ = self.0.send(());
        stream::pending().boxed()
    }
}

/// A source whose storage fails after some bytes.
struct Broken;

impl Source for Broken {
    fn size_bytes(&self) -> u64 {
        1 << 20
    }

    fn read(&self, _: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let failure = Error::unavailable("the blob store does not answer", std::io::Error::other("connection refused"));
        stream::iter([Ok(Bytes::from(vec![128; 4096])), Err(failure)]).boxed()
    }
}

fn run(program: Program, args: &str, source: impl Source + 'static) -> Run {
    let args = args.split_ascii_whitespace().map(str::to_owned).collect();
    Run { program, args, source: Arc::new(source), outputs: Vec::new(), stdout: None, limits: Limits::default() }
}

fn ffmpeg(args: &str, source: impl Source + 'static) -> Run {
    run(Program::Ffmpeg, &format!("-nostdin -hide_banner -v error {args}"), source)
}

async fn finish(sandbox: &Sandbox, run: Run) -> Result<Finished> {
    sandbox.run(run, CancellationToken::new()).await
}

/// Runs with outputs of these names and gives their bytes.
async fn collect(sandbox: &Sandbox, mut run: Run, names: &[&str]) -> (Finished, Vec<Vec<u8>>) {
    let mut readers = Vec::new();
    for name in names {
        let (sender, mut pieces) = mpsc::channel::<Bytes>(2);
        run.outputs.push(Output { name: (*name).to_owned(), sender, max_bytes: 1 << 30 });
        readers.push(tokio::spawn(async move {
            let mut bytes = Vec::new();
            while let Some(piece) = pieces.recv().await {
                bytes.extend_from_slice(&piece);
            }
            bytes
        }));
    }
    let finished = finish(sandbox, run).await.expect("nothing of ours failed");
    let mut outputs = Vec::new();
    for reader in readers {
        outputs.push(reader.await.expect("a reader"));
    }
    (finished, outputs)
}

/// Runs with its standard output collected.
async fn lines(sandbox: &Sandbox, mut run: Run) -> (Finished, Vec<String>) {
    let (sender, mut batches) = mpsc::channel(2);
    run.stdout = Some(sender);
    let reader = tokio::spawn(async move {
        let mut lines = Vec::new();
        while let Some(batch) = batches.recv().await {
            lines.extend(batch);
        }
        lines
    });
    let finished = finish(sandbox, run).await.expect("nothing of ours failed");
    (finished, reader.await.expect("a reader"))
}

/// A last word for a command line that no other test's has, also of another run of the tests.
fn marked(test: &str) -> String {
    format!("marker-of-{test}-{}", std::process::id())
}

/// The process whose command line ends with `marker`, if it runs and is no zombie.
fn process_marked(marker: &str) -> Option<PathBuf> {
    let folders = std::fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    folders.into_iter().find(|folder| {
        let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).trim_end_matches('\0').ends_with(marker) && is_program(folder)
    })
}

/// Not the helper, which has the same last argument a moment earlier.
fn is_program(folder: &Path) -> bool {
    let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
    !line.split(|byte| *byte == 0).any(|arg| arg == b"__sandbox")
}

/// Looks until `what` is so; half a minute is a failure.
async fn until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await; // tidy: polling
    }
}
