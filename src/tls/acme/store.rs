//! What outlives the process: the account's key, and the newest certificate with its key, each in a file for its owner only.

use super::super::file;
use super::super::pair::Pair;
use crate::domain::{Error, Result};
use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// An account and the server it is known to.
#[derive(Serialize, Deserialize)]
pub(super) struct Credentials {
    pub(super) directory: String,
    pub(super) credentials: AccountCredentials,
}

/// Before the certificate, in a line of its own: who gave it. PEM lets text stand outside its blocks (RFC 7468 §2).
const DIRECTORY: &str = "ACME directory: ";

/// A folder of two files.
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The account at the server of `directory`, if there is one.
    pub(super) fn credentials(&self, directory: &str) -> Result<Option<AccountCredentials>> {
        let path = self.account_file();
        let Some(text) = read(&path)? else { return Ok(None) };
        let kept: Credentials = serde_json::from_slice(&text).map_err(|error| {
            let message = format!("the ACME account {} cannot be read: restore it, or remove it to get a new one", path.display());
            Error::invalid("acme-account", message).with_source(error)
        })?;
        Ok((kept.directory == directory).then_some(kept.credentials))
    }

    pub(super) fn keep_credentials(&self, credentials: &Credentials) -> Result<()> {
        let text = serde_json::to_vec_pretty(credentials).map_err(|error| Error::internal("could not write an ACME account", error))?;
        file::write(&self.account_file(), &text)
    }

    /// The server does not know the account any more: the next order makes another.
    pub(super) fn forget_credentials(&self) {
        if let Err(error) = fs::remove_file(self.account_file()) {
            tracing::warn!(%error, "could not remove an ACME account that the server does not know");
        }
    }

    /// The newest certificate, if there is one.
    pub(super) fn pair(&self) -> Result<Option<Pair>> {
        let path = self.pair_file();
        read(&path)?.map(|text| Pair::parse(&text, &path)).transpose()
    }

    /// Whether the newest certificate is of the server of `directory`. One that does not say is of another.
    pub(super) fn is_of(&self, directory: &str) -> bool {
        let text = read(&self.pair_file()).ok().flatten().unwrap_or_default();
        let said = text.split(|byte| *byte == b'\n').next().and_then(|line| line.strip_prefix(DIRECTORY.as_bytes()));
        said == Some(directory.as_bytes())
    }

    /// Reads a key and its chain, one PEM text.
    pub(super) fn parse(&self, text: &[u8]) -> Result<Pair> {
        Pair::parse(text, &self.pair_file())
    }

    /// Keeps what [`Self::parse`] has read, and that it is of the server of `directory`.
    pub(super) fn keep(&self, text: &str, directory: &str) -> Result<()> {
        file::write(&self.pair_file(), format!("{DIRECTORY}{directory}\n{text}").as_bytes())
    }

    fn account_file(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    /// One file, so that a certificate never lies beside the key of another.
    fn pair_file(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }
}

fn read(path: &PathBuf) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let message = format!("cannot read {} ({error}): give it to the user that Theatrum runs as", path.display());
            Err(Error::invalid("data-folder", message).with_source(error))
        }
    }
}
