//! HLS texts (RFC 8216, Apple's authoring specification): written here, read back by another library in the tests.

mod master;
mod media;

pub use master::{AudioEntry, Rates, VideoEntry, master};
pub use media::{Entry, MediaPlaylist, segments_listed, target_duration_s, write_entries};

/// How far a version is (RFC 8216 §4.3.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaylistType {
    /// More segments are coming, at the end alone. Playing begins at the beginning all the same (§4.3.5.2), not where it grows.
    Event,
    /// All of it is there.
    Vod,
}

/// In the playlists of a version that is growing, media and master, and in no other: players would begin near the end of what is there.
const START: &str = "#EXT-X-START:TIME-OFFSET=0,PRECISE=YES\n";

/// Whether a playlist of ours, media or master, is one of a version that is growing.
pub fn is_growing(text: &[u8]) -> bool {
    let tag = START.trim_end().as_bytes();
    text.split(|&byte| byte == b'\n').take_while(|line| line.starts_with(b"#")).any(|line| line == tag)
}

/// Why a playlist was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaylistError {
    /// A KEY applies to all MAPs after it: a clear init segment behind a key is undecodable for ffmpeg and others.
    #[error("a clear init segment may not follow a key: put the map before the first key")]
    MapAfterKey,
    /// Segments before any MAP, or none at all.
    #[error("a media playlist needs an init segment and at least one segment")]
    NoMedia,
    /// A URI that could break out of its line or its quotes.
    #[error("playlist address `{0}` holds a character that is not allowed there")]
    BadUri(String),
}

/// Addresses are our own and plain; whatever is not is refused rather than quoted.
fn check_uri(uri: &str) -> Result<&str, PlaylistError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !uri.is_empty() && uri.bytes().all(plain) { Ok(uri) } else { Err(PlaylistError::BadUri(uri.to_owned())) }
}
