//! How fast blobs may be read: those who watch come first.

use std::time::Duration;
use tokio::time::Instant;

/// Spreads what is read over time.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_s: u64,
    due: Instant,
}

impl Pace {
    /// At most so many bytes in a second; 0 for no limit.
    pub fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s, due: Instant::now() }
    }

    /// Returns once `bytes`, which have just been read, may have been. Idle time is not saved up.
    pub async fn take(&mut self, bytes: u64) {
        if self.bytes_per_s == 0 || bytes == 0 {
            return;
        }
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_s);
        self.due = self.due.max(Instant::now()) + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        tokio::time::sleep_until(self.due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hundred_bytes_take_a_tenth_of_a_second_at_a_thousand_a_second() {
        let (begun, mut pace) = (Instant::now(), Pace::new(1_000));
        for _ in 0..10 {
            pace.take(10).await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(100));
        // Without a limit nothing is waited for, or this would never end.
        Pace::new(0).take(u64::MAX).await;
    }
}
