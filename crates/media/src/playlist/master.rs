//! Master playlists: the renditions to choose from, with rates as measured.

use super::{PlaylistError, PlaylistType, START, check_uri};
use crate::time::{Rational, ticks_to_seconds};

/// The one audio group.
const GROUP: &str = "audio";

/// Bits per second of a rendition's segments as stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Highest over any run of segments lasting between half and one and a half target durations (RFC 8216 §4.1).
    pub peak_bps: u64,
    /// Over all segments.
    pub average_bps: u64,
}

impl Rates {
    /// Measures segments of (size in bytes, length in ticks).
    pub fn of(segments: &[(u64, i64)], target_duration_s: u64) -> Self {
        let average_bps = bits_per_second(segments);
        let target = target_duration_s as f64;
        let mut peak_bps = average_bps;
        for start in 0..segments.len() {
            let mut length = 0.0;
            for end in start..segments.len() {
                length += ticks_to_seconds(segments[end].1);
                if length > target * 1.5 {
                    break;
                }
                if length >= target * 0.5 {
                    peak_bps = peak_bps.max(bits_per_second(&segments[start..=end]));
                }
            }
        }
        Self { peak_bps, average_bps }
    }
}

fn bits_per_second(segments: &[(u64, i64)]) -> u64 {
    let bits: u64 = segments.iter().map(|(bytes, _)| bytes * 8).sum();
    let seconds = ticks_to_seconds(segments.iter().map(|(_, ticks)| ticks).sum::<i64>().max(1));
    (bits as f64 / seconds).ceil() as u64
}

/// One picture rendition.
#[derive(Debug, Clone)]
pub struct VideoEntry<'a> {
    /// Address of its playlist, relative to the master: `720p/playlist.m3u8`.
    pub uri: &'a str,
    /// Its own rates, sound not counted.
    pub rates: Rates,
    /// RFC 6381 codec from its init segment.
    pub codec: &'a str,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Mean pictures per second.
    pub rate: Rational,
}

/// The sound.
#[derive(Debug, Clone)]
pub struct AudioEntry<'a> {
    /// Address of its playlist, relative to the master.
    pub uri: &'a str,
    /// Its rates.
    pub rates: Rates,
    /// RFC 6381 codec.
    pub codec: &'a str,
}

/// The master playlist of a version: picture with sound, picture alone, or sound alone. Takes the picture renditions lowest first.
pub fn master(video: &[VideoEntry<'_>], audio: Option<&AudioEntry<'_>>, playlist_type: PlaylistType) -> Result<String, PlaylistError> {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
    if playlist_type == PlaylistType::Event {
        text += START;
    }
    match audio {
        None if video.is_empty() => return Err(PlaylistError::NoMedia),
        Some(audio) if video.is_empty() => text += &sound_alone(audio)?,
        Some(audio) => text += &sound_group(audio)?,
        None => {}
    }
    for entry in video {
        text += &variant(entry, audio)?;
    }
    Ok(text)
}

fn sound_alone(audio: &AudioEntry<'_>) -> Result<String, PlaylistError> {
    let Rates { peak_bps, average_bps } = audio.rates;
    let attributes = format!("BANDWIDTH={peak_bps},AVERAGE-BANDWIDTH={average_bps},CODECS=\"{}\"", audio.codec);
    Ok(format!("#EXT-X-STREAM-INF:{attributes}\n{}\n", check_uri(audio.uri)?))
}

fn sound_group(audio: &AudioEntry<'_>) -> Result<String, PlaylistError> {
    let uri = check_uri(audio.uri)?;
    // "und": what is spoken is not known, and the specification wants a LANGUAGE all the same.
    let about = format!("TYPE=AUDIO,GROUP-ID=\"{GROUP}\",NAME=\"Audio\",LANGUAGE=\"und\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"");
    Ok(format!("#EXT-X-MEDIA:{about},URI=\"{uri}\"\n"))
}

fn variant(entry: &VideoEntry<'_>, audio: Option<&AudioEntry<'_>>) -> Result<String, PlaylistError> {
    let sound = audio.map(|audio| audio.rates).unwrap_or_default();
    let (peak, average) = (entry.rates.peak_bps + sound.peak_bps, entry.rates.average_bps + sound.average_bps);
    let codecs = audio.map_or(entry.codec.to_owned(), |audio| format!("{},{}", entry.codec, audio.codec));
    let group = audio.map_or(String::new(), |_| format!(",AUDIO=\"{GROUP}\""));
    let VideoEntry { width, height, rate, .. } = entry;
    let shown = format!("RESOLUTION={width}x{height},FRAME-RATE={:.3}", rate.as_f64().max(0.001));
    let attributes = format!("BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS=\"{codecs}\",{shown}{group}");
    Ok(format!("#EXT-X-STREAM-INF:{attributes}\n{}\n", check_uri(entry.uri)?))
}
