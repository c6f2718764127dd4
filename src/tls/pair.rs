//! A certificate with its chain and its private key, read from PEM and checked.

use super::provider;
use crate::domain::error::Cause;
use crate::domain::{Error, Result};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate that can be shown: its chain, its key, and what it says of itself.
#[derive(Clone)]
pub struct Pair {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Pair {
    /// Reads the two files of the settings `tls.certificate` and `tls.key`. `Invalid` says what is wrong with which, and how to mend it.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self> {
        let chain = chain(&read("certificate", certificate)?, certificate)?;
        let secret = private_key(&read("key", key)?, key)?;
        let pair = CertifiedKey::from_der(chain, secret, &provider()).map_err(|error| unfit(certificate, key, error))?;
        Self::describe(pair)
            .map_err(|why| wrong(format!("the certificate {} cannot be read ({why}): {PEM_CERTIFICATE}", certificate.display())))
    }

    /// Reads a chain and its key from one PEM text, as the ACME store keeps them; `path` is for the error only.
    pub(super) fn parse(text: &[u8], path: &Path) -> Result<Self> {
        let pair = CertifiedKey::from_der(chain(text, path)?, private_key(text, path)?, &provider());
        let pair = pair.map_err(|error| unfit(path, path, error))?;
        Self::describe(pair).map_err(|why| wrong(format!("the certificate in {} cannot be read ({why})", path.display())))
    }

    /// A certificate that nobody signed, for `names`, expired for long: it keeps a listener open until an ACME server has given a real one.
    pub(super) fn stand_in(names: &[String]) -> Result<Self> {
        let made = (|| -> std::result::Result<Self, Cause> {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(names)?;
            (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2000, 1, 2));
            let certificate = params.self_signed(&key)?;
            let secret = PrivateKeyDer::Pkcs8(key.serialize_der().into());
            Ok(Self::describe(CertifiedKey::from_der(vec![certificate.der().clone()], secret, &provider())?)?)
        })();
        made.map_err(|error| Error::internal("could not make a certificate to begin with", error))
    }

    fn describe(key: CertifiedKey) -> std::result::Result<Self, String> {
        let der = key.end_entity_cert().map_err(|error| error.to_string())?;
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let names = names(&parsed);
        let (not_before, not_after) = (time(parsed.validity().not_before.timestamp()), time(parsed.validity().not_after.timestamp()));
        Ok(Self { key: Arc::new(key), names, not_before, not_after })
    }

    /// What rustls shows.
    pub(super) fn key(&self) -> Arc<CertifiedKey> {
        self.key.clone()
    }

    /// The server's own certificate, DER.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.key.cert[0]
    }

    /// All that is shown: the server's own certificate, then those between it and the root.
    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// The hosts it is for, as it names them: `video.example.org`, `*.example.org`, `192.0.2.1`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When it begins to be valid.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// When it ends to be valid.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether its time is over.
    pub fn has_expired(&self) -> bool {
        self.not_after < SystemTime::now()
    }

    /// Whether clients accept it for `host`, a name or an address without brackets (RFC 9525).
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let (Ok(parsed), Ok(name)) = (ParsedCertificate::try_from(self.leaf()), ServerName::try_from(host)) else { return false };
        verify_server_name(&parsed, &name).is_ok()
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("names", &self.names).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

const PEM_CERTIFICATE: &str = "it must be a PEM file, the server's own certificate first, then those between it and the root";

fn read(what: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        let shown = path.display();
        let message =
            format!("cannot read the {what} {shown} ({error}): set tls.{what} to a PEM file that is there and that this user may read");
        wrong(message).with_source(error)
    })
}

fn chain(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let shown = path.display();
    let chain: std::result::Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(text).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) if is_der(text) => {
            Err(wrong(format!("the certificate {shown} is DER: convert it with `openssl x509 -inform der -in {shown} -out FILE.pem`")))
        }
        Ok(_) => Err(wrong(format!("{shown} holds no certificate: {PEM_CERTIFICATE}"))),
        Err(error) => Err(wrong(format!("the certificate {shown} cannot be read ({error}): {PEM_CERTIFICATE}"))),
    }
}

