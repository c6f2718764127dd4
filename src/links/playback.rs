//! Playback tokens: what one session may watch, and until when. The api signs them; edges and the key endpoint verify
//! them with public keys alone.

use super::cookies::cookies;
use super::{Expiry, PublicKey, Refusal, SigningKey, Token, VerifyingKey};
use crate::domain::ids::{SessionId, VersionId, VideoId};
use crate::domain::{Error, ErrorKind, Result};
use crate::recent::Recent;
use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderMap;
use jsonwebtoken::Validation;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const AUDIENCE: &str = "theatrum-playback";

/// The cookie that carries a token where the path does not: beside CloudFront's signed cookies, below `/v/{video}/{version}/`.
pub const COOKIE: &str = "theatrum_playback";

/// Sessions whose verdict is remembered: some 30 MB at most, and twice the sessions one edge can feed.
const REMEMBERED: usize = 100_000;

/// What a token shall open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The viewer's session, which the audit log knows.
    pub session: SessionId,
    /// The video.
    pub video: VideoId,
    /// The version of it.
    pub version: VersionId,
}

/// A new playback token. Its `Debug` hides the token.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The token.
    pub token: Token,
    /// When it ends, in epoch milliseconds; a whole second.
    pub expires_at_ms: i64,
}

/// What a valid playback token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The viewer's session.
    pub session: SessionId,
    /// The video.
    pub video: VideoId,
    /// The version of it.
    pub version: VersionId,
    /// When the token ends, in epoch milliseconds.
    pub expires_at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    jti: SessionId,
    vid: VideoId,
    ver: VersionId,
    exp: Expiry,
}

/// The token in the [`COOKIE`] of a request; empty without one.
pub fn token_of_cookies(headers: &HeaderMap) -> &str {
    cookies(headers).find_map(|(name, token)| (name == COOKIE).then_some(token)).unwrap_or("")
}

/// Signs playback tokens.
#[derive(Debug)]
pub struct Signer {
    signing: SigningKey,
}

impl Signer {
    /// A signer with the Ed25519 key `pkcs8_der` (PKCS#8, RFC 8410), called `kid`; code `signing-key` if it is none.
    pub fn new(pkcs8_der: &[u8], kid: &str) -> Result<Self> {
        Ok(Self { signing: SigningKey::from_pkcs8(pkcs8_der, kid)? })
    }

    /// The key that verifies this signer's tokens.
    pub fn public_key(&self) -> PublicKey {
        self.signing.public.clone()
    }

    /// A token for `grant`, valid for `lifetime` from `now_ms`, rounded down to a whole second.
    pub fn sign(&self, grant: &Grant, lifetime: Duration, now_ms: i64) -> Result<Signed> {
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            jti: grant.session.clone(),
            vid: grant.video.clone(),
            ver: grant.version.clone(),
            exp: Expiry::after(lifetime, now_ms),
        };
        Ok(Signed { token: self.signing.sign(&claims)?, expires_at_ms: claims.exp.at_ms() })
    }
}

/// Verifies playback tokens. It knows public keys only, and remembers which tokens it has found valid.
pub struct Verifier {
    keys: Vec<VerifyingKey>,
    validation: Validation,
    /// By the token's SHA-256, so that memory holds no token. Only valid tokens are remembered: nobody but us can
    /// make those, so nobody else can fill it.
    verdicts: Mutex<Recent<[u8; 32], Arc<Pass>>>,
}

impl Verifier {
    /// A verifier that trusts `keys`: while keys rotate, the new and the old one.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self {
            keys: keys.into_iter().map(|key| VerifyingKey::new(&key)).collect(),
            validation: super::validation(AUDIENCE, &["exp", "aud"]),
            verdicts: Mutex::new(Recent::new(REMEMBERED)),
        }
    }

    /// What `token` opens; otherwise `Forbidden` with `token-missing`, `token-malformed`, `token-signature` or
    /// `token-expired`.
    pub fn verify(&self, token: &str, now_ms: i64) -> Result<Arc<Pass>> {
        self.open(token, now_ms).map_err(forbidden)
    }

    /// As [`verify`](Self::verify), and also `Forbidden` with `token-other-video` unless the token is for `video` and
    /// `version`, which are as the request's path has them.
    pub fn verify_for(&self, token: &str, video: &str, version: &str, now_ms: i64) -> Result<Arc<Pass>> {
        let pass = self.verify(token, now_ms)?;
        if pass.video.as_str() == video && pass.version.as_str() == version { Ok(pass) } else { Err(forbidden(Refusal::OtherVideo)) }
    }

    fn open(&self, token: &str, now_ms: i64) -> Result<Arc<Pass>, Refusal> {
        let hash = sha256(token);
        let pass = match self.remembered(&hash) {
            Some(pass) => pass,
            None => self.remember(hash, super::open::<Claims>(token, &self.keys, &self.validation)?.into()),
        };
        // Asked anew each time: a remembered verdict is about the signature, and time goes on.
        Expiry::at(pass.expires_at_ms).check(now_ms)?;
        Ok(pass)
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Arc<Pass>> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).get(hash)
    }

    fn remember(&self, hash: [u8; 32], pass: Pass) -> Arc<Pass> {
        let pass = Arc::new(pass);
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, Arc::clone(&pass), 1);
        pass
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<&str> = self.keys.iter().map(|key| key.kid.as_str()).collect();
        f.debug_struct("Verifier").field("kids", &kids).finish_non_exhaustive()
    }
}

