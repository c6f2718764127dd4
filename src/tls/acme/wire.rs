//! The requests of the ACME client, sent by the HTTP client of this house: it knows proxies and the certificates of the system.

use crate::domain::{Error, Result};
use bytes::Bytes;
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use reqwest::{Certificate, Client, redirect};
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// A client for ACME requests.
#[derive(Clone)]
pub(super) struct Wire(Client);

impl Wire {
    /// A client that believes the certificates of `ca_file`, PEM, besides those of the system. `Invalid` when there are none in it.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self> {
        let roots = ca_file.map(certificates).transpose()?.unwrap_or_default();
        let builder = Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none()).tls_certs_merge(roots);
        let client = builder.build().map_err(|error| {
            Error::invalid("no-http-client", "cannot ask an ACME server: install the package ca-certificates, or set tls.acme.ca_file")
                .with_source(error)
        })?;
        Ok(Self(client))
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let wrong = |why: String| {
        let message = format!(
            "tls.acme.ca_file {} cannot be used ({why}): name a PEM file with the root certificates of your ACME server",
            path.display()
        );
        Error::invalid("wrong-setting", message)
    };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let roots = Certificate::from_pem_bundle(&text).map_err(|error| wrong(error.to_string()))?;
    if roots.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(roots) }
}

type Answer = std::result::Result<BytesResponse, instant_acme::Error>;

impl HttpClient for Wire {
    fn request(&self, request: http::Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let request = reqwest::Request::try_from(http::Request::from_parts(parts, body.to_bytes())).map_err(other)?;
            Ok(http::Response::from(client.execute(request).await.map_err(other)?).into())
        })
    }
}

fn other(error: reqwest::Error) -> instant_acme::Error {
    instant_acme::Error::Other(error.into())
}
