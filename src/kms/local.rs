//! The local keyring: one file, readable by its owner only, holding every secret a house without a real KMS needs.
//!
//! A wrapped text is `local1.{kek id}.{base64url of nonce, ciphertext and tag}`: AES-256-GCM under the key-encryption key it names,
//! with the context as associated data. New texts use the active key; old keys stay in the file so that old texts still open.

use crate::domain::{Error, ErrorKind, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

const FORMAT: u32 = 1;
const WRAPPED_PREFIX: &str = "local1";
const KEK_BYTES: usize = 32;
const S3_SECRET_BYTES: usize = 30;
const OTHERS: u32 = 0o077;

/// The secrets of this house. Its `Debug` names none of them.
pub struct Keyring {
    contents: Contents,
    access_tokens: SigningKey,
    playback_tokens: SigningKey,
    s3_credentials: S3Credentials,
}

/// An Ed25519 key for signing tokens (RFC 8037).
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    pkcs8: Zeroizing<Vec<u8>>,
    public: Vec<u8>,
}

/// The key pair of the embedded S3 endpoint.
#[derive(Clone)]
pub struct S3Credentials {
    /// Names the pair; public.
    pub access_key_id: String,
    /// Signs requests.
    pub secret_access_key: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
struct Contents {
    format: u32,
    active_kek: String,
    keks: BTreeMap<String, Secret>,
    access_tokens: Secret,
    playback_tokens: Secret,
    s3_access_key_id: String,
    s3_secret_access_key: Secret,
}

/// Bytes that are base64 in the file and erased from memory when dropped.
struct Secret(Zeroizing<Vec<u8>>);

impl Keyring {
    /// Reads the keyring at `path`, or makes one there (mode 0600, durable before it is used). `Forbidden` with the command that
    /// mends it when anyone but the owner can read the file.
    ///
    /// The caller holds the data folder's lock: two first starts at once would otherwise race for the temporary file.
    pub fn open_or_create(path: &Path) -> Result<Self> {
        match File::open(path) {
            Ok(file) => Self::read(file, path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let contents = Contents::generate().map_err(|e| Error::internal("could not draw random keys", e))?;
                write_new(path, &contents).map_err(|e| Error::internal(format!("could not write {}", path.display()), e))?;
                Self::new(contents)
            }
            Err(e) => Err(Error::internal(format!("could not open {}", path.display()), e)),
        }
    }

    /// Reads the keyring at `path`; `NotFound` when there is none.
    pub fn open(path: &Path) -> Result<Self> {
        match File::open(path) {
            Ok(file) => Self::read(file, path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::not_found(format!("there is no keyring {}", path.display()))),
            Err(e) => Err(Error::internal(format!("could not open {}", path.display()), e)),
        }
    }

    /// The whole keyring as text: for nothing but to be sealed.
    pub fn to_text(&self) -> Result<Zeroizing<Vec<u8>>> {
        let text = serde_json::to_vec_pretty(&self.contents).map_err(|e| Error::internal("could not write the keyring", e))?;
        Ok(Zeroizing::new(text))
    }

    /// The keyring that [`Self::to_text`] wrote.
    pub fn from_text(text: &[u8]) -> Result<Self> {
        Self::parse(text, "the keyring in the backup")
    }

    /// Makes the keyring file at `path` (mode 0600, durable). Fails when there is one.
    pub fn save_new(&self, path: &Path) -> Result<()> {
        write_new(path, &self.contents).map_err(|e| Error::internal(format!("could not write {}", path.display()), e))
    }

    /// Signs access tokens.
    pub fn access_tokens(&self) -> &SigningKey {
        &self.access_tokens
    }

    /// Signs playback tokens.
    pub fn playback_tokens(&self) -> &SigningKey {
        &self.playback_tokens
    }

    /// Signs requests to the embedded S3 endpoint.
    pub fn s3_credentials(&self) -> &S3Credentials {
        &self.s3_credentials
    }