impl From<Claims> for Pass {
    fn from(claims: Claims) -> Self {
        Self { session: claims.jti, video: claims.vid, version: claims.ver, expires_at_ms: claims.exp.at_ms() }
    }
}

fn sha256(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

/// A playback token is no identity: without a valid one the answer is 403, not an invitation to sign in.
fn forbidden(refusal: Refusal) -> Error {
    refusal.into_error(ErrorKind::Forbidden)
}

#[cfg(test)]
mod tests {
    use super::super::tests::pkcs8;
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_123;
    const HOUR: Duration = Duration::from_secs(3600);

    fn grant() -> Grant {
        Grant { session: SessionId::new(), video: VideoId::new(), version: VersionId::new() }
    }

    fn code(result: Result<Arc<Pass>>) -> &'static str {
        let error = result.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        error.code()
    }

    #[test]
    fn a_token_opens_what_was_granted_and_nothing_else() {
        let signer = Signer::new(&pkcs8(), "k1").expect("a key");
        let verifier = Verifier::new([signer.public_key()]);
        let grant = grant();
        let signed = signer.sign(&grant, HOUR, NOW_MS).expect("signed");
        let (video, version) = (grant.video.as_str(), grant.version.as_str());
        for _ in 0..2 {
            let pass = verifier.verify_for(signed.token.as_str(), video, version, NOW_MS).expect("valid");
            assert_eq!(pass.session, grant.session);
            assert_eq!(pass.expires_at_ms, signed.expires_at_ms);
            for (video, version) in [("", ""), (video, video), (version, version), (video, VersionId::new().as_str())] {
                assert_eq!(code(verifier.verify_for(signed.token.as_str(), video, version, NOW_MS)), "token-other-video");
            }
        }
    }

    /// Invariant 9, deny by default: a remembered verdict does not outlive its token.
    #[test]
    fn a_remembered_token_expires_like_any_other() {
        let signer = Signer::new(&pkcs8(), "k1").expect("a key");
        let verifier = Verifier::new([signer.public_key()]);
        let signed = signer.sign(&grant(), HOUR, NOW_MS).expect("signed");
        verifier.verify(signed.token.as_str(), signed.expires_at_ms - 1).expect("still valid");
        assert_eq!(code(verifier.verify(signed.token.as_str(), signed.expires_at_ms)), "token-expired");
    }

    #[test]
    fn keys_rotate_without_breaking_viewers_and_a_dropped_key_opens_nothing() {
        let old = Signer::new(&pkcs8(), "k1").expect("a key");
        let new = Signer::new(&pkcs8(), "k2").expect("a key");
        let tokens = [&old, &new].map(|signer| signer.sign(&grant(), HOUR, NOW_MS).expect("signed").token);
        let both = Verifier::new([new.public_key(), old.public_key()]);
        for token in &tokens {
            both.verify(token.as_str(), NOW_MS).expect("valid while both are trusted");
        }
        let newest = Verifier::new([new.public_key()]);
        assert_eq!(code(newest.verify(tokens[0].as_str(), NOW_MS)), "token-signature");
        newest.verify(tokens[1].as_str(), NOW_MS).expect("valid");
    }

    #[test]
    fn each_way_to_be_wrong_has_its_code() {
        let signer = Signer::new(&pkcs8(), "k1").expect("a key");
        let verifier = Verifier::new([signer.public_key()]);
        let forged = Signer::new(&pkcs8(), "k1").expect("a key").sign(&grant(), HOUR, NOW_MS).expect("signed").token;
        for (token, expected) in
            [("", "token-missing"), ("..", "token-malformed"), ("a.b.c", "token-malformed"), (forged.as_str(), "token-signature")]
        {
            assert_eq!(code(verifier.verify(token, NOW_MS)), expected);
        }
    }

    #[test]
    fn neither_signer_nor_verifier_nor_token_shows_a_secret() {
        let signer = Signer::new(&pkcs8(), "k1").expect("a key");
        let signed = signer.sign(&grant(), HOUR, NOW_MS).expect("signed");
        assert!(!format!("{signed:?}").contains("eyJ"));
        assert!(format!("{signer:?}").contains("redacted"));
        assert_eq!(format!("{:?}", Verifier::new([signer.public_key()])), "Verifier { kids: [\"k1\"], .. }");
    }
}
