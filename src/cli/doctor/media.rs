//! ffmpeg and ffprobe: there, new enough, and able to read and write what the house needs.

use super::Check;
use crate::config::Processing;
use crate::worker::ffmpeg::{Description, Tools};
use std::time::Duration;

/// The oldest major version whose timestamps and filters the worker was tried with.
const OLDEST_MAJOR: u32 = 5;

const INSTALL: &str = "install it: apt install ffmpeg (Debian, Ubuntu), dnf install ffmpeg (Fedora with RPM Fusion)";
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Finds both programs of the settings and asks ffmpeg what it can do.
pub(super) async fn examine(processing: &Processing) -> Vec<Check> {
    let tools = match Tools::find(Some(&processing.ffmpeg), Some(&processing.ffprobe)) {
        Ok(tools) => tools,
        Err(error) => return vec![Check::fail("ffmpeg", error.message(), INSTALL)],
    };
    let mut checks = match tokio::time::timeout(ANSWER_LIMIT, tools.describe()).await {
        Ok(Ok(description)) => able(&description),
        Ok(Err(error)) => vec![Check::fail("ffmpeg", error.message(), INSTALL)],
        Err(_) => {
            vec![Check::fail("ffmpeg", format!("{} does not answer", tools.ffmpeg.display()), "install it again, or name another one")]
        }
    };
    checks.push(Check::ok("ffprobe", tools.ffprobe.display().to_string()));
    checks
}

fn able(description: &Description) -> Vec<Check> {
    let mend = "install an ffmpeg built with them; Debian's and Ubuntu's are";
    let codecs = if !description.missing.is_empty() {
        Check::fail("codecs", format!("this ffmpeg lacks {}", description.missing.join(", ")), mend)
    } else if !description.unreadable.is_empty() {
        let found = format!("this ffmpeg lacks {}", description.unreadable.join(", "));
        Check::warn("codecs", found, format!("sources in these formats will be refused; {mend}"))
    } else {
        Check::ok("codecs", "all that sources come in, and all that renditions are made with")
    };
    vec![version(&description.version), codecs]
}

fn version(number: &str) -> Check {
    match major(number) {
        Some(major) if major < OLDEST_MAJOR => {
            Check::fail("ffmpeg", format!("version {number} is too old"), format!("install version {OLDEST_MAJOR} or newer"))
        }
        Some(_) => Check::ok("ffmpeg", format!("version {number}")),
        None => Check::warn("ffmpeg", format!("version {number} is no release"), "use a release if videos come out wrong"),
    }
}

/// `5` of `5.1.9-0+deb12u1` and of `n5.1`; none for builds named by a commit.
fn major(version: &str) -> Option<u32> {
    let digits = version.strip_prefix('n').unwrap_or(version);
    let (major, _) = digits.split_once(['.', '-'])?;
    major.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use crate::config::{self, Overrides};
    use std::path::Path;

    #[test]
    fn versions_of_releases_and_builds() {
        for (text, expected) in
            [("5.1.9-0+deb12u1", Some(5)), ("n7.1", Some(7)), ("10.0", Some(10)), ("N-109-gabc", None), ("git-2026-01-01", None)]
        {
            assert_eq!(major(text), expected, "{text}");
        }
        assert_eq!(version("4.4.2").status, Status::Fail);
        assert_eq!(version("git-2026-01-01").status, Status::Warn);
    }

    #[test]
    fn a_missing_codec_is_named() {
        let lacking = |missing: &[&str], unreadable: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let description = Description { version: "5.1".to_owned(), missing: owned(missing), unreadable: owned(unreadable) };
            able(&description).remove(1)
        };
        let check = lacking(&["encoder aac"], &["decoder vp9"]);
        assert_eq!((check.status, check.found.as_str()), (Status::Fail, "this ffmpeg lacks encoder aac"));
        let check = lacking(&[], &["decoder vp9"]);
        assert_eq!((check.status, check.found.as_str()), (Status::Warn, "this ffmpeg lacks decoder vp9"));
        assert_eq!(lacking(&[], &[]).status, Status::Ok);
    }

    #[tokio::test]
    async fn the_ffmpeg_of_the_settings_is_examined() {
        let with = |path: &str| {
            let variables = [("THEATRUM_PROCESSING__FFMPEG".to_owned(), path.to_owned())];
            config::load(Path::new("/nonexistent"), None, variables, Overrides::default()).expect("valid settings").processing
        };
        let there: Vec<_> = examine(&with("ffmpeg")).await.iter().map(|check| check.status).collect();
        assert_eq!(there, [Status::Ok; 3]);
        let checks = examine(&with("/nonexistent/ffmpeg")).await;
        assert_eq!(checks[0].status, Status::Fail);
        assert!(checks[0].found.contains("/nonexistent/ffmpeg"), "{}", checks[0].found);
    }
}
