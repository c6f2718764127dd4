//! The gate: whether a request may have what it asks for, by its signature alone.

use super::key::KeyGroup;
use super::policy::Policy;
use super::request::{self, Credentials, Grant};
use super::{Hash, Refusal};
use crate::domain::Result;
use http::{HeaderMap, Uri};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// Judges requests. It knows public keys only, and those can be exchanged while it works.
pub struct Gate {
    group: RwLock<Arc<KeyGroup>>,
    origins: Vec<String>,
    accepts_sha1: bool,
}

/// A request that may be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The key pair that signed.
    pub key_pair_id: String,
    /// What it signed for: a URL or a pattern of URLs.
    pub resource: String,
    /// How much that is.
    pub scope: Scope,
}

/// How much a signature is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one URL of a canned policy.
    One,
    /// Whatever the resource of a custom policy matches.
    Pattern,
}

impl Gate {
    /// A gate without keys, which lets nobody through. The resource of a policy names one of `origins`, such as `https://video.example.org`;
    /// RSA signatures over SHA-1 count only if `accepts_sha1`.
    pub fn new(origins: Vec<String>, accepts_sha1: bool) -> Self {
        Self { group: RwLock::default(), origins, accepts_sha1 }
    }

    /// Trusts the keys of `group` from now on, and no others.
    pub fn trust(&self, group: KeyGroup) {
        *self.group.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(group);
    }

    /// Lets a request through that bears a signature for its URL, or says why not: `Forbidden` with a code beginning with `signature-` or
    /// `policy-`. The signature is verified before anything that it covers is believed.
    pub fn admit(&self, uri: &Uri, headers: &HeaderMap, address: IpAddr, now_ms: i64) -> Result<Admission> {
        self.judge(uri, headers, address, now_ms.div_euclid(1000)).map_err(Refusal::into_error)
    }

    fn judge(&self, uri: &Uri, headers: &HeaderMap, address: IpAddr, now_s: i64) -> Result<Admission, Refusal> {
        let credentials = request::credentials(uri, headers)?;
        if credentials.hash == Hash::Sha1 && !self.accepts_sha1 {
            return Err(Refusal::Sha1);
        }
        let resource = request::resource(uri);
        let urls: Vec<String> = self.origins.iter().map(|origin| format!("{origin}{resource}")).collect();
        let group = Arc::clone(&self.group.read().unwrap_or_else(PoisonError::into_inner));
        let (policy, scope) = match &credentials.grant {
            // The URL is compared by the signature; its question mark is none of a pattern's.
            Grant::Canned { expires_at_s } => (canned(&group, &credentials, &urls, *expires_at_s)?, Scope::One),
            Grant::Custom { text } => {
                group.verify(credentials.key_pair_id, credentials.hash, text, &credentials.signature)?;
                let policy = Policy::read(text)?;
                policy.covers(&urls)?;
                (policy, Scope::Pattern)
            }
        };
        policy.allows(address, now_s)?;
        Ok(Admission { key_pair_id: credentials.key_pair_id.to_owned(), resource: policy.resource, scope })
    }
}

/// The canned policy that was signed: for the request's URL, by one of its origins.
fn canned(group: &KeyGroup, credentials: &Credentials<'_>, urls: &[String], expires_at_s: i64) -> Result<Policy, Refusal> {
    let mut refusal = Refusal::Signature;
    for url in urls {
        let policy = Policy::new(url, expires_at_s);
        match group.verify(credentials.key_pair_id, credentials.hash, policy.text().as_bytes(), &credentials.signature) {
            Ok(()) => return Ok(policy),
            Err(why) => refusal = why,
        }
    }
    Err(refusal)
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("origins", &self.origins).field("accepts_sha1", &self.accepts_sha1).finish_non_exhaustive()
    }
}
