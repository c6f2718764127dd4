//! TLS: the certificate that the listeners show, how it comes to them and how it is changed while they run.
//!
//! A certificate comes from two files, which are watched, or from an ACME server. Either way it is checked before it is shown, and the one
//! before stays where the new one is no good: at no moment is there none.

pub mod acme;
mod certificates;
mod challenges;
mod file;
mod pair;
mod pins;
mod watch;

pub use certificates::Certificates;
pub use challenges::Challenges;
pub use pair::Pair;
pub use pins::pinned;
pub use watch::Files;

use crate::domain::{Error, Result};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use std::sync::Arc;

/// HTTP/2, as ALPN names it (RFC 9113 §3.2).
pub const H2: &[u8] = b"h2";
/// HTTP/1.1, as ALPN names it (RFC 7301 §6).
pub const HTTP_1_1: &[u8] = b"http/1.1";
/// The protocol of an ACME server that checks who we are (RFC 8737 §4); it ends with the handshake.
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// What a listener needs to speak TLS 1.2 and 1.3 with the current certificate of `certificates`, and the HTTP versions of `protocols`, the
/// most liked first.
pub fn server_config(certificates: Arc<Certificates>, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>> {
    let unusable = |error| Error::internal("TLS cannot be set up", error);
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(unusable)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
    config.alpn_protocols = protocols.iter().chain([&ACME_TLS]).map(|name| name.to_vec()).collect();
    // Returning viewers skip half of the handshake, and we remember nothing for them.
    config.ticketer = Ticketer::new().map_err(unusable)?;
    Ok(Arc::new(config))
}

/// The one cryptography of this house.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}
