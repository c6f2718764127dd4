//! Trying again while a server is away: exponential waits with jitter, an end, and a word to the person who waits.

use super::progress::FileProgress;
use crate::cli::failure::Failure;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::time::Instant;

/// How long an outage may last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of a server never reached: long enough for one that is just starting, short enough for a mistyped address.
    pub(super) first_contact: Duration,
    /// Of a server that was there.
    pub(super) outage: Duration,
}

const SHORTEST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How often a refusal must come to be believed: URLs expire, clocks are set, and a bit that flips on its way makes a good request a bad one.
const REFUSALS_BELIEVED: u32 = 5;

/// Shorter outages than this are not worth a word.
const UNMENTIONED: Duration = Duration::from_secs(2);

/// How often a long outage is mentioned again.
const REMINDER: Duration = Duration::from_secs(60);

/// The patience of one file's upload and following: an outage begins with a failure and ends with the next success of anything.
pub(super) struct Patience<'a> {
    limits: Limits,
    progress: &'a FileProgress<'a>,
    was_reached: Cell<bool>,
    successes: Cell<u64>,
    outage: RefCell<Option<Outage>>,
}

struct Outage {
    since: Instant,
    mentioned: Option<Instant>,
}

impl<'a> Patience<'a> {
    /// Patience with outages up to `limits`.
    pub(super) fn new(limits: Limits, progress: &'a FileProgress<'a>) -> Self {
        Self { limits, progress, was_reached: Cell::new(false), successes: Cell::new(0), outage: RefCell::new(None) }
    }

    /// Repeats `attempt` while its failures are retryable and the outage is not too long, and a while longer until it believes a refusal.
    pub(super) async fn keep_trying<T>(&self, mut attempt: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        let (mut waits, mut refusals) = (backoff(), 0);
        loop {
            let successes = self.successes.get();
            let failure = match attempt().await {
                Ok(value) => {
                    self.succeeded();
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            if is_an_answer(&failure) {
                self.was_reached.set(true);
            }
            // An attempt may have got somewhere before it failed: then this is another outage.
            if self.outage.borrow().is_none() {
                waits = backoff();
            }
            if is_doubtful(&failure) {
                refusals = if self.successes.get() == successes { refusals + 1 } else { 1 };
                if refusals < REFUSALS_BELIEVED {
                    tokio::time::sleep(SHORTEST_WAIT).await;
                    continue;
                }
            }
            let left = self.bear(failure)?;
            tokio::time::sleep(waits.next().unwrap_or(LONGEST_WAIT).min(left)).await;
        }
    }

    /// Ends the outage, if there is one.
    pub(super) fn succeeded(&self) {
        self.was_reached.set(true);
        self.successes.set(self.successes.get() + 1);
        if self.outage.take().is_some_and(|outage| outage.mentioned.is_some()) {
            self.progress.note("the server answers again");
        }
    }

    /// How much longer to bear `failure`; gives it back when trying again is over or useless.
    fn bear(&self, failure: Failure) -> Result<Duration, Failure> {
        let was_reached = self.was_reached.get();
        // A server that was there and left no address behind is restarting.
        let is_restarting = was_reached && failure.code() == "no-server";
        if !failure.is_retryable() && !is_restarting {
            return Err(failure);
        }
        let limit = if was_reached { self.limits.outage } else { self.limits.first_contact };
        let mut outage = self.outage.borrow_mut();
        let outage = outage.get_or_insert_with(Outage::begin);
        let left = limit.saturating_sub(outage.since.elapsed());
        if left.is_zero() {
            return Err(gave_up(&failure, was_reached, limit));
        }
        if outage.is_worth_a_word() {
            self.progress.note(&format!("{failure}; trying again for {} s", left.as_secs()));
        }
        Ok(left)
    }
}

impl Outage {
    fn begin() -> Self {
        Self { since: Instant::now(), mentioned: None }
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

/// Whether the line may have made this of something better: a refusal, or an answer that nobody understands. Trouble of the server's
/// own is none, and that parts are missing is what `finish` says in earnest. A damaged part is the line's doing, however often it is sent.
fn is_doubtful(failure: &Failure) -> bool {
    let came_over_the_line = failure.status().is_some_and(|status| status < 500) || failure.code() == "not-understood";
    let is_refusal = !failure.is_retryable() || failure.code() == "BadDigest";
    came_over_the_line && is_refusal && failure.code() != "parts-missing"
}

/// Whether a Theatrum said so, rather than something on the way to it or nobody.
fn is_an_answer(failure: &Failure) -> bool {
    failure.status().is_some() && !failure.code().starts_with("http-")
}

fn backoff() -> ExponentialBackoff {
    let waits = ExponentialBuilder::default().with_min_delay(SHORTEST_WAIT).with_max_delay(LONGEST_WAIT);
    waits.with_jitter().without_max_times().build()
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

    const LIMITS: Limits = Limits { first_contact: Duration::ZERO, outage: Duration::from_millis(600) };

    #[tokio::test]
    async fn a_server_that_was_there_is_waited_for() {
        let board = Board::silent();
        let progress = board.file("a", 1);
        let patience = Patience::new(Limits { outage: Duration::from_secs(60), ..LIMITS }, &progress);
        patience.succeeded();
        let mut failures = 3;
        let attempt = async || {
            failures -= 1;
            if failures > 0 { Err(away()) } else { Ok(()) }
        };
        assert_eq!(patience.keep_trying(attempt).await, Ok(()));
    }

    #[tokio::test]
    async fn patience_has_an_end_and_a_sooner_one_for_a_server_never_reached() {
        let board = Board::silent();
        let progress = board.file("a", 1);
        let patience = Patience::new(LIMITS, &progress);
        let failure = patience.keep_trying(async || Err::<(), _>(away())).await.expect_err("never there");
        assert_eq!(failure.code(), "unreachable");
        patience.succeeded();
        let began = Instant::now();
        let failure = patience.keep_trying(async || Err::<(), _>(away())).await.expect_err("never there again");
        assert_eq!(failure.code(), "gave-up");
        assert!(began.elapsed() >= LIMITS.outage);
    }

    #[tokio::test]
    async fn a_success_ends_the_outage() {
        let board = Board::silent();
        let progress = board.file("a", 1);
        let patience = Patience::new(LIMITS, &progress);
        patience.succeeded();
        assert!(patience.bear(away()).is_ok());
        assert!(patience.outage.borrow().is_some());
        patience.succeeded();
        assert!(patience.outage.borrow().is_none());
    }

    #[tokio::test]
    async fn a_missing_server_file_means_restarting_only_after_contact() {
        let board = Board::silent();
        let progress = board.file("a", 1);
        let patience = Patience::new(LIMITS, &progress);
        let gone = || Failure::new("no-server", "gone");
        assert_eq!(patience.bear(gone()).expect_err("never there").code(), "no-server");
        patience.succeeded();
        assert!(patience.bear(gone()).is_ok());
    }
}
