//! ffprobe's account of the streams, and the choice among them. Nothing in it is believed that packets can prove.

use super::refusal::{Code, Refusal};
use serde::Deserialize;

/// What ffprobe is asked to print: no tags, so that a title never leaves the sandbox.
pub(super) const ENTRIES: &str = "stream=index,codec_type,codec_name,profile,width,height,sample_aspect_ratio,pix_fmt,color_range,\
color_space,color_transfer,color_primaries,field_order,avg_frame_rate,time_base,nb_frames,channels,sample_rate\
:stream_disposition=attached_pic,timed_thumbnails:stream_side_data=rotation";

/// ffprobe's JSON, as far as it is used.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct StreamReport {
    /// The streams in ffmpeg's numbering.
    #[serde(default)]
    pub streams: Vec<Stream>,
}

/// One stream as ffprobe describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Stream {
    /// ffmpeg's number for it.
    pub index: u32,
    /// `video`, `audio`, `subtitle`, `data`.
    pub codec_type: Option<String>,
    /// ffmpeg's codec name; absent or `unknown` when this ffmpeg does not know it.
    pub codec_name: Option<String>,
    /// Codec profile in ffmpeg's words.
    pub profile: Option<Scalar>,
    /// Coded picture width in pixels.
    pub width: u32,
    /// Coded picture height in pixels.
    pub height: u32,
    /// Sample aspect ratio as `4:3`.
    pub sample_aspect_ratio: Option<String>,
    /// Pixel format.
    pub pix_fmt: Option<String>,
    /// `pc` for full range.
    pub color_range: Option<String>,
    /// Colour matrix.
    pub color_space: Option<String>,
    /// Transfer function.
    pub color_transfer: Option<String>,
    /// Primaries.
    pub color_primaries: Option<String>,
    /// `progressive`, `tt`, `bb`, `tb`, `bt`.
    pub field_order: Option<String>,
    /// Claimed mean rate.
    pub avg_frame_rate: Option<String>,
    /// Seconds per unit of its timestamps.
    pub time_base: Option<String>,
    /// Number of packets its index promises.
    pub nb_frames: Option<String>,
    /// Audio channels.
    pub channels: u32,
    /// Samples per second.
    pub sample_rate: Option<String>,
    /// What the container says it is for.
    pub disposition: Disposition,
    /// Side data; only the rotation is asked for.
    pub side_data_list: Vec<SideData>,
}

/// ffprobe prints unknown profiles as numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A name.
    Text(String),
    /// A number.
    Number(i64),
}

/// Container flags of a stream.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Disposition {
    /// A cover picture.
    pub attached_pic: u8,
    /// Chapter thumbnails.
    pub timed_thumbnails: u8,
}

/// One side data entry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SideData {
    /// Degrees, anticlockwise as ffprobe counts.
    pub rotation: Option<f64>,
}

/// The streams whose packets are worth reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The first real video stream.
    pub video: Option<u32>,
    /// All decodable audio streams; the first that has packets is taken.
    pub audio: Vec<u32>,
}

impl Stream {
    /// Whether this ffmpeg knows the codec.
    pub fn is_known(&self) -> bool {
        self.codec_name.as_deref().is_some_and(|name| !matches!(name, "unknown" | "none"))
    }

    /// Whether it is of the given `codec_type`.
    pub fn is(&self, kind: &str) -> bool {
        self.codec_type.as_deref() == Some(kind)
    }

    /// A moving picture as far as the container says: neither a cover nor thumbnails.
    pub fn is_real_video(&self) -> bool {
        self.is("video") && self.disposition.attached_pic == 0 && self.disposition.timed_thumbnails == 0
    }

    /// Whether the codec is one of still pictures, which cameras also use for film.
    pub fn is_image_codec(&self) -> bool {
        let images = ["png", "mjpeg", "bmp", "tiff", "gif", "webp", "jpeg2000", "jpegls", "ppm", "svg", "psd", "targa", "exr"];
        self.codec_name.as_deref().is_some_and(|name| images.contains(&name))
    }

    /// Packets the index promises, where there is one.
    pub fn promised_packets(&self) -> Option<u64> {
        self.nb_frames.as_deref()?.parse().ok().filter(|&count| count > 0)
    }
}

impl StreamReport {
    /// Takes ffprobe's stdout. An unreadable report means a container ffprobe could make nothing of.
    pub fn parse(json: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(json).map_err(|_| Code::BrokenContainer.into())
    }

    /// The stream of ffmpeg's number `index`.
    pub fn stream(&self, index: u32) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.index == index)
    }

    /// Chooses the streams to read, or refuses: nothing to see or hear, too many, or nothing this ffmpeg decodes.
    pub fn choose(&self) -> Result<Chosen, Refusal> {
        if self.streams.len() > super::MAX_STREAMS as usize {
            return Err(Code::TooManyTracks.into());
        }
        let video = self.streams.iter().find(|stream| stream.is_real_video());
        let audio: Vec<_> = self.streams.iter().filter(|stream| stream.is("audio")).collect();
        if video.is_none() && audio.is_empty() {
            let cover = self.streams.iter().any(|stream| stream.is("video"));
            return Err(if cover { Code::StillImage } else { Code::NoStreams }.into());
        }
        let known: Vec<u32> = audio.iter().filter(|stream| stream.is_known()).map(|stream| stream.index).collect();
        let unknown_video = video.is_some_and(|stream| !stream.is_known());
        if unknown_video || (video.is_none() && known.is_empty()) {
            return Err(Code::UnsupportedCodec.into());
        }
        Ok(Chosen { video: video.map(|stream| stream.index), audio: known })
    }
}
