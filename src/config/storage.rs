//! The disk: how much of it new uploads leave free.

use super::wrong;
use crate::domain::Result;
use serde::Deserialize;

const MOST_PERCENT: u64 = 90;

/// The disk: how much of it new uploads leave free.
#[derive(Clone, Debug)]
pub struct Storage {
    /// At most so many bytes.
    pub reserve_bytes: u64,
    /// At most so many hundredths of the disk.
    pub reserve_percent: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    reserve_bytes: u64,
    reserve_percent: u64,
}

impl Raw {
    pub(super) fn check(self) -> Result<Storage> {
        if self.reserve_percent > MOST_PERCENT {
            return Err(wrong("storage.reserve_percent", &self.reserve_percent.to_string(), "write 0 to 90"));
        }
        Ok(Storage { reserve_bytes: self.reserve_bytes, reserve_percent: self.reserve_percent })
    }
}
