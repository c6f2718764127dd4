//! `theatrum serve`: all roles in one process.

use super::failure::Failure;
use super::{Exit, ServeArgs};
use std::path::PathBuf;

/// Runs the server on `data` until it is told to stop.
pub(super) async fn run(_data: Option<PathBuf>, _args: ServeArgs) -> Result<Exit, Failure> {
    Err(Failure::new("not-built", "this build holds no server"))
}
