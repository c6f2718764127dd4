//! Uploads: a multipart transfer, its limits and its parts.

use super::collection;
use super::ids::{UploadId, VideoId};
use super::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;
/// The smallest part but the last (S3's rule, FACTS.md).
pub const MIN_PART_SIZE_BYTES: u64 = 5 * MIB;
/// The most parts of one upload (S3's rule, FACTS.md).
pub const MAX_PARTS: u64 = 10_000;
const MAX_TITLE_CHARS: usize = 200;
const MAX_FILENAME_CHARS: usize = 255;

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Parts may come.
    Open,
    /// It became a source.
    Finished,
    /// Its author gave it up.
    Aborted,
    /// Nobody finished it in time.
    Expired,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Open, Self::Finished, Self::Aborted, Self::Expired];

    /// The word in the catalog and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Finished => "finished",
            Self::Aborted => "aborted",
            Self::Expired => "expired",
        }
    }

    /// Reads the catalog's word.
    pub fn parse(word: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| Error::internal("the catalog holds an unknown upload state", word))
    }
}

/// An upload's row.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// The video it will become.
    pub video: VideoId,
    /// The subject who began it.
    pub owner: String,
    /// The client's name of the file; shown, never used as a path.
    pub filename: String,
    /// The video's title.
    pub title: String,
    /// The collection the video will be in.
    pub collection: Option<collection::Name>,
    /// The whole file.
    pub size_bytes: u64,
    /// Every part but the last; 0 for an object of the inbox, whose client chooses.
    pub part_size_bytes: u64,
    /// Where it stands.
    pub state: State,
    /// When it expires unless finished, epoch milliseconds.
    pub expires_at: i64,
}

impl Upload {
    /// Whether it is an object of the inbox, which has parts of any size.
    pub fn is_of_inbox(&self) -> bool {
        self.part_size_bytes == 0
    }

    /// How many parts the file has; 0 for an object of the inbox.
    pub fn parts(&self) -> u64 {
        if self.is_of_inbox() { 0 } else { self.size_bytes.div_ceil(self.part_size_bytes) }
    }

    /// The length that part `number` (1-based) must have; an unknown number is `Invalid`.
    pub fn part_size(&self, number: u64) -> Result<u64> {
        let parts = self.parts();
        if number == 0 || number > parts {
            return Err(Error::invalid("part-number", format!("part {number} does not exist: this upload has parts 1 to {parts}")));
        }
        Ok(if number < parts { self.part_size_bytes } else { self.size_bytes - (parts - 1) * self.part_size_bytes })
    }
}

/// One part's row: declared, and received once `blob` is there.
#[derive(Clone, Debug)]
pub struct Part {
    /// 1-based.
    pub number: u64,
    /// Its length.
    pub size_bytes: u64,
    /// The digest the client declared, hexadecimal.
    pub sha256: String,
    /// Where its frames lie, once received.
    pub blob: Option<String>,
}

/// What a client asks for when it begins an upload, checked.
#[derive(Clone, Debug)]
pub struct Request {
    /// See [`Upload::filename`].
    pub filename: String,
    /// See [`Upload::title`].
    pub title: String,
    /// See [`Upload::collection`].
    pub collection: Option<collection::Name>,
    /// See [`Upload::size_bytes`].
    pub size_bytes: u64,
    /// The ids of the upload and of its video, when the client's idempotency key decides them: the same request again is the same upload.
    pub ids: Option<(UploadId, VideoId)>,
}

