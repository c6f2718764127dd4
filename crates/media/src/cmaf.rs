//! ffmpeg's fragmented MP4 → our CMAF segments, with times of our own.
//!
//! [`VideoPackager`] takes the byte stream of one rendition of one chunk, [`AudioPackager`] that of the whole sound. Nothing of ffmpeg's
//! container survives: sample data, parameter sets and sizes are taken, every box is written anew (ISO/IEC 23000-19 §7).
//! The way back, for those who want one file, is [`Layout`].

mod audio;
mod fragment;
mod init;
mod progressive;
mod reader;
mod video;

pub use audio::{AudioPackager, EncodedAudio};
pub use init::Init;
pub use progressive::{Layout, Piece, SegmentHead, Track};
pub(crate) use reader::audio_specific_config;
pub use reader::{FragmentReader, Sample, TrackConfig};
pub use video::{EncodedVideo, VideoPackager};

/// One finished segment, not yet encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagedSegment {
    /// Its number on the timeline, from 0.
    pub index: u32,
    /// `styp`, `moof`, `mdat`.
    pub bytes: Vec<u8>,
    /// Its length on the timeline, for EXTINF.
    pub duration_ticks: i64,
    /// Pictures (or audio frames) in it.
    pub samples: u32,
}

/// Why ffmpeg's output cannot be packaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmafError {
    /// The stream's structure makes no sense.
    #[error("fragmented mp4 from the encoder is malformed: {0}")]
    Malformed(&'static str),
    /// A box or fragment larger than is ever right.
    #[error("fragmented mp4 from the encoder exceeds a limit: {0}")]
    TooLarge(&'static str),
    /// A segment would not begin with an IDR picture.
    #[error("segment {segment} does not begin with an idr picture: encode the chunk again")]
    NotIdr {
        /// Its number.
        segment: u32,
    },
    /// A picture outside the chunk's interval, or two at one time.
    #[error("picture at tick {ticks} does not belong into the chunk: encode the chunk again")]
    Misplaced {
        /// Its time.
        ticks: i64,
    },
    /// Parameter sets changed between chunks of one rendition.
    #[error("parameter sets differ from those of the rendition's other chunks: encode the version again")]
    InitChanged,
    /// The stream ended before its header, or without a single sample.
    #[error("encoder output holds no samples: see the encoder's own messages")]
    Empty,
}
