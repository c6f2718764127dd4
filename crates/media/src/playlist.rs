//! HLS texts (RFC 8216, Apple's authoring specification): written here, read back by another library in the tests.

mod master;
mod media;

pub use master::{AudioEntry, Rates, VideoEntry, master};
pub use media::{Entry, MediaPlaylist, target_duration_s, write_entries};

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
