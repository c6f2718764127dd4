//! Waiting for a condition, but not for ever.

use super::server::Server;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(60);

/// Waits until `look` finds something, for a minute at most; `what` says what for.
pub async fn wait_for<T>(server: &Server, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < SOON, "waited in vain until {what}:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await; // tidy: polling
    }
}

/// As [`wait_for`], where nothing else is to go on meanwhile.
pub fn wait_until(server: &Server, what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < SOON, "waited in vain until {what}:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(20)); // tidy: polling
    }
}
