//! Signing keys, signed links and downloads.

use super::{Client, Failure, Url, protocol};
use crate::domain::ids::VideoId;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, Response};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A key pair that signs links, or whose links are trusted.
#[derive(Debug, Serialize, Deserialize)]
pub struct SigningKey {
    /// Its name here.
    pub key_pair_id: String,
    /// Its name at CloudFront.
    pub cloudfront_id: Option<String>,
    /// `rsa` or `ecdsa`.
    pub algorithm: String,
    /// Whether it signs.
    pub active: bool,
    /// Whether its private half is at the server.
    pub has_private_key: bool,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// PEM.
    pub public_key: String,
}

/// A list of key pairs.
#[derive(Debug, Serialize, Deserialize)]
pub struct SigningKeys {
    /// Oldest first.
    pub signing_keys: Vec<SigningKey>,
}

/// The key pair that is wanted.
#[derive(Debug, Default, Serialize)]
pub struct NewSigningKey<'a> {
    /// Of a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<&'a str>,
    /// PEM, to import one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<&'a str>,
    /// What an imported one is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pair_id: Option<&'a str>,
}

/// What is to be signed.
#[derive(Debug, Default, Serialize)]
pub struct NewSignedLink<'a> {
    /// The whole URL.
    pub url: &'a str,
    /// Epoch milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Epoch milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
    /// An IPv4 address or a range of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<&'a str>,
    /// A pattern of URLs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<&'a str>,
    /// A custom policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<&'a str>,
    /// Cookies instead of a URL.
    pub cookies: bool,
    /// Another key pair than the active one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pair_id: Option<&'a str>,
}

/// A link that was signed: a secret while it lasts.
#[derive(Serialize, Deserialize)]
pub struct SignedLink {
    /// Unless cookies were asked for.
    pub url: Option<String>,
    /// If they were.
    pub cookies: Option<BTreeMap<String, String>>,
    /// Who signed.
    pub key_pair_id: String,
}

/// A link to a file: a secret while it lasts.
#[derive(Deserialize)]
pub struct DownloadLink {
    /// The URL.
    pub url: String,
    /// What the file is called.
    pub filename: String,
}

impl Client {
    /// Makes or imports a signing key.
    pub async fn create_signing_key(&self, wanted: &NewSigningKey<'_>) -> Result<SigningKey, Failure> {
        self.call(self.request(Method::POST, "v1/signing-keys")?.json(wanted)).await
    }

    /// The signing keys, oldest first.
    pub async fn signing_keys(&self) -> Result<SigningKeys, Failure> {
        self.call(self.request(Method::GET, "v1/signing-keys")?).await
    }

    /// Lets a key sign, under the name that CloudFront gave it, if it did.
    pub async fn activate_signing_key(&self, id: &str, cloudfront_id: Option<&str>) -> Result<SigningKey, Failure> {
        let body = cloudfront_id.map_or_else(|| serde_json::json!({}), |name| serde_json::json!({ "cloudfront_id": name }));
        self.call(self.request(Method::POST, &format!("v1/signing-keys/{id}/activate"))?.json(&body)).await
    }

    /// Revokes a signing key.
    pub async fn revoke_signing_key(&self, id: &str) -> Result<(), Failure> {
        self.send(self.request(Method::DELETE, &format!("v1/signing-keys/{id}"))?).await.map(drop)
    }

    /// Signs a URL or cookies.
    pub async fn sign_link(&self, wanted: &NewSignedLink<'_>) -> Result<SignedLink, Failure> {
        self.call(self.request(Method::POST, "v1/signed-links")?.json(wanted)).await
    }

    /// A link to the source (`source`) or to a rendition of a video.
    pub async fn download_link(&self, video: &VideoId, rendition: &str) -> Result<DownloadLink, Failure> {
        let body = serde_json::json!({ "rendition": rendition });
        self.call(self.request(Method::POST, &format!("v1/videos/{video}/downloads"))?.json(&body)).await
    }

    /// Begins a download; gives its length and the answer to read it from. No time limit: the caller watches that bytes flow.
    ///
    /// The link names the site's public address. This server is asked for it where the client reaches it, which may be elsewhere: what is signed
    /// is the link's own text.
    pub async fn follow(&self, link: &DownloadLink) -> Result<(u64, Response), Failure> {
        let malformed = || protocol("the server gave a malformed link");
        let public = Url::parse(&link.url).map_err(|_| malformed())?;
        let mut url = self.connection.endpoint()?.url.join(public.path()).map_err(|_| malformed())?;
        url.set_query(public.query());
        let request = self.transport.client(&url)?.get(url.clone());
        let response = request.send().await.map_err(|error| self.unreachable(&url, error))?;
        if !response.status().is_success() {
            return Err(super::problem::of_api(response).await);
        }
        let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Ok((length.ok_or_else(|| protocol("the server did not say how long the file is"))?, response))
    }
}
