//! Verifications: every blob of a video read again and compared with what its row says, and what became of those that differ.

use super::ids::{VerificationId, VideoId};
use super::job::words;
use super::video::RenditionName;
use super::{Error, Result};
use serde::{Deserialize, Serialize};

/// Findings that a report names one by one; the others are counted.
pub const MOST_FINDINGS: usize = 1_000;

words! {
    /// Where a verification stands.
    State {
        /// Waits for its turn.
        Queued = "queued",
        /// Reads.
        Running = "running",
        /// Has read everything.
        Done = "done",
    }
}

words! {
    /// What kind of blob a finding is about.
    Piece {
        /// A part of the original file.
        Source = "source",
        /// A media segment.
        Segment = "segment",
        /// What a player needs before the first segment of a rendition.
        Init = "init",
        /// The still picture of a video.
        Poster = "poster",
        /// A playlist.
        Playlist = "playlist",
        /// The rows themselves: what they say cannot be.
        Rows = "rows",
        /// The video's key.
        Key = "key",
    }
}

words! {
    /// What is wrong.
    Problem {
        /// It is not there.
        Missing = "missing",
        /// It is longer or shorter than it was written.
        Size = "size",
        /// It is not what was written.
        Altered = "altered",
        /// It is what its row says, but no such thing can be: it does not decrypt, or its times are others.
        Malformed = "malformed",
        /// The disk does not give it.
        Unreadable = "unreadable",
    }
}

words! {
    /// What became of a finding.
    Outcome {
        /// It was told, and nothing done.
        Found = "found",
        /// It was made again, read again, and is whole.
        Repaired = "repaired",
        /// It was to be made again, and is still not whole.
        Failed = "failed",
        /// It cannot be made again here.
        Lost = "lost",
        /// The whole video is being made again, and replaces this one when it is ready.
        Remaking = "remaking",
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Of which video.
    pub video: VideoId,
    /// What kind of blob it is.
    pub piece: Piece,
    /// Its path in the blob store.
    pub path: String,
    /// Its rendition, if it has one.
    pub rendition: Option<RenditionName>,
    /// Its number: of a segment from 0, of a part of the source from 1.
    pub number: Option<u64>,
    /// Of a segment, where it begins and ends in the video.
    pub from_ms: Option<u64>,
    /// See `from_ms`.
    pub until_ms: Option<u64>,
    /// What is wrong.
    pub problem: Problem,
    /// What it means for those who watch.
    pub means: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What is to be done now; nothing for what was repaired.
    pub mend: Option<String>,
}

/// A video that was not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Which.
    pub video: VideoId,
    /// Why.
    pub why: String,
}

/// What a verification has read and found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Videos that were read.
    pub videos: u64,
    /// How many are to be read in all, as counted when it began.
    pub of: u64,
    /// Blobs that were read.
    pub blobs: u64,
    /// Their size.
    pub bytes: u64,
    /// Things that were not as they should be.
    pub found: u64,
    /// Those of them that were made again.
    pub repaired: u64,
    /// The first [`MOST_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many videos were not read,
    pub skipped: u64,
    /// and the first of them.
    pub skipped_videos: Vec<Skipped>,
}

/// A verification's row.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Its id.
    pub id: VerificationId,
    /// Who asked for it.
    pub actor: String,
    /// The one video that it reads; absent: all.
    pub video: Option<VideoId>,
    /// Whether it repairs what can be made again.
    pub repairs: bool,
    /// Where it stands.
    pub state: State,
    /// How much it has read, 0 to 100.
    pub percent: i64,
    /// The last video that it has done with.
    pub cursor: Option<VideoId>,
    /// What it has found.
    pub report: Report,
    /// Raised by every claim; a lower one is fenced off.
    pub epoch: i64,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Epoch milliseconds.
    pub ended_at: Option<i64>,
}

impl Report {
    /// Adds what was found of a video.
    pub fn add(&mut self, findings: Vec<Finding>) {
        self.found += findings.len() as u64;
        self.repaired += findings.iter().filter(|finding| finding.outcome == Outcome::Repaired).count() as u64;
        let room = MOST_FINDINGS.saturating_sub(self.findings.len());
        self.findings.extend(findings.into_iter().take(room));
    }

    /// Adds a video that was not read.
    pub fn skip(&mut self, video: VideoId, why: &str) {
        self.skipped += 1;
        if self.skipped_videos.len() < MOST_FINDINGS {
            self.skipped_videos.push(Skipped { video, why: why.to_owned() });
        }
    }

    /// Whether anything is still not as it should be.
    pub fn is_clean(&self) -> bool {
        self.found == self.repaired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_all_and_names_the_first() {
        let finding = |outcome| Finding {
            video: VideoId::new(),
            piece: Piece::Segment,
            path: "p".to_owned(),
            rendition: None,
            number: None,
            from_ms: None,
            until_ms: None,
            problem: Problem::Missing,
            means: String::new(),
            outcome,
            mend: None,
        };
        let mut report = Report::default();
        report.add(vec![finding(Outcome::Repaired); 999]);
        assert!(report.is_clean());
        report.add(vec![finding(Outcome::Lost), finding(Outcome::Repaired)]);
        assert_eq!((report.found, report.repaired, report.findings.len()), (1_001, 1_000, MOST_FINDINGS));
        assert!(!report.is_clean());
    }
}
