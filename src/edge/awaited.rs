//! Playlists that are announced and not there yet: the master playlist of a version that grows names renditions of which no segment is made.

use super::State;
use crate::blobs::{Key, Meta};
use crate::domain::{Error, ErrorKind, Result};
use std::time::Duration;
use theatrum_media::playlist::is_growing;
use tokio::time::Instant;

/// How long a player waits for an answer without giving up.
const PATIENCE: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(200);

/// As [`super::Origin::head`]; a playlist that is announced is waited for, because players take 404 as the last word. `Unavailable` when it does not
/// come.
pub(super) async fn head(edge: &State, key: &Key) -> Result<Meta> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match edge.origin.head(key).await {
            Err(error) if error.kind() == ErrorKind::NotFound && is_announced(edge, key).await => {
                if Instant::now() >= deadline {
                    return Err(Error::unavailable("this quality is not there yet: ask again in a moment", error));
                }
                tokio::time::sleep(POLL).await; // tidy: polling
            }
            answer => return answer,
        }
    }
}

async fn is_announced(edge: &State, key: &Key) -> bool {
    let Key::MediaPlaylist { video, version, rendition } = key else { return false };
    let master = Key::MasterPlaylist { video: video.clone(), version: version.clone() };
    let Ok(master) = edge.origin.read(&master).await else { return false };
    let uri = format!("{rendition}/playlist.m3u8");
    let names = |line: &[u8]| line == uri.as_bytes() || line.ends_with(format!(",URI=\"{uri}\"").as_bytes());
    is_growing(&master) && master.split(|&byte| byte == b'\n').any(names)
}
