//! Root keys over the Kms: make, open through a bounded cache, forget. Every other key of a video is derived from its root key.

mod sealed;

use crate::domain::ids::VideoId;
use crate::domain::{Error, Result};
use crate::kms::Kms;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

const CACHED_KEYS: usize = 256;
const CACHED_FOR: Duration = Duration::from_secs(60);

/// The one secret of a video. Erased from memory when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKey(Zeroizing<[u8; RootKey::SIZE_BYTES]>);

impl RootKey {
    /// How long a root key is.
    pub const SIZE_BYTES: usize = 32;

    /// A key from its bytes.
    pub fn new(bytes: [u8; Self::SIZE_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for deriving keys from them.
    pub fn expose(&self) -> &[u8; Self::SIZE_BYTES] {
        &self.0
    }

    fn random() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; Self::SIZE_BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut()).map_err(|e| Error::internal("could not draw a random key", e))?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(redacted)")
    }
}

/// Makes and opens root keys. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub struct Keys {
    kms: Kms,
    cache: Arc<Mutex<Cache>>,
}

impl Keys {
    /// Root keys wrapped by `kms`.
    pub fn new(kms: Kms) -> Self {
        Self { kms, cache: Arc::new(Mutex::new(Cache::new(CACHED_KEYS, CACHED_FOR))) }
    }

    /// A new root key for `video`, and its wrapped text for the video's row.
    pub async fn make(&self, video: &VideoId) -> Result<(RootKey, String)> {
        let key = RootKey::random()?;
        let wrapped = self.kms.wrap(&context(video), key.expose()).await?;
        Ok((key, wrapped))
    }

    /// The root key of `video` from its wrapped text. Remembered for a minute, so that a revoked key or an unreachable Kms is
    /// noticed soon without asking it for every segment.
    pub async fn open(&self, video: &VideoId, wrapped: &str) -> Result<RootKey> {
        if let Some(key) = self.cached().get(video, wrapped, Instant::now()) {
            return Ok(key);
        }
        let plain = self.kms.unwrap(&context(video), wrapped).await?;
        let bytes: [u8; RootKey::SIZE_BYTES] =
            plain.as_slice().try_into().map_err(|e| Error::internal("an unwrapped root key has a wrong length", Box::new(e)))?;
        let key = RootKey::new(bytes);
        self.cached().put(video, wrapped, key.clone(), Instant::now());
        Ok(key)
    }

    /// Forgets the key of `video`: call it when the wrapped text is deleted.
    pub fn forget(&self, video: &VideoId) {
        self.cached().entries.remove(video);
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, Cache> {
        // A cache stays usable whatever happened to a thread that held it.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("kms", &self.kms).finish_non_exhaustive()
    }
}

/// Binds a wrapped key to its place, `table|column|row|version`; logged in clear by real Kms, so never patient data.
fn context(video: &VideoId) -> String {
    format!("theatrum|root_keys|wrapped|{video}|1")
}

struct Cache {
    capacity: usize,
    lifetime: Duration,
    entries: HashMap<VideoId, Entry>,
}

struct Entry {
    wrapped: String,
    key: RootKey,
    opened: Instant,
}

impl Cache {
    fn new(capacity: usize, lifetime: Duration) -> Self {
        Self { capacity, lifetime, entries: HashMap::new() }
    }

    fn get(&mut self, video: &VideoId, wrapped: &str, now: Instant) -> Option<RootKey> {
        let entry = self.entries.get(video)?;
        if entry.wrapped != wrapped || now.duration_since(entry.opened) >= self.lifetime {
            self.entries.remove(video);
            return None;
        }
        Some(entry.key.clone())
    }

    fn put(&mut self, video: &VideoId, wrapped: &str, key: RootKey, now: Instant) {
        self.entries.retain(|_, entry| now.duration_since(entry.opened) < self.lifetime);
        if self.entries.len() >= self.capacity {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.opened).map(|(video, _)| video.clone());
            oldest.and_then(|video| self.entries.remove(&video));
        }
        self.entries.insert(video.clone(), Entry { wrapped: wrapped.to_owned(), key, opened: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::Keyring;

    fn keys() -> Keys {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keyring = Keyring::open_or_create(&folder.path().join("keyring.json")).expect("a keyring");
        Keys::new(Kms::Local(Arc::new(keyring)))
    }

    #[tokio::test]
    async fn a_wrapped_key_opens_for_its_own_video_only() {
        let (keys, video) = (keys(), VideoId::new());
        let (key, wrapped) = keys.make(&video).await.expect("a key");
        assert_eq!(keys.open(&video, &wrapped).await.expect("opens"), key);
        assert!(keys.open(&VideoId::new(), &wrapped).await.is_err());
    }

    #[tokio::test]
    async fn no_two_videos_share_a_key_and_none_is_printed() {
        let keys = keys();
        let (a, _) = keys.make(&VideoId::new()).await.expect("a key");
        let (b, _) = keys.make(&VideoId::new()).await.expect("a key");
        assert_ne!(a, b);
        assert_eq!(format!("{a:?}"), "RootKey(redacted)");
    }

    #[test]
    fn the_cache_is_bounded_in_count_and_time_and_by_the_wrapped_text() {
        let mut cache = Cache::new(2, Duration::from_secs(60));
        let start = Instant::now();
        let videos: Vec<_> = (0..3).map(|_| VideoId::new()).collect();
        for (second, video) in videos.iter().enumerate() {
            cache.put(video, "w", RootKey::new([second as u8; 32]), start + Duration::from_secs(second as u64));
        }
        let soon = start + Duration::from_secs(3);
        assert_eq!(cache.get(&videos[0], "w", soon), None, "the oldest made room");
        assert_eq!(cache.get(&videos[2], "w", soon), Some(RootKey::new([2; 32])));
        assert_eq!(cache.get(&videos[2], "rewrapped", soon), None);
        assert_eq!(cache.get(&videos[1], "w", start + Duration::from_secs(61)), None, "a minute has passed");
    }
}
