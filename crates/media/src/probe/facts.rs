//! The conclusions: which streams, what they are, when they show, how much is there.

use super::coverage::is_truncated;
use super::jumps::{self, Jump};
use super::pictures::{Analysis, Cadence, Keyframe, PictureTimes, analyse, steady};
use super::refusal::{Code, Refusal};
use super::scan::Packets;
use super::sniff::{Container, Demuxer};
use super::streams::{Scalar, Stream, StreamReport};
use super::window::Window;
use super::{MAX_DURATION_S, MAX_LONG_SIDE, MAX_RATE, MAX_SHORT_SIDE, MIN_SIDE};
use crate::copy::{Look, Obstacle};
use crate::time::{Rational, TICKS_PER_SECOND};
use serde::{Deserialize, Serialize};

/// How long one picture may stay at the end, or sound go without one at the start, before pictures are repeated instead.
const MAX_TAIL_TICKS: i64 = 20 * TICKS_PER_SECOND;

/// Everything later steps need to know of a source; goes into the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The demuxer to force.
    pub demuxer: Demuxer,
    /// Size of the source in bytes.
    pub size_bytes: u64,
    /// The picture, if any.
    pub video: Option<VideoFacts>,
    /// The sound, if any.
    pub audio: Option<AudioFacts>,
    /// Where the source's clock jumps; all times here are without, as if it went on.
    #[serde(default)]
    pub jumps: Vec<Jump>,
    /// Less than all, at least half of it is there.
    pub truncated: bool,
    /// What of it is shown; absent: all.
    #[serde(default)]
    pub window: Option<Window>,
}

/// The chosen video stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoFacts {
    /// ffmpeg's number of the stream.
    pub stream: u32,
    /// ffmpeg's codec name.
    pub codec: String,
    /// Codec profile in ffmpeg's words, empty if unknown.
    pub profile: String,
    /// Coded width in pixels.
    pub width: u32,
    /// Coded height in pixels.
    pub height: u32,
    /// Sample aspect ratio, 1:1 if unknown.
    pub sar: Rational,
    /// Degrees clockwise the picture must be turned for showing: 0, 90, 180 or 270.
    pub rotation: u16,
    /// ffmpeg's pixel format.
    pub pix_fmt: String,
    /// What its numbers mean as colours.
    pub colour: Colour,
    /// Two fields per picture.
    pub interlaced: bool,
    /// Measured mean pictures per second.
    pub rate: Rational,
    /// Seconds per unit of the times below.
    pub time_base: Rational,
    /// When pictures are expected: packets read, hidden ones left out. In the order of the file where they are only counted.
    pub pictures: PictureTimes,
    /// Those of them whose packets are large enough to hold a picture: some codecs repeat the last one by a packet of next to nothing.
    pub solid: PictureTimes,
    /// End of the last picture.
    pub end_pts: i64,
    /// Where decoding may begin, by presentation time.
    pub keyframes: Vec<Keyframe>,
    /// Whether source times are kept.
    pub cadence: Cadence,
    /// No place but the very start decodes right.
    pub from_start_only: bool,
    /// What its NAL units say, of H.264 that may be copied.
    pub look: Result<Look, Obstacle>,
}

/// Colour description in ffmpeg's words; `unknown` where the source says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Colour {
    /// Full range (0–255) rather than limited.
    pub full_range: bool,
    /// Primaries.
    pub primaries: String,
    /// Transfer function.
    pub transfer: String,
    /// Matrix.
    pub matrix: String,
}

/// The chosen audio stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioFacts {
    /// ffmpeg's number of the stream.
    pub stream: u32,
    /// ffmpeg's codec name.
    pub codec: String,
    /// Channels in the source.
    pub channels: u32,
    /// Samples per second in the source.
    pub sample_rate: u32,
    /// Seconds per unit of the times below.
    pub time_base: Rational,
    /// Time of the first packet.
    pub start_pts: i64,
    /// End of the last packet.
    pub end_pts: i64,
}

impl Facts {
    /// Concludes from what [`super::sniff`], ffprobe's streams and its packets say, or refuses.
    pub fn new(container: Container, size_bytes: u64, report: &StreamReport, mut packets: Packets) -> Result<Self, Refusal> {
        let chosen = report.choose()?;
        let mut audio = chosen.audio.iter().find_map(|&index| audio_facts(report.stream(index)?, &packets));
        let stream = chosen.video.and_then(|index| report.stream(index)).filter(|stream| {
            // A one-picture image beside sound is a cover, whatever the container calls it.
            !(audio.is_some() && stream.is_image_codec() && packets.video.len() <= 1)
        });
        if let Some(stream) = stream {
            check_picture(stream, &packets)?;
        }
        let truncated = truncated(container, size_bytes, report, stream, audio.as_ref(), &mut packets)?;
        let jumps = match (stream, &mut audio) {
            (Some(stream), Some(audio)) if container.demuxer == Demuxer::MpegTs => take_jumps_out(stream, audio, &mut packets)?,
            _ => Vec::new(),
        };
        let mut video = stream.map(|stream| video_facts(stream, &packets)).transpose()?;
        let is_counted = video.as_ref().is_some_and(|video| matches!(video.cadence, Cadence::Counted { .. }));
        if let (true, Some(audio)) = (is_counted, &mut audio) {
            number(audio, &packets);
        }
        if let Some(video) = &mut video {
            fill_tail(video, audio.as_ref());
        }
        let facts = Self { demuxer: container.demuxer, size_bytes, video, audio, jumps, truncated, window: None };
        facts.check_length(&packets)?;
        Ok(facts)
    }

