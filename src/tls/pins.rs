//! The certificate by which clients on this machine know the server: it may be signed by nobody they know, for a name they do not use.

use super::file;
use super::pair::Pair;
use crate::domain::Result;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;

/// Writes the server's own certificates of `pairs` to `path`, PEM. They are public.
pub(super) fn write(path: &Path, pairs: &[&Pair]) -> Result<()> {
    let text: String = pairs.iter().map(|pair| armored(pair.leaf())).collect();
    file::write(path, text.as_bytes())
}

/// The certificates of `path` that a client may take for the server's; none where there is no such file.
pub fn pinned(path: &Path) -> Vec<CertificateDer<'static>> {
    let text = std::fs::read(path).unwrap_or_default();
    CertificateDer::pem_slice_iter(&text).filter_map(std::result::Result::ok).collect()
}

/// RFC 7468.
fn armored(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pinned_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tls/serving.pem");
        assert!(pinned(&path).is_empty());
        let pairs = ["a.example", "b.example"].map(|name| Pair::stand_in(&[name.to_owned()]).expect("a pair"));
        write(&path, &[&pairs[0], &pairs[1]]).expect("written");
        assert_eq!(pinned(&path), [pairs[0].leaf().clone(), pairs[1].leaf().clone()]);
    }
}
