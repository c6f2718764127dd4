//! Signed links: who someone is ([`access`]), what one session may watch ([`playback`]), and who may begin one in a frame ([`embed`]).
//!
//! All are JSON web tokens (RFC 7519) signed with Ed25519 (RFC 8037). The algorithm is pinned, the key is named by
//! `kid`, the audience keeps the kinds apart. Time is passed in, in epoch milliseconds; there is no leeway, for
//! the clocks that sign and verify are our own.

pub mod access;
pub mod cloudfront;
pub mod cookies;
pub mod embed;
pub mod playback;

use crate::domain::{Error, ErrorKind, Result};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;

/// Our tokens have some 400 bytes; what is longer is not worth hashing.
const MAX_TOKEN_BYTES: usize = 2048;

/// What stands in logs where a token was.
const REDACTED: &str = "***";

/// A signed token. It can't be printed by accident: it has no `Display`, and its `Debug` is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The text, for the one who shall hold it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// A public key (32 bytes, RFC 8032) and the name by which tokens refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kid: String,
    bytes: Vec<u8>,
}

impl PublicKey {
    /// The key `kid`; `Internal` with code `signing-key` if `bytes` can't be an Ed25519 public key.
    pub fn new(kid: impl Into<String>, bytes: &[u8]) -> Result<Self> {
        let kid = kid.into();
        if bytes.len() == aws_lc_rs::signature::ED25519_PUBLIC_KEY_LEN {
            Ok(Self { kid, bytes: bytes.to_vec() })
        } else {
            Err(unusable_key(&kid))
        }
    }

    /// The name in the header of its tokens.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A private key that signs, with its public half.
#[derive(Debug)]
struct SigningKey {
    encoding: EncodingKey,
    public: PublicKey,
}

impl SigningKey {
    fn from_pkcs8(der: &[u8], kid: &str) -> Result<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|rejected| unusable_key(kid).with_source(rejected))?;
        let public = PublicKey::new(kid, pair.public_key().as_ref())?;
        Ok(Self { encoding: EncodingKey::from_ed_der(der), public })
    }

    fn sign(&self, claims: &impl Serialize) -> Result<Token> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.public.kid.clone());
        let text =
            jsonwebtoken::encode(&header, claims, &self.encoding).map_err(|error| Error::internal("could not sign a token", error))?;
        Ok(Token(text))
    }
}

/// A public key, ready to verify the tokens that name it.
struct VerifyingKey {
    kid: String,
    decoding: DecodingKey,
}

impl VerifyingKey {
    fn new(public: &PublicKey) -> Self {
        Self { kid: public.kid.clone(), decoding: DecodingKey::from_ed_der(&public.bytes) }
    }
}

/// What a token must be to be ours: its algorithm, its audience, and the claims it can't lack. Its expiry is checked
/// by [`Expiry`], against the caller's clock.
fn validation(audience: &str, required: &[&str]) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(required);
    validation.validate_exp = false;
    validation.leeway = 0;
    validation
}

/// The claims of a token whose signature is by one of `keys`. Whether it has expired is left to the caller.
fn open<C: DeserializeOwned>(token: &str, keys: &[VerifyingKey], validation: &Validation) -> Result<C, Refusal> {
    if token.is_empty() {
        return Err(Refusal::Missing);
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::Malformed);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
    let kid = header.kid.ok_or(Refusal::Malformed)?;
    let key = keys.iter().find(|key| key.kid == kid).ok_or(Refusal::Signature)?;
    jsonwebtoken::decode::<C>(token, &key.decoding, validation).map(|data| data.claims).map_err(|error| Refusal::of(&error))
}

/// When a token ends: whole seconds since the epoch, as in its `exp` claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Expiry(i64);

impl Expiry {
    /// Rounded down: a token never outlives what was asked for.
    fn after(lifetime: Duration, now_ms: i64) -> Self {
        let lifetime_ms = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        Self(now_ms.saturating_add(lifetime_ms).div_euclid(1000))
    }

    fn at(expires_at_ms: i64) -> Self {
        Self(expires_at_ms.div_euclid(1000))
    }

    fn at_ms(self) -> i64 {
        self.0.saturating_mul(1000)
    }

