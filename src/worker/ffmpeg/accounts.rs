//! What a run costs, and when that is too much.

use super::{Limit, Limits};
use crate::worker::door::Activity;
use crate::worker::sandbox::Process;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often memory and progress are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The costs so far.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// The most memory seen resident.
    pub peak_rss_bytes: Option<u64>,
    /// Processor time, once closed.
    pub cpu_ms: u64,
    /// How much of it was taken by when the run was last seen to get on.
    pub cpu_ms_at_last_move: u64,
}

impl Accounts {
    /// Returns when the run has taken too long, cost too much or stood still too long.
    pub(super) async fn watch(&mut self, process: &Process, activity: &Activity, limits: &Limits) -> Limit {
        let start = Instant::now();
        let mut looks = interval(LOOK.min(limits.stall / 4).max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_look = start;
        loop {
            looks.tick().await;
            self.peak_rss_bytes = self.peak_rss_bytes.max(process.peak_rss_bytes());
            let (cpu_ms, idle) = (process.cpu_ms(), activity.idle());
            self.note_move(last_look.elapsed(), idle, cpu_ms);
            last_look = Instant::now();
            if start.elapsed() >= limits.wall {
                return Limit::Wall;
            }
            if cpu_ms >= Some(limits.cpu_s.saturating_mul(1000)) {
                return Limit::Cpu;
            }
            if idle >= limits.stall {
                return Limit::Stall;
            }
        }
    }

    /// Notes the processor time of a look at which something had moved since the one before, however long ago that was.
    fn note_move(&mut self, since_last_look: Duration, idle: Duration, cpu_ms: Option<u64>) {
        if let (true, Some(cpu_ms)) = (idle <= since_last_look, cpu_ms) {
            self.cpu_ms_at_last_move = cpu_ms;
        }
    }

    /// Reads the bill of a process that has ended and was not reaped.
    pub(super) fn close(&mut self, process: &Process) {
        self.cpu_ms = process.cpu_ms().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_computed_after_the_last_move_is_told_apart() {
        let mut accounts = Accounts::default();
        let mut noted = |since_last_look_ms, idle_ms, cpu_ms| {
            accounts.note_move(Duration::from_millis(since_last_look_ms), Duration::from_millis(idle_ms), cpu_ms);
            accounts.cpu_ms_at_last_move
        };
        assert_eq!(noted(250, 10, Some(200)), 200);
        assert_eq!(noted(250, 30, Some(400)), 400, "it moved, if not as lately");
        assert_eq!(noted(250, 280, Some(600)), 400);
        assert_eq!(noted(5000, 4000, Some(700)), 700, "the look itself was late");
        assert_eq!(noted(250, 10, None), 700);
    }
}
