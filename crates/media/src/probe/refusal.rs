//! Why a source is refused: a stable code for machines, a sentence for people.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A stable, kebab-case reason for refusing a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// No byte at all.
    EmptyFile,
    /// An HLS or other playlist: a list of addresses, not a video.
    Playlist,
    /// A DASH or other XML manifest.
    Manifest,
    /// A script of ffmpeg's concat demuxer.
    ConcatScript,
    /// Not a media container we know.
    NotMedia,
    /// One picture, not a video.
    StillImage,
    /// The container's structure makes no sense.
    BrokenContainer,
    /// The index (MP4 `moov`) is not in the file.
    IndexLost,
    /// No audio and no video track.
    NoStreams,
    /// Tracks are declared, but none of their data is there.
    NoMediaData,
    /// Less than half of what the index or header promises is there.
    MostlyMissing,
    /// More tracks than we take.
    TooManyTracks,
    /// A picture above 8192 × 4320.
    PictureTooLarge,
    /// A picture below 16 × 16.
    PictureTooSmall,
    /// No decoder for what is in it.
    UnsupportedCodec,
    /// Above 12 h.
    TooLong,
    /// Above 240 pictures per second.
    FrameRateTooHigh,
    /// Neither pictures nor sound could be decoded.
    Undecodable,
    /// Between the points of a trim, neither pictures nor sound.
    NothingThere,
}

impl Code {
    /// The code as it stands in APIs and catalogs, for example `still-image`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyFile => "empty-file",
            Self::Playlist => "playlist",
            Self::Manifest => "manifest",
            Self::ConcatScript => "concat-script",
            Self::NotMedia => "not-media",
            Self::StillImage => "still-image",
            Self::BrokenContainer => "broken-container",
            Self::IndexLost => "index-lost",
            Self::NoStreams => "no-streams",
            Self::NoMediaData => "no-media-data",
            Self::MostlyMissing => "mostly-missing",
            Self::TooManyTracks => "too-many-tracks",
            Self::PictureTooLarge => "picture-too-large",
            Self::PictureTooSmall => "picture-too-small",
            Self::UnsupportedCodec => "unsupported-codec",
            Self::TooLong => "too-long",
            Self::FrameRateTooHigh => "frame-rate-too-high",
            Self::Undecodable => "undecodable",
            Self::NothingThere => "nothing-there",
        }
    }

    /// What a professor reads: what is wrong and what to do about it.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::EmptyFile => "The file is empty. Please check the original and upload it again.",
            Self::Playlist => "This is a playlist, a list of addresses, not the video itself. Please upload the video file.",
            Self::Manifest => "This is a streaming manifest, not the video itself. Please upload the video file.",
            Self::ConcatScript => "This is a list of other files, not a video. Please upload the video file itself.",
            Self::NotMedia => "This is not a video or audio file we can read. Please upload MP4, MOV, MKV, WebM, AVI or MPEG-TS.",
            Self::StillImage => "This file holds a single still picture, not a video.",
            Self::BrokenContainer => "The file's structure is damaged beyond reading. Please export or copy it again.",
            Self::IndexLost => {
                "The file's index is missing: the recording or copy was cut off before its end. Please copy it again, or repair it."
            }
            Self::NoStreams => "The file holds neither picture nor sound.",
            Self::NoMediaData => "The file describes a recording, but its pictures and sound are missing. Please copy it again.",
            Self::MostlyMissing => "Less than half of the recording is in the file: the copy was cut off. Please copy it again.",
            Self::TooManyTracks => "The file holds more tracks than we can take. Please export it with one picture and one sound track.",
            Self::PictureTooLarge => "The picture is larger than 8192 × 4320. Please export it smaller.",
            Self::PictureTooSmall => "The picture is smaller than 16 × 16.",
            Self::UnsupportedCodec => "The video is in a format this server cannot decode. Please export it as H.264 or HEVC.",
            Self::TooLong => "The recording is longer than 12 hours. Please split it.",
            Self::FrameRateTooHigh => "The video has more than 240 pictures per second. Please export it at a lower rate.",
            Self::NothingThere => "Between these points the recording has neither picture nor sound. Please choose others.",
            Self::Undecodable => "Less than half of the recording can be decoded: the file is damaged. Please copy or export it again.",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A source that will not be published, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("source refused as {code}: {message}")]
pub struct Refusal {
    /// Stable reason.
    pub code: Code,
    /// A sentence for whoever uploaded it.
    pub message: String,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, message: code.sentence().to_owned() }
    }
}

impl Refusal {
    /// Why ffprobe failed on a source, read from its stderr. Takes the last few KiB of it; to be asked only when ffprobe ended by
    /// itself with a failure (not when it was killed or could not be started: those are the system's fault, not the file's).
    pub fn from_ffprobe(stderr_tail: &str) -> Self {
        let known = [
            ("exceeds max_streams", Code::TooManyTracks),
            ("moov atom not found", Code::IndexLost),
            ("too deeply nested", Code::BrokenContainer),
            ("could not find codec parameters", Code::UnsupportedCodec),
        ];
        let found = known.iter().find(|(text, _)| stderr_tail.contains(text));
        found.map_or(Code::BrokenContainer, |(_, code)| *code).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_and_as_str_agree() {
        for code in [Code::EmptyFile, Code::FrameRateTooHigh, Code::NoMediaData, Code::Undecodable, Code::ConcatScript] {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.as_str()));
        }
    }

    #[test]
    fn ffprobe_messages_become_codes() {
        assert_eq!(Refusal::from_ffprobe("[mov] moov atom not found").code, Code::IndexLost);
        assert_eq!(Refusal::from_ffprobe("Number of streams exceeds max_streams parameter (64)").code, Code::TooManyTracks);
        assert_eq!(Refusal::from_ffprobe("Invalid data found when processing input").code, Code::BrokenContainer);
    }
}
