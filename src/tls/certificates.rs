//! The certificate of the moment, changed in one step below running listeners.

use super::challenges::Challenges;
use super::pair::Pair;
use super::{ACME_TLS, pins};
use crate::domain::Result;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// What every TLS listener of this process shows. A connection keeps what it was shown for as long as it lasts.
#[derive(Debug)]
pub struct Certificates {
    current: RwLock<Arc<Pair>>,
    challenges: Challenges,
    pins: PathBuf,
}

impl Certificates {
    /// Begins with `pair`. The certificate being shown is also written to `pins`, a file by which clients on this machine know the server
    /// whatever its names are.
    pub fn new(pair: Pair, pins: PathBuf) -> Result<Self> {
        pins::write(&pins, &[&pair])?;
        Ok(Self { current: RwLock::new(Arc::new(pair)), challenges: Challenges::default(), pins })
    }

    /// The one that new connections are shown.
    pub fn current(&self) -> Arc<Pair> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on shows `pair` to new connections.
    pub(super) fn show(&self, pair: Pair) {
        // Pinned beforehand, beside the old one: at no moment is the server unknown to its own clients.
        if let Err(error) = pins::write(&self.pins, &[&pair, &self.current()]) {
            tracing::warn!(cause = %error.chain(), "the command line on this machine will not know the new certificate");
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
    }

    /// What an ACME server will ask for.
    pub fn challenges(&self) -> &Challenges {
        &self.challenges
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_challenge = hello.alpn().is_some_and(|mut protocols| protocols.any(|protocol| protocol == ACME_TLS));
        if is_challenge { self.challenges.certificate(hello.server_name()?) } else { Some(self.current().key()) }
    }
}
