//! How many files this process may hold open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes all the descriptors that this process may have. Many systems start it with 1024, a thousandth of that.
pub fn allow_many() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        tracing::warn!(?current, "could not raise the limit of open files; many connections at once will have to wait");
    }
}
