//! Access tokens: who someone is, and their role. The api issues and verifies them.

use super::{Expiry, Refusal, SigningKey, Token, VerifyingKey};
use crate::domain::role::Role;
use crate::domain::{ErrorKind, Result};
use jsonwebtoken::Validation;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

const ISSUER: &str = "theatrum";
const AUDIENCE: &str = "theatrum-api";

/// Makes access tokens and knows its own again.
pub struct Issuer {
    signing: SigningKey,
    verifying: [VerifyingKey; 1],
    validation: Validation,
}

/// A new access token. Its `Debug` hides the token.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The token.
    pub token: Token,
    /// Its `jti`, which may be logged.
    pub token_id: String,
    /// When it ends, in epoch milliseconds; a whole second.
    pub expires_at_ms: i64,
}

/// What a valid access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The person or machine.
    pub subject: String,
    /// What they may do.
    pub role: Role,
    /// When the token ends, in epoch milliseconds.
    pub expires_at_ms: i64,
    /// The token's `jti`, which may be logged.
    pub token_id: String,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    role: Role,
    exp: Expiry,
    iat: i64,
    jti: String,
}

impl Issuer {
    /// An issuer with the Ed25519 key `pkcs8_der` (PKCS#8, RFC 8410), called `kid`; code `signing-key` if it is none.
    pub fn new(pkcs8_der: &[u8], kid: &str) -> Result<Self> {
        let signing = SigningKey::from_pkcs8(pkcs8_der, kid)?;
        let verifying = [VerifyingKey::new(&signing.public)];
        let mut validation = super::validation(AUDIENCE, &["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[ISSUER]);
        Ok(Self { signing, verifying, validation })
    }

    /// A token for `subject` in `role`, valid for `lifetime` from `now_ms`, rounded down to a whole second.
    pub fn issue(&self, subject: &str, role: Role, lifetime: Duration, now_ms: i64) -> Result<Issued> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject.to_owned(),
            role,
            exp: Expiry::after(lifetime, now_ms),
            iat: now_ms.div_euclid(1000),
            jti: uuid::Uuid::now_v7().simple().to_string(),
        };
        let token = self.signing.sign(&claims)?;
        Ok(Issued { token, token_id: claims.jti, expires_at_ms: claims.exp.at_ms() })
    }

    /// Who holds `token`; otherwise `Unauthorized` with `token-missing`, `token-malformed`, `token-signature` or
    /// `token-expired`.
    pub fn verify(&self, token: &str, now_ms: i64) -> Result<Access> {
        self.open(token, now_ms).map_err(|refusal| refusal.into_error(ErrorKind::Unauthorized))
    }

