//! `[inbox]`: whether objects may come in by any S3 client.

use serde::Deserialize;

/// The section.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbox {
    /// Whether people may have S3 access keys, and use them.
    pub enabled: bool,
}
