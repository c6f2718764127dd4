//! Texts that must not lie plain in a row: sealed under a key of their own, which the Kms wraps. So a text may be longer than what a real Kms
//! wraps at once.

use super::{Keys, RootKey};
use crate::domain::{Error, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Each key seals one text, so that no nonce can come twice.
const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

impl Keys {
    /// Encrypts `plain` for a row, bound to `context`: only the same context opens it. The context may be logged in clear by real services.
    pub async fn seal(&self, context: &str, plain: &[u8]) -> Result<String> {
        let key = RootKey::random()?;
        let wrapped = self.kms.wrap(context, key.expose()).await?;
        let mut sealed = plain.to_vec();
        let failed = |error| Error::internal("could not seal a text", error);
        cipher(key.expose())?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(NONCE), Aad::from(context.as_bytes()), &mut sealed)
            .map_err(failed)?;
        Ok(format!("{wrapped}~{}", BASE64_URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Decrypts what [`Keys::seal`] gave for the same `context`. `Internal` when it was altered or moved, or its key is gone.
    pub async fn unseal(&self, context: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>> {
        let altered = || Error::internal("a sealed text was altered or moved", "it does not open");
        let (wrapped, body) = sealed.rsplit_once('~').ok_or_else(altered)?;
        let key = self.kms.unwrap(context, wrapped).await?;
        let mut text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(body).map_err(|_| altered())?);
        let nonce = Nonce::assume_unique_for_key(NONCE);
        let plain = cipher(&key)?.open_in_place(nonce, Aad::from(context.as_bytes()), &mut text).map_err(|_| altered())?;
        Ok(Zeroizing::new(plain.to_vec()))
    }
}

fn cipher(key: &[u8]) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|error| Error::internal("a sealing key has a wrong length", error))?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::{Keyring, Kms};
    use std::sync::Arc;

    #[tokio::test]
    async fn a_sealed_text_opens_in_its_place_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Keys::new(Kms::Local(Arc::new(Keyring::open_or_create(&folder.path().join("keyring.json")).expect("a keyring"))));
        let secret = "s".repeat(100_000);
        let sealed = keys.seal("here", secret.as_bytes()).await.expect("sealed");
        assert!(!sealed.contains("ssss"));
        assert_eq!(keys.unseal("here", &sealed).await.expect("opened").as_slice(), secret.as_bytes());
        assert!(keys.unseal("there", &sealed).await.is_err());
        let altered = format!("{}AA", &sealed[..sealed.len() - 2]);
        assert!(keys.unseal("here", &altered).await.is_err());
        assert_ne!(sealed, keys.seal("here", secret.as_bytes()).await.expect("sealed"), "a key of its own");
    }
}