impl Request {
    /// Checks a client's words; `max_size_bytes` is the operator's limit. An absent title is the file's name without its ending.
    pub fn new(filename: &str, title: Option<&str>, size_bytes: u64, max_size_bytes: u64) -> Result<Self> {
        let filename = line(filename, MAX_FILENAME_CHARS).ok_or_else(|| {
            Error::invalid(
                "bad-filename",
                format!("the file name must have 1 to {MAX_FILENAME_CHARS} characters and no control characters"),
            )
        })?;
        let stem = filename.rsplit_once('.').map_or(filename.as_str(), |(stem, _)| stem);
        let stem = if stem.is_empty() { &filename } else { stem };
        let title = title.map(str::trim).filter(|title| !title.is_empty()).unwrap_or(stem);
        let title: String = match line(title, MAX_TITLE_CHARS) {
            Some(title) => title,
            None if title == stem => stem.chars().take(MAX_TITLE_CHARS).collect(),
            None => {
                return Err(Error::invalid(
                    "bad-title",
                    format!("the title must have at most {MAX_TITLE_CHARS} characters and no control characters"),
                ));
            }
        };
        if size_bytes == 0 {
            return Err(Error::invalid("empty-file", "the file is empty: choose the recording itself"));
        }
        if size_bytes > max_size_bytes {
            let message = format!("the file has {size_bytes} bytes, this server takes at most {max_size_bytes}");
            return Err(Error::new(ErrorKind::TooLarge, "file-too-large", message));
        }
        Ok(Self { filename, title, collection: None, size_bytes, ids: None })
    }

    /// The same request for an upload and a video of these ids.
    #[must_use]
    pub fn named(self, ids: Option<(UploadId, VideoId)>) -> Self {
        Self { ids, ..self }
    }

    /// The same request for a video in this collection.
    #[must_use]
    pub fn in_collection(self, collection: Option<collection::Name>) -> Self {
        Self { collection, ..self }
    }
}

/// A title that someone gives a video: 1 to 200 characters without control characters, blanks taken away at its ends; else `bad-title`.
pub fn title(text: &str) -> Result<String> {
    let wrong = || Error::invalid("bad-title", format!("the title must have 1 to {MAX_TITLE_CHARS} characters and no control characters"));
    line(text, MAX_TITLE_CHARS).ok_or_else(wrong)
}

fn line(text: &str, max_chars: usize) -> Option<String> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= max_chars && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

/// The part size for a file: the preferred one, or as much more as 10,000 parts need, in whole MiB.
pub fn part_size_bytes(size_bytes: u64, preferred_bytes: u64) -> u64 {
    let needed = size_bytes.div_ceil(MAX_PARTS).div_ceil(MIB) * MIB;
    preferred_bytes.max(needed).max(MIN_PART_SIZE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(size_bytes: u64, part_size_bytes: u64) -> Upload {
        Upload {
            id: UploadId::new(),
            video: VideoId::new(),
            owner: "ada".into(),
            filename: "a.mp4".into(),
            title: "a".into(),
            collection: None,
            size_bytes,
            part_size_bytes,
            state: State::Open,
            expires_at: 0,
        }
    }

    #[test]
    fn parts_add_up_to_the_file() {
        for (size, part) in [(1, 10), (10, 10), (11, 10), (99, 10), (100, 10)] {
            let upload = upload(size, part);
            let total: u64 = (1..=upload.parts()).map(|n| upload.part_size(n).expect("within")).sum();
            assert_eq!(total, size);
            assert!(upload.part_size(0).is_err());
            assert!(upload.part_size(upload.parts() + 1).is_err());
        }
    }

    #[test]
    fn a_huge_file_still_fits_ten_thousand_parts() {
        let size: u64 = 5 << 40;
        assert!(size.div_ceil(part_size_bytes(size, 8 * MIB)) <= MAX_PARTS);
        assert_eq!(part_size_bytes(100, 8 * MIB), 8 * MIB);
    }

    #[test]
    fn a_request_is_trimmed_and_checked() {
        let request = Request::new(" op 7.final.mp4 ", None, 5, 10).expect("fine");
        assert_eq!((request.filename.as_str(), request.title.as_str()), ("op 7.final.mp4", "op 7.final"));
        assert_eq!(Request::new(".mp4", Some(""), 5, 10).expect("fine").title, ".mp4");
        assert_eq!(Request::new("a", None, 0, 10).expect_err("empty").code(), "empty-file");
        assert_eq!(Request::new("a", None, 11, 10).expect_err("large").code(), "file-too-large");
        assert_eq!(Request::new("a\r\nb", None, 1, 10).expect_err("control").code(), "bad-filename");
        assert_eq!(Request::new("a", Some("\u{1b}[2J"), 1, 10).expect_err("control").code(), "bad-title");
    }
}
