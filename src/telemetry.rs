//! Logging: lines for people or JSON for machines, on standard error. No token, key or signature ever reaches it.

use crate::config::Log;
use crate::domain::{Error, Result};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Modules that would log secrets at debug level: s3s prints the signatures it expects.
const HUSHED: [&str; 2] = ["s3s=warn", "sqlx=warn"];

/// Starts logging for the process; a second call, or a filter that cannot be read, is an error.
pub fn start(log: &Log) -> Result<()> {
    let wrong = |error| {
        Error::invalid("wrong-setting", format!("setting log.filter is {:?}: write e.g. info or theatrum=debug", log.filter))
            .with_source(error)
    };
    let mut filter = EnvFilter::try_new(&log.filter).map_err(wrong)?;
    for directive in HUSHED {
        filter = filter.add_directive(
            directive
                .parse()
                .map_err(|error: tracing_subscriber::filter::ParseError| Error::internal("a fixed log directive is malformed", error))?,
        );
    }
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let outcome = if log.json { builder.json().try_init() } else { builder.try_init() };
    outcome.map_err(|error| Error::internal("logging was started twice", error))
}
