//! Posts messages: signed, in limited time, to addresses that may be called and to no others, whatever a name resolves to and wherever the answer
//! points.

use super::message::Message;
use crate::catalog::webhooks::Secrets;
use crate::domain::ids::WebhookId;
use crate::domain::webhook::{Rules, secret_context};
use crate::domain::{Error, Result};
use crate::kms::Kms;
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response, Url};
use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// What is read of an answer.
const MAX_ANSWER_BYTES: usize = 4096;
/// What is kept of it.
const MAX_KEPT_CHARS: usize = 300;
/// `Retry-After` is heeded up to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Signs and posts. Cheap to clone.
#[derive(Clone)]
pub struct Courier {
    kms: Kms,
    rules: Arc<Rules>,
    timeout: Duration,
    client: Arc<OnceLock<Client>>,
}

/// How an endpoint answered, or that it did not.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The HTTP status; absent without an answer.
    pub status: Option<u16>,
    /// Why the message does not count as taken, as a stable code; absent if it does.
    pub error: Option<&'static str>,
    /// The beginning of the answer's body.
    pub text: Option<String>,
    /// How long the endpoint wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Courier {
    /// Posts where `rules` permit, and waits for an answer no longer than `timeout`.
    pub fn new(kms: Kms, rules: Arc<Rules>, timeout: Duration) -> Self {
        Self { kms, rules, timeout, client: Arc::default() }
    }

    /// The longest that an attempt waits for the endpoint.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Posts a message to `url`, signed with the secrets of `webhook`. An endpoint's failure is an [`Answer`]; an error is our own.
    pub async fn post(&self, webhook: &WebhookId, url: &str, secrets: &Secrets, message: &Message) -> Result<Answer> {
        let mut keys: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for wrapped in [Some(&secrets.current), secrets.former.as_ref()].into_iter().flatten() {
            keys.push(self.kms.unwrap(&secret_context(webhook), wrapped).await?);
        }
        let Some(url) = self.permitted(url) else { return Ok(Answer::failed("private-address")) };
        let timestamp_s = now_s();
        let request = self
            .client()?
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp_s)
            .header("webhook-signature", message.signatures(timestamp_s, keys.iter().map(|key| key.as_slice())))
            .body(message.body.clone());
        Ok(match request.send().await {
            Ok(response) => read(response).await,
            Err(error) => Answer::failed(reason(&error)),
        })
    }

    /// The URL as the client will understand it, unless it names an address that may not be called: names are looked up by [`Resolver`], addresses
    /// are not looked up at all.
    fn permitted(&self, url: &str) -> Option<Url> {
        let url = Url::parse(url).ok()?;
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
        let is_refused = host.parse::<IpAddr>().is_ok_and(|address| !self.rules.permits(address));
        (!is_refused).then_some(url)
    }

    /// Made when it is first needed: a house without root certificates starts, and cannot tell anybody anything.
    fn client(&self) -> Result<Client> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let made = Client::builder()
            .user_agent(concat!("Theatrum/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would look names up by itself, and connect to whatever it finds.
            .no_proxy()
            .https_only(!self.rules.allow_http)
            .dns_resolver(Arc::new(Resolver(self.rules.clone())))
            .connect_timeout(self.timeout)
            .timeout(self.timeout)
            .build();
        let message = "could not set up HTTPS: install the package ca-certificates";
        let made = made.map_err(|error| Error::unavailable(message, error))?;
        Ok(self.client.get_or_init(|| made).clone())
    }
}

impl Answer {
    fn failed(error: &'static str) -> Self {
        Self { error: Some(error), ..Self::default() }
    }

    /// Whether the endpoint says that it is gone for good.
    pub fn is_gone(&self) -> bool {
        self.status == Some(StatusCode::GONE.as_u16())
    }
}

/// Looks names up, and gives only the addresses that may be called: the connection is made to one of these, so a name that resolves to
/// something else a moment later gains nothing.
struct Resolver(Arc<Rules>);

/// Of all the addresses of a name, none may be called.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name resolves to no address that may be called")
    }
}

impl StdError for Refused {}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let permitted: Vec<SocketAddr> = found.filter(|address| rules.permits(address.ip())).collect();
            if permitted.is_empty() {
                return Err(Box::new(Refused) as Box<dyn StdError + Send + Sync>);
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

/// Any 2xx is taken; the rest is not, and nothing is followed.
async fn read(mut response: Response) -> Answer {
    let status = response.status();
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    let mut bytes = Vec::new();
    while bytes.len() < MAX_ANSWER_BYTES
        && let Ok(Some(piece)) = response.chunk().await
    {
        bytes.extend_from_slice(&piece[..piece.len().min(MAX_ANSWER_BYTES - bytes.len())]);
    }
    let error = match status {
        status if status.is_success() => None,
        status if status.is_redirection() => Some("redirected"),
        _ => Some("refused-by-endpoint"),
    };
    // Rows hold no NUL, and a terminal shall not obey what an endpoint says.
    let text: String = String::from_utf8_lossy(&bytes).chars().filter(|sign| !sign.is_control()).take(MAX_KEPT_CHARS).collect();
    Answer { status: Some(status.as_u16()), error, text: (!text.is_empty()).then_some(text), retry_after }
}

/// Why there was no answer.
fn reason(error: &reqwest::Error) -> &'static str {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(inner) = cause {
        if inner.is::<Refused>() {
            return "private-address";
        }
        if is_tls(inner) {
            return "tls-failed";
        }
        cause = inner.source();
    }
    match error {
        error if error.is_timeout() => "timeout",
        error if error.is_connect() => "unreachable",
        _ => "broken-off",
    }
}

/// What comes from TLS is wrapped in I/O errors, which leave what they wrap out of their chain of sources.
fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped.is_some_and(|inner| is_tls(inner))
}

fn now_s() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").field("rules", &self.rules).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
