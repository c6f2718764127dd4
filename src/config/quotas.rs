//! Quotas of whoever was given none of their own.

use crate::domain::quota::Defaults;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    user_bytes: u64,
    collection_bytes: u64,
}

impl Raw {
    pub(super) fn check(self) -> Defaults {
        Defaults { user_bytes: self.user_bytes, collection_bytes: self.collection_bytes }
    }
}
