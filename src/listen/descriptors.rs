//! How many files this process may hold open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than all listeners grant together.
const ENOUGH: u64 = 65_536;

/// Takes as many descriptors as this process may have and could use. Many systems start it with 1024.
pub fn allow_many() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    let is_enough = current.is_none_or(|current| current >= wanted);
    if !is_enough && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_err() {
        tracing::warn!(?current, "could not raise the limit of open files; many connections at once will have to wait");
    }
}
