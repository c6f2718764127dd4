//! Keys that sign and verify links, and the group of those that are trusted.

use super::{Hash, Refusal};
use crate::domain::{Error, Result};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize, PublicEncryptingKey};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

const LEAST_RSA_BITS: usize = 2048;
const PEM_COLUMNS: usize = 64;

/// What a key pair computes with. CloudFront knows these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, PKCS#1 v1.5 (RFC 8017 §8.2), 2048 bits; imported keys may be longer.
    Rsa,
    /// ECDSA over P-256, signatures in DER (RFC 3279 §2.2.3).
    Ecdsa,
}

impl Algorithm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Rsa, Self::Ecdsa];

    /// The word in the catalog, in the API and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ecdsa => "ecdsa",
        }
    }

    /// Reads the word back; any other is `Invalid` with the code `bad-algorithm`.
    pub fn parse(word: &str) -> Result<Self> {
        let wrong = || Error::invalid("bad-algorithm", "there is no such algorithm: choose rsa or ecdsa");
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == word).ok_or_else(wrong)
    }
}

/// A public key that verifies links.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: Algorithm,
    /// SubjectPublicKeyInfo (RFC 5280 §4.1).
    der: Vec<u8>,
    sha256: ParsedPublicKey,
    sha1: Option<ParsedPublicKey>,
}

impl PublicKey {
    /// Reads a PEM file as CloudFront takes it, `-----BEGIN PUBLIC KEY-----`. `Invalid` with the code `bad-public-key` unless it holds an RSA
    /// key of 2048 to 8192 bits or an ECDSA key on P-256.
    pub fn from_pem(text: &str) -> Result<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|error| unusable().with_source(error.to_string()))?;
        Self::from_der(&der)
    }

    /// As [`from_pem`](Self::from_pem), of the DER within.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let parse = |algorithm| ParsedPublicKey::new(algorithm, der).map_err(|rejected| unusable().with_source(rejected));
        if let Ok(sha256) = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der) {
            return Ok(Self { algorithm: Algorithm::Ecdsa, der: der.to_vec(), sha256, sha1: None });
        }
        let bits = PublicEncryptingKey::from_der(der).map_err(|rejected| unusable().with_source(rejected))?.key_size_bits();
        if bits < LEAST_RSA_BITS {
            return Err(unusable());
        }
        let sha1 = Some(parse(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY)?);
        Ok(Self { algorithm: Algorithm::Rsa, der: der.to_vec(), sha256: parse(&RSA_PKCS1_2048_8192_SHA256)?, sha1 })
    }

    /// What it computes with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The PEM file (RFC 7468 §13) to put into a key group of CloudFront.
    pub fn to_pem(&self) -> String {
        let text = BASE64_STANDARD.encode(&self.der);
        let lines: Vec<&str> = (0..text.len()).step_by(PEM_COLUMNS).map(|at| &text[at..text.len().min(at + PEM_COLUMNS)]).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// Whether `signature` is this key's over `message`. An ECDSA key signs nothing over SHA-1 here.
    fn verify(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let key = match hash {
            Hash::Sha256 => Some(&self.sha256),
            Hash::Sha1 => self.sha1.as_ref(),
        };
        key.is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn unusable() -> Error {
    let message = "this is no public key that CloudFront takes: give a PEM file that begins with -----BEGIN PUBLIC KEY----- and holds an RSA key \
                   of at least 2048 bits or an ECDSA key on P-256";
    Error::invalid("bad-public-key", message)
}

/// A private key that signs links, always over SHA-256. Its `Debug` shows none of it.
pub struct PrivateKey(Pair);

enum Pair {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
}

impl PrivateKey {
    /// A new key. Takes a core for up to a second: call it off the async threads.
    pub fn generate(algorithm: Algorithm) -> Result<Self> {
        let failed = |error| Error::internal("could not make a signing key", error);
        Ok(Self(match algorithm {
            Algorithm::Rsa => Pair::Rsa(rsa::KeyPair::generate(KeySize::Rsa2048).map_err(failed)?),
            Algorithm::Ecdsa => Pair::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?),
        }))
    }

    /// Reads a key back (PKCS#8, RFC 5958).
    pub fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self> {
        let damaged = |rejected| Error::internal("a signing key is damaged: make a new one and revoke this one", rejected);
        Ok(Self(match algorithm {
            Algorithm::Rsa => Pair::Rsa(rsa::KeyPair::from_pkcs8(der).map_err(damaged)?),
            Algorithm::Ecdsa => Pair::Ecdsa(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).map_err(damaged)?),
        }))
    }

    /// The key for [`from_pkcs8`](Self::from_pkcs8); a secret.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>> {
        let failed = |error| Error::internal("could not write a signing key", error);
        Ok(Zeroizing::new(match &self.0 {
            Pair::Rsa(pair) => AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(pair).map_err(failed)?.as_ref().to_vec(),
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
        }))
    }

    /// The other half.
    pub fn public_key(&self) -> Result<PublicKey> {
        let failed = |error| Error::internal("could not write a public key", error);
        let der: PublicKeyX509Der<'_> = match &self.0 {
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
        }
        .map_err(failed)?;
        PublicKey::from_der(der.as_ref())
    }

    /// The signature over `message`, with SHA-256. RSA gives the same one each time, ECDSA does not.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let failed = |error| Error::internal("could not sign a link", error);
        let random = SystemRandom::new();
        match &self.0 {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Pair::Ecdsa(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

/// The public keys that are trusted, by the names that links call them.
#[derive(Clone, Debug, Default)]
pub struct KeyGroup {
    keys: HashMap<String, Arc<PublicKey>>,
}

impl KeyGroup {
    /// A group of these keys; one key may have several names.
    pub fn new(keys: impl IntoIterator<Item = (String, Arc<PublicKey>)>) -> Self {
        Self { keys: keys.into_iter().collect() }
    }

    pub(super) fn verify(&self, key_pair_id: &str, hash: Hash, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let key = self.keys.get(key_pair_id).ok_or(Refusal::KeyUnknown)?;
        if key.verify(hash, message, signature) { Ok(()) } else { Err(Refusal::Signature) }
    }
}
