//! The HTTP clients below the API client: proxies for far hosts, never for this machine.

use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use reqwest::{Client, ClientBuilder, Url, redirect};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Three pools of connections, each made when first needed.
#[derive(Debug)]
pub(super) struct Transport {
    connection: Connection,
    near: OnceLock<Client>,
    near_tls: OnceLock<Client>,
    far: OnceLock<Client>,
}

impl Transport {
    /// No connections yet. Those by TLS will believe whom `connection` says.
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, near: OnceLock::new(), near_tls: OnceLock::new(), far: OnceLock::new() }
    }

    /// The client for `url`. A proxy of the environment would only lead away from this machine.
    pub(super) fn client(&self, url: &Url) -> Result<&Client, Failure> {
        match (is_loopback(url), url.scheme()) {
            // Without root certificates, so that a machine that has none can still talk to itself.
            (true, "http") => made(&self.near, || Ok(base().no_proxy().tls_certs_only([]))),
            (true, _) => made(&self.near_tls, || Ok(self.secure()?.no_proxy())),
            (false, _) => made(&self.far, || self.secure()),
        }
    }

    fn secure(&self) -> Result<ClientBuilder, Failure> {
        Ok(base().tls_backend_preconfigured(self.connection.trust().client_config()?))
    }
}

fn made(slot: &OnceLock<Client>, builder: impl FnOnce() -> Result<ClientBuilder, Failure>) -> Result<&Client, Failure> {
    if let Some(client) = slot.get() {
        return Ok(client);
    }
    let client = builder()?.build().map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Failure::new("no-http-client", format!("could not set up HTTPS ({cause}): install the package ca-certificates"))
    })?;
    Ok(slot.get_or_init(|| client))
}

fn base() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("theatrum/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none())
}

/// Whether `url` can only mean this machine.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.ends_with(".localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        let loopback = |url| is_loopback(&Url::parse(url).expect(url));
        for near in ["http://127.0.0.1:8080/", "http://[::1]/", "http://localhost:1/", "http://127.1.2.3/", "https://s3.localhost/"] {
            assert!(loopback(near), "{near}");
        }
        for far in ["http://10.0.0.1/", "http://localhost.example/", "http://127.0.0.1.example/", "http://[::2]/"] {
            assert!(!loopback(far), "{far}");
        }
    }
}