    pub(super) fn wrap(&self, context: &str, plain: &[u8]) -> Result<String> {
        let failed = |e: Unspecified| Error::internal("could not wrap a key", e);
        let id = &self.contents.active_kek;
        let kek = self.kek(id)?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(failed)?;
        let mut sealed = plain.to_vec();
        let aad = Aad::from(context.as_bytes());
        kek.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).map_err(failed)?;
        Ok(format!("{WRAPPED_PREFIX}.{id}.{}", URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat())))
    }

    pub(super) fn unwrap(&self, context: &str, wrapped: &str) -> Result<Zeroizing<Vec<u8>>> {
        let malformed = || Error::internal("a wrapped key is malformed; restore its row from a backup", "not a wrapped text");
        let [prefix, id, body] = wrapped.split('.').collect::<Vec<_>>().try_into().map_err(|_| malformed())?;
        if prefix != WRAPPED_PREFIX {
            return Err(malformed());
        }
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| malformed())?;
        let (nonce, sealed) = body.split_first_chunk::<NONCE_LEN>().ok_or_else(malformed)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let plain_len = self
            .kek(id)?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context.as_bytes()), &mut buffer)
            .map_err(|e| Error::internal("a wrapped key does not open; its row was altered or moved", e))?
            .len();
        buffer.truncate(plain_len);
        Ok(buffer)
    }

    fn read(file: File, path: &Path) -> Result<Self> {
        refuse_when_others_can_read(&file, path)?;
        let mut text = Zeroizing::new(Vec::new());
        (&file).read_to_end(&mut text).map_err(|e| Error::internal(format!("could not read {}", path.display()), e))?;
        Self::parse(&text, &path.display().to_string())
    }

    fn parse(text: &[u8], shown: &str) -> Result<Self> {
        let contents: Contents = serde_json::from_slice(text).map_err(|e| {
            // serde_json's own text can quote what it could not read; only the place is told.
            let place = format!("line {}, column {}", e.line(), e.column());
            Error::internal(format!("{shown} is damaged; restore it from a backup"), place)
        })?;
        if contents.format != FORMAT {
            return Err(Error::internal(format!("{shown} is of a newer Theatrum; update this one"), "unknown format"));
        }
        Self::new(contents)
    }

    fn new(contents: Contents) -> Result<Self> {
        let access_tokens = SigningKey::new(&contents.access_tokens)?;
        let playback_tokens = SigningKey::new(&contents.playback_tokens)?;
        let s3_credentials = S3Credentials {
            access_key_id: contents.s3_access_key_id.clone(),
            secret_access_key: Zeroizing::new(STANDARD.encode(contents.s3_secret_access_key.0.as_slice())),
        };
        let keyring = Self { contents, access_tokens, playback_tokens, s3_credentials };
        keyring.kek(&keyring.contents.active_kek)?;
        Ok(keyring)
    }

    fn kek(&self, id: &str) -> Result<LessSafeKey> {
        let missing =
            || Error::internal("the keyring lacks a key-encryption key; restore keyring.json from a backup", format!("no kek {id}"));
        let secret = self.contents.keks.get(id).ok_or_else(missing)?;
        let key = UnboundKey::new(&AES_256_GCM, &secret.0).map_err(|e| Error::internal("a key-encryption key has a wrong length", e))?;
        Ok(LessSafeKey::new(key))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("active_kek", &self.contents.active_kek).finish_non_exhaustive()
    }
}

impl SigningKey {
    fn new(secret: &Secret) -> Result<Self> {
        let pair =
            Ed25519KeyPair::from_pkcs8(&secret.0).map_err(|e| Error::internal("a signing key in the keyring is damaged", e.to_string()))?;
        let public = pair.public_key().as_ref().to_vec();
        let kid = hex::encode(&digest::digest(&digest::SHA256, &public).as_ref()[..8]);
        Ok(Self { kid, pkcs8: secret.0.clone(), public })
    }

    /// The key's id: the first 16 hexadecimal digits of its public half's SHA-256.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The private key, PKCS#8 DER (RFC 5958).
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key, 32 octets (RFC 8032 §5.1.5).
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Contents {
    fn generate() -> Result<Self, Unspecified> {
        let kek_id = hex::encode(random(8)?.as_slice());
        Ok(Self {
            format: FORMAT,
            keks: BTreeMap::from([(kek_id.clone(), Secret(random(KEK_BYTES)?))]),
            active_kek: kek_id,
            access_tokens: Secret::signing_key()?,
            playback_tokens: Secret::signing_key()?,
            s3_access_key_id: format!("THEATRUM{}", hex::encode_upper(random(6)?.as_slice())),
            s3_secret_access_key: Secret(random(S3_SECRET_BYTES)?),
        })
    }
}

impl Secret {
    fn signing_key() -> Result<Self, Unspecified> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())?;
        Ok(Self(Zeroizing::new(document.as_ref().to_vec())))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(self.0.as_slice())))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| serde::de::Error::custom("not base64"))?;
        Ok(Self(Zeroizing::new(bytes)))
    }
}

fn random(size_bytes: usize) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let mut bytes = Zeroizing::new(vec![0; size_bytes]);
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(bytes)
}

fn refuse_when_others_can_read(file: &File, path: &Path) -> Result<()> {
    let metadata = file.metadata().map_err(|e| Error::internal(format!("could not examine {}", path.display()), e))?;
    if metadata.permissions().mode() & OTHERS == 0 {
        return Ok(());
    }
    let message = format!("others can read the keys in {0}; run: chmod 600 {0}", path.display());
    Err(Error::new(ErrorKind::Forbidden, "keyring-exposed", message))
}

