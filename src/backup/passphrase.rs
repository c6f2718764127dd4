//! The keyring under a passphrase: the one thing without which a backup is noise, kept apart from it.
//!
//! PBKDF2-HMAC-SHA-256 (RFC 8018 §5.2) makes the key, AES-256-GCM seals the keyring, with all that the file says in clear as associated
//! data. Why not Argon2: docs/adr/0007.

use crate::domain::{Error, ErrorKind, Result};
use crate::kms::Keyring;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

const FORMAT: u32 = 1;
const KDF: &str = "pbkdf2-hmac-sha256";
/// About half a second of one core of 2026.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(1_200_000).expect("not zero");
/// What a file may ask for: a forged one must not keep us busy for hours.
const MOST_ITERATIONS: u32 = 100_000_000;
const SALT_BYTES: usize = 16;
/// The fewest characters of a passphrase.
pub const SHORTEST: usize = 12;

/// A passphrase. Erased from memory when dropped, never printed.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// A passphrase for a new seal: `Invalid` (`passphrase-short`) when it is too short.
    pub fn new(text: Zeroizing<String>) -> Result<Self> {
        if text.chars().count() < SHORTEST {
            let message = format!("the passphrase is too short: use at least {SHORTEST} characters, such as five random words");
            return Err(Error::invalid("passphrase-short", message));
        }
        Ok(Self(text))
    }

    /// A passphrase for a seal that exists.
    pub fn given(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(redacted)")
    }
}

/// A sealed keyring as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedKeyring {
    format: u32,
    /// Names the keyring without telling anything of it, so that a later backup knows that this very keyring is sealed already.
    keyring: String,
    kdf: String,
    iterations: u32,
    salt: String,
    nonce: String,
    sealed: String,
}

impl SealedKeyring {
    /// Seals `keyring`. Takes about half a second.
    pub fn seal(keyring: &Keyring, passphrase: &Passphrase) -> Result<Self> {
        let failed = |e: Unspecified| Error::internal("could not seal the keyring", e);
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_LEN]);
        aws_lc_rs::rand::fill(&mut salt).map_err(failed)?;
        aws_lc_rs::rand::fill(&mut nonce).map_err(failed)?;
        let mut new = Self {
            format: FORMAT,
            keyring: fingerprint(keyring)?,
            kdf: KDF.to_owned(),
            iterations: ITERATIONS.get(),
            salt: STANDARD.encode(salt),
            nonce: STANDARD.encode(nonce),
            sealed: String::new(),
        };
        let mut text = keyring.to_text()?.to_vec();
        let key = stretch(passphrase, &salt, ITERATIONS).map_err(failed)?;
        let sealed = key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), new.aad(), &mut text);
        sealed.map_err(failed)?;
        new.sealed = STANDARD.encode(text);
        Ok(new)
    }

    /// Reads a sealed keyring's text; `Invalid` (`keyring-damaged`) when it is none.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let parsed: Self = serde_json::from_slice(text).map_err(damaged)?;
        if parsed.format != FORMAT || parsed.kdf != KDF {
            return Err(Error::invalid("keyring-newer", "the sealed keyring is of a newer Theatrum: restore with that one"));
        }
        Ok(parsed)
    }

    /// Its text.
    pub fn to_text(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::internal("could not write the sealed keyring", e))?;
        Ok((text + "\n").into_bytes())
    }

    /// The SHA-256 of its text, hexadecimal: one that was altered has another, and so has one under another passphrase.
    pub fn sha256(&self) -> Result<String> {
        Ok(hex::encode(digest(&SHA256, &self.to_text()?)))
    }

    /// Whether it says that it holds exactly `keyring`; only its passphrase tells whether it does.
    pub fn is_of(&self, keyring: &Keyring) -> Result<bool> {
        Ok(self.keyring == fingerprint(keyring)?)
    }

    /// Opens it; `Forbidden` (`passphrase-wrong`) when the passphrase is another one. Takes about half a second.
    pub fn open(&self, passphrase: &Passphrase) -> Result<Keyring> {
        let iterations = NonZeroU32::new(self.iterations).filter(|count| count.get() <= MOST_ITERATIONS);
        let iterations = iterations.ok_or_else(|| damaged("an absurd number of iterations"))?;
        let salt = STANDARD.decode(&self.salt).map_err(damaged)?;
        let nonce: [u8; NONCE_LEN] =
            STANDARD.decode(&self.nonce).ok().and_then(|nonce| nonce.try_into().ok()).ok_or_else(|| damaged("nonce"))?;
        let mut text = Zeroizing::new(STANDARD.decode(&self.sealed).map_err(damaged)?);
        let key = stretch(passphrase, &salt, iterations).map_err(|e| Error::internal("could not open the sealed keyring", e))?;
        let opened = key.open_in_place(Nonce::assume_unique_for_key(nonce), self.aad(), &mut text);
        let length = opened.map_err(|_| wrong())?.len();
        Keyring::from_text(&text[..length])
    }

    fn aad(&self) -> Aad<Vec<u8>> {
        Aad::from(format!("theatrum|keyring|{}|{}|{}|{}", self.format, self.keyring, self.kdf, self.iterations).into_bytes())
    }
}

