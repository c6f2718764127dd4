//! The key pairs that sign CloudFront's links. At most one is active: it signs; all are trusted.

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::{Error, Result};

/// A key pair's row.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// The name in the links it signs, unless CloudFront gave it another.
    pub id: String,
    /// The name that CloudFront gave to its public half.
    pub cloudfront_id: Option<String>,
    /// `rsa` or `ecdsa`.
    pub algorithm: String,
    /// PEM.
    pub public_key: String,
    /// The private key, wrapped by the Kms; absent when someone else signs.
    pub wrapped: Option<String>,
    /// Whether it signs.
    pub active: bool,
    /// Epoch milliseconds; set by the catalog.
    pub created_at: i64,
}

impl SigningKey {
    /// The name that its links bear.
    pub fn key_pair_id(&self) -> &str {
        self.cloudfront_id.as_deref().unwrap_or(&self.id)
    }
}

fn signing_key(row: &Row) -> Result<SigningKey> {
    Ok(SigningKey {
        id: row.text("id")?,
        cloudfront_id: row.opt_text("cloudfront_id")?,
        algorithm: row.text("algorithm")?,
        public_key: row.text("public_key")?,
        wrapped: row.opt_text("wrapped")?,
        active: row.int("active")? == 1,
        created_at: row.int("created_at")?,
    })
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("there is no signing key {id}"))
}

fn taken(id: &str) -> Error {
    Error::conflict("key-pair-id-taken", format!("another signing key is called {id}: revoke that one first, or choose another name"))
}

const BY_EITHER_NAME: &str = "SELECT * FROM signing_keys WHERE id = $1 OR cloudfront_id = $1";

impl Catalog {
    /// Every key pair, oldest first.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>> {
        let rows = self.fetch_all("SELECT * FROM signing_keys ORDER BY created_at, id", args![]).await?;
        rows.iter().map(signing_key).collect()
    }

    /// The key pair that either of its names is `id` of.
    pub async fn signing_key(&self, id: &str) -> Result<SigningKey> {
        self.fetch_optional(BY_EITHER_NAME, args![id]).await?.as_ref().map_or_else(|| Err(unknown(id)), signing_key)
    }

    /// The one that signs, if any does.
    pub async fn active_signing_key(&self) -> Result<Option<SigningKey>> {
        let row = self.fetch_optional("SELECT * FROM signing_keys WHERE active = 1", args![]).await?;
        row.as_ref().map(signing_key).transpose()
    }
}

impl Tx {
    /// Inserts a key pair; it does not sign yet. `Conflict` when one of its names is taken.
    pub async fn insert_signing_key(&mut self, new: &SigningKey) -> Result<()> {
        for name in [Some(&new.id), new.cloudfront_id.as_ref()].into_iter().flatten() {
            if self.fetch_optional(BY_EITHER_NAME, args![name]).await?.is_some() {
                return Err(taken(name));
            }
        }
        let now = self.now().await?;
        let sql = "INSERT INTO signing_keys (id, cloudfront_id, algorithm, public_key, wrapped, created_at) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT DO NOTHING";
        let row = args![&new.id, new.cloudfront_id.clone(), &new.algorithm, &new.public_key, new.wrapped.clone(), now];
        if self.execute(sql, row).await? == 1 { Ok(()) } else { Err(taken(&new.id)) }
    }

    /// Lets the key pair `id` sign, and no other. `Conflict` when its private key is not here.
    pub async fn activate_signing_key(&mut self, id: &str) -> Result<()> {
        self.execute("UPDATE signing_keys SET active = 0 WHERE active = 1 AND id <> $1", args![id]).await?;
        let sql = "UPDATE signing_keys SET active = 1 WHERE id = $1 AND wrapped IS NOT NULL";
        if self.execute(sql, args![id]).await? == 1 {
            return Ok(());
        }
        match self.fetch_optional("SELECT id FROM signing_keys WHERE id = $1", args![id]).await? {
            None => Err(unknown(id)),
            Some(_) => Err(Error::conflict(
                "no-private-key",
                format!("signing key {id} was imported without its private key and cannot sign here"),
            )),
        }
    }

    /// Whether any key pair signs.
    pub async fn has_active_signing_key(&mut self) -> Result<bool> {
        Ok(self.fetch_optional("SELECT id FROM signing_keys WHERE active = 1", args![]).await?.is_some())
    }

    /// Notes the name that CloudFront gave to a key's public half; `Conflict` when another key has it.
    pub async fn name_signing_key(&mut self, id: &str, cloudfront_id: &str) -> Result<()> {
        let other = "SELECT id FROM signing_keys WHERE (id = $2 OR cloudfront_id = $2) AND id <> $1";
        if self.fetch_optional(other, args![id, cloudfront_id]).await?.is_some() {
            return Err(taken(cloudfront_id));
        }
        let changed = self.execute("UPDATE signing_keys SET cloudfront_id = $2 WHERE id = $1", args![id, cloudfront_id]).await?;
        if changed == 1 { Ok(()) } else { Err(unknown(id)) }
    }

    /// Deletes a key pair, its wrapped private key with it.
    pub async fn delete_signing_key(&mut self, id: &str) -> Result<()> {
        let changed = self.execute("DELETE FROM signing_keys WHERE id = $1", args![id]).await?;
        if changed == 1 { Ok(()) } else { Err(unknown(id)) }
    }
}