/// Writes beside, then links into place: a crash leaves no keyring or a whole one, and an existing one is never replaced.
fn write_new(path: &Path, contents: &Contents) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    match std::fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(&Zeroizing::new(serde_json::to_vec_pretty(contents)?))?;
    file.sync_all()?;
    std::fs::hard_link(&beside, path)?;
    std::fs::remove_file(&beside)?;
    File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (tempfile::TempDir, std::path::PathBuf, Keyring) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("keyring.json");
        let keyring = Keyring::open_or_create(&path).expect("a keyring");
        (folder, path, keyring)
    }

    #[test]
    fn a_second_start_finds_the_same_keys() {
        let (_folder, path, first) = made();
        let second = Keyring::open_or_create(&path).expect("the same keyring");
        assert_eq!(first.access_tokens().kid(), second.access_tokens().kid());
        assert_ne!(first.access_tokens().kid(), first.playback_tokens().kid());
        assert_eq!(first.s3_credentials().secret_access_key, second.s3_credentials().secret_access_key);
        let wrapped = first.wrap("a|b|c|1", b"secret").expect("wraps");
        assert_eq!(second.unwrap("a|b|c|1", &wrapped).expect("unwraps").as_slice(), b"secret");
    }

    #[test]
    fn the_file_is_the_owners_alone_or_refused() {
        let (folder, path, _) = made();
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "no temporary file is left");
        for mode in [0o640, 0o604, 0o620, 0o610] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
            let error = Keyring::open_or_create(&path).expect_err("refused");
            assert_eq!(error.code(), "keyring-exposed");
            assert!(error.message().contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
    }

    #[test]
    fn a_wrapped_text_opens_only_unaltered_and_in_its_place() {
        let (_folder, _, keyring) = made();
        let wrapped = keyring.wrap("theatrum|root_keys|wrapped|v|1", &[7; 32]).expect("wraps");
        assert!(keyring.unwrap("theatrum|root_keys|wrapped|w|1", &wrapped).is_err(), "moved to another row");
        let body_at = wrapped.rfind('.').expect("three pieces") + 1;
        for at in [0, body_at, wrapped.len() - 6] {
            let mut altered = wrapped.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).expect("ascii");
            assert!(keyring.unwrap("theatrum|root_keys|wrapped|v|1", &altered).is_err(), "{altered}");
        }
        for malformed in ["", "local1", "local1..", "local1.x.AAAA", "a.b.c.d"] {
            assert!(keyring.unwrap("c", malformed).is_err(), "{malformed:?}");
        }
    }

    #[test]
    fn texts_wrapped_by_a_retired_key_still_open() {
        let (_folder, path, keyring) = made();
        let wrapped = keyring.wrap("c", b"old").expect("wraps");
        let mut contents = keyring.contents;
        contents.keks.insert("new".to_owned(), Secret(random(KEK_BYTES).expect("random")));
        contents.active_kek = "new".to_owned();
        std::fs::remove_file(&path).expect("removed");
        write_new(&path, &contents).expect("written");
        let rotated = Keyring::open_or_create(&path).expect("reads");
        assert_eq!(rotated.unwrap("c", &wrapped).expect("opens").as_slice(), b"old");
        assert!(rotated.wrap("c", b"x").expect("wraps").starts_with("local1.new."));
    }

    #[test]
    fn a_damaged_file_is_reported_without_its_contents() {
        let (_folder, path, keyring) = made();
        let secret = keyring.s3_credentials().secret_access_key.to_string();
        let text = std::fs::read_to_string(&path).expect("reads").replace("\"format\": 1", "\"format\": \"1\"");
        std::fs::write(&path, text).expect("writes");
        let error = Keyring::open_or_create(&path).expect_err("damaged");
        assert!(error.message().contains("backup") && !error.chain().contains(&secret), "{}", error.chain());
    }

    #[test]
    fn no_secret_is_printed() {
        let (_folder, _, keyring) = made();
        let printed = format!("{keyring:?} {:?} {:?}", keyring.s3_credentials(), keyring.access_tokens());
        assert!(!printed.contains(keyring.s3_credentials().secret_access_key.as_str()));
        assert!(!printed.contains(&STANDARD.encode(keyring.access_tokens().pkcs8())));
    }

    #[test]
    fn the_signing_keys_sign_tokens() {
        use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
        let (_folder, _, keyring) = made();
        let key = keyring.access_tokens();
        let claims = BTreeMap::from([("sub", "someone".to_owned()), ("exp", "4102444800".to_owned())]);
        let token = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &EncodingKey::from_ed_der(key.pkcs8())).expect("signs");
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let read = jsonwebtoken::decode::<BTreeMap<String, String>>(&token, &DecodingKey::from_ed_der(key.public_key()), &validation);
        assert_eq!(read.expect("verifies").claims["sub"], "someone");
    }
}