    /// RFC 7519 §4.1.4: "on or after which the JWT MUST NOT be accepted".
    fn check(self, now_ms: i64) -> Result<(), Refusal> {
        if now_ms < self.at_ms() { Ok(()) } else { Err(Refusal::Expired) }
    }
}

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Missing,
    Malformed,
    Signature,
    Expired,
    OtherVideo,
}

impl Refusal {
    fn of(error: &jsonwebtoken::errors::Error) -> Self {
        use jsonwebtoken::errors::ErrorKind::{InvalidAlgorithm, InvalidSignature};
        match error.kind() {
            InvalidSignature | InvalidAlgorithm => Self::Signature,
            _ => Self::Malformed,
        }
    }

    /// The error that callers see; `kind` says whether they should sign in or give up.
    fn into_error(self, kind: ErrorKind) -> Error {
        let (code, message) = match self {
            Self::Missing => ("token-missing", "there is no token; ask for one"),
            Self::Malformed => ("token-malformed", "this is no token of ours; ask for a new one"),
            Self::Signature => ("token-signature", "the token's signature is not by a key we trust; ask for a new one"),
            Self::Expired => ("token-expired", "the token has expired; ask for a new one"),
            Self::OtherVideo => ("token-other-video", "the token is for something else; ask for one for this video"),
        };
        Error::new(kind, code, message)
    }
}

fn unusable_key(kid: &str) -> Error {
    Error::new(ErrorKind::Internal, "signing-key", format!("the key {kid:?} is no ed25519 key; restore the keyring from its backup"))
}

/// The path of a request as a log may hold it: no token, no query.
///
/// Whatever follows `/t/` is replaced, and whatever looks like a token elsewhere, for links get mistyped and their
/// tokens stay valid. In doubt it hides too much.
pub fn redact_path(path: &str) -> String {
    let (path, query) = match path.split_once('?') {
        Some((path, _)) => (path, "?***"),
        None => (path, ""),
    };
    let mut after_t = false;
    let segments: Vec<&str> = path
        .split('/')
        .map(|segment| {
            let secret = !segment.is_empty() && (after_t || is_like_token(segment));
            after_t = segment == "t" || (after_t && segment.is_empty());
            if secret { REDACTED } else { segment }
        })
        .collect();
    segments.join("/") + query
}

/// Every JWT starts with `{"` in base64, which is `eyJ`.
fn is_like_token(segment: &str) -> bool {
    segment.contains("eyJ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A fresh private key.
    pub(crate) fn pkcs8() -> Vec<u8> {
        Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).expect("a key").as_ref().to_vec()
    }

    #[test]
    fn no_token_reaches_a_log() {
        for (path, logged) in [
            ("/t/eyJh.eyJq.c2ln/v/1/2/master.m3u8", "/t/***/v/1/2/master.m3u8"),
            ("/t/anything", "/t/***"),
            ("/t/t/t", "/t/***/***"),
            ("/t//eyJh.eyJq.c2ln/v", "/t//***/v"),
            ("/t/", "/t/"),
            ("/x/t/secret/v", "/x/t/***/v"),
            ("/T/eyJh.eyJq.c2ln/v", "/T/***/v"),
            ("/watch/0190", "/watch/0190"),
            ("/v1/session?token=secret", "/v1/session?***"),
            ("", ""),
        ] {
            assert_eq!(redact_path(path), logged);
        }
        assert_eq!(format!("{:?}", Token("secret".to_owned())), "***");
        let key = SigningKey::from_pkcs8(&pkcs8(), "k1").expect("a key");
        assert!(format!("{key:?}").contains("redacted"));
    }

    #[test]
    fn a_token_expires_on_the_second_and_never_later_than_asked() {
        let expiry = Expiry::after(Duration::from_secs(10), 5_999);
        assert_eq!(expiry.at_ms(), 15_000);
        assert_eq!(expiry.check(14_999), Ok(()));
        assert_eq!(expiry.check(15_000), Err(Refusal::Expired));
        assert_eq!(Expiry::after(Duration::MAX, 1).check(i64::MAX - 1000), Ok(()));
    }

    #[test]
    fn what_is_no_key_is_refused_with_a_remedy() {
        let error = SigningKey::from_pkcs8(b"junk", "k1").expect_err("junk");
        assert_eq!(error.code(), "signing-key");
        assert!(PublicKey::new("k1", &[0; 31]).is_err());
    }
}
