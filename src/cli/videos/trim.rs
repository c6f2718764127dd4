//! `theatrum videos trim`: asks for a version between two points and follows it to its end.

use crate::cli::client::Client;
use crate::cli::client::answers::{Replacement, Video};
use crate::cli::client::events::Event;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::domain::ids::VideoId;
use crate::domain::replacement::State;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// How the way to the end is shown: a bar on a terminal, plain lines elsewhere.
struct Meter {
    bar: Option<ProgressBar>,
    told: Option<u8>,
}

impl Meter {
    /// Percents between two plain lines.
    const STEP: u8 = 10;

    fn of_stderr() -> Self {
        let style = || ProgressStyle::with_template("{wide_bar}  trimming {pos} %").ok();
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(100));
        Self { bar: bar.map(|bar| if let Some(style) = style() { bar.with_style(style) } else { bar }), told: None }
    }

    fn show(&mut self, replacement: &Replacement) {
        match &self.bar {
            Some(bar) => bar.set_position(u64::from(replacement.percent)),
            None if self.told.is_none_or(|told| replacement.percent >= told + Self::STEP) => {
                self.told = Some(replacement.percent);
                output::note(&format!("trimming {} %", replacement.percent));
            }
            None => {}
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Trims a video to `[in_ms, out_ms)` of its source; gives it as it is then.
pub(super) async fn run(client: &Client, video: &VideoId, in_ms: u64, out_ms: Option<u64>) -> Result<Video, Failure> {
    client.trim_video(video, in_ms, out_ms).await?;
    let mut meter = Meter::of_stderr();
    let mut events = client.events(video).await?;
    loop {
        match events.next().await? {
            Event::Removed => return Err(Failure::new("deleted", "the video was deleted meanwhile")),
            Event::Changed(now) if now.video == *video => match &now.replacement {
                None => return Ok(*now),
                Some(replacement) if replacement.state == State::Processing => meter.show(replacement),
                Some(replacement) => return Err(why(replacement)),
            },
            Event::Changed(_) => {}
        }
    }
}

fn why(replacement: &Replacement) -> Failure {
    match (replacement.state, &replacement.refusal) {
        (State::Refused, Some(refusal)) => Failure::new(refusal.code.clone(), refusal.message.clone()),
        (State::Cancelled, _) => {
            Failure::new("replacement-cancelled", "somebody called the trim off; the video shows what it showed before")
        }
        _ => Failure::new("processing-failed", "trimming failed: see `theatrum dead list` for the reason and a remedy"),
    }
}
