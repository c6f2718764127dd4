//! How far ffmpeg is locked away on this machine.

use super::Check;
use crate::config::{self, Processing};
use crate::worker::ffmpeg::Tools;
use crate::worker::sandbox::{Level, Sandbox, Setting};

const NAME: &str = "sandbox";
/// Landlock's first version that also keeps files from being truncated (Linux 6.2).
const TRUNCATE_ABI: u32 = 3;

/// The level the worker's sandbox reaches here: ffmpeg is run in it once, as the server does when it starts.
pub(super) async fn examine(processing: &Processing) -> Check {
    let tools = match Tools::find(Some(&processing.ffmpeg), Some(&processing.ffprobe)) {
        Ok(tools) => tools,
        Err(error) => return Check::fail(NAME, "not tried: there is no ffmpeg to run in it", error.message()),
    };
    let setting = match processing.sandbox {
        config::Sandbox::Namespace => Setting::Auto,
        config::Sandbox::Off => Setting::Off,
    };
    match Sandbox::detect(setting, tools).await {
        Ok(sandbox) => reached(sandbox.level(), sandbox.landlock_abi()),
        Err(error) => {
            let mend = "allow unprivileged user namespaces and Landlock, or trust every uploader and set processing.sandbox = \"off\"";
            Check::fail(NAME, error.message(), mend)
        }
    }
}

fn reached(level: Level, landlock_abi: u32) -> Check {
    let found = format!("level {level}, landlock {landlock_abi}");
    if level == Level::Off {
        let mend = "fine where every uploader is trusted; else set processing.sandbox = \"namespace\"";
        return Check::warn(NAME, found, mend);
    }
    if landlock_abi < TRUNCATE_ABI {
        return Check::warn(NAME, found, "a kernel from 6.2 on confines ffmpeg's files more strictly");
    }
    Check::ok(NAME, found)
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn the_level_is_named() {
        let check = reached(Level::Namespace, 6);
        assert_eq!((check.status, check.found.as_str()), (Status::Ok, "level namespace, landlock 6"));
        assert_eq!(reached(Level::Namespace, 1).status, Status::Warn);
        assert_eq!(reached(Level::Off, 6).status, Status::Warn);
    }
}
