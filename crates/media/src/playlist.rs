//! HLS playlists as text (RFC 8216, rfc8216bis, Apple's authoring specification; see FACTS.md for who insists on what).

use crate::crypt::key_index;
use crate::time::{TICKS_PER_SECOND, ticks_to_seconds};
use std::fmt::Write;

/// Protocol version: 6 is the least that allows `EXT-X-MAP` in media playlists (RFC 8216 §7); rfc8216bis adds nothing we use.
const VERSION: u32 = 6;
const AUDIO_GROUP: &str = "audio";

/// A playlist that must not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaylistError {
    /// There is nothing to list.
    #[error("a playlist needs at least one entry")]
    Empty,
    /// A clear init section after a key would be taken for an encrypted one (RFC 8216 §4.3.2.4).
    #[error("an EXT-X-MAP may not follow an EXT-X-KEY: a clear init section must come first")]
    MapAfterKey,
    /// A URI or codec string that could break out of its quotes or line.
    #[error("{0:?} cannot stand in a playlist")]
    Unquotable(String),
}

/// One segment of a media playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the playlist.
    pub uri: String,
    /// Its duration in ticks of 1/90000 s.
    pub duration_ticks: u64,
}

/// A complete (VOD) media playlist whose segments are encrypted under rotating keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The clear init section, relative to the playlist.
    pub init_uri: String,
    /// Segments, the first having media sequence number 0.
    pub segments: Vec<Entry>,
    /// How many consecutive segments share a key.
    pub key_period: u64,
}

/// What was measured of one rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// The largest bit rate of any segment, bits per second.
    pub peak_bps: u64,
    /// All bits over all time, bits per second.
    pub average_bps: u64,
}

/// One video rendition in the master playlist.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Of its media playlist, relative to the master.
    pub uri: String,
    /// RFC 6381, as in its init section.
    pub codecs: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures per second.
    pub frame_rate: f64,
    /// Measured, without audio.
    pub bandwidth: Bandwidth,
}

/// The audio rendition in the master playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Of its media playlist, relative to the master.
    pub uri: String,
    /// RFC 6381.
    pub codecs: String,
    /// Measured.
    pub bandwidth: Bandwidth,
}

impl Bandwidth {
    /// Measures segments given as (bytes, ticks). Segments without duration are left out of the peak.
    pub fn measure(segments: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let rate = |bytes: u64, ticks: u64| (u128::from(bytes) * 8 * TICKS_PER_SECOND as u128).div_ceil(u128::from(ticks.max(1))) as u64;
        let (mut bytes, mut ticks, mut peak_bps) = (0, 0, 0);
        for (segment_bytes, segment_ticks) in segments {
            bytes += segment_bytes;
            ticks += segment_ticks;
            if segment_ticks > 0 {
                peak_bps = peak_bps.max(rate(segment_bytes, segment_ticks));
            }
        }
        Self { peak_bps, average_bps: rate(bytes, ticks) }
    }

    fn plus(self, other: Self) -> Self {
        Self { peak_bps: self.peak_bps + other.peak_bps, average_bps: self.average_bps + other.average_bps }
    }
}

impl Media {
    /// The playlist's text. The clear `EXT-X-MAP` stands before the first `EXT-X-KEY`; a key tag stands where its period begins, with the
    /// URI `keys/{index}` and no IV: the media sequence number is the IV.
    pub fn to_text(&self) -> Result<String, PlaylistError> {
        let longest = self.segments.iter().map(|segment| segment.duration_ticks).max().ok_or(PlaylistError::Empty)?;
        // Rounded as each EXTINF is for the comparison of RFC 8216 §4.3.3.1.
        let target = ticks_to_seconds(longest as i64).round().max(1.0);
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"{}\"\n",
            quotable(&self.init_uri)?
        );
        for (number, segment) in (0_u64..).zip(&self.segments) {
            if number % self.key_period.max(1) == 0 {
                line(&mut text, format_args!("#EXT-X-KEY:METHOD=AES-128,URI=\"keys/{}\"", key_index(number, self.key_period)));
            }
            line(&mut text, format_args!("#EXTINF:{:.5},\n{}", ticks_to_seconds(segment.duration_ticks as i64), quotable(&segment.uri)?));
        }
        text.push_str("#EXT-X-ENDLIST\n");
        refuse_map_after_key(&text)?;
        Ok(text)
    }
}

/// The master playlist's text: variants in the given order, all with the one audio group. Audio alone becomes a variant of its own.
pub fn master(variants: &[Variant], audio: Option<&Audio>) -> Result<String, PlaylistError> {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    match (variants, audio) {
        ([], None) => return Err(PlaylistError::Empty),
        ([], Some(audio)) => {
            let Audio { uri, codecs, bandwidth } = audio;
            line(&mut text, format_args!("#EXT-X-STREAM-INF:{},CODECS=\"{}\"\n{}", rates(*bandwidth), quotable(codecs)?, quotable(uri)?));
        }
        (variants, audio) => {
            if let Some(audio) = audio {
                line(&mut text, format_args!("{}", media_tag(audio)?));
            }
            for variant in variants {
                line(&mut text, format_args!("{}", stream_tag(variant, audio)?));
            }
        }
    }
    Ok(text)
}

fn media_tag(audio: &Audio) -> Result<String, PlaylistError> {
    let uri = quotable(&audio.uri)?;
    Ok(format!(
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO_GROUP}\",NAME=\"Original\",LANGUAGE=\"und\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"{uri}\""
    ))
}

