//! `cargo run -p xtask -- tidy`: the house rules that no compiler knows. The same check is a test of this crate.

mod tidy;

use anyhow::bail;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => {
            let complaints = tidy::check(&tidy::repository())?;
            for complaint in &complaints {
                println!("{complaint}");
            }
            Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ => bail!("usage: cargo run -p xtask -- tidy"),
    }
}
