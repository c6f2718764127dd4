//! Files that are there whole or not at all.

use crate::domain::{Error, Result};
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use tempfile::NamedTempFile;

/// Writes a file for its owner only (0600), durably and in one step, making its folder (0700) if absent.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = (|| {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    })();
    written.map_err(|error: io::Error| {
        let message = format!("cannot write {}: {error}; check that its folder is yours and has space", path.display());
        Error::invalid("data-folder", message).with_source(error)
    })
}
