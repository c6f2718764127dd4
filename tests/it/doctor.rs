//! `theatrum doctor`: it judges what `serve` would be given, and says how to mend it.

use crate::support::server::Server;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

/// The report, and the exit code.
fn report(command: &mut Command) -> (Value, Option<i32>) {
    let output = command.output().expect("the command line runs");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (report, output.status.code())
}

/// The status, finding and mend of a check.
fn check<'a>(report: &'a Value, name: &str) -> (&'a str, &'a str, &'a str) {
    let found = report["checks"].as_array().expect("checks").iter().find(|check| check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no check {name}: {report}"));
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    (text("status"), text("found"), text("mend"))
}

/// Tier: `make test`. A machine that runs all these tests is fit, and so is the folder of a server. How much room there is, is its own affair.
#[test]
fn a_running_server_is_well() {
    let server = Server::start();
    let (report, code) = report(&mut server.command(&["doctor", "--json"]));
    let checks = report["checks"].as_array().expect("checks");
    let failed: Vec<&Value> = checks.iter().filter(|check| check["status"] == "fail").collect();
    assert!(failed.iter().all(|check| check["name"] == "disk"), "{failed:?}");
    assert_eq!((&report["ok"], code), (&failed.is_empty().into(), Some(i32::from(!failed.is_empty()))), "{report}");
    assert!(check(&report, "ports").1.contains("answers"), "{report}");
    let text = String::from_utf8(server.cli(&["doctor"]).stdout).expect("text");
    let shown = text.lines().filter(|line| ["ok ", "warn ", "FAIL "].iter().any(|status| line.starts_with(status))).count();
    assert_eq!(shown, checks.len(), "{text}");
}

/// Tier: `make test`. The settings file that `serve --config` gets is the one that is judged; so are the variables, whatever is in them.
#[test]
fn the_settings_of_serve_are_judged() {
    let server = Server::start();
    let file = server.scratch().join("other.toml");
    fs::write(&file, "[processing]\nffmpeg = \"/nonexistent/ffmpeg\"\n").expect("a file");
    let (of_file, code) = report(server.command(&["doctor", "--json", "--config"]).arg(&file));
    assert_eq!((check(&of_file, "ffmpeg").0, code), ("fail", Some(1)), "{of_file}");
    let garbled = OsStr::from_bytes(b"\xff");
    let (of_variable, code) = report(server.command(&["doctor", "--json"]).env("THEATRUM_LOG__FILTER", garbled));
    let (status, found, _) = check(&of_variable, "settings");
    assert_eq!((status, code), ("fail", Some(1)), "{of_variable}");
    assert!(found.contains("THEATRUM_LOG__FILTER"), "{found}");
    let (of_others, code) = report(server.command(&["doctor", "--json"]).env("UNKNOWN_TO_US", garbled));
    assert_ne!(check(&of_others, "ffmpeg").0, "fail", "{code:?}: {of_others}");
}
