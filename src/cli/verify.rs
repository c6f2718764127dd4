//! `theatrum verify`: reads every blob again, tells which are not what they were, and has made again what can be.

use super::client::Client;
use super::client::verifications::{Finding, Verification};
use super::connection::Connection;
use super::failure::Failure;
use super::text::{self, Visible};
use super::{Exit, output};
use crate::domain::ids::{VerificationId, VideoId};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(200);
/// Off a terminal, a line whenever so many hundredths more are done.
const LINE_PERCENT: u64 = 10;
/// A server that restarts goes on with the verification.
const LONGEST_OUTAGE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Verify only this video; absent: all (administrators).
    #[arg(value_name = "VIDEO", value_parser = VideoId::parse)]
    video: Option<VideoId>,
    /// Make again, from the original, what is damaged; nobody who watches is disturbed.
    #[arg(long)]
    repair: bool,
    /// Print the verification as the API gives it.
    #[arg(long)]
    json: bool,
}

/// Has the server verify, follows it, and prints what it found; fails when anything is left that is not as it should be.
pub(super) async fn run(connection: Connection, args: VerifyArgs) -> Result<Exit, Failure> {
    let client = Client::new(connection);
    let begun = client.begin_verification(args.video.as_ref(), args.repair).await?;
    let found = follow(&client, &begun.verification).await?;
    if args.json {
        output::json(&found)?
    } else {
        output::line(&for_people(&found))?
    }
    // Who names a video wants to know about it.
    let was_read = args.video.is_none() || found.skipped == 0;
    Ok(if found.found == found.repaired && was_read { Exit::Done } else { Exit::Failed })
}

/// The verification once it has ended. Whoever stops following does not stop it.
async fn follow(client: &Client, id: &VerificationId) -> Result<Verification, Failure> {
    let bar = std::io::stderr().is_terminal().then(bar);
    let (mut told, mut heard) = (0, Instant::now());
    loop {
        match client.verification(id).await {
            Ok(verification) if verification.state == "done" => {
                bar.iter().for_each(ProgressBar::finish_and_clear);
                return Ok(verification);
            }
            Ok(verification) => {
                heard = Instant::now();
                draw(bar.as_ref(), &verification, &mut told);
            }
            Err(failure) if failure.is_retryable() && heard.elapsed() < LONGEST_OUTAGE => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(LOOK).await; // tidy: polling
    }
}

fn draw(bar: Option<&ProgressBar>, verification: &Verification, told: &mut u64) {
    let Verification { percent, videos, of, found, .. } = verification;
    let line = format!("verifying: {percent} %, {videos} of {of} videos, {found} damaged");
    match bar {
        Some(bar) => {
            bar.set_message(line);
            bar.set_position(*percent);
        }
        None if *percent >= *told + LINE_PERCENT => {
            *told = *percent;
            output::note(&line);
        }
        None => {}
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg}  {wide_bar}  {elapsed}");
    ProgressBar::new(100).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn for_people(verification: &Verification) -> String {
    let Verification { videos, blobs, bytes, found, repaired, skipped, .. } = verification;
    let noun = if *videos == 1 { "video" } else { "videos" };
    let mut shown = format!("{blobs} blobs of {videos} {noun} read, {}", text::size(*bytes));
    for finding in &verification.findings {
        // Writing to a String cannot fail.
        let _written = write!(shown, "\n{}", told(finding));
    }
    if *found > verification.findings.len() as u64 {
        let _written = write!(shown, "\n…");
    }
    if *skipped > 0 {
        let _written = write!(shown, "\n{skipped} videos were not read:");
        for skipped in &verification.skipped_videos {
            let _written = write!(shown, "\n  {}  {}", skipped.video, Visible(&skipped.why));
        }
    }
    let _written = match (found, found.saturating_sub(*repaired)) {
        (0, _) => write!(shown, "\nnothing is damaged"),
        (found, 0) => write!(shown, "\n{found} damaged, all made again"),
        (found, left) => write!(shown, "\n{found} damaged, {repaired} made again, {left} LEFT"),
    };
    shown
}

fn told(finding: &Finding) -> String {
    let state = match finding.outcome.as_str() {
        "repaired" => "repaired",
        "remaking" => "REMAKING",
        _ => "DAMAGED ",
    };
    let what = match finding.problem.as_str() {
        "missing" => "is missing",
        "size" => "has another size than it was written with",
        "altered" => "is not what was written",
        "malformed" => "is not what it must be",
        _ => "cannot be read",
    };
    let mut shown = format!("{state}  {} {what}: {}\n          {}", finding.piece, Visible(&finding.path), Visible(&finding.means));
    if let Some(mend) = &finding.mend {
        let _written = write!(shown, "\n          {}", Visible(mend));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(piece: &str, problem: &str, outcome: &str, mend: Option<&str>) -> Finding {
        Finding {
            video: VideoId::parse(&"0".repeat(32)).expect("an id"),
            piece: piece.to_owned(),
            path: "videos/a\u{1b}".to_owned(),
            rendition: None,
            number: None,
            from_ms: None,
            until_ms: None,
            problem: problem.to_owned(),
            means: "viewers notice".to_owned(),
            outcome: outcome.to_owned(),
            mend: mend.map(str::to_owned),
        }
    }

    #[test]
    fn people_are_told_what_is_damaged_what_it_means_and_what_to_do() {
        let found = Verification {
            verification: VerificationId::parse(&"0".repeat(32)).expect("an id"),
            actor: "ada".to_owned(),
            video: None,
            repair: true,
            state: "done".to_owned(),
            percent: 100,
            created_at: 0,
            ended_at: Some(1),
            videos: 2,
            of: 2,
            blobs: 30,
            bytes: 4096,
            found: 2,
            repaired: 1,
            findings: vec![
                finding("segment", "altered", "repaired", None),
                finding("source", "missing", "lost", Some("restore it from a backup")),
            ],
            skipped: 0,
            skipped_videos: Vec::new(),
        };
        insta::assert_snapshot!(for_people(&found), @r"
        30 blobs of 2 videos read, 4.00 KiB
        repaired  segment is not what was written: videos/a\u{1b}
                  viewers notice
        DAMAGED   source is missing: videos/a\u{1b}
                  viewers notice
                  restore it from a backup
        2 damaged, 1 made again, 1 LEFT
        ");
    }
}
