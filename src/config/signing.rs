//! `[signing]`: CloudFront's scheme, and downloads.

use super::raw::{duration, origin};
use super::wrong;
use crate::domain::Result;
use serde::Deserialize;
use std::time::Duration;

/// CloudFront's scheme, and downloads.
#[derive(Clone, Debug)]
pub struct Signing {
    /// Origins besides the public URL that the resource of a signed policy may name; without a slash at their ends.
    pub resource_origins: Vec<String>,
    /// Whether RSA signatures over SHA-1 are accepted.
    pub accept_sha1: bool,
    /// Whether a CDN that checks signatures itself stands before the edge, and may keep what it serves under `/v/`.
    pub shared_caching: bool,
    /// How long the link to a download is good for.
    pub download_lifetime: Duration,
    /// Whether whoever may watch a ready video may also download its renditions.
    pub viewers_may_download: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSigning {
    resource_origins: String,
    accept_sha1: bool,
    shared_caching: bool,
    download_lifetime: String,
    viewers_may_download: bool,
}

impl RawSigning {
    pub(super) fn check(self) -> Result<Signing> {
        let named = self.resource_origins.split([' ', ',']).filter(|text| !text.is_empty());
        let origins = named.map(|text| origin("signing.resource_origins", text)).collect::<Result<Vec<_>>>()?;
        let lifetime = duration("signing.download_lifetime", &self.download_lifetime, Duration::from_secs(10))?;
        if lifetime > Duration::from_secs(7 * 86_400) {
            return Err(wrong("signing.download_lifetime", &self.download_lifetime, "it must be at most 7d"));
        }
        Ok(Signing {
            resource_origins: origins.into_iter().flatten().collect(),
            accept_sha1: self.accept_sha1,
            shared_caching: self.shared_caching,
            download_lifetime: lifetime,
            viewers_may_download: self.viewers_may_download,
        })
    }
}
