//! Who may ask the endpoint for what: the house's own credentials sign parts of uploads, people's access keys open the inbox.

use super::answer::{answer, report};
use crate::domain::{ErrorKind, Result};
use crate::kms::S3Credentials;
use crate::uploads::{BUCKET, Gate, Sender};
use async_trait::async_trait;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};
use std::net::IpAddr;
use std::sync::Arc;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

/// Where a request comes from, among its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub IpAddr);

/// Finds secrets, and decides.
#[derive(Clone)]
pub(super) struct Guard {
    house: Arc<S3Credentials>,
    gate: Arc<dyn Gate>,
    inbox_open: bool,
    /// Where the house's own words go: s3s, which calls, is heard by nobody.
    log: Dispatch,
}

impl Guard {
    pub(super) fn new(house: S3Credentials, gate: Arc<dyn Gate>, inbox_open: bool, log: Dispatch) -> Self {
        Self { house: Arc::new(house), gate, inbox_open, log }
    }

    /// Asks the gate, and writes down what it could not answer.
    async fn ask<T>(&self, question: impl Future<Output = Result<T>>) -> Result<T> {
        async { question.await.inspect_err(report) }.with_subscriber(self.log.clone()).await
    }

    fn is_house(&self, access_key: &str) -> bool {
        access_key == self.house.access_key_id
    }
}

#[async_trait]
impl S3Auth for Guard {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if self.is_house(access_key) {
            return Ok(SecretKey::from(self.house.secret_access_key.as_str()));
        }
        let found = if self.inbox_open { self.ask(self.gate.secret(access_key)).await.map_err(|e| answer(&e))? } else { None };
        let secret = found.ok_or_else(|| s3_error!(InvalidAccessKeyId, "there is no such access key, or it was revoked"))?;
        Ok(SecretKey::from(secret.as_str()))
    }
}

#[async_trait]
impl S3Access for Guard {
    /// What is asked for is still looked at by each operation; here it is who asks. A person's request carries a [`Sender`] from here on.
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let credentials = cx.credentials().ok_or_else(|| s3_error!(AccessDenied, "sign the request with an access key"))?;
        let bucket = cx.s3_path().get_bucket_name();
        if self.is_house(&credentials.access_key) {
            return if bucket == Some(BUCKET) {
                Ok(())
            } else {
                Err(s3_error!(AccessDenied, "these credentials are good for {BUCKET} only"))
            };
        }
        let key = match self.ask(self.gate.sender(&credentials.access_key)).await {
            // Revoked since its signature was verified.
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(s3_error!(InvalidAccessKeyId, "the access key was revoked")),
            key => key.map_err(|e| answer(&e))?,
        };
        if bucket == Some(BUCKET) {
            return Err(s3_error!(AccessDenied, "this access key is good for the inbox only"));
        }
        if cx.s3_path().get_object_key().is_some_and(|object| !key.prefix.covers(object)) {
            return Err(s3_error!(AccessDenied, "this access key is good for keys that begin with {}", key.prefix.as_str()));
        }
        let invocation = cx.headers().get("amz-sdk-invocation-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let address = cx.extensions_mut().get::<Peer>().map(|peer| peer.0);
        cx.extensions_mut().insert(Sender { key, address, invocation });
        Ok(())
    }
}

/// The reason under which a refusal with this S3 code is counted; `None` when it is no refusal of someone.
pub(super) fn refusal(code: &str) -> Option<&'static str> {
    match code {
        "SignatureDoesNotMatch" => Some("s3-signature"),
        "InvalidAccessKeyId" => Some("s3-access-key"),
        "RequestTimeTooSkewed" => Some("s3-clock"),
        "AccessDenied" => Some("s3-denied"),
        "NoSuchUpload" => Some("s3-no-upload"),
        _ => None,
    }
}
