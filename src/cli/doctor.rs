//! `theatrum doctor`: what this machine lacks, what that means, and how to mend it.

mod backup;
mod clock;
mod folder;
mod media;
mod network;
mod reconcile;
mod sandbox;
mod storage;
mod tls;
mod webhooks;

use super::client::Client;
use super::connection::{Connection, Environment};
use super::failure::Failure;
use super::text::Visible;
use super::{Exit, output};
use crate::config::{self, Config, Overrides};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Address that `serve` will listen on, if not that of the settings.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address that `serve` will receive uploads on, if not that of the settings.
    #[arg(long, value_name = "ADDR")]
    s3_listen: Option<SocketAddr>,
    /// Configuration file that `serve` will be given.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Compare the server's blobs with its catalog instead: what is nobody's, and what is missing. It only looks.
    #[arg(long)]
    reconcile: bool,
    /// Sweep what is nobody's.
    #[arg(long, requires = "reconcile")]
    apply: bool,
    /// Print {"ok":…,"checks":[{"name","status","found","mend"}…]}, or what was found by --reconcile.
    #[arg(long)]
    json: bool,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// Theatrum works, but not as well as it could.
    Warn,
    /// Theatrum does not work.
    Fail,
}

/// One examined thing.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    name: &'static str,
    status: Status,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Check {
    /// `name` is as it should be.
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), mend: None }
    }

    /// `name` could be better; `mend` says how.
    pub(super) fn warn(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, found: found.into(), mend: Some(mend.into()) }
    }

    /// `name` keeps Theatrum from working; `mend` says what to do.
    pub(super) fn fail(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, found: found.into(), mend: Some(mend.into()) }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Check>,
}

/// Examines this machine and the server the environment names; fails if any check does.
pub(super) async fn run(flag: Option<PathBuf>, args: DoctorArgs) -> Result<Exit, Failure> {
    let environment = Environment::of_process();
    if args.reconcile {
        return reconcile::run(&Client::new(Connection::resolve(flag, &environment)?), args.apply, args.json).await;
    }
    let data = environment.data_folder(flag.clone())?;
    let connection = Connection::resolve(flag, &environment);
    let overrides = Overrides { listen: args.listen.map(text), s3_listen: args.s3_listen.map(text), ..Overrides::default() };
    let variables = config::variables_of_process();
    let mut checks = match variables.and_then(|variables| config::load(&data, args.config.as_deref(), variables, overrides)) {
        Ok(config) => examine_host(&config, &data).await,
        Err(error) => vec![Check::fail("settings", error.message(), "correct it in the settings file or the environment; then ask again")],
    };
    checks.extend(folder::examine(&data));
    checks.push(clock::examine_year());
    checks.extend(network::examine_server(connection).await);
    let ok = checks.iter().all(|check| check.status != Status::Fail);
    if args.json {
        output::json(&Report { ok, checks })?;
    } else {
        output::line(&for_people(&checks))?;
    }
    Ok(if ok { Exit::Done } else { Exit::Failed })
}

fn text(address: SocketAddr) -> String {
    address.to_string()
}

/// What `serve` would need of this machine with these settings.
async fn examine_host(config: &Config, data: &Path) -> Vec<Check> {
    let mut checks = media::examine(&config.processing).await;
    checks.push(sandbox::examine(&config.processing).await);
    checks.extend(backup::examine(&config.backup, data));
    let addresses: Vec<SocketAddr> =
        [config.server.listen, config.server.s3_listen].into_iter().chain(config.tls.redirect_listen).collect();
    let ports = network::examine(data, &addresses).await;
    let is_running = ports.is_running;
    checks.extend(ports.checks);
    checks.extend(tls::examine(config, data, is_running).await);
    checks
}

fn for_people(checks: &[Check]) -> String {
    let mut shown = String::new();
    for Check { name, status, found, mend } in checks {
        let word = match status {
            Status::Ok => "ok  ",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        // Writing to a String cannot fail.
        let _written = writeln!(shown, "{word}  {name:<12} {}", Visible(found));
        for line in mend.iter().flat_map(|mend| mend.lines()) {
            let _written = writeln!(shown, "{:19}→ {}", "", Visible(line));
        }
    }
    let count = |wanted| checks.iter().filter(|check| check.status == wanted).count();
    let (failed, warned) = (count(Status::Fail), count(Status::Warn));
    let verdict = match (failed, warned) {
        (0, 0) => "all is well".to_owned(),
        (0, warned) => format!("Theatrum can run; warnings: {warned}"),
        (failed, _) => format!("Theatrum cannot run like this; failures: {failed}"),
    };
    shown + &verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_says_what_it_means_and_how_to_mend_it() {
        let checks = [
            Check::ok("ffmpeg", "version 5.1.9"),
            Check::warn("disk", "5.00 GiB free", "make room"),
            Check::fail("keyring", "keyring.json can be read by others", "chmod 600 keyring.json"),
        ];
        insta::assert_snapshot!(for_people(&checks), @r"
        ok    ffmpeg       version 5.1.9
        warn  disk         5.00 GiB free
                           → make room
        FAIL  keyring      keyring.json can be read by others
                           → chmod 600 keyring.json
        Theatrum cannot run like this; failures: 1
        ");
    }

    #[test]
    fn json_names_the_status_in_lowercase() {
        let text = serde_json::to_string(&Check::warn("disk", "small", "grow")).expect("serializable");
        assert_eq!(text, r#"{"name":"disk","status":"warn","found":"small","mend":"grow"}"#);
    }
}
