//! S3 access keys. A secret is wrapped: no row holds a plain one (invariant 6).

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::access_key::{AccessKey, AccessKeyId, Prefix};
use crate::domain::role::Role;
use crate::domain::{Error, Result};

fn access_key(row: &Row) -> Result<AccessKey> {
    Ok(AccessKey {
        id: AccessKeyId::parse(&row.text("id")?)?,
        subject: row.text("subject")?,
        role: Role::parse(&row.text("role")?)?,
        prefix: Prefix::parse(&row.text("prefix")?)?,
        created_at: row.int("created_at")?,
        revoked_at: row.opt_int("revoked_at")?,
    })
}

fn unknown(id: &AccessKeyId) -> Error {
    Error::not_found(format!("there is no access key {id}"))
}

impl Catalog {
    /// A key's row, revoked or not.
    pub async fn access_key(&self, id: &AccessKeyId) -> Result<AccessKey> {
        let row = self.fetch_optional("SELECT * FROM s3_access_keys WHERE id = $1", args![id]).await?;
        row.as_ref().map_or_else(|| Err(unknown(id)), access_key)
    }

    /// The wrapped secret of a key that was not revoked; `NotFound` otherwise.
    pub async fn wrapped_secret(&self, id: &AccessKeyId) -> Result<String> {
        let sql = "SELECT secret_wrapped FROM s3_access_keys WHERE id = $1 AND revoked_at IS NULL";
        self.fetch_optional(sql, args![id]).await?.ok_or_else(|| unknown(id))?.text("secret_wrapped")
    }

    /// At most `limit` keys that were not revoked, of one subject or of all, newest first, older than `before`.
    pub async fn access_keys(&self, subject: Option<&str>, before: Option<&AccessKeyId>, limit: u64) -> Result<Vec<AccessKey>> {
        let sql = "SELECT * FROM s3_access_keys WHERE revoked_at IS NULL AND ($1 IS NULL OR subject = $1)
            AND ($2 IS NULL OR (created_at, id) < (SELECT created_at, id FROM s3_access_keys WHERE id = $2))
            ORDER BY created_at DESC, id DESC LIMIT $3";
        self.fetch_all(sql, args![subject, before.map(AccessKeyId::as_str), limit]).await?.iter().map(access_key).collect()
    }
}

impl Tx {
    /// Inserts a key, and gives it with the time of its making.
    pub async fn insert_access_key(&mut self, key: &AccessKey, secret_wrapped: &str) -> Result<AccessKey> {
        let created_at = self.now().await?;
        let sql = "INSERT INTO s3_access_keys (id, secret_wrapped, subject, role, prefix, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
        let row = args![&key.id, secret_wrapped, &key.subject, key.role.as_str(), key.prefix.as_str(), created_at];
        self.execute(sql, row).await?;
        Ok(AccessKey { created_at, ..key.clone() })
    }

    /// Whether a key is good: there, and not revoked.
    pub async fn is_good(&mut self, id: &AccessKeyId) -> Result<bool> {
        let sql = "SELECT 1 AS one FROM s3_access_keys WHERE id = $1 AND revoked_at IS NULL";
        Ok(self.fetch_optional(sql, args![id]).await?.is_some())
    }

    /// Revokes a key and forgets its secret; `NotFound` when there is none, or it was revoked before.
    pub async fn revoke_access_key(&mut self, id: &AccessKeyId) -> Result<()> {
        let now = self.now().await?;
        let sql = "UPDATE s3_access_keys SET revoked_at = $2, secret_wrapped = '' WHERE id = $1 AND revoked_at IS NULL";
        let changed = self.execute(sql, args![id, now]).await?;
        if changed == 1 { Ok(()) } else { Err(unknown(id)) }
    }
}
