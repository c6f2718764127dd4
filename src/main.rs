//! Theatrum: parse, load, run.

use clap::Parser;
use std::process::ExitCode;
use theatrum::cli::{self, Cli};

fn main() -> ExitCode {
    // The sandbox's helper is this very program: `theatrum::worker::sandbox::enter_if_asked()` belongs here, before any thread exists.
    cli::run(Cli::parse())
}