fn stretch(passphrase: &Passphrase, salt: &[u8], iterations: NonZeroU32) -> Result<LessSafeKey, Unspecified> {
    let mut bytes = Zeroizing::new([0; 32]);
    pbkdf2::derive(PBKDF2_HMAC_SHA256, iterations, salt, passphrase.0.as_bytes(), bytes.as_mut());
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes.as_ref())?))
}

/// The digest of 256-bit secrets tells nobody what they are.
fn fingerprint(keyring: &Keyring) -> Result<String> {
    Ok(hex::encode(digest(&SHA256, &keyring.to_text()?)))
}

fn wrong() -> Error {
    let message = "the keyring does not open: the passphrase is wrong, or the sealed keyring was altered";
    Error::new(ErrorKind::Forbidden, "passphrase-wrong", message)
}

fn damaged(cause: impl Into<crate::domain::error::Cause>) -> Error {
    Error::invalid("keyring-damaged", "the sealed keyring cannot be read: use another copy of it (--keyring-file)").with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::given(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn a_keyring_opens_under_its_passphrase_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let keyring = Keyring::open_or_create(&folder.path().join("keyring.json")).expect("a keyring");
        let other = Keyring::open_or_create(&folder.path().join("other.json")).expect("a keyring");
        let sealed = SealedKeyring::seal(&keyring, &passphrase("correct horse battery")).expect("sealed");
        let text = sealed.to_text().expect("text");
        let sealed = SealedKeyring::parse(&text).expect("reads back");
        assert!(sealed.is_of(&keyring).expect("compared") && !sealed.is_of(&other).expect("compared"));
        let rotten =
            String::from_utf8(text.clone()).expect("text").replace(&sealed.sealed, &sealed.sealed.replacen(['a', 'b', 'c'], "d", 1));
        let rotten = SealedKeyring::parse(rotten.as_bytes()).expect("it still looks like one");
        assert!(rotten.is_of(&keyring).expect("compared") && rotten.sha256().expect("text") != sealed.sha256().expect("text"));
        let opened = sealed.open(&passphrase("correct horse battery")).expect("opens");
        assert_eq!(opened.to_text().expect("text"), keyring.to_text().expect("text"));
        assert_eq!(sealed.open(&passphrase("correct horse batterY")).expect_err("wrong").code(), "passphrase-wrong");
        let mut altered: SealedKeyring = SealedKeyring::parse(&text).expect("reads back");
        altered.iterations += 1;
        assert_eq!(altered.open(&passphrase("correct horse battery")).expect_err("altered").code(), "passphrase-wrong");
        altered.iterations = u32::MAX;
        assert_eq!(altered.open(&passphrase("correct horse battery")).expect_err("absurd").code(), "keyring-damaged");
    }

    #[test]
    fn a_short_passphrase_seals_nothing() {
        let short = Zeroizing::new("elevenchars".to_owned());
        assert_eq!(Passphrase::new(short).expect_err("short").code(), "passphrase-short");
        assert_eq!(format!("{:?}", passphrase("secret")), "Passphrase(redacted)");
        assert_eq!(SealedKeyring::parse(b"{}").expect_err("none").code(), "keyring-damaged");
    }
}
