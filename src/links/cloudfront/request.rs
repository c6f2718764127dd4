//! What a request carries: the parameters of a signed URL or the signed cookies, and the URL that they speak of.

use super::{COOKIE_PREFIX, EXPIRES, HASH_ALGORITHM, Hash, KEY_PAIR_ID, POLICY, RESERVED, Refusal, SIGNATURE, encoding};
use crate::links::cookies::cookies;
use http::{HeaderMap, Uri};

/// A signature as it was sent, taken apart but not yet verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credentials<'a> {
    pub grant: Grant,
    pub signature: Vec<u8>,
    pub key_pair_id: &'a str,
    pub hash: Hash,
}

/// What was signed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// The canned policy for the request's own URL, until this second of the epoch.
    Canned { expires_at_s: i64 },
    /// This text.
    Custom { text: Vec<u8> },
}

/// The five values by their names, as found.
#[derive(Default)]
struct Found<'a> {
    values: [Option<&'a str>; RESERVED.len()],
    repeated: bool,
}

impl<'a> Found<'a> {
    /// Takes a value; `false` if the name is none of the five.
    fn take(&mut self, name: &str, value: &'a str) -> bool {
        let Some(at) = RESERVED.iter().position(|reserved| *reserved == name) else { return false };
        self.repeated |= self.values[at].replace(value).is_some();
        true
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.values[RESERVED.iter().position(|reserved| *reserved == name)?]
    }

    fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }

    fn credentials(&self) -> Result<Credentials<'a>, Refusal> {
        let grant = match (self.get(EXPIRES), self.get(POLICY)) {
            (Some(digits), None) => Grant::Canned { expires_at_s: seconds(digits).ok_or(Refusal::Malformed)? },
            (None, Some(text)) => Grant::Custom { text: encoding::decode(text).ok_or(Refusal::Malformed)? },
            _ => return Err(Refusal::Malformed),
        };
        let signature = self.get(SIGNATURE).and_then(encoding::decode).ok_or(Refusal::Malformed)?;
        let key_pair_id = self.get(KEY_PAIR_ID).filter(|id| !id.is_empty()).ok_or(Refusal::Malformed)?;
        let hash = match self.get(HASH_ALGORITHM) {
            None | Some("SHA1") => Hash::Sha1,
            Some("SHA256") => Hash::Sha256,
            Some(_) => return Err(Refusal::HashUnknown),
        };
        if self.repeated { Err(Refusal::Malformed) } else { Ok(Credentials { grant, signature, key_pair_id, hash }) }
    }
}

/// The credentials of a request. A signed URL beats cookies, even one that is broken.
pub(super) fn credentials<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Credentials<'a>, Refusal> {
    let mut of_url = Found::default();
    for piece in pieces(uri) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        of_url.take(name, value);
    }
    if !of_url.is_empty() {
        return of_url.credentials();
    }
    let of_cookies = of_cookies(headers);
    if of_cookies.is_empty() { Err(Refusal::Missing) } else { of_cookies.credentials() }
}

/// The first cookie of each name: a browser sends the one with the longer path first (RFC 6265 §5.4).
fn of_cookies(headers: &HeaderMap) -> Found<'_> {
    let mut found = Found::default();
    for (name, value) in cookies(headers) {
        let Some(name) = name.strip_prefix(COOKIE_PREFIX) else { continue };
        if found.get(name).is_none() {
            found.take(name, value);
        }
    }
    found
}

/// Path and query of the resource that a request names: the query without CloudFront's parameters, otherwise as it was sent.
pub(super) fn resource(uri: &Uri) -> String {
    let kept: Vec<&str> = pieces(uri).filter(|piece| !is_reserved(piece)).collect();
    if kept.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), kept.join("&")) }
}

/// Whether a piece of a query is one of CloudFront's own parameters.
pub(super) fn is_reserved(piece: &str) -> bool {
    RESERVED.contains(&piece.split_once('=').map_or(piece, |(name, _)| name))
}

fn pieces(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.query().into_iter().flat_map(|query| query.split('&'))
}

/// Digits as a number has them, without a sign and without leading zeros: one text for one time.
fn seconds(digits: &str) -> Option<i64> {
    digits.parse().ok().filter(|seconds: &i64| *seconds >= 0 && seconds.to_string() == digits)
}
