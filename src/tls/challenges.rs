//! What proves to an ACME server that a name is ours (RFC 8555 §8.3, RFC 8737): answers that the listeners give while an order runs.

use super::provider;
use crate::domain::error::Cause;
use crate::domain::{Error, Result};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The answers of the order that runs.
#[derive(Debug, Default)]
pub struct Challenges(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    texts: HashMap<String, String>,
    certificates: HashMap<String, Arc<CertifiedKey>>,
}

impl Challenges {
    /// The text for `GET /.well-known/acme-challenge/{token}` (RFC 8555 §8.3); `None` for a token that no order has.
    pub fn text(&self, token: &str) -> Option<String> {
        self.lock().texts.get(token).cloned()
    }

    /// The certificate for a connection that speaks `acme-tls/1` and names `domain` (RFC 8737 §3).
    pub(super) fn certificate(&self, domain: &str) -> Option<Arc<CertifiedKey>> {
        self.lock().certificates.get(domain).cloned()
    }

    pub(super) fn answer_text(&self, token: &str, text: &str) {
        self.lock().texts.insert(token.to_owned(), text.to_owned());
    }

    /// `digest` is the SHA-256 of the key authorization.
    pub(super) fn answer_certificate(&self, domain: &str, digest: &[u8]) -> Result<()> {
        let certificate = certificate(domain, digest).map_err(|error| Error::internal("could not answer the ACME server", error))?;
        self.lock().certificates.insert(domain.to_owned(), Arc::new(certificate));
        Ok(())
    }

    pub(super) fn forget(&self) {
        *self.lock() = Answers::default();
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn certificate(domain: &str, digest: &[u8]) -> std::result::Result<CertifiedKey, Cause> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([domain.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let secret = provider().key_provider.load_private_key(PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    // Not `from_der`, which would look into a certificate that by design nobody else understands (RFC 8737 §3: the extension is critical).
    Ok(CertifiedKey::new(vec![certificate.der().clone()], secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_last_as_long_as_the_order() {
        let challenges = Challenges::default();
        challenges.answer_text("token", "token.thumbprint");
        challenges.answer_certificate("video.example.org", &[7; 32]).expect("a certificate");
        assert_eq!(challenges.text("token").as_deref(), Some("token.thumbprint"));
        assert_eq!(challenges.text("other"), None);
        assert!(challenges.certificate("video.example.org").is_some() && challenges.certificate("example.org").is_none());
        challenges.forget();
        assert!(challenges.text("token").is_none() && challenges.certificate("video.example.org").is_none());
    }
}