    /// The zero of the common timeline: the earlier of first picture and first sound, in ticks of the source's own clock; the beginning of
    /// what is shown of a trimmed one.
    pub fn origin_ticks(&self) -> i64 {
        if let Some(window) = self.window {
            return window.start_ticks;
        }
        let video = self.video.as_ref().and_then(VideoFacts::start_ticks);
        let audio = self.audio.as_ref().map(|audio| audio.time_base.ticks(audio.start_pts));
        video.into_iter().chain(audio).min().unwrap_or(0)
    }

    /// The end of picture and sound, in ticks of the source's own clock; the end of what is shown of a trimmed one.
    pub fn end_ticks(&self) -> i64 {
        if let Some(window) = self.window {
            return window.end_ticks;
        }
        let video = self.video.as_ref().map(VideoFacts::end_ticks);
        let audio = self.audio.as_ref().map(|audio| audio.time_base.ticks(audio.end_pts));
        video.into_iter().chain(audio).max().unwrap_or(0)
    }

    fn check_length(&self, packets: &Packets) -> Result<(), Refusal> {
        let length = self.end_ticks().saturating_sub(self.origin_ticks());
        if packets.too_many || length > MAX_DURATION_S * TICKS_PER_SECOND {
            return Err(Code::TooLong.into());
        }
        let Some(video) = &self.video else { return Ok(()) };
        let span_s = (video.end_ticks() - video.start_ticks().unwrap_or(0)) / TICKS_PER_SECOND;
        if video.pictures.0.len() as i64 > (span_s + 1).saturating_mul(MAX_RATE) {
            return Err(Code::FrameRateTooHigh.into());
        }
        Ok(())
    }
}

impl VideoFacts {
    /// Time of the first picture in ticks of the source's own clock.
    pub fn start_ticks(&self) -> Option<i64> {
        self.pictures.0.first().map(|&pts| self.time_base.ticks(pts))
    }

    /// End of the last picture in ticks of the source's own clock. Numbered pictures last as long as their number says.
    pub fn end_ticks(&self) -> i64 {
        match self.cadence {
            Cadence::Counted { rate } => self.start_ticks().unwrap_or(0) + rate.inverse().ticks(self.pictures.0.len() as i64),
            _ => self.time_base.ticks(self.end_pts),
        }
    }
}

/// Finds where the clock jumps and makes it go on, for both. Only a transport stream's clock may be set anew.
fn take_jumps_out(stream: &Stream, audio: &mut AudioFacts, packets: &mut Packets) -> Result<Vec<Jump>, Refusal> {
    let base = stream.time_base.as_deref().and_then(Rational::parse).ok_or(Code::BrokenContainer)?;
    let Some(span) = packets.audio.get(&audio.stream) else { return Ok(Vec::new()) };
    let jumps = jumps::find(&packets.video, base, span, audio.time_base);
    jumps::take_out(&jumps, &mut packets.video, base);
    for pts in [&mut audio.start_pts, &mut audio.end_pts] {
        *pts = Rational::TICK.rescale(jumps::without_jumps(&jumps, audio.time_base.ticks(*pts)), audio.time_base);
    }
    Ok(jumps)
}

/// Sound whose samples are numbered from the first one in the file.
fn number(audio: &mut AudioFacts, packets: &Packets) {
    if let Some(span) = packets.audio.get(&audio.stream) {
        audio.start_pts = span.first_pts;
        audio.end_pts = span.first_pts.saturating_add(span.length);
    }
}

fn check_picture(stream: &Stream, packets: &Packets) -> Result<(), Refusal> {
    let (long, short) = (stream.width.max(stream.height), stream.width.min(stream.height));
    let bytes: u64 = packets.video.iter().map(|packet| packet.size_bytes).sum();
    match () {
        () if stream.is_image_codec() && packets.video.len() == 1 => Err(Code::StillImage.into()),
        () if packets.video.is_empty() || bytes < 8 => Err(Code::NoMediaData.into()),
        () if short == 0 => Err(Code::UnsupportedCodec.into()),
        () if short < MIN_SIDE => Err(Code::PictureTooSmall.into()),
        () if long > MAX_LONG_SIDE || short > MAX_SHORT_SIDE => Err(Code::PictureTooLarge.into()),
        () => Ok(()),
    }
}

