//! `[backup]`: where backups go.

use super::{raw, wrong};
use crate::domain::Result;
use serde::Deserialize;
use std::time::Duration;

/// Where backups go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// An absolute folder or `s3://bucket/prefix`; absent: nowhere.
    pub destination: Option<String>,
    /// Where the S3 is, if not at Amazon.
    pub endpoint: Option<String>,
    /// How old the last backup may be before `doctor` warns.
    pub remind_after: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackup {
    destination: String,
    endpoint: String,
    remind_after: String,
}

impl RawBackup {
    pub(super) fn check(self) -> Result<Backup> {
        let is_place = self.destination.is_empty() || self.destination.starts_with('/') || self.destination.starts_with("s3://");
        if !is_place {
            return Err(wrong("backup.destination", &self.destination, "write an absolute folder or s3://bucket/prefix"));
        }
        let is_url = self.endpoint.is_empty() || self.endpoint.starts_with("http://") || self.endpoint.starts_with("https://");
        if !is_url {
            return Err(wrong("backup.endpoint", &self.endpoint, "write a URL, e.g. https://s3.example.org"));
        }
        let given = |text: String| (!text.is_empty()).then_some(text);
        Ok(Backup {
            destination: given(self.destination),
            endpoint: given(self.endpoint),
            remind_after: raw::duration("backup.remind_after", &self.remind_after, Duration::ZERO)?,
        })
    }
}
