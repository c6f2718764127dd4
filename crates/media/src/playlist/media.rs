//! Media playlists: one rendition's segments and keys.

use super::{PlaylistError, PlaylistType, START, check_uri};
use crate::crypt::key_index;
use crate::time::{TICKS_PER_SECOND, ticks_to_seconds};

/// One line, or two, of a media playlist's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// EXT-X-MAP: the init segment's address.
    Map(String),
    /// EXT-X-KEY, AES-128 without an IV: the key's address.
    Key(String),
    /// EXTINF and the segment's address.
    Segment {
        /// Length in ticks.
        duration_ticks: i64,
        /// Address relative to the playlist.
        uri: String,
    },
}

/// A rendition, as its playlist shows it.
#[derive(Debug, Clone)]
pub struct MediaPlaylist<'a> {
    /// Address of the clear init segment, relative to the playlist: `init-1.mp4`.
    pub init_uri: &'a str,
    /// Length in ticks and address of each segment, the first being media sequence number 0.
    pub segments: &'a [(i64, String)],
    /// Segments that share a key; `None` for segments in the clear.
    pub key_period: Option<u32>,
    /// EXT-X-TARGETDURATION, the same in all renditions of a version: see [`target_duration_s`].
    pub target_duration_s: u64,
    /// Whether these segments are all of them.
    pub playlist_type: PlaylistType,
}

impl MediaPlaylist<'_> {
    /// The playlist's text. Keys are at `keys/{index}`, their IVs the media sequence numbers.
    pub fn write(&self) -> Result<String, PlaylistError> {
        let mut entries = vec![Entry::Map(self.init_uri.to_owned())];
        for ((duration_ticks, uri), number) in self.segments.iter().zip(0u32..) {
            if let Some(period) = self.key_period.filter(|period| number.is_multiple_of((*period).max(1))) {
                entries.push(Entry::Key(format!("keys/{}", key_index(number, period))));
            }
            entries.push(Entry::Segment { duration_ticks: *duration_ticks, uri: uri.clone() });
        }
        write_entries(&entries, self.target_duration_s, self.playlist_type)
    }
}

/// EXT-X-TARGETDURATION for segments of these lengths in ticks: the longest, rounded to whole seconds, at least 1.
pub fn target_duration_s(durations: impl IntoIterator<Item = i64>) -> u64 {
    let longest = durations.into_iter().max().unwrap_or(0);
    ((longest + TICKS_PER_SECOND / 2) / TICKS_PER_SECOND).max(1) as u64
}

/// How many segments a media playlist of ours lists.
pub fn segments_listed(text: &[u8]) -> usize {
    text.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"#EXTINF:")).count()
}

/// Writes a playlist of the given entries, or refuses what players are known to choke on.
pub fn write_entries(entries: &[Entry], target_duration_s: u64, playlist_type: PlaylistType) -> Result<String, PlaylistError> {
    let (word, start, end) = match playlist_type {
        PlaylistType::Event => ("EVENT", START, ""),
        PlaylistType::Vod => ("VOD", "", "#EXT-X-ENDLIST\n"),
    };
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:{target_duration_s}\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:{word}\n{start}#EXT-X-INDEPENDENT-SEGMENTS\n"
    );
    let (mut keyed, mut mapped, mut segments) = (false, false, 0);
    for entry in entries {
        match entry {
            Entry::Map(_) if keyed => return Err(PlaylistError::MapAfterKey),
            Entry::Map(uri) => {
                mapped = true;
                text += &format!("#EXT-X-MAP:URI=\"{}\"\n", check_uri(uri)?);
            }
            Entry::Key(uri) => {
                keyed = true;
                text += &format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{}\"\n", check_uri(uri)?);
            }
            Entry::Segment { duration_ticks, uri } => {
                segments += 1;
                text += &format!("#EXTINF:{:.6},\n{}\n", ticks_to_seconds(*duration_ticks), check_uri(uri)?);
            }
        }
    }
    if !mapped || segments == 0 {
        return Err(PlaylistError::NoMedia);
    }
    Ok(text + end)
}
