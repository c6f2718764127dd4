//! Whose certificates the command line believes: the system's roots, a file of the user's, and what the server of the data folder shows.

use super::failure::Failure;
use crate::tls::pinned;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
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
        let verifier = match (Verifier::new_with_extra_roots(extra, provider.clone()), &self.pins) {
            (Ok(system), None) => Believer { pins: None, others: Some(Arc::new(system)), provider: provider.clone() },
            // A machine without root certificates can still talk to itself.
            (system, Some(pins)) => {
                let others = system.ok().map(|system| Arc::new(system) as Arc<dyn ServerCertVerifier>);
                Believer { pins: Some(pins.clone()), others, provider: provider.clone() }
            }
            (Err(error), None) => return Err(no_tls(&error)),
        };
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

/// Believes a pinned certificate whatever it says, and any other as browsers do.
#[derive(Debug)]
struct Believer {
    pins: Option<PathBuf>,
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
