//! `cargo run -p xtask -- tidy [ROOT]`: the house rules that no compiler knows. The same check is a test of this crate.

mod tidy;

use anyhow::bail;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => {
            let root = std::env::args().nth(2).map_or_else(tidy::repository, PathBuf::from);
            let complaints = tidy::check(&root)?;
            for complaint in &complaints {
                println!("{complaint}");
            }
            Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ => bail!("usage: cargo run -p xtask -- tidy [ROOT]"),
    }
}
