//! The doorbell: wakes workers and streams. It never holds truth: whoever is woken reads the catalog, and whoever misses a ring
//! looks again by itself (invariant 1).

use crate::domain::ids::VideoId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast};

const REMEMBERED_CHANGES: usize = 1024;

/// Rings within one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Doorbell {
    work: Arc<Notify>,
    upkeep: Arc<Notify>,
    events: Arc<Notify>,
    verify: Arc<Notify>,
    changes: broadcast::Sender<VideoId>,
}

impl Default for Doorbell {
    fn default() -> Self {
        let changes = broadcast::Sender::new(REMEMBERED_CHANGES);
        Self { work: Arc::default(), upkeep: Arc::default(), events: Arc::default(), verify: Arc::default(), changes }
    }
}

impl Doorbell {
    /// Says that there may be work for every idle slot.
    pub fn ring_work(&self) {
        self.work.notify_waiters();
        // One permit stays for a slot that is between its last look and its wait.
        self.work.notify_one();
    }

    /// Returns on a ring, or after `longest`.
    pub async fn wait_work(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.work.notified()).await;
    }

    /// Says that there may be something to sweep up.
    pub fn ring_upkeep(&self) {
        self.upkeep.notify_one();
    }

    /// Returns on a ring, or after `longest`.
    pub async fn wait_upkeep(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.upkeep.notified()).await;
    }

    /// Says that there may be something to tell the endpoints of webhooks.
    pub fn ring_events(&self) {
        self.events.notify_one();
    }

    /// Returns on a ring, or after `longest`.
    pub async fn wait_events(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.events.notified()).await;
    }

    /// Says that there may be blobs to verify.
    pub fn ring_verify(&self) {
        self.verify.notify_waiters();
        self.verify.notify_one();
    }

    /// Returns on a ring, or after `longest`.
    pub async fn wait_verify(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.verify.notified()).await;
    }

    /// Says that a video's row, or what is derived from it, has changed.
    pub fn video_changed(&self, video: &VideoId) {
        // An error only means that nobody listens.
        let _ = self.changes.send(video.clone());
        self.ring_events();
    }

    /// Hears of changes from now on; a slow listener learns that it missed some.
    pub fn changes(&self) -> broadcast::Receiver<VideoId> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_before_the_wait_is_not_lost() {
        let doorbell = Doorbell::default();
        doorbell.ring_work();
        let before = tokio::time::Instant::now();
        doorbell.wait_work(Duration::from_secs(60)).await;
        assert!(before.elapsed() < Duration::from_secs(30));
    }

    /// invariant 1: losing every ring delays work, loses none: a wait ends by itself.
    #[tokio::test]
    async fn a_wait_ends_without_a_ring() {
        Doorbell::default().wait_work(Duration::from_millis(1)).await;
    }
}
