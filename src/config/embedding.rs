//! `[embedding]`: the sites on which videos may be shown in a frame.

use super::raw::duration;
use super::wrong;
use crate::domain::Result;
use crate::domain::origin::{Origin, Permitted};
use serde::Deserialize;
use std::time::Duration;

/// What the operator permits.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// The sites that owners of videos may choose among.
    pub permitted: Permitted,
    /// The longest that an embed link lives.
    pub max_link_lifetime: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEmbedding {
    origins: String,
    max_link_lifetime: String,
}

impl RawEmbedding {
    pub(super) fn check(&self) -> Result<Embedding> {
        let mut permitted = Permitted::default();
        for text in self.origins.split_whitespace() {
            if text == "*" {
                permitted.any_secure = true;
                continue;
            }
            let right = "write origins such as https://moodle.example.edu, a blank between them, or * for any by https";
            permitted.listed.push(Origin::parse(text).map_err(|_| wrong("embedding.origins", text, right))?);
        }
        let max_link_lifetime = duration("embedding.max_link_lifetime", &self.max_link_lifetime, Duration::from_secs(10))?;
        Ok(Embedding { permitted, max_link_lifetime })
    }
}
