//! A certificate authority of the test's own, and clients that believe it.

use super::server::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one, which nobody knows.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Theatrum's tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root"))
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Its own certificate in a file below `folder`.
    pub fn file(&self, folder: &Path) -> PathBuf {
        let path = folder.join("ca.pem");
        fs::write(&path, self.pem()).expect("written");
        path
    }

    /// A certificate for `names` and its key, both PEM.
    pub fn sign(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
        (params.signed_by(&key, &self.0).expect("a certificate").pem(), key.serialize_pem())
    }

    /// Writes a certificate for `names` and its key below `folder`, the key first, as those do who renew them.
    pub fn issue(&self, folder: &Path, names: &[&str]) -> Files {
        let files = Files { certificate: folder.join("fullchain.pem"), key: folder.join("privkey.pem") };
        let (certificate, key) = self.sign(names);
        fs::write(&files.key, key).expect("written");
        fs::write(&files.certificate, certificate).expect("written");
        files
    }

    /// An HTTP client that believes this authority only.
    pub fn client(&self) -> reqwest::ClientBuilder {
        believing(&self.pem())
    }
}

/// An HTTP client that believes the root `pem` only, and follows no redirect.
pub fn believing(pem: &str) -> reqwest::ClientBuilder {
    let root = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
    reqwest::Client::builder().no_proxy().tls_certs_only([root]).redirect(reqwest::redirect::Policy::none())
}

/// A certificate and its key.
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Files {
    /// The settings that name them.
    pub fn settings(&self) -> [(&'static str, &str); 2] {
        [("THEATRUM_TLS__CERTIFICATE", self.certificate.to_str().expect("text")), ("THEATRUM_TLS__KEY", self.key.to_str().expect("text"))]
    }
}

/// A connection by TLS, whoever is there, and the certificate that was shown on it.
pub async fn shown(address: SocketAddr, name: &str) -> (TlsStream<TcpStream>, CertificateDer<'static>) {
    let config = ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("a connection");
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
    let leaf = stream.get_ref().1.peer_certificates().expect("certificates")[0].clone();
    (stream, leaf)
}

/// Believes everyone: it is only looked what they show.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

impl Server {
    /// Where the page and the API listen.
    pub fn address(&self) -> SocketAddr {
        socket(&self.url())
    }
}

/// The address of a URL such as `https://127.0.0.1:8080`.
pub fn socket(url: &str) -> SocketAddr {
    url.split_once("://").and_then(|(_, address)| address.parse().ok()).expect("an address")
}
