//! The certificate of this house, and who keeps it fresh.

use super::folder::Folder;
use crate::config::tls::{self as settings, Source};
use crate::domain::Result;
use crate::tls::acme::{Acme, Challenge, Settings};
use crate::tls::{Certificates, Files, server_config};
use rustls::ServerConfig;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// TLS that is on.
pub(super) struct Tls {
    certificates: Arc<Certificates>,
    keeper: Keeper,
}

enum Keeper {
    Files(Files),
    Acme(Box<Acme>),
}

impl Tls {
    /// Reads, or begins to ask for, the certificate of the settings; `None` where TLS is off.
    pub(super) fn open(settings: &settings::Tls, folder: &Folder) -> Result<Option<Self>> {
        let (keeper, pair) = match &settings.source {
            None => return Ok(None),
            Some(Source::Files { certificate, key }) => {
                let files = Files::new(certificate.clone(), key.clone());
                let pair = files.read()?;
                (Keeper::Files(files), pair)
            }
            Some(Source::Acme(acme)) => {
                let acme = Acme::new(asked(acme), folder.acme())?;
                let pair = acme.first()?;
                (Keeper::Acme(Box::new(acme)), pair)
            }
        };
        Ok(Some(Self { certificates: Arc::new(Certificates::new(pair, folder.pins())?), keeper }))
    }

    /// For a listener that speaks these HTTP versions.
    pub(super) fn config(&self, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>> {
        server_config(self.certificates.clone(), protocols)
    }

    /// The certificate of the moment.
    pub(super) fn certificates(&self) -> Arc<Certificates> {
        self.certificates.clone()
    }

    /// Says so when clients will refuse the certificate for a link that they are given.
    pub(super) fn warn_of_strangers(&self, links: &[&str]) {
        let Keeper::Files(_) = self.keeper else { return };
        let pair = self.certificates.current();
        for host in links.iter().filter_map(|link| link.parse::<http::Uri>().ok()?.host().map(str::to_owned)) {
            if !pair.covers(&host) {
                let names = pair.names().join(", ");
                tracing::warn!(%host, %names, "the certificate is not for this host, and browsers will refuse it: get one that names it, or correct server.public_url and server.s3_public_url");
            }
        }
    }

    /// Keeps the certificate fresh until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) -> Result<()> {
        match self.keeper {
            Keeper::Files(files) => files.watch(self.certificates, shutdown).await,
            Keeper::Acme(acme) => acme.run(self.certificates, shutdown).await,
        }
    }
}

fn asked(acme: &settings::Acme) -> Settings {
    Settings {
        directory: acme.directory.clone(),
        contact: acme.contact.clone(),
        domains: acme.domains.clone(),
        challenge: if acme.is_http_01 { Challenge::Http01 } else { Challenge::TlsAlpn01 },
        ca_file: acme.ca_file.clone(),
    }
}
