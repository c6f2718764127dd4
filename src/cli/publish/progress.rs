//! Progress on standard error: bars on a terminal, at most one changed line a second elsewhere.

use crate::cli::client::answers::Video;
use crate::cli::{output, text};
use crate::domain::video::Stage;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const REDRAW: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(1);
const NAME_COLUMNS: usize = 32;

/// Where the progress of all files is shown.
#[derive(Debug)]
pub(super) struct Board {
    surface: Surface,
}

#[derive(Debug)]
enum Surface {
    Bars(MultiProgress),
    Lines,
    #[cfg(test)]
    Silent,
}

impl Board {
    /// Bars if standard error is a terminal, lines if not.
    pub(super) fn of_stderr() -> Self {
        let surface = if std::io::stderr().is_terminal() { Surface::Bars(MultiProgress::new()) } else { Surface::Lines };
        Self { surface }
    }

    /// Shows nothing.
    #[cfg(test)]
    pub(super) fn silent() -> Self {
        Self { surface: Surface::Silent }
    }

    /// The progress of one file.
    pub(super) fn file(&self, name: &str, size_bytes: u64) -> FileProgress<'_> {
        let name = text::clipped(name, NAME_COLUMNS);
        let bar = match &self.surface {
            Surface::Bars(bars) => Some(bars.add(ProgressBar::new(size_bytes).with_style(sending_style()).with_prefix(name.clone()))),
            _ => None,
        };
        FileProgress {
            board: self,
            name,
            bar,
            size_bytes,
            sent_bytes: Arc::default(),
            phase: Cell::new(Phase::Sending),
            last: RefCell::default(),
        }
    }

    /// Runs `write` with the bars out of the way.
    pub(super) fn suspended<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.surface {
            Surface::Bars(bars) => bars.suspend(write),
            _ => write(),
        }
    }

    fn note(&self, line: &str) {
        match &self.surface {
            Surface::Bars(bars) => bars.suspend(|| output::note(line)),
            Surface::Lines => output::note(line),
            #[cfg(test)]
            Surface::Silent => {}
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Sending,
    Processing { stage: Stage, percent: u8 },
}

/// How far one file is.
#[derive(Debug)]
pub(super) struct FileProgress<'a> {
    board: &'a Board,
    name: String,
    bar: Option<ProgressBar>,
    size_bytes: u64,
    sent_bytes: Arc<AtomicU64>,
    phase: Cell<Phase>,
    last: RefCell<Option<(Instant, String)>>,
}

impl FileProgress<'_> {
    /// Tells the person something about this file, now.
    pub(super) fn note(&self, what: &str) {
        self.board.note(&format!("{}: {what}", self.name));
    }

    /// Begins to count sent bytes from nothing.
    pub(super) fn sending_anew(&self) {
        self.sent_bytes.store(0, Ordering::Relaxed);
    }

    /// Counts bytes that need not be sent.
    pub(super) fn skipped(&self, size_bytes: u64) {
        self.sent_bytes.fetch_add(size_bytes, Ordering::Relaxed);
    }

    /// A meter for one attempt at one part.
    pub(super) fn meter(&self) -> Meter {
        Meter { total_bytes: Arc::clone(&self.sent_bytes), part_bytes: Arc::default(), counted_bytes: Cell::new(0), is_kept: false }
    }

    /// Shows what the server is doing.
    pub(super) fn processing(&self, video: &Video) {
        let is_first = self.phase.replace(Phase::Processing { stage: video.stage, percent: video.percent }) == Phase::Sending;
        if let (Some(bar), true) = (&self.bar, is_first) {
            // The numbers before the style that shows them, so that no sent byte is read as a percent.
            bar.set_length(100);
            bar.set_position(u64::from(video.percent));
            bar.set_message(doing(video.stage));
            bar.set_style(processing_style());
        }
    }

    /// Draws until it is dropped.
    pub(super) async fn keep_drawing(&self) -> Infallible {
        let mut ticks = tokio::time::interval(REDRAW);
        loop {
            ticks.tick().await;
            self.draw();
        }
    }

    fn draw(&self) {
        match &self.bar {
            None => self.draw_line(),
            Some(bar) => match self.phase.get() {
                Phase::Sending => bar.set_position(self.sent_bytes.load(Ordering::Relaxed)),
                Phase::Processing { stage, percent } => {
                    bar.set_message(doing(stage));
                    bar.set_position(u64::from(percent));
                }
            },
        }
    }

    fn draw_line(&self) {
        let line = self.line();
        let mut last = self.last.borrow_mut();
        let is_due = last.as_ref().is_none_or(|(at, shown)| at.elapsed() >= LINE_EVERY && *shown != line);
        if is_due {
            self.board.note(&line);
            *last = Some((Instant::now(), line));
        }
    }

    fn line(&self) -> String {
        match self.phase.get() {
            Phase::Sending => {
                let sent = self.sent_bytes.load(Ordering::Relaxed);
                let percent = (u128::from(sent) * 100).checked_div(u128::from(self.size_bytes)).unwrap_or_default();
                format!("{}: sending {percent} % of {}", self.name, text::size(self.size_bytes))
            }
            Phase::Processing { stage: Stage::Queued, .. } => format!("{}: {}", self.name, doing(Stage::Queued)),
            Phase::Processing { stage, percent } => format!("{}: {} {percent} %", self.name, doing(stage)),
        }
    }
}

impl Drop for FileProgress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Counts the bytes of one attempt at one part, and takes them back if it fails.
#[derive(Debug)]
pub(super) struct Meter {
    total_bytes: Arc<AtomicU64>,
    part_bytes: Arc<AtomicU64>,
    counted_bytes: Cell<u64>,
    is_kept: bool,
}

impl Meter {
    /// The counter that the part's body raises.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.part_bytes)
    }

    /// Adds to the file's total what was sent since the last call, and says whether that was anything.
    pub(super) fn count(&self) -> bool {
        let sent = self.part_bytes.load(Ordering::Relaxed);
        let new = sent - self.counted_bytes.replace(sent);
        self.total_bytes.fetch_add(new, Ordering::Relaxed);
        new > 0
    }

    /// The part has arrived.
    pub(super) fn keep(mut self) {
        self.count();
        self.is_kept = true;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if !self.is_kept {
            self.total_bytes.fetch_sub(self.counted_bytes.get(), Ordering::Relaxed);
        }
    }
}

fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Queued => "waiting for a worker",
        Stage::Probing => "examining",
        Stage::Encoding => "encoding",
        Stage::Publishing => "publishing",
        Stage::Done => "done",
    }
}

fn sending_style() -> ProgressStyle {
    style("{prefix}  {wide_bar}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta}")
}

fn processing_style() -> ProgressStyle {
    style("{prefix}  {wide_bar}  {msg} {pos} %")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_attempt_takes_its_bytes_back() {
        let board = Board::silent();
        let progress = board.file("lecture\n.mp4", 200);
        let attempt = progress.meter();
        attempt.counter().fetch_add(100, Ordering::Relaxed);
        assert!(attempt.count());
        assert!(!attempt.count());
        assert_eq!(progress.line(), "lecture\\n.mp4: sending 50 % of 200 B");
        drop(attempt);
        assert_eq!(progress.line(), "lecture\\n.mp4: sending 0 % of 200 B");
        let attempt = progress.meter();
        attempt.counter().fetch_add(50, Ordering::Relaxed);
        attempt.keep();
        progress.skipped(50);
        assert_eq!(progress.line(), "lecture\\n.mp4: sending 50 % of 200 B");
    }
}
