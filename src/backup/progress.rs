//! How far a backup or a restore is; shared with whoever shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Counters that one side raises and the other reads. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    step: Mutex<&'static str>,
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
}

impl Progress {
    /// Begins a step of which `total_bytes` are to be done; 0 when nobody can tell.
    pub(super) fn begin(&self, step: &'static str, total_bytes: u64) {
        self.shared.done_bytes.store(0, Relaxed);
        self.shared.total_bytes.store(total_bytes, Relaxed);
        *self.shared.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// So many more are done.
    pub(super) fn add(&self, bytes: u64) {
        self.shared.done_bytes.fetch_add(bytes, Relaxed);
    }

    /// What is being done.
    pub fn step(&self) -> &'static str {
        *self.shared.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of this step is done, and of how much; of 0 when nobody can tell.
    pub fn bytes(&self) -> (u64, u64) {
        (self.shared.done_bytes.load(Relaxed), self.shared.total_bytes.load(Relaxed))
    }
}
