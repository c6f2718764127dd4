//! Embed tokens: who may watch one video in a frame on one site. A site's own server asks for one for each of its people; the embed
//! page exchanges it for a playback session. It opens nothing else.

use super::{Expiry, Refusal, SigningKey, Token, VerifyingKey};
use crate::domain::ids::VideoId;
use crate::domain::origin::Origin;
use crate::domain::{ErrorKind, Result};
use jsonwebtoken::Validation;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

const AUDIENCE: &str = "theatrum-embed";

/// What a token shall open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The video.
    pub video: VideoId,
    /// The site whose page holds the frame.
    pub origin: Origin,
    /// Who watches, as the site knows them.
    pub subject: String,
    /// Who asked for the token.
    pub issued_by: String,
}

/// A new embed token. Its `Debug` hides the token.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The token.
    pub token: Token,
    /// When it ends, in epoch milliseconds; a whole second.
    pub expires_at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    vid: VideoId,
    origin: String,
    sub: String,
    by: String,
    exp: Expiry,
}

/// Makes embed tokens and knows its own again.
pub struct Minter {
    signing: SigningKey,
    verifying: [VerifyingKey; 1],
    validation: Validation,
}

impl Minter {
    /// A minter with the Ed25519 key `pkcs8_der` (PKCS#8, RFC 8410), called `kid`; code `signing-key` if it is none.
    pub fn new(pkcs8_der: &[u8], kid: &str) -> Result<Self> {
        let signing = SigningKey::from_pkcs8(pkcs8_der, kid)?;
        let verifying = [VerifyingKey::new(&signing.public)];
        Ok(Self { signing, verifying, validation: super::validation(AUDIENCE, &["exp", "aud", "sub"]) })
    }

    /// A token for `grant`, valid for `lifetime` from `now_ms`, rounded down to a whole second.
    pub fn mint(&self, grant: &Grant, lifetime: Duration, now_ms: i64) -> Result<Minted> {
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            vid: grant.video.clone(),
            origin: grant.origin.to_string(),
            sub: grant.subject.clone(),
            by: grant.issued_by.clone(),
            exp: Expiry::after(lifetime, now_ms),
        };
        Ok(Minted { token: self.signing.sign(&claims)?, expires_at_ms: claims.exp.at_ms() })
    }

    /// What `token` opens, if it is for `video`; otherwise `Unauthorized` with `token-missing`, `token-malformed`, `token-signature` or
    /// `token-expired`, or `Forbidden` with `token-other-video`.
    pub fn verify(&self, token: &str, video: &VideoId, now_ms: i64) -> Result<Grant> {
        self.open(token, video, now_ms).map_err(|refusal| match refusal {
            Refusal::OtherVideo => refusal.into_error(ErrorKind::Forbidden),
            refusal => refusal.into_error(ErrorKind::Unauthorized),
        })
    }

    fn open(&self, token: &str, video: &VideoId, now_ms: i64) -> Result<Grant, Refusal> {
        let Claims { vid, origin, sub, by, exp, .. } = super::open(token, &self.verifying, &self.validation)?;
        exp.check(now_ms)?;
        if vid != *video {
            return Err(Refusal::OtherVideo);
        }
        let origin = Origin::parse(&origin).map_err(|_| Refusal::Malformed)?;
        Ok(Grant { video: vid, origin, subject: sub, issued_by: by })
    }
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minter").field("kid", &self.signing.public.kid()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pkcs8;
    use super::*;
    use crate::domain::ids::{SessionId, VersionId};
    use crate::links::playback;

    const NOW_MS: i64 = 1_800_000_000_000;
    const MINUTE: Duration = Duration::from_secs(60);

    fn grant() -> Grant {
        let origin = Origin::parse("https://moodle.example.edu").expect("an origin");
        Grant { video: VideoId::new(), origin, subject: "student 7".into(), issued_by: "moodle".into() }
    }

    #[test]
    fn a_token_opens_its_own_video_until_it_ends() {
        let (minter, grant) = (Minter::new(&pkcs8(), "k1").expect("a key"), grant());
        let minted = minter.mint(&grant, MINUTE, NOW_MS).expect("a token");
        let verify = |video: &VideoId, now_ms| minter.verify(minted.token.as_str(), video, now_ms);
        assert_eq!(verify(&grant.video, NOW_MS + 59_999).expect("valid"), grant);
        assert_eq!(verify(&grant.video, minted.expires_at_ms).expect_err("over").code(), "token-expired");
        assert_eq!(verify(&VideoId::new(), NOW_MS).expect_err("another").code(), "token-other-video");
    }

    /// invariant 9: deny by default: the audience keeps tokens of one kind from opening what another opens.
    #[test]
    fn a_playback_token_is_no_embed_token() {
        let (key, grant) = (pkcs8(), grant());
        let minter = Minter::new(&key, "k1").expect("a key");
        let signer = playback::Signer::new(&key, "k1").expect("a key");
        let pass = playback::Grant { session: SessionId::new(), video: grant.video.clone(), version: VersionId::new() };
        let playback = signer.sign(&pass, MINUTE, NOW_MS).expect("a token").token;
        assert!(minter.verify(playback.as_str(), &grant.video, NOW_MS).is_err());
        let embed = minter.mint(&grant, MINUTE, NOW_MS).expect("a token").token;
        let verifier = playback::Verifier::new([signer.public_key()]);
        assert!(verifier.verify(embed.as_str(), NOW_MS).is_err());
        assert_eq!(format!("{embed:?}"), "***");
    }
}
