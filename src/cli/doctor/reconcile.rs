//! `theatrum doctor --reconcile`: what lies on the disk that nobody needs, and what is missing there.

use crate::cli::client::Client;
use crate::cli::client::storage::{Reconciliation, Reconciling, Tally};
use crate::cli::failure::Failure;
use crate::cli::text::{self, Visible};
use crate::cli::{Exit, output};
use indicatif::ProgressBar;
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(200);
/// Off a terminal, a line whenever so many hundredths more are done.
const LINE_PERCENT: u64 = 10;

/// Has the server reconcile its blobs, follows it, and prints what it found; fails when blobs are missing, or could not be swept.
pub(super) async fn run(client: &Client, apply: bool, json: bool) -> Result<Exit, Failure> {
    let begun = client.reconcile(apply).await?;
    let found = follow(client, &begun).await?;
    let found =
        found.ok_or_else(|| Failure::new("reconcile-failed", "the reconciliation did not come to its end: see the server's log"))?;
    if json {
        output::json(&found)?
    } else {
        output::line(&for_people(&found, apply))?
    }
    Ok(if found.missing.count == 0 && found.failed == 0 { Exit::Done } else { Exit::Failed })
}

/// The report of the reconciliation that was `begun`, once it has ended; none if it broke off.
async fn follow(client: &Client, begun: &Reconciling) -> Result<Option<Reconciliation>, Failure> {
    let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(0).with_message("videos"));
    let mut told = 0;
    loop {
        let storage = client.storage().await?;
        let Some(running) = storage.reconciling.as_ref().filter(|running| running.id == begun.id) else {
            bar.iter().for_each(ProgressBar::finish_and_clear);
            let last = if begun.applies { storage.swept } else { storage.looked };
            return Ok(last.filter(|last| last.id == begun.id));
        };
        let percent = running.done * 100 / running.of.max(1);
        match &bar {
            Some(bar) => {
                bar.set_length(running.of);
                bar.set_position(running.done);
            }
            None if percent >= told + LINE_PERCENT => {
                told = percent;
                output::note(&format!("reconciling: {} of {} videos", running.done, running.of));
            }
            None => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn for_people(found: &Reconciliation, apply: bool) -> String {
    let mut shown = format!("{} blobs of {} videos examined", found.blobs, found.videos);
    let swept = if apply { "swept" } else { "to be swept" };
    for (tally, what, fate) in [
        (&found.orphans, "blobs that are nobody's", swept),
        (&found.unfinished, "unfinished writes", swept),
        (&found.empty_folders, "empty folders", swept),
        (&found.foreign, "files that are not Theatrum's", "left alone: move them elsewhere"),
        (&found.missing, "MISSING blobs", "restore them from a backup, or delete their videos and publish them again"),
    ] {
        let Tally { count, bytes, paths } = tally;
        // Writing to a String cannot fail.
        let _written = write!(shown, "\n{count:>8}  {what}");
        if *bytes > 0 {
            let _written = write!(shown, ", {}", text::size(*bytes));
        }
        if *count > 0 {
            let _written = write!(shown, ": {fate}");
        }
        for path in paths {
            let _written = write!(shown, "\n          {}", Visible(path));
        }
        if *count > paths.len() as u64 {
            let _written = write!(shown, "\n          …");
        }
    }
    if found.failed > 0 {
        let _written = write!(shown, "\n{:>8}  could not be swept: see the server's log", found.failed);
    }
    let waste = found.orphans.count + found.unfinished.count + found.empty_folders.count;
    if !apply && waste > 0 {
        shown.push_str("\nnothing was touched: `theatrum doctor --reconcile --apply` sweeps");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_found_and_what_becomes_of_it() {
        let none = || Tally { count: 0, bytes: 0, paths: Vec::new() };
        let some = |count, bytes, path: &str| Tally { count, bytes, paths: vec![path.to_owned()] };
        let found = Reconciliation {
            id: "0".repeat(32),
            began_at: 0,
            ended_at: 1,
            videos: 2,
            blobs: 30,
            orphans: some(2, 4096, "videos/a"),
            unfinished: none(),
            empty_folders: some(1, 0, "sources/b"),
            foreign: some(1, 7, "notes\u{1b}"),
            missing: some(1, 0, "videos/c"),
            failed: 0,
        };
        insta::assert_snapshot!(for_people(&found, false), @r"
        30 blobs of 2 videos examined
               2  blobs that are nobody's, 4.00 KiB: to be swept
                  videos/a
                  …
               0  unfinished writes
               1  empty folders: to be swept
                  sources/b
               1  files that are not Theatrum's, 7 B: left alone: move them elsewhere
                  notes\u{1b}
               1  MISSING blobs: restore them from a backup, or delete their videos and publish them again
                  videos/c
        nothing was touched: `theatrum doctor --reconcile --apply` sweeps
        ");
    }
}
