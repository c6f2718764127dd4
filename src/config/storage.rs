//! The disk: how much of it new uploads leave free.

use super::raw::duration;
use super::wrong;
use crate::domain::Result;
use serde::Deserialize;
use std::time::Duration;

const MOST_PERCENT: u64 = 90;

/// The disk: how much of it new uploads leave free.
#[derive(Clone, Debug)]
pub struct Storage {
    /// At most so many bytes.
    pub reserve_bytes: u64,
    /// At most so many hundredths of the disk.
    pub reserve_percent: u64,
    /// Until a blob that is nobody's is swept.
    pub orphan_age: Duration,
    /// Between two reconciliations that nobody asks for; `None`: there are none.
    pub reconcile_every: Option<Duration>,
    /// Between two verifications of everything that nobody asks for; `None`: there are none.
    pub verify_every: Option<Duration>,
    /// The most that verifications read in a second; 0 for no limit.
    pub verify_bytes_per_s: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    reserve_bytes: u64,
    reserve_percent: u64,
    orphan_age: String,
    reconcile_every: String,
    verify_every: String,
    verify_bytes_per_s: u64,
}

impl Raw {
    pub(super) fn check(self) -> Result<Storage> {
        if self.reserve_percent > MOST_PERCENT {
            return Err(wrong("storage.reserve_percent", &self.reserve_percent.to_string(), "write 0 to 90"));
        }
        let unless_never = |every: Duration| Some(every).filter(|every| !every.is_zero());
        let every = duration("storage.reconcile_every", &self.reconcile_every, Duration::ZERO)?;
        let verify_every = duration("storage.verify_every", &self.verify_every, Duration::ZERO)?;
        Ok(Storage {
            reserve_bytes: self.reserve_bytes,
            reserve_percent: self.reserve_percent,
            orphan_age: duration("storage.orphan_age", &self.orphan_age, Duration::ZERO)?,
            reconcile_every: unless_never(every),
            verify_every: unless_never(verify_every),
            verify_bytes_per_s: self.verify_bytes_per_s,
        })
    }
}
