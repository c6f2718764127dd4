//! The two ways out of a command: results on standard output, everything else on standard error.

use super::failure::Failure;
use serde::Serialize;
use std::io::{ErrorKind, Write};

/// Writes `text` and a line end to standard output. A reader that has gone away (`| head`) is no failure: it has what it wanted.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new("stdout", format!("could not write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes `value` as one line of JSON to standard output.
pub(super) fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::new("json", format!("could not write JSON: {error}")))?;
    line(&text)
}

/// Tells the person at the terminal something; nobody listening is no failure.
pub(super) fn note(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _nobody_listens = writeln!(stderr, "{text}");
}
