//! Theatrum: parse, load, run.

use clap::Parser;
use std::process::ExitCode;
use theatrum::cli::{self, Cli};
use theatrum::worker::sandbox;

fn main() -> ExitCode {
    // The sandbox's helper is this very program; it must begin before any thread exists.
    sandbox::enter_if_asked();
    cli::run(Cli::parse())
}
