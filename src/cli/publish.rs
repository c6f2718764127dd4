//! `theatrum publish`: files in, watchable videos out, through broken connections and restarts of either side.

mod follow;
mod patience;
mod plan;
mod progress;
mod report;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod transfer;
mod upload;

use super::client::Client;
use super::connection::Connection;
use super::failure::Failure;
use super::{Exit, output};
use crate::domain::collection::Name;
use crate::domain::ids::VideoId;
use clap::{Args, ValueEnum};
use futures_util::{StreamExt, stream};
use patience::{Limits, Patience};
use progress::Board;
use report::Outcome;
use source::LocalFile;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Two, so that one file is sent while the server works on the one before.
const FILES_AT_ONCE: usize = 2;

/// Over all files: enough to fill a line with latency, few enough to leave memory and disks alone.
const PARTS_AT_ONCE: usize = 4;

const LIMITS: Limits = Limits { first_contact: Duration::from_secs(10), outage: Duration::from_secs(600) };

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// Files to publish.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Title of the video, for a single file [default: made from the file's name].
    #[arg(long, value_name = "T")]
    title: Option<String>,
    /// Collection the videos belong into, such as Cardiology/2026; made if there is none of this name.
    #[arg(long, value_name = "NAME", value_parser = Name::parse)]
    collection: Option<Name>,
    /// How far to follow each video.
    #[arg(long, value_name = "STATE", default_value = "ready")]
    wait: Wait,
    /// Print one line of JSON for each file.
    #[arg(long)]
    json: bool,
}

/// The state a publisher waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Wait {
    /// It can be watched, perhaps not yet in every quality.
    Playable,
    /// It is complete.
    Ready,
}

/// What the videos of one run are called.
#[derive(Debug, Default)]
struct About {
    title: Option<String>,
    collection: Option<Name>,
}

/// What all files of one run share.
struct Run {
    client: Client,
    board: Board,
    slots: Semaphore,
    started: Instant,
    about: About,
    wait: Wait,
    states: Option<PathBuf>,
}

impl Run {
    fn new(client: Client, board: Board, about: About, wait: Wait, states: Option<PathBuf>) -> Self {
        let (slots, started) = (Semaphore::new(PARTS_AT_ONCE), Instant::now());
        Self { client, board, slots, started, about, wait, states }
    }

    /// Milliseconds since the run began.
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Publishes one file; whatever happens becomes an outcome, as each file owes its reader one.
    async fn publish(&self, path: &Path, interrupt: &CancellationToken) -> Outcome {
        let known = RefCell::new(None);
        let ended = tokio::select! {
            biased;
            () = interrupt.cancelled() => Err(interrupted()),
            ended = self.follow_through(path, &known) => ended,
        };
        ended.unwrap_or_else(|failure| Outcome::failed(path, known.take(), &failure))
    }

    async fn follow_through(&self, path: &Path, known: &RefCell<Option<VideoId>>) -> Result<Outcome, Failure> {
        let file = LocalFile::open(path)?;
        let progress = self.board.file(file.name(), file.size_bytes());
        let patience = Patience::new(LIMITS, &progress);
        let publication = upload::Publication { run: self, file: &file, progress: &progress, patience: &patience, known };
        tokio::select! {
            biased;
            outcome = publication.run(path) => outcome,
            never = progress.keep_drawing() => match never {},
        }
    }
}

/// Publishes the files of `args` and prints one result for each, in their order.
pub(super) async fn run(connection: Connection, args: PublishArgs) -> Result<Exit, Failure> {
    if args.title.is_some() && args.files.len() > 1 {
        return Err(Failure::usage("--title names a single video: publish the files one by one, or leave it out"));
    }
    let about = About { title: args.title, collection: args.collection };
    let run = Run::new(Client::new(connection), Board::of_stderr(), about, args.wait, state::folder());
    let interrupt = watch_signals()?;
    let mut outcomes = stream::iter(&args.files).map(|path| run.publish(path, &interrupt)).buffered(FILES_AT_ONCE);
    let mut exit = Exit::Done;
    while let Some(outcome) = outcomes.next().await {
        if !outcome.is_success() {
            exit = Exit::Failed;
        }
        run.board.suspended(|| tell(&outcome, args.json))?;
    }
    Ok(exit)
}

fn tell(outcome: &Outcome, as_json: bool) -> Result<(), Failure> {
    if as_json {
        output::json(outcome)?;
    }
    match outcome.for_people() {
        Ok(text) if !as_json => output::line(&text),
        Ok(_) => Ok(()),
        Err(text) => {
            output::note(&text);
            Ok(())
        }
    }
}

fn watch_signals() -> Result<CancellationToken, Failure> {
    let unwatchable = |error| Failure::new("no-signals", format!("could not watch for Ctrl-C: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unwatchable)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unwatchable)?;
    let cancelled = CancellationToken::new();
    let cancel = cancelled.clone();
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        cancel.cancel();
    });
    Ok(cancelled)
}

fn interrupted() -> Failure {
    Failure::new("interrupted", "interrupted: run the same command again, and it goes on where this one stopped")
}