fn private_key(text: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>> {
    let shown = path.display();
    let holds = |words: &str| text.windows(words.len()).any(|window| window == words.as_bytes());
    if holds("BEGIN ENCRYPTED PRIVATE KEY") || holds("Proc-Type: 4,ENCRYPTED") {
        let message = format!(
            "the key {shown} is encrypted, and nobody types a passphrase at start: decrypt it with `openssl pkey -in {shown} -out FILE` and keep FILE for its owner only (chmod 600)"
        );
        return Err(wrong(message));
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if is_der(text) => {
            wrong(format!("the key {shown} is DER: convert it with `openssl pkey -inform der -in {shown} -out FILE.pem`"))
        }
        pem::Error::NoItemsFound => {
            wrong(format!("{shown} holds no private key: set tls.key to the PEM file with -----BEGIN PRIVATE KEY-----"))
        }
        error => wrong(format!("the key {shown} cannot be read ({error}): it must be an unencrypted PEM file")),
    })
}

fn unfit(certificate: &Path, key: &Path, error: rustls::Error) -> Error {
    let (certificate, key) = (certificate.display(), key.display());
    let message = match error {
        rustls::Error::InconsistentKeys(_) => format!(
            "the key {key} does not fit the first certificate of {certificate}: put the server's own certificate first, or name the key it was made with"
        ),
        rustls::Error::General(_) => {
            format!("the key {key} is of a kind that TLS does not use here: make an ECDSA (P-256, P-384), Ed25519 or RSA key")
        }
        ref error => format!("the certificate {certificate} with the key {key} cannot be used ({error}): {PEM_CERTIFICATE}"),
    };
    wrong(message).with_source(error)
}

fn wrong(message: String) -> Error {
    Error::invalid("wrong-certificate", message)
}

fn is_der(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30)
}

fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    });
    names.collect()
}

fn time(epoch_s: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(epoch_s.max(0).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn made(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    }

    #[test]
    fn a_pair_says_whom_it_is_for_and_how_long() {
        let folder = tempfile::tempdir().expect("a folder");
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let (certificate_text, key_text) = made(&["video.example.org", "*.example.net", "192.0.2.7"]);
        fs::write(&certificate, certificate_text).expect("written");
        fs::write(&key, key_text).expect("written");
        let pair = Pair::read(&certificate, &key).expect("a pair");
        assert_eq!(pair.names(), ["video.example.org", "*.example.net", "192.0.2.7"]);
        for (host, covered) in
            [("video.example.org", true), ("a.example.net", true), ("192.0.2.7", true), ("example.net", false), ("192.0.2.8", false)]
        {
            assert_eq!(pair.covers(host), covered, "{host}");
        }
        assert!(!pair.has_expired() && pair.not_before() < pair.not_after());
        assert!(!format!("{pair:?}").contains("key"), "{pair:?}");
    }

    #[test]
    fn what_is_wrong_with_a_pair_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let ((certificate, key), (_, other)) = (made(&["a.example"]), made(&["b.example"]));
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let old =
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n-----END RSA PRIVATE KEY-----\n";
        for (name, text) in
            [("c", certificate.as_str()), ("k", &key), ("other", &other), ("encrypted", encrypted), ("old", old), ("empty", "")]
        {
            fs::write(path(name), text).expect("written");
        }
        fs::write(path("der"), [0x30, 0x82]).expect("written");
        for (certificate, key, said) in [
            ("none", "k", "cannot read the certificate"),
            ("c", "none", "set tls.key"),
            ("empty", "k", "holds no certificate"),
            ("der", "k", "openssl x509 -inform der"),
            ("k", "c", "holds no certificate"),
            ("c", "empty", "holds no private key"),
            ("c", "c", "holds no private key"),
            ("c", "der", "openssl pkey -inform der"),
            ("c", "encrypted", "is encrypted"),
            ("c", "old", "is encrypted"),
            ("c", "other", "does not fit the first certificate"),
        ] {
            let error = Pair::read(&path(certificate), &path(key)).expect_err(said);
            assert!(error.message().contains(said), "{certificate} {key}: {}", error.message());
            assert_eq!(error.code(), "wrong-certificate");
        }
    }

    #[test]
    fn a_stand_in_is_for_all_names() {
        let pair = Pair::stand_in(&["a.example".to_owned(), "b.example".to_owned()]).expect("a pair");
        assert!(pair.covers("a.example") && pair.covers("b.example") && !pair.covers("c.example"));
        assert!(pair.has_expired(), "so that a real one is due at once");
    }
}
