//! Whose certificates the command line believes: the system's roots, a file of the user's, and what the server of the data folder shows.

use super::failure::Failure;
use crate::tls::pinned;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is believed besides the roots of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Root certificates, PEM.
    pub ca_file: Option<PathBuf>,
    /// The very certificates that the server of a data folder shows, PEM. Its names and dates do not matter: whoever can write there is
    /// the server's owner.
    pub pins: Option<PathBuf>,
}

impl Trust {
    /// For connections by TLS. Fails when there is nothing to believe at all, or the file cannot be used.
    pub(super) fn client_config(&self) -> Result<ClientConfig, Failure> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let extra = self.ca_file.as_deref().map(roots).transpose()?.unwrap_or_default();
        let others: Option<Arc<dyn ServerCertVerifier>> = match Verifier::new_with_extra_roots(extra.clone(), provider.clone()) {
            Ok(system) => Some(Arc::new(system)),
            // A machine without root certificates can still talk to itself.
            Err(_) if self.pins.is_some() => None,
            Err(error) => return Err(no_tls(&error)),
        };
        let verifier = Believer { pins: self.pins.clone(), named: extra, others, provider: provider.clone() };
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| no_tls(&error))?;
        let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
        config.alpn_protocols = vec![crate::tls::H2.to_vec(), crate::tls::HTTP_1_1.to_vec()];
        Ok(config)
    }
}

fn no_tls(error: &Error) -> Failure {
    Failure::new(
        "no-http-client",
        format!("could not set up HTTPS ({error}): install the package ca-certificates, or set THEATRUM_CA_FILE"),
    )
}

fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let shown = path.display();
    let wrong = |why: String| {
        Failure::new("bad-ca-file", format!("THEATRUM_CA_FILE {shown} cannot be used ({why}): name a PEM file of certificates"))
    };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match roots.map_err(|error| wrong(error.to_string()))? {
        roots if roots.is_empty() => Err(wrong("it holds no certificate".to_owned())),
        roots => Ok(roots),
    }
}

/// Believes a pinned certificate whatever it says, one that the user named if it is for the host, and any other as browsers do.
#[derive(Debug)]
struct Believer {
    pins: Option<PathBuf>,
    named: Vec<CertificateDer<'static>>,
    others: Option<Arc<dyn ServerCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Read each time: the server may have got a new one.
        if self.pins.as_deref().is_some_and(|pins| pinned(pins).iter().any(|pin| pin == end_entity)) {
            return Ok(ServerCertVerified::assertion());
        }
        // Signed by nobody but itself, as `openssl req -x509` makes them: it says to be an authority, which no server's may.
        if self.named.contains(&end_entity.clone().into_owned()) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        match &self.others {
            Some(others) => others.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    // Either way the server proves that it has the key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    fn verdict(pins: Option<&Path>, ca_file: Option<&Path>, shown: &CertificateDer<'_>, host: &str) -> bool {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let named = ca_file.map(|path| roots(path).expect("certificates")).unwrap_or_default();
        let believer = Believer { pins: pins.map(Path::to_owned), named, others: None, provider };
        let host = ServerName::try_from(host.to_owned()).expect("a name");
        believer.verify_server_cert(shown, &[], &host, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn a_certificate_that_the_user_named_is_believed_for_its_names_and_a_pinned_one_for_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("c.pem");
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let shown = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
        std::fs::write(&file, shown.pem()).expect("written");
        assert!(verdict(None, Some(&file), shown.der(), "a.example"));
        assert!(!verdict(None, Some(&file), shown.der(), "b.example"));
        assert!(verdict(Some(&file), None, shown.der(), "b.example"));
        assert!(!verdict(None, None, shown.der(), "a.example"));
    }
}
