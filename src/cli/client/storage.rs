//! The server's disk as the API tells of it.

use serde::{Deserialize, Serialize};

/// The disk, and what was found on it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Storage {
    /// How full it is; absent for a store that has no end.
    pub room: Option<Room>,
    /// The reconciliation that runs.
    pub reconciling: Option<Reconciling>,
    /// The last reconciliation that only looked.
    pub looked: Option<Reconciliation>,
    /// The last reconciliation that swept.
    pub swept: Option<Reconciliation>,
}

/// How full the disk is, and is going to be.
#[derive(Debug, Serialize, Deserialize)]
pub struct Room {
    /// What it holds.
    pub total_bytes: u64,
    /// What may still be written.
    pub free_bytes: u64,
    /// What new uploads leave free.
    pub reserve_bytes: u64,
    /// What will yet be written.
    pub promised_bytes: u64,
    /// The largest upload that may begin.
    pub largest_upload_bytes: u64,
}

/// How far a reconciliation has come.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reconciling {
    /// Which.
    pub id: String,
    /// Whether it sweeps.
    pub applies: bool,
    /// Videos examined,
    pub done: u64,
    /// of so many.
    pub of: u64,
}

/// What a reconciliation found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reconciliation {
    /// Which.
    pub id: String,
    /// Epoch milliseconds.
    pub began_at: i64,
    /// Epoch milliseconds.
    pub ended_at: i64,
    /// Examined.
    pub videos: u64,
    /// Examined.
    pub blobs: u64,
    /// Nobody's.
    pub orphans: Tally,
    /// Given up.
    pub unfinished: Tally,
    /// With nothing in them.
    pub empty_folders: Tally,
    /// None of the server's.
    pub foreign: Tally,
    /// Lost.
    pub missing: Tally,
    /// Not swept although they should have been.
    pub failed: u64,
}

/// How many there are of something, and a few of them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// What they take.
    pub bytes: u64,
    /// The first twenty.
    pub paths: Vec<String>,
}
