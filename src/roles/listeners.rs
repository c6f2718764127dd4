//! The sockets of this house, and the links that lead to them.

use super::folder::Announcement;
use super::tls::Tls;
use crate::config::{Config, Server};
use crate::domain::{Error, Result};
use crate::listen::Listener;
use crate::tls::{H2, HTTP_1_1};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// What listens, bound and not yet served.
pub(super) struct Listeners {
    pub(super) http: Listener,
    pub(super) s3: Listener,
    pub(super) redirect: Option<TcpListener>,
    http_url: String,
    s3_url: String,
    redirect_url: Option<String>,
    s3_port: u16,
    has_tls: bool,
}

impl Listeners {
    /// Binds all addresses of the settings.
    pub(super) async fn bind(config: &Config, tls: Option<&Tls>) -> Result<Self> {
        let (http, http_address) = bind("server.listen", config.server.listen).await?;
        let (s3, s3_address) = bind("server.s3_listen", config.server.s3_listen).await?;
        let redirect = match config.tls.redirect_listen {
            Some(address) => Some(bind("tls.redirect_listen", address).await?),
            None => None,
        };
        let (redirect, redirect_url) = redirect.map(|(socket, address)| (socket, format!("http://{address}"))).unzip();
        let scheme = if tls.is_some() { "https" } else { "http" };
        Ok(Self {
            http: Listener::new(http, tls.map(|tls| tls.config(&[H2, HTTP_1_1])).transpose()?),
            // Parts are few and large: they gain nothing from sharing a connection.
            s3: Listener::new(s3, tls.map(|tls| tls.config(&[HTTP_1_1])).transpose()?),
            redirect,
            http_url: format!("{scheme}://{http_address}"),
            s3_url: format!("{scheme}://{s3_address}"),
            redirect_url,
            s3_port: s3_address.port(),
            has_tls: tls.is_some(),
        })
    }

    /// The origins that all links begin with: of the page and of the S3 endpoint.
    pub(super) fn links(&self, server: &Server) -> (String, String) {
        let public = server.public_url.clone().unwrap_or_else(|| self.http_url.clone());
        let s3 = match (&server.s3_public_url, &server.public_url) {
            (Some(url), _) => url.clone(),
            // The certificate is for the host of the page, hardly for the address that we listen on.
            (None, Some(public)) if self.has_tls => with_port(public, self.s3_port).unwrap_or_else(|| self.s3_url.clone()),
            (None, _) => self.s3_url.clone(),
        };
        (public, s3)
    }

    /// Where the S3 endpoint listens.
    pub(super) fn s3_url(&self) -> &str {
        &self.s3_url
    }

    /// What local clients are told.
    pub(super) fn announcement(&self) -> Announcement<'_> {
        Announcement { url: &self.http_url, s3_url: &self.s3_url, redirect_url: self.redirect_url.as_deref(), has_tls: self.has_tls }
    }
}

/// Gives the socket, and the address at which this machine reaches it.
async fn bind(setting: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let taken = |error: std::io::Error| {
        Error::invalid("address", format!("cannot listen on {address} ({error}): free it, or set {setting} to another address"))
            .with_source(error)
    };
    let listener = TcpListener::bind(address).await.map_err(taken)?;
    let mut bound = listener.local_addr().map_err(taken)?;
    if bound.ip().is_unspecified() {
        bound.set_ip(if bound.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    Ok((listener, bound))
}

/// The HTTPS origin of another port on the host of `origin`.
fn with_port(origin: &str, port: u16) -> Option<String> {
    let uri: http::Uri = origin.parse().ok()?;
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    Some(format!("https://{}{port}", uri.host()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_port_of_the_same_host() {
        assert_eq!(with_port("https://v.example", 8081).as_deref(), Some("https://v.example:8081"));
        assert_eq!(with_port("https://[::1]:8443", 1).as_deref(), Some("https://[::1]:1"));
        assert_eq!(with_port("https://v.example:8443", 443).as_deref(), Some("https://v.example"), "as browsers write it");
    }
}
