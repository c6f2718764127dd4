//! The room that is left where the blobs lie.

use super::{Blobs, blocking, failed};
use crate::domain::Result;

/// A disk, as far as it concerns us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What it holds.
    pub total_bytes: u64,
    /// What we may still write.
    pub free_bytes: u64,
}

impl Blobs {
    /// The room on the store's disk, measured now; `None` for a store that has no end.
    pub async fn space(&self) -> Result<Option<Space>> {
        let root = self.shared.root.clone();
        let volume = blocking(move || Ok(rustix::fs::statvfs(&root)?)).await;
        let volume = volume.map_err(|e| failed("the disk could not be measured", e))?;
        let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
        Ok(Some(Space { total_bytes: bytes(volume.f_blocks), free_bytes: bytes(volume.f_bavail) }))
    }
}
