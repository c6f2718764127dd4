//! Named places where a test can kill the process as `kill -9` would. Compiled into debug builds and the feature `failpoints` only.
//!
//! `THEATRUM_FAILPOINT=NAME` kills at the first visit of NAME, `NAME:3` at the third.

/// Dies here when the environment asks for it.
#[cfg(any(debug_assertions, feature = "failpoints"))]
pub fn hit(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    static ARMED: OnceLock<Option<(String, AtomicU32)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let setting = std::env::var("THEATRUM_FAILPOINT").ok()?;
        let (name, visits) = setting.split_once(':').unwrap_or((&setting, "1"));
        Some((name.to_owned(), AtomicU32::new(visits.parse().ok()?)))
    });
    let Some((armed, visits)) = armed else { return };
    if armed == name && visits.fetch_sub(1, Ordering::Relaxed) == 1 {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing in release builds.
#[cfg(not(any(debug_assertions, feature = "failpoints")))]
pub fn hit(_name: &str) {}
