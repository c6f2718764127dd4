//! House rules as an ordinary test: sizes, names, words, the direction of imports, and a test for every invariant.
//!
//! Each rule reads a [`Source`] and returns [`Finding`]s. `xtask/tidy-exceptions.txt` may forgive some; it only shrinks.

mod direction;
mod exceptions;
mod invariants;
mod names;
mod size;
mod source;
mod words;

use anyhow::{Context, Result};
use source::Source;
use std::fmt;
use std::path::{Path, PathBuf};

/// The file that lists what is forgiven for now.
const EXCEPTIONS: &str = "xtask/tidy-exceptions.txt";

/// One place where a rule does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the repository, with forward slashes.
    path: String,
    /// The rule's name, as the exception list spells it.
    rule: &'static str,
    /// The line, from 1; 0 where the whole file is meant.
    line: usize,
    /// How much: lines for a limit on lines, 1 for a thing that should not be there.
    amount: usize,
    /// What is wrong and what to do about it.
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, rule, line, message, .. } = self;
        if *line == 0 { write!(f, "{path}: {message} [{rule}]") } else { write!(f, "{path}:{line}: {message} [{rule}]") }
    }
}

/// The repository this xtask was built from.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository").to_owned()
}

/// Checks the repository at `root`: one line for each thing to mend, nothing when it is tidy.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let sources = source::load(root)?;
    let mut findings: Vec<Finding> = sources.iter().flat_map(check_source).collect();
    findings.extend(direction::unplaced(&sources));
    findings.extend(size::web(root)?);
    let listed = std::fs::read_to_string(root.join(EXCEPTIONS)).with_context(|| format!("cannot read {EXCEPTIONS}"))?;
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md")).context("cannot read ARCHITECTURE.md")?;
    let mut complaints = exceptions::apply(findings, &exceptions::parse(&listed)?);
    complaints.extend(invariants::check(&architecture, &sources, invariants::COVERED));
    Ok(complaints)
}

fn check_source(source: &Source) -> Vec<Finding> {
    let mut findings = names::check(source);
    findings.extend(size::check(source));
    findings.extend(words::check(source));
    findings.extend(direction::check(source));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let complaints = check(&repository()).unwrap();
        assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
    }
}
