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
}

impl Accounts {
    /// Returns when the run has taken too long, cost too much or stood still too long.
    pub(super) async fn watch(&mut self, process: &Process, activity: &Activity, limits: &Limits) -> Limit {
        let start = Instant::now();
        let mut looks = interval(LOOK.min(limits.stall / 4).max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.peak_rss_bytes = self.peak_rss_bytes.max(process.peak_rss_bytes());
            if start.elapsed() >= limits.wall {
                return Limit::Wall;
            }
            if process.cpu_ms() >= Some(limits.cpu_s.saturating_mul(1000)) {
                return Limit::Cpu;
            }
            if activity.idle() >= limits.stall {
                return Limit::Stall;
            }
        }
    }

    /// Reads the bill of a process that has ended and was not reaped.
    pub(super) fn close(&mut self, process: &Process) {
        self.cpu_ms = process.cpu_ms().unwrap_or(0);
    }
}
