//! How far ffmpeg is locked away on this machine.

use super::Check;

/// The level the worker's sandbox reaches here: `namespace`, `container` or none.
pub(super) fn sandbox_level() -> Check {
    Check::warn("sandbox", "this build cannot tell its level", "start the server: it refuses to run without a sandbox")
}
