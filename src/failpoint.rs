//! Named places where a test can kill the process as `kill -9` would, stop it as `kill -STOP` would, or make it panic. Compiled into debug
//! builds and the feature `failpoints` only.
//!
//! `THEATRUM_FAILPOINT=NAME` kills at the first visit of NAME, `NAME:3` at the third, `NAME+40` forty milliseconds after the first.
//! `THEATRUM_PANICPOINT=NAME:3` panics at the first three. `THEATRUM_STOPPOINT=NAME:3` stops at the first three, each time until SIGCONT.

/// Dies, stops or panics here when the environment asks for it.
#[cfg(any(debug_assertions, feature = "failpoints"))]
pub fn hit(name: &str) {
    use std::sync::LazyLock;
    static KILLS: LazyLock<Option<Armed>> = LazyLock::new(|| Armed::by("THEATRUM_FAILPOINT"));
    static STOPS: LazyLock<Option<Armed>> = LazyLock::new(|| Armed::by("THEATRUM_STOPPOINT"));
    static PANICS: LazyLock<Option<Armed>> = LazyLock::new(|| Armed::by("THEATRUM_PANICPOINT"));
    if let Some(armed) = KILLS.as_ref()
        && armed.visit(name) == Some(1)
    {
        die_after(armed.delay);
    }
    if STOPS.as_ref().and_then(|armed| armed.visit(name)).is_some_and(|left| left > 0) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
    }
    if PANICS.as_ref().and_then(|armed| armed.visit(name)).is_some_and(|left| left > 0) {
        std::panic::panic_any(format!("failpoint {name}"));
    }
}

/// Kills the process: here, or from beside its work when that has gone on for a while.
#[cfg(any(debug_assertions, feature = "failpoints"))]
fn die_after(delay: std::time::Duration) {
    let die = || {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    };
    if delay.is_zero() {
        return die();
    }
    std::thread::spawn(move || {
        std::thread::sleep(delay);
        die();
    });
}

/// A named place, how many of its visits are left, and how long after the last of them.
#[cfg(any(debug_assertions, feature = "failpoints"))]
struct Armed {
    name: String,
    visits: std::sync::atomic::AtomicI32,
    delay: std::time::Duration,
}

#[cfg(any(debug_assertions, feature = "failpoints"))]
impl Armed {
    fn by(variable: &str) -> Option<Self> {
        let setting = std::env::var(variable).ok()?;
        let (place, delay_ms) = setting.split_once('+').unwrap_or((&setting, "0"));
        let (name, visits) = place.split_once(':').unwrap_or((place, "1"));
        let delay = std::time::Duration::from_millis(delay_ms.parse().ok()?);
        Some(Self { name: name.to_owned(), visits: visits.parse::<i32>().ok()?.into(), delay })
    }

    /// Counts a visit of `name`; gives how many were left with it, if it is this place.
    fn visit(&self, name: &str) -> Option<i32> {
        (self.name == name).then(|| self.visits.fetch_sub(1, std::sync::atomic::Ordering::Relaxed))
    }
}

/// Nothing in release builds.
#[cfg(not(any(debug_assertions, feature = "failpoints")))]
pub fn hit(_name: &str) {}