fn stream_tag(variant: &Variant, audio: Option<&Audio>) -> Result<String, PlaylistError> {
    let bandwidth = audio.map_or(variant.bandwidth, |audio| variant.bandwidth.plus(audio.bandwidth));
    let codecs = audio.map_or_else(|| variant.codecs.clone(), |audio| format!("{},{}", variant.codecs, audio.codecs));
    let group = audio.map_or_else(String::new, |_| format!(",AUDIO=\"{AUDIO_GROUP}\""));
    Ok(format!(
        "#EXT-X-STREAM-INF:{},CODECS=\"{}\",RESOLUTION={}x{},FRAME-RATE={:.3}{group}\n{}",
        rates(bandwidth),
        quotable(&codecs)?,
        variant.width,
        variant.height,
        variant.frame_rate,
        quotable(&variant.uri)?
    ))
}

fn rates(bandwidth: Bandwidth) -> String {
    format!("BANDWIDTH={},AVERAGE-BANDWIDTH={}", bandwidth.peak_bps, bandwidth.average_bps)
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("a String takes every write");
}

fn quotable(text: &str) -> Result<&str, PlaylistError> {
    let fits = !text.is_empty() && !text.starts_with('#') && !text.chars().any(|c| c.is_control() || c == '"' || c == ' ');
    if fits { Ok(text) } else { Err(PlaylistError::Unquotable(text.to_owned())) }
}

/// ffmpeg takes a clear `EXT-X-MAP` behind an `EXT-X-KEY` for an encrypted one, and fails: such a text is never given out.
pub fn refuse_map_after_key(text: &str) -> Result<(), PlaylistError> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("#EXT-X-KEY:"));
    if lines.any(|line| line.starts_with("#EXT-X-MAP:")) { Err(PlaylistError::MapAfterKey) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(segments: usize) -> Media {
        let segment = |number| Entry { uri: format!("{number:06}-1.m4s"), duration_ticks: 540_000 };
        Media { init_uri: "init-1.mp4".into(), segments: (0..segments).map(segment).collect(), key_period: 10 }
    }

    fn variant() -> Variant {
        let bandwidth = Bandwidth { peak_bps: 900_000, average_bps: 700_000 };
        Variant { uri: "360p/playlist.m3u8".into(), codecs: "avc1.64001e".into(), width: 640, height: 360, frame_rate: 25.0, bandwidth }
    }

    fn audio() -> Audio {
        let bandwidth = Bandwidth { peak_bps: 130_000, average_bps: 128_000 };
        Audio { uri: "audio/playlist.m3u8".into(), codecs: "mp4a.40.2".into(), bandwidth }
    }

    #[test]
    fn keys_rotate_and_the_map_comes_first() {
        let text = media(21).to_text().expect("a playlist");
        let expected = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n\
            #EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init-1.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"keys/0\"\n#EXTINF:6.00000,\n000000-1.m4s\n";
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(text.matches("#EXT-X-KEY").count(), 3);
        assert!(text.ends_with("#EXT-X-KEY:METHOD=AES-128,URI=\"keys/2\"\n#EXTINF:6.00000,\n000020-1.m4s\n#EXT-X-ENDLIST\n"));
    }

    #[test]
    fn another_reader_understands_both_playlists() {
        let parsed = m3u8_rs::parse_media_playlist_res(media(11).to_text().expect("text").as_bytes()).expect("parses");
        assert_eq!(parsed.segments.len(), 11);
        assert!(parsed.end_list);
        assert_eq!(parsed.segments[0].map.as_ref().expect("map").uri, "init-1.mp4");
        assert_eq!(parsed.segments[10].key.as_ref().expect("key").uri.as_deref(), Some("keys/1"));
        let parsed = m3u8_rs::parse_master_playlist_res(master(&[variant()], Some(&audio())).expect("text").as_bytes()).expect("parses");
        assert_eq!(parsed.variants[0].bandwidth, 1_030_000);
        assert_eq!(parsed.variants[0].average_bandwidth, Some(828_000));
        assert_eq!(parsed.variants[0].codecs.as_deref(), Some("avc1.64001e,mp4a.40.2"));
        assert_eq!(parsed.variants[0].audio.as_deref(), Some("audio"));
        assert_eq!(parsed.alternatives[0].uri.as_deref(), Some("audio/playlist.m3u8"));
    }

    #[test]
    fn sound_alone_is_a_variant_and_nothing_at_all_is_refused() {
        let text = master(&[], Some(&audio())).expect("text");
        assert!(text.contains("#EXT-X-STREAM-INF:BANDWIDTH=130000,AVERAGE-BANDWIDTH=128000,CODECS=\"mp4a.40.2\"\naudio/playlist.m3u8\n"));
        assert_eq!(master(&[], None), Err(PlaylistError::Empty));
        assert_eq!(media(0).to_text(), Err(PlaylistError::Empty));
    }

    #[test]
    fn a_clear_map_behind_a_key_is_refused() {
        assert_eq!(refuse_map_after_key("#EXT-X-KEY:METHOD=AES-128\n#EXT-X-MAP:URI=\"x\"\n"), Err(PlaylistError::MapAfterKey));
        assert_eq!(refuse_map_after_key("#EXT-X-MAP:URI=\"x\"\n#EXT-X-KEY:METHOD=AES-128\n"), Ok(()));
    }

    #[test]
    fn nothing_breaks_out_of_its_line() {
        for uri in ["", "a\nb", "a\"b", "#EXT-X-ENDLIST", "a b"] {
            assert!(Media { init_uri: uri.into(), ..media(1) }.to_text().is_err(), "{uri:?}");
        }
    }

    #[test]
    fn bandwidth_is_the_peak_and_the_mean() {
        let bandwidth = Bandwidth::measure([(1_000, 90_000), (3_000, 90_000), (10, 0)]);
        assert_eq!(bandwidth, Bandwidth { peak_bps: 24_000, average_bps: 16_040 });
    }
}
