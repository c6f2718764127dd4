//! What a source is: magic bytes, two ffprobe runs, the facts they give, and why a file is refused.
//!
//! 1. [`sniff`] looks at the first 64 KiB and forces a demuxer, so that ffmpeg never guesses.
//! 2. [`streams_argv`] makes ffprobe print the streams as JSON: [`StreamReport::parse`].
//! 3. [`Index`] tells every packet of an MP4 by its header; where that is not enough [`packets_argv`] makes ffprobe print them: [`PacketScan::push`].
//! 4. [`Facts::new`] draws the conclusions. Durations, counts and coverage come from packets read, never from headers.

mod coverage;
mod facts;
mod index;
mod jumps;
mod pictures;
mod refusal;
mod scan;
mod sniff;
mod streams;
mod window;

pub use coverage::enough_decoded;
pub use facts::{AudioFacts, Colour, Facts, VideoFacts};
pub use index::{BOX_HEAD_BYTES, BoxHead, H264, Index, MAX_MOOV_BYTES, Place, box_head};
pub use jumps::Jump;
pub(crate) use jumps::with_jumps;
pub use pictures::{Cadence, Keyframe, PictureTimes};
pub use refusal::{Code, Refusal};
pub use scan::{AudioSpan, MAX_PICTURES, PacketScan, Packets, Pause, Picture};
pub use sniff::{Container, Demuxer, HEAD_BYTES, sniff};
pub use streams::{Chosen, Stream, StreamReport};
pub use window::{Points, Window};

/// Widest and highest picture taken, in pixels, either way up.
pub const MAX_LONG_SIDE: u32 = 8192;
/// See [`MAX_LONG_SIDE`].
pub const MAX_SHORT_SIDE: u32 = 4320;
/// Smallest side taken, in pixels.
pub const MIN_SIDE: u32 = 16;
/// Longest source taken, in seconds.
pub const MAX_DURATION_S: i64 = 12 * 3600;
/// Most pictures per second taken.
pub const MAX_RATE: i64 = 240;
/// Most tracks a container may hold.
pub const MAX_STREAMS: u32 = 64;

/// The options in front of every `-i`: the demuxer is forced, the protocols are the door's, the probing is bounded.
/// The same list goes to ffprobe and ffmpeg, so that both number the streams alike.
pub fn input_argv(demuxer: Demuxer, url: &str) -> Vec<String> {
    let protocols = if url.starts_with("http:") { "http,tcp" } else { "file" };
    let streams = MAX_STREAMS.to_string();
    let options = ["-protocol_whitelist", protocols, "-f", demuxer.ffmpeg_name(), "-max_streams", &streams];
    let bounds = ["-probesize", "20000000", "-analyzeduration", "20000000", "-max_alloc", "1073741824", "-i", url];
    options.iter().chain(&bounds).map(ToString::to_string).collect()
}

/// Arguments for ffprobe that print format and streams of `url` as JSON on stdout, for [`StreamReport::parse`].
pub fn streams_argv(demuxer: Demuxer, url: &str) -> Vec<String> {
    ffprobe(demuxer, url, &["-show_entries", streams::ENTRIES, "-of", "json"])
}

/// Arguments for ffprobe that print every packet of `url`, one line each, for [`PacketScan::push`]. It reads the whole source.
pub fn packets_argv(demuxer: Demuxer, url: &str) -> Vec<String> {
    let entries = "packet=stream_index,pts,dts,duration,size,pos,flags";
    ffprobe(demuxer, url, &["-show_entries", entries, "-of", "compact=p=0"])
}

fn ffprobe(demuxer: Demuxer, url: &str, wanted: &[&str]) -> Vec<String> {
    let mut argv: Vec<String> = ["-v", "error", "-hide_banner"].iter().chain(wanted).map(ToString::to_string).collect();
    argv.extend(input_argv(demuxer, url));
    argv
}

#[cfg(test)]
pub(crate) mod tests_support {
    //! Facts made by hand for the tests of other modules.
    use super::*;
    use crate::time::Rational;

    /// Ten seconds of progressive H.264 at 25 pictures per second in milliseconds, a keyframe every two seconds.
    pub(crate) fn video(width: u32, height: u32) -> VideoFacts {
        let unknown = || "unknown".to_owned();
        VideoFacts {
            stream: 0,
            codec: "h264".to_owned(),
            profile: "High".to_owned(),
            width,
            height,
            sar: Rational { num: 1, den: 1 },
            rotation: 0,
            pix_fmt: "yuv420p".to_owned(),
            colour: Colour { full_range: false, primaries: unknown(), transfer: unknown(), matrix: unknown() },
            interlaced: false,
            rate: Rational { num: 25, den: 1 },
            time_base: Rational { num: 1, den: 1000 },
            pictures: PictureTimes((0..250).map(|i| i * 40).collect()),
            solid: PictureTimes((0..250).map(|i| i * 40).collect()),
            end_pts: 10_000,
            keyframes: (0..5).map(|i| Keyframe { pts: i * 2000, dts: i * 2000, clean: true }).collect(),
            cadence: Cadence::Source,
            from_start_only: false,
            look: Err(crate::copy::Obstacle::Unseen),
        }
    }

    /// A whole MP4 of that video alone.
    pub(crate) fn facts(video: VideoFacts) -> Facts {
        Facts {
            demuxer: Demuxer::Mov,
            size_bytes: 1_000_000,
            video: Some(video),
            audio: None,
            jumps: Vec::new(),
            truncated: false,
            window: None,
        }
    }
}
