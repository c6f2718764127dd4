//! Passphrases: from a file that only its owner can read, or from the terminal. Never from the command line or the environment, where
//! others could read them.

use super::failure::Failure;
use crate::backup::{Passphrase, SHORTEST};
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// A passphrase for a new seal: asked for twice at a terminal.
pub(super) fn new(file: Option<&Path>) -> Result<Passphrase, Failure> {
    let text = match file {
        Some(file) => read(file)?,
        None => {
            let first = ask(&format!("new passphrase (at least {SHORTEST} characters): "))?;
            if *first != *ask("the same again: ")? {
                return Err(Failure::new("passphrase-differs", "the two passphrases differ: try again"));
            }
            first
        }
    };
    Ok(Passphrase::new(text)?)
}

/// The passphrase of a seal that exists.
pub(super) fn given(file: Option<&Path>) -> Result<Passphrase, Failure> {
    let text = match file {
        Some(file) => read(file)?,
        None => ask("passphrase of the sealed keyring: ")?,
    };
    Ok(Passphrase::given(text))
}

fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let unusable = |error: std::io::Error| Failure::new("passphrase-file", format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(unusable)?;
    if file.metadata().map_err(unusable)?.permissions().mode() & 0o077 != 0 {
        let message = format!("others can read the passphrase in {0}; run: chmod 600 {0}", path.display());
        return Err(Failure::new("passphrase-exposed", message));
    }
    let mut line = Zeroizing::new(String::new());
    BufReader::new(file).read_line(&mut line).map_err(unusable)?;
    let text = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned());
    if text.is_empty() {
        return Err(Failure::new("passphrase-file", format!("{} holds no passphrase in its first line", path.display())));
    }
    Ok(text)
}

fn ask(question: &str) -> Result<Zeroizing<String>, Failure> {
    if !std::io::stdin().is_terminal() {
        let message = "a passphrase is needed and nobody can be asked: name a file that holds it by --passphrase-file";
        return Err(Failure::new("no-passphrase", message));
    }
    let answer = rpassword::prompt_password(question);
    answer.map(Zeroizing::new).map_err(|error| Failure::new("no-passphrase", format!("no passphrase could be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_only_if_nobody_else_can() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("passphrase");
        std::fs::write(&path, "five random words in a row\r\nmore\n").expect("written");
        for (mode, code) in [(0o644, Some("passphrase-exposed")), (0o600, None)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
            assert_eq!(read(&path).as_ref().err().map(Failure::code), code);
        }
        assert_eq!(read(&path).expect("read").as_str(), "five random words in a row");
        std::fs::write(&path, "\n").expect("written");
        assert_eq!(read(&path).expect_err("empty").code(), "passphrase-file");
        assert_eq!(read(&folder.path().join("none")).expect_err("absent").code(), "passphrase-file");
    }
}
