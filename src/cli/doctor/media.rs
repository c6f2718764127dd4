//! ffmpeg and ffprobe: there, new enough, and able to read and write what the house needs.

use super::Check;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The oldest major version whose timestamps and filters the worker was tried with.
const OLDEST_MAJOR: u32 = 5;

const ENCODERS: [&str; 2] = ["libx264", "aac"];
const DECODERS: [&str; 8] = ["h264", "hevc", "vp8", "vp9", "mpeg2video", "mpeg4", "aac", "mp3"];
const WELCOME_DECODERS: [&[&str]; 2] = [&["libdav1d", "av1", "libaom-av1"], &["opus", "libopus"]];

const INSTALL: &str = "install it: apt install ffmpeg (Debian, Ubuntu), dnf install ffmpeg (Fedora with RPM Fusion)";
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Runs both programs and reads what they say of themselves.
pub(super) async fn examine() -> Vec<Check> {
    let (ffmpeg, ffprobe) = tokio::join!(said("ffmpeg", "-version"), said("ffprobe", "-version"));
    let mut checks = vec![version("ffmpeg", ffmpeg.as_deref()), version("ffprobe", ffprobe.as_deref())];
    if ffmpeg.is_ok() {
        let (encoders, decoders) = tokio::join!(said("ffmpeg", "-encoders"), said("ffmpeg", "-decoders"));
        checks.push(lacking("encoders", &ENCODERS, &listed(&encoders.unwrap_or_default())));
        checks.push(decoding(&listed(&decoders.unwrap_or_default())));
    }
    checks
}

async fn said(program: &str, argument: &str) -> Result<String, String> {
    let running = Command::new(program).args(["-hide_banner", argument]).stdin(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(ANSWER_LIMIT, running).await {
        Ok(Ok(output)) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(Ok(output)) => Err(format!("{program} {argument} ended with {}", output.status)),
        Ok(Err(error)) => Err(format!("{program} cannot be run: {error}")),
        Err(_) => Err(format!("{program} {argument} did not end within {} s", ANSWER_LIMIT.as_secs())),
    }
}

fn version(name: &'static str, said: Result<&str, &String>) -> Check {
    let text = match said {
        Ok(text) => text,
        Err(why) => return Check::fail(name, why.as_str(), INSTALL),
    };
    let number = text.split_whitespace().nth(2).unwrap_or_default();
    match major(number) {
        Some(major) if major < OLDEST_MAJOR => {
            Check::fail(name, format!("version {number} is too old"), format!("install version {OLDEST_MAJOR} or newer"))
        }
        Some(_) => Check::ok(name, format!("version {number}")),
        None => Check::warn(name, format!("version {number} is no release"), "use a release if videos come out wrong"),
    }
}

/// `5` of `5.1.9-0+deb12u1` and of `n5.1`; none for builds named by a commit.
fn major(version: &str) -> Option<u32> {
    let digits = version.strip_prefix('n').unwrap_or(version);
    let (major, _) = digits.split_once(['.', '-'])?;
    major.parse().ok()
}

/// The names in the second column of `ffmpeg -encoders` and the like.
fn listed(text: &str) -> BTreeSet<&str> {
    let rows = text.lines().skip_while(|line| !line.trim().starts_with("---"));
    rows.filter_map(|line| line.split_whitespace().nth(1)).collect()
}

fn lacking(name: &'static str, needed: &[&str], there: &BTreeSet<&str>) -> Check {
    let missing: Vec<_> = needed.iter().filter(|codec| !there.contains(*codec)).copied().collect();
    if missing.is_empty() {
        return Check::ok(name, needed.join(", "));
    }
    let mend = "install an ffmpeg built with them; Debian's and Ubuntu's are";
    Check::fail(name, format!("this ffmpeg lacks {}", missing.join(", ")), mend)
}

fn decoding(there: &BTreeSet<&str>) -> Check {
    let check = lacking("decoders", &DECODERS, there);
    let missing: Vec<_> = WELCOME_DECODERS.iter().filter(|any| !any.iter().any(|codec| there.contains(codec))).map(|any| any[0]).collect();
    if check.mend.is_some() || missing.is_empty() {
        return check;
    }
    let found = format!("this ffmpeg lacks {}", missing.join(", "));
    Check::warn("decoders", found, "sources in these formats will be refused; install an ffmpeg built with them if you have any")
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn versions_of_releases_and_builds() {
        for (text, expected) in
            [("5.1.9-0+deb12u1", Some(5)), ("n7.1", Some(7)), ("10.0", Some(10)), ("N-109-gabc", None), ("git-2026-01-01", None)]
        {
            assert_eq!(major(text), expected, "{text}");
        }
        assert_eq!(version("ffmpeg", Ok("ffmpeg version 4.4.2 Copyright")).status, Status::Fail);
        assert_eq!(version("ffmpeg", Err(&"no".to_owned())).status, Status::Fail);
    }

    #[test]
    fn a_missing_codec_is_named() {
        let text = "Encoders:\n V..... = Video\n A..... = Audio\n ------\n V....D libx264   H.264\n A....D opus    Opus\n";
        assert_eq!(listed(text), BTreeSet::from(["libx264", "opus"]));
        let check = lacking("encoders", &ENCODERS, &listed(text));
        assert_eq!((check.status, check.found.as_str()), (Status::Fail, "this ffmpeg lacks aac"));
    }
}
