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
        let mut idle = Duration::ZERO;
        loop {
            looks.tick().await;
            self.peak_rss_bytes = self.peak_rss_bytes.max(process.peak_rss_bytes());
            let cpu_ms = process.cpu_ms();
            let idle_before = std::mem::replace(&mut idle, activity.idle());
            if idle <= idle_before {
                self.cpu_ms_at_last_move = cpu_ms.unwrap_or(self.cpu_ms_at_last_move);
            }
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

    /// Reads the bill of a process that has ended and was not reaped.
    pub(super) fn close(&mut self, process: &Process) {
        self.cpu_ms = process.cpu_ms().unwrap_or(0);
    }
}
