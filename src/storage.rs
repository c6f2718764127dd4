//! The house's disk: who may fill it, how far, and what lies on it that nobody needs.
//!
//! New uploads are refused while there is still room for all that was begun: [`Storage::room_for`] and [`Storage::quotas`] are asked by whoever
//! begins one. [`Storage::reconcile`] compares the blobs with the rows.

mod claims;
mod quotas;
mod reconcile;
mod room;

use crate::blobs::Blobs;
use crate::catalog::Catalog;
use crate::domain::quota;
pub use reconcile::{Progress, Reconciliation, Report, Tally};
pub use room::{Coming, Reserve, Room, Turn};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What keeps the disk. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage {
    /// The rows.
    pub catalog: Catalog,
    /// What lies on the disk.
    pub blobs: Blobs,
    /// The operator's limits.
    pub limits: Limits,
    begins: Arc<tokio::sync::Mutex<()>>,
    coming_bytes: Arc<AtomicU64>,
    reconciling: Arc<Mutex<Option<Progress>>>,
}

/// The operator's limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What new uploads leave free.
    pub reserve: Reserve,
    /// Of whoever was given no limit.
    pub quotas: quota::Defaults,
    /// Until a blob that is nobody's is swept.
    pub orphan_age: Duration,
}

impl Storage {
    /// The keeper of these blobs and rows. One for the whole process: it lets one upload begin at a time.
    pub fn new(catalog: Catalog, blobs: Blobs, limits: Limits) -> Self {
        Self { catalog, blobs, limits, begins: Arc::default(), coming_bytes: Arc::default(), reconciling: Arc::default() }
    }
}
