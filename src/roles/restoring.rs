//! A data folder that a backup is restored into: empty before, locked meanwhile, and no server's until it is done.

use super::folder::{Folder, Layout};
use crate::domain::{Error, Result};
use std::fs;
use std::io;
use std::path::Path;

/// What may lie in a folder that counts as empty: settings that the operator has put there, and what opening it makes.
const HARMLESS: &[&str] = &["theatrum.toml", "lock", "node.id", "lost+found"];

/// The right to restore into a folder.
#[derive(Debug)]
pub struct Restoring {
    folder: Folder,
}

impl Restoring {
    /// `Conflict` (`data-not-empty`) when anything lies in the folder that no unfinished restore has left.
    pub fn may_begin(data: &Path) -> Result<()> {
        let is_again = Layout::of(data).restoring().exists();
        if !is_again && let Some(found) = foreign(data)? {
            let message = format!("{} holds {found}: restore into an empty folder (--data), or move what is there away", data.display());
            return Err(Error::conflict("data-not-empty", message));
        }
        Ok(())
    }

    /// Takes the folder, making it if absent, if it [may](Self::may_begin).
    pub fn begin(data: &Path) -> Result<Self> {
        Self::may_begin(data)?;
        let folder = Folder::take(data)?;
        folder.mark_restoring()?;
        let catalog = folder.catalog();
        // Rows come back whole or not at all; of an earlier try only the blobs are of use.
        for left in [catalog.clone(), catalog.with_extension("db-wal"), catalog.with_extension("db-shm"), folder.keyring()] {
            match fs::remove_file(&left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot_look(&left, error)),
                _ => {}
            }
        }
        Ok(Self { folder })
    }

    /// Where things lie.
    pub fn layout(&self) -> &Layout {
        &self.folder
    }

    /// The folder is a server's again.
    pub fn finish(self) -> Result<()> {
        self.folder.restored()
    }
}

fn foreign(data: &Path) -> Result<Option<String>> {
    let entries = match fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(|error| cannot_look(data, error))?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let names = names.collect::<io::Result<Vec<_>>>().map_err(|error| cannot_look(data, error))?;
    Ok(names.into_iter().find(|name| !HARMLESS.contains(&name.as_str())))
}

fn cannot_look(path: &Path, error: io::Error) -> Error {
    Error::invalid("data-folder", format!("cannot use {}: check that it is yours", path.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_folder_is_restored_into_and_no_server_opens_it_before_the_end() {
        let parent = tempfile::tempdir().expect("a folder");
        let data = parent.path().join("data");
        fs::create_dir(&data).expect("made");
        fs::write(data.join("theatrum.toml"), "").expect("written");
        fs::write(data.join("catalog.db"), "precious").expect("written");
        assert_eq!(Restoring::begin(&data).expect_err("not empty").code(), "data-not-empty");
        assert_eq!(fs::read_to_string(data.join("catalog.db")).expect("there"), "precious");
        fs::remove_file(data.join("catalog.db")).expect("removed");
        drop(Restoring::begin(&data).expect("empty"));
        assert_eq!(Folder::open(&data).expect_err("unfinished").code(), "restore-unfinished");
        fs::write(data.join("catalog.db"), "half").expect("written");
        let again = Restoring::begin(&data).expect("goes on");
        assert!(!data.join("catalog.db").exists(), "rows come back whole");
        again.finish().expect("ends");
        drop(Folder::open(&data).expect("a server's again"));
    }
}
