//! The key management service: wraps and unwraps small secrets. Nothing else in the house knows what a key-encryption key is.

mod local;

use crate::domain::Result;
pub use local::{Keyring, S3Credentials, SigningKey};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Where key-encryption keys live.
#[derive(Clone)]
pub enum Kms {
    /// In the local keyring file.
    Local(Arc<Keyring>),
}

impl Kms {
    /// Encrypts `plain`, bound to `context`: only the same context opens it. The context may be logged in clear by real services:
    /// never put patient data there.
    pub async fn wrap(&self, context: &str, plain: &[u8]) -> Result<String> {
        match self {
            Self::Local(keyring) => keyring.wrap(context, plain),
        }
    }

    /// Decrypts what [`Kms::wrap`] gave for the same `context`. A text that was altered, moved, or wrapped by a key that is gone is
    /// an `Internal` error that no retry mends.
    pub async fn unwrap(&self, context: &str, wrapped: &str) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Self::Local(keyring) => keyring.unwrap(context, wrapped),
        }
    }
}

impl fmt::Debug for Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(_) => f.write_str("Kms::Local"),
        }
    }
}
