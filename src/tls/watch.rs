//! A pair of files that others renew: read anew when they change, and on SIGHUP.

use super::certificates::Certificates;
use super::pair::Pair;
use crate::domain::{Error, Result};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Renewals come every few weeks; two seconds are soon enough, and cost two `stat` each.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The files of `tls.certificate` and `tls.key`.
#[derive(Clone, Debug)]
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// The certificate with its chain, and its private key; both PEM.
    pub fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self { certificate, key }
    }

    /// Reads them; `Invalid` as [`Pair::read`] says. One whose time is over is read with a warning: some clients take it all the same.
    pub fn read(&self) -> Result<Pair> {
        let pair = Pair::read(&self.certificate, &self.key)?;
        self.warn_of_age(&pair);
        Ok(pair)
    }

    /// Shows by `certificates` what the files hold, whenever they change, until `shutdown`. Files that do not make a pair change nothing: it
    /// is logged what is wrong with them.
    pub async fn watch(self, certificates: Arc<Certificates>, shutdown: CancellationToken) -> Result<()> {
        let mut hangup = signal(SignalKind::hangup()).map_err(|error| Error::internal("cannot wait for SIGHUP", error))?;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        // The first look reads them again: they may have changed since the start.
        let (mut loaded, mut seen) = (None, self.stamps());
        loop {
            let is_asked = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = hangup.recv() => true,
                _ = ticks.tick() => false,
            };
            let now = self.stamps();
            // Two files cannot change at once: when both have stood still for a while, they belong together.
            let has_settled = loaded.as_ref() != Some(&now) && now == seen;
            seen = now.clone();
            if is_asked || has_settled {
                loaded = Some(now);
                self.reload(&certificates);
            }
        }
    }

    fn reload(&self, certificates: &Certificates) {
        match Pair::read(&self.certificate, &self.key) {
            Ok(pair) if pair.chain() == certificates.current().chain() => {}
            Ok(pair) => {
                self.warn_of_age(&pair);
                tracing::info!(names = %pair.names().join(", "), "shows the new certificate");
                certificates.show(pair);
            }
            Err(error) => tracing::error!(cause = %error.message(), "the new certificate cannot be used; the one before stays"),
        }
    }

    fn warn_of_age(&self, pair: &Pair) {
        if pair.has_expired() {
            tracing::warn!(certificate = %self.certificate.display(), "the certificate has expired, and clients will refuse it: renew it");
        }
    }

    fn stamps(&self) -> [Option<Stamp>; 2] {
        [Stamp::of(&self.certificate), Stamp::of(&self.key)]
    }
}

/// What changes when a file is written to or given to another user, or another takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size_bytes: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let (written, changed) = ((metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec()));
        Some(Self { file: (metadata.dev(), metadata.ino()), size_bytes: metadata.len(), written, changed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_repaired_chain_is_shown_though_its_leaf_is_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let [server, between] =
            ["a.example", "between.example"].map(|name| rcgen::generate_simple_self_signed([name.to_owned()]).expect("one"));
        let files = Files::new(folder.path().join("c.pem"), folder.path().join("k.pem"));
        fs::write(&files.key, server.signing_key.serialize_pem()).expect("written");
        fs::write(&files.certificate, server.cert.pem()).expect("written");
        let certificates = Certificates::new(files.read().expect("a pair"), folder.path().join("pins.pem")).expect("pins");
        fs::write(&files.certificate, server.cert.pem() + &between.cert.pem()).expect("written");
        files.reload(&certificates);
        assert_eq!(certificates.current().chain(), [server.cert.der().clone(), between.cert.der().clone()]);
    }

    #[test]
    fn a_file_that_may_be_read_again_is_noticed() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let before = Stamp::of(file.path()).expect("a stamp");
        let begun = std::time::Instant::now();
        while Stamp::of(file.path()).as_ref() == Some(&before) {
            assert!(begun.elapsed() < Duration::from_secs(10), "a change of rights leaves no trace");
            fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).expect("changed");
        }
    }
}