    fn open(&self, token: &str, now_ms: i64) -> Result<Access, Refusal> {
        let claims: Claims = super::open(token, &self.verifying, &self.validation)?;
        claims.exp.check(now_ms)?;
        Ok(Access { subject: claims.sub, role: claims.role, expires_at_ms: claims.exp.at_ms(), token_id: claims.jti })
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("kid", &self.signing.public.kid()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pkcs8;
    use super::*;
    use crate::domain::ids::{SessionId, VersionId, VideoId};
    use crate::links::playback;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    const NOW_MS: i64 = 1_800_000_000_123;
    const HOUR: Duration = Duration::from_secs(3600);

    fn issuer() -> Issuer {
        Issuer::new(&pkcs8(), "k1").expect("a key")
    }

    fn code(issuer: &Issuer, token: &str, now_ms: i64) -> &'static str {
        let error = issuer.verify(token, now_ms).expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        error.code()
    }

    #[test]
    fn a_token_says_who_issued_for() {
        let issuer = issuer();
        for role in Role::ALL {
            let issued = issuer.issue("dr.tulp", role, HOUR, NOW_MS).expect("issued");
            let access = issuer.verify(issued.token.as_str(), NOW_MS).expect("valid");
            assert_eq!(access.subject, "dr.tulp");
            assert_eq!(access.role, role);
            assert_eq!(access.token_id, issued.token_id);
            assert_eq!(access.expires_at_ms, 1_800_003_600_000);
            assert_eq!(issued.expires_at_ms, access.expires_at_ms);
        }
    }

    #[test]
    fn each_way_to_be_wrong_has_its_code() {
        let issuer = issuer();
        let token = issuer.issue("dr.tulp", Role::Viewer, HOUR, NOW_MS).expect("issued").token.into_string();
        let stranger = Issuer::new(&pkcs8(), "k1").expect("a key");
        let unnamed = Issuer::new(&pkcs8(), "k9").expect("a key");
        let forged = stranger.issue("dr.tulp", Role::Admin, HOUR, NOW_MS).expect("issued").token.into_string();
        let unknown = unnamed.issue("dr.tulp", Role::Admin, HOUR, NOW_MS).expect("issued").token.into_string();
        for (token, now_ms, expected) in [
            ("", NOW_MS, "token-missing"),
            ("junk", NOW_MS, "token-malformed"),
            ("a.b.c", NOW_MS, "token-malformed"),
            (&"x".repeat(100_000), NOW_MS, "token-malformed"),
            (&forged, NOW_MS, "token-signature"),
            (&unknown, NOW_MS, "token-signature"),
            (&token, 1_800_003_600_000, "token-expired"),
        ] {
            assert_eq!(code(&issuer, token, now_ms), expected);
        }
    }

    /// Invariant 9, deny by default: the algorithm is ours to choose, never the token's.
    #[test]
    fn no_other_algorithm_is_believed() {
        let issuer = issuer();
        let token = issuer.issue("dr.tulp", Role::Viewer, HOUR, NOW_MS).expect("issued").token.into_string();
        let payload = token.split('.').nth(1).expect("a payload");
        let none = BASE64_URL_SAFE_NO_PAD.encode(br#"{"alg":"none","kid":"k1"}"#);
        assert_eq!(code(&issuer, &format!("{none}.{payload}."), NOW_MS), "token-malformed");
        // The classic confusion: the public key, which anyone may know, used as an HMAC secret.
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = Some("k1".to_owned());
        let claims: serde_json::Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("json");
        let secret = jsonwebtoken::EncodingKey::from_secret(issuer.signing.public.as_bytes());
        let confused = jsonwebtoken::encode(&header, &claims, &secret).expect("encoded");
        assert_eq!(code(&issuer, &confused, NOW_MS), "token-signature");
    }

    /// Invariant 9, deny by default: a token for watching is none for the api, even if one key signed both.
    #[test]
    fn a_playback_token_is_no_access_token() {
        let key = pkcs8();
        let issuer = Issuer::new(&key, "k1").expect("a key");
        let signer = playback::Signer::new(&key, "k1").expect("a key");
        let grant = playback::Grant { session: SessionId::new(), video: VideoId::new(), version: VersionId::new() };
        let token = signer.sign(&grant, HOUR, NOW_MS).expect("signed").token;
        assert_eq!(code(&issuer, token.as_str(), NOW_MS), "token-malformed");
        let verifier = playback::Verifier::new([signer.public_key()]);
        let access = issuer.issue("dr.tulp", Role::Admin, HOUR, NOW_MS).expect("issued").token;
        assert_eq!(verifier.verify(access.as_str(), NOW_MS).expect_err("refused").code(), "token-malformed");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        /// Invariant 9, deny by default: no byte of a token can be changed, anywhere.
        #[test]
        fn an_altered_token_is_refused(at in 0usize..1000, byte in 0x21u8..0x7f) {
            let issuer = issuer();
            let token = issuer.issue("dr.tulp", Role::Viewer, HOUR, NOW_MS).expect("issued").token.into_string();
            let mut altered = token.clone().into_bytes();
            let at = at % altered.len();
            proptest::prop_assume!(altered[at] != byte);
            altered[at] = byte;
            let altered = String::from_utf8(altered).expect("ascii");
            proptest::prop_assert!(issuer.verify(&altered, NOW_MS).is_err());
        }
    }
}
