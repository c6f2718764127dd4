//! How far a long local task is, on standard error: a bar on a terminal, at most one changed line a second elsewhere.

use super::{output, text};
use crate::backup::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

const REDRAW: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Runs `work`, showing its progress once it takes longer than a moment.
pub(super) async fn shown<T>(progress: &Progress, work: impl Future<Output = T>) -> T {
    let bar = std::io::stderr().is_terminal().then(bar);
    let every = if bar.is_some() { REDRAW } else { LINE_EVERY };
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut work, mut last) = (std::pin::pin!(work), String::new());
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            _ = ticks.tick() => draw(progress, bar.as_ref(), &mut last),
        }
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    outcome
}

fn draw(progress: &Progress, bar: Option<&ProgressBar>, last: &mut String) {
    let (step, (done, total)) = (progress.step(), progress.bytes());
    if let Some(bar) = bar {
        bar.set_message(step);
        bar.set_length(total);
        bar.set_position(done.min(total));
        return;
    }
    let line = line(step, done, total);
    if *last != line {
        output::note(&line);
        *last = line;
    }
}

fn line(step: &str, done: u64, total: u64) -> String {
    match (u128::from(done) * 100).checked_div(u128::from(total)) {
        Some(percent) => format!("{step}: {} % of {}", percent.min(100), text::size(total)),
        None => step.to_owned(),
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg}  {wide_bar}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_step_and_how_much_of_it() {
        assert_eq!(line("copying blobs", 512, 1024), "copying blobs: 50 % of 1.00 KiB");
        assert_eq!(line("copying blobs", 2048, 1024), "copying blobs: 100 % of 1.00 KiB");
        assert_eq!(line("reading the rows", 0, 0), "reading the rows");
    }
}
