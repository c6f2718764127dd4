//! Whether a run gets on: when something last passed the door, and whether it is us who keep it waiting.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A watch that everything which moves sets back.
#[derive(Debug)]
pub(in crate::worker) struct Activity {
    start: Instant,
    last_ms: AtomicU64,
    waiting: AtomicUsize,
    read_bytes: AtomicU64,
}

/// While it lives, the program waits for us: for its source or for a reader of its outputs.
#[derive(Debug)]
pub(in crate::worker) struct Waiting<'a>(&'a Activity);

impl Activity {
    /// Starts the watch.
    pub(in crate::worker) fn new() -> Self {
        Self { start: Instant::now(), last_ms: AtomicU64::new(0), waiting: AtomicUsize::new(0), read_bytes: AtomicU64::new(0) }
    }

    /// Something moved.
    pub(in crate::worker) fn beat(&self) {
        let now_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// `length` bytes of the source were handed out.
    pub(super) fn count_read(&self, length: usize) {
        self.read_bytes.fetch_add(length as u64, Ordering::Relaxed);
        self.beat();
    }

    /// Bytes of the source handed out so far.
    pub(in crate::worker) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// From here to the drop of the guard the program is not to blame.
    pub(in crate::worker) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// How long the program has not moved although nobody kept it waiting.
    pub(in crate::worker) fn idle(&self) -> Duration {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.beat();
        }
        self.start.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.beat();
    }
}