fn truncated(
    container: Container,
    size_bytes: u64,
    report: &StreamReport,
    video: Option<&Stream>,
    audio: Option<&AudioFacts>,
    packets: &mut Packets,
) -> Result<bool, Refusal> {
    if let Some(stream) = video {
        let promised = stream.promised_packets();
        if packets.cut_short && promised.is_some_and(|count| count > packets.video.len() as u64) {
            packets.video.pop(); // the last one is a stump
        }
        return is_truncated(container, size_bytes, packets, promised, packets.video.len() as u64);
    }
    let Some(audio) = audio else { return Err(Code::NoMediaData.into()) };
    let found = packets.audio.get(&audio.stream).map_or(0, |span| span.packets);
    let promised = report.stream(audio.stream).and_then(Stream::promised_packets);
    is_truncated(container, size_bytes, packets, promised, found)
}

fn audio_facts(stream: &Stream, packets: &Packets) -> Option<AudioFacts> {
    let span = packets.audio.get(&stream.index)?;
    Some(AudioFacts {
        stream: stream.index,
        codec: stream.codec_name.clone().unwrap_or_default(),
        channels: stream.channels,
        sample_rate: stream.sample_rate.as_deref().and_then(|rate| rate.parse().ok()).unwrap_or(0),
        time_base: stream.time_base.as_deref().and_then(Rational::parse)?,
        start_pts: span.start_pts,
        end_pts: span.end_pts,
    })
}

fn video_facts(stream: &Stream, packets: &Packets) -> Result<VideoFacts, Refusal> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let codec = stream.codec_name.clone().unwrap_or_default();
    let time_base = stream.time_base.as_deref().and_then(Rational::parse).ok_or(Code::BrokenContainer)?;
    let claimed = stream.avg_frame_rate.as_deref().and_then(Rational::parse);
    let Analysis { times, solid, end_pts, keyframes, cadence, rate } =
        analyse(&packets.video, time_base, &codec, claimed).ok_or(Code::NoMediaData)?;
    let profile = match &stream.profile {
        Some(Scalar::Text(profile)) => profile.clone(),
        _ => String::new(),
    };
    // ffmpeg decodes x264's 4:4:4 right only when it has seen the encoder's version, which stands in the first sample alone.
    let from_start_only = matches!(cadence, Cadence::Counted { .. }) || (codec == "h264" && profile.contains("4:4:4"));
    Ok(VideoFacts {
        stream: stream.index,
        profile,
        width: stream.width,
        height: stream.height,
        sar: stream.sample_aspect_ratio.as_deref().and_then(Rational::parse).unwrap_or(Rational { num: 1, den: 1 }),
        rotation: rotation(stream),
        colour: Colour {
            full_range: stream.color_range.as_deref() == Some("pc"),
            primaries: text(&stream.color_primaries),
            transfer: text(&stream.color_transfer),
            matrix: text(&stream.color_space),
        },
        pix_fmt: text(&stream.pix_fmt),
        interlaced: matches!(stream.field_order.as_deref(), Some("tt" | "bb" | "tb" | "bt")),
        rate,
        time_base,
        pictures: PictureTimes(times),
        solid: PictureTimes(solid),
        end_pts,
        keyframes,
        cadence,
        from_start_only,
        look: Err(Obstacle::Unseen),
        codec,
    })
}

/// ffprobe counts anticlockwise; viewers turn clockwise.
fn rotation(stream: &Stream) -> u16 {
    let degrees = stream.side_data_list.iter().find_map(|side| side.rotation).unwrap_or(0.0);
    let clockwise = (-degrees).rem_euclid(360.0);
    [90.0, 180.0, 270.0].iter().find(|&&turn| (clockwise - turn).abs() < 1.0).map_or(0, |&turn| turn as u16)
}

/// A last picture that stays for long, or sound that goes on long after or begins long before (a slide with a lecture on it), wants pictures
/// repeated.
fn fill_tail(video: &mut VideoFacts, audio: Option<&AudioFacts>) {
    let Some(&last) = video.pictures.0.last().filter(|_| video.cadence == Cadence::Source) else { return };
    let sound = audio.map(|audio| (audio.time_base.ticks(audio.start_pts), audio.time_base.ticks(audio.end_pts)));
    let (start, end) = (video.start_ticks().unwrap_or(0), video.end_ticks());
    let tail = sound.map_or(end, |(_, sound_end)| sound_end.max(end)) - video.time_base.ticks(last);
    let head = start - sound.map_or(start, |(sound_start, _)| sound_start);
    if tail > MAX_TAIL_TICKS || head > MAX_TAIL_TICKS {
        let measured = if video.pictures.0.len() > 1 { video.rate } else { Rational { num: 2, den: 1 } };
        video.cadence = Cadence::Constant { rate: steady(measured, None) };
    }
}
