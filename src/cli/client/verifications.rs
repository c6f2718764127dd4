//! Verifications as the API tells of them.

use super::Client;
use crate::cli::failure::Failure;
use crate::domain::ids::{VerificationId, VideoId};
use reqwest::Method;
use serde::{Deserialize, Serialize};

/// A reading of blobs against their digests.
#[derive(Debug, Serialize, Deserialize)]
pub struct Verification {
    /// Its id.
    pub verification: VerificationId,
    /// Who asked for it.
    pub actor: String,
    /// The one video that it reads; absent: all.
    pub video: Option<VideoId>,
    /// Whether it repairs.
    pub repair: bool,
    /// `queued`, `running`, `done`.
    pub state: String,
    /// How much it has read, 0 to 100.
    pub percent: u64,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Epoch milliseconds.
    pub ended_at: Option<i64>,
    /// Videos read,
    pub videos: u64,
    /// of so many.
    pub of: u64,
    /// Blobs read.
    pub blobs: u64,
    /// Their size.
    pub bytes: u64,
    /// Things that were not as they should be.
    pub found: u64,
    /// Those of them that were made again.
    pub repaired: u64,
    /// The first thousand.
    pub findings: Vec<Finding>,
    /// Videos that were not read.
    pub skipped: u64,
    /// The first thousand.
    pub skipped_videos: Vec<Skipped>,
}

/// One thing that is not as it should be.
#[derive(Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Of which video.
    pub video: VideoId,
    /// What kind of blob it is.
    pub piece: String,
    /// Where it lies in the store.
    pub path: String,
    /// Its rendition, if it has one.
    pub rendition: Option<String>,
    /// Its number, if it has one.
    pub number: Option<u64>,
    /// Of a segment, when it begins.
    pub from_ms: Option<u64>,
    /// Of a segment, when it ends.
    pub until_ms: Option<u64>,
    /// What is wrong.
    pub problem: String,
    /// What it means for those who watch.
    pub means: String,
    /// What became of it.
    pub outcome: String,
    /// What is left to do.
    pub mend: Option<String>,
}

/// A video that was not read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Skipped {
    /// Which.
    pub video: VideoId,
    /// Why.
    pub why: String,
}

impl Client {
    /// Begins a verification of one video, or of all.
    pub async fn begin_verification(&self, video: Option<&VideoId>, repair: bool) -> Result<Verification, Failure> {
        let wanted = serde_json::json!({ "video": video, "repair": repair });
        self.call(self.request(Method::POST, "v1/verifications")?.json(&wanted)).await
    }

    /// A verification as it is now.
    pub async fn verification(&self, id: &VerificationId) -> Result<Verification, Failure> {
        self.call(self.request(Method::GET, &format!("v1/verifications/{id}"))?).await
    }
}
