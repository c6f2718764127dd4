//! Trying again while a server is away: exponential waits with jitter, an end, and a word to the person who waits.

use super::progress::FileProgress;
use crate::cli::failure::Failure;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::time::Instant;

/// For the first contact: long enough for a server that is just starting, short enough for a mistyped address.
const FIRST_CONTACT_LIMIT: Duration = Duration::from_secs(10);

/// Shorter outages than this are not worth a word.
const UNMENTIONED: Duration = Duration::from_secs(2);

/// How often a long outage is mentioned again.
const REMINDER: Duration = Duration::from_secs(60);

/// The patience of one file's upload and following: an outage begins with a failure and ends with the next success of anything.
pub(super) struct Patience<'a> {
    limit: Duration,
    progress: &'a FileProgress<'a>,
    was_reached: Cell<bool>,
    outage: RefCell<Option<Outage>>,
}

struct Outage {
    since: Instant,
    mentioned: Option<Instant>,
    waits: ExponentialBackoff,
}

impl<'a> Patience<'a> {
    /// Patience with outages up to `limit`, once the server was reached.
    pub(super) fn new(limit: Duration, progress: &'a FileProgress<'a>) -> Self {
        Self { limit, progress, was_reached: Cell::new(false), outage: RefCell::new(None) }
    }

    /// Repeats `attempt` while its failures are retryable and the outage is not too long.
    pub(super) async fn keep_trying<T>(&self, mut attempt: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        loop {
            match attempt().await {
                Ok(value) => {
                    self.succeeded();
                    return Ok(value);
                }
                Err(failure) => tokio::time::sleep(self.wait_after(failure)?).await,
            }
        }
    }

    /// Ends the outage, if there is one.
    pub(super) fn succeeded(&self) {
        self.was_reached.set(true);
        if self.outage.take().is_some_and(|outage| outage.mentioned.is_some()) {
            self.progress.note("the server answers again");
        }
    }

    /// How long to wait after `failure`, or the failure itself when waiting is over or useless.
    fn wait_after(&self, failure: Failure) -> Result<Duration, Failure> {
        let was_reached = self.was_reached.get();
        // A server that was there and left no address behind is restarting.
        let is_restarting = was_reached && failure.code() == "no-server";
        if !failure.is_retryable() && !is_restarting {
            return Err(failure);
        }
        let limit = if was_reached { self.limit } else { self.limit.min(FIRST_CONTACT_LIMIT) };
        let mut outage = self.outage.borrow_mut();
        let outage = outage.get_or_insert_with(Outage::begin);
        if outage.since.elapsed() >= limit {
            return Err(gave_up(&failure, was_reached, limit));
        }
        if outage.is_worth_a_word() {
            let left = (limit - outage.since.elapsed()).as_secs();
            self.progress.note(&format!("{failure}; trying again for {left} s"));
        }
        Ok(outage.waits.next().unwrap_or(REMINDER))
    }
}

impl Outage {
    fn begin() -> Self {
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(10))
            .with_jitter()
            .without_max_times();
        Self { since: Instant::now(), mentioned: None, waits: waits.build() }
    }

    fn is_worth_a_word(&mut self) -> bool {
        let is_due = match self.mentioned {
            None => self.since.elapsed() >= UNMENTIONED,
            Some(last) => last.elapsed() >= REMINDER,
        };
        if is_due {
            self.mentioned = Some(Instant::now());
        }
        is_due
    }
}

fn gave_up(failure: &Failure, was_reached: bool, limit: Duration) -> Failure {
    if !was_reached {
        return failure.clone();
    }
    let message = format!(
        "gave up after {} minutes without progress: {}; run the same command again, and it goes on where this one stopped",
        limit.as_secs().div_ceil(60),
        failure.message()
    );
    Failure::new("gave-up", message)
}

#[cfg(test)]
mod tests {
    use super::super::progress::Board;
    use super::*;

    fn away() -> Failure {
        Failure::new("unreachable", "away").with_retryable(true)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_away_for_minutes_is_waited_for() {
        let board = Board::silent();
        let progress = board.file("a", 1);
        let patience = Patience::new(Duration::from_secs(600), &progress);
        patience.succeeded();
        let started = Instant::now();
        let back = patience.keep_trying(async || if started.elapsed().as_secs() < 300 { Err(away()) } else { Ok(()) }).await;
        assert_eq!(back, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_sooner_for_a_server_never_reached() {
        let board = Board::silent();
        let progress = board.file("a", 1);
        for (was_reached, code, at_least_s, at_most_s) in [(false, "unreachable", 10, 25), (true, "gave-up", 600, 625)] {
            let patience = Patience::new(Duration::from_secs(600), &progress);
            if was_reached {
                patience.succeeded();
            }
            let started = Instant::now();
            let failure = patience.keep_trying(async || Err::<(), _>(away())).await.expect_err("never there");
            assert_eq!(failure.code(), code);
            assert!((at_least_s..=at_most_s).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_server_file_means_restarting_only_after_contact() {
        let board = Board::silent();
        let progress = board.file("a", 1);
        let patience = Patience::new(Duration::from_secs(600), &progress);
        let gone = || Err::<(), _>(Failure::new("no-server", "gone"));
        assert_eq!(patience.keep_trying(async || gone()).await.expect_err("at once").code(), "no-server");
        patience.succeeded();
        let mut attempts = 0;
        let back = patience.keep_trying(async || { attempts += 1; if attempts < 4 { gone() } else { Ok(()) } }).await;
        assert_eq!(back, Ok(()));
    }
}
