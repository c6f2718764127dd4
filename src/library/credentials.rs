//! S3 access keys of people: made, listed, revoked, and looked up by the S3 endpoint. SigV4 needs the plain secret to verify by, so it
//! lies wrapped in its row and is shown once.

use super::Caller;
use crate::audit::{Entry, Log, Sink};
use crate::catalog::Catalog;
use crate::domain::access_key::{AccessKey, AccessKeyId, Prefix};
use crate::domain::role::Role;
use crate::domain::{Error, ErrorKind, Result};
use crate::kms::Kms;
use crate::policy::{Action, Actor, decide};
use crate::transaction;
use crate::uploads::Gate;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::IpAddr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// 40 characters of base64, as clients expect.
const SECRET_BYTES: usize = 30;

/// The use cases of access keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The rows.
    pub catalog: Catalog,
    /// Wraps secrets.
    pub kms: Kms,
    /// The audit log.
    pub audit: Arc<Log>,
    /// Whether the inbox is open: a key for a closed one is not made.
    pub open: bool,
}

/// A key that was just made.
pub struct Made {
    /// The key.
    pub key: AccessKey,
    /// Its secret, which nothing shows again.
    pub secret: Zeroizing<String>,
}

impl Credentials {
    /// Makes a key for `subject`, the actor if none is named; another one's key is an author's. Written down before it leaves (invariant 8).
    pub async fn create(&self, caller: &Caller, subject: Option<&str>, prefix: Prefix) -> Result<Made> {
        let subject = subject.unwrap_or(&caller.actor.subject);
        let own = subject == caller.actor.subject;
        let decision = decide(&caller.actor, if own { Action::UseInbox } else { Action::KeepAccessKeys(subject) });
        if decision.permit().is_err() {
            self.audit.append(&caller.entry("s3-key-create", decision)).await?;
        }
        decision.permit()?;
        if !self.open {
            return Err(Error::conflict("inbox-closed", "the inbox is closed: an operator opens it with the setting inbox.enabled"));
        }
        let key = AccessKey {
            id: AccessKeyId::new(),
            subject: subject.to_owned(),
            role: if own { caller.actor.role } else { Role::Author },
            prefix,
            created_at: 0,
            revoked_at: None,
        };
        let secret = secret()?;
        let wrapped = self.kms.wrap(&context(&key.id), secret.as_bytes()).await?;
        let entry = Entry { object: Some(format!("{} {}", key.id, key.subject)), ..caller.entry("s3-key-create", decision) };
        let key = transaction!(self.catalog, |tx| {
            let key = tx.insert_access_key(&key, &wrapped).await?;
            tx.append_audit(&entry).await?;
            Ok(key)
        })?;
        Ok(Made { key, secret })
    }

    /// At most `limit` of the keys that the actor may see, their own or everyone's, newest first, older than `before`.
    pub async fn list(&self, actor: &Actor, before: Option<&AccessKeyId>, limit: u64) -> Result<Vec<AccessKey>> {
        decide(actor, Action::UseInbox).permit()?;
        let everyones = decide(actor, Action::Operate).permit().is_ok();
        self.catalog.access_keys((!everyones).then_some(&*actor.subject), before, limit).await
    }

    /// Revokes a key; it opens nothing from then on. Another's key is `NotFound`, as if it were not there.
    pub async fn revoke(&self, caller: &Caller, id: &AccessKeyId) -> Result<()> {
        decide(&caller.actor, Action::UseInbox).permit()?;
        let key = self.catalog.access_key(id).await?;
        let decision = decide(&caller.actor, Action::KeepAccessKeys(&key.subject));
        let entry = Entry { object: Some(format!("{id} {}", key.subject)), ..caller.entry("s3-key-revoke", decision) };
        if decision.permit().is_err() {
            self.audit.append(&entry).await?;
            return Err(Error::hidden(format!("there is no access key {id}")));
        }
        transaction!(self.catalog, |tx| {
            tx.revoke_access_key(id).await?;
            tx.append_audit(&entry).await
        })
    }
}

#[async_trait]
impl Gate for Credentials {
    async fn secret(&self, id: &str) -> Result<Option<Zeroizing<String>>> {
        let Ok(id) = AccessKeyId::parse(id) else { return Ok(None) };
        let wrapped = match self.catalog.wrapped_secret(&id).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            wrapped => wrapped?,
        };
        let mut plain = self.kms.unwrap(&context(&id), &wrapped).await?;
        let text = String::from_utf8(std::mem::take(&mut *plain));
        text.map(|text| Some(Zeroizing::new(text))).map_err(|error| Error::internal("an unwrapped secret is no text", error.utf8_error()))
    }

    async fn sender(&self, id: &str) -> Result<AccessKey> {
        let key = self.catalog.access_key(&AccessKeyId::parse(id)?).await?;
        let actor = Actor { subject: key.subject.clone(), role: key.role };
        decide(&actor, Action::UseInbox).permit()?;
        if key.revoked_at.is_none() { Ok(key) } else { Err(Error::not_found(format!("there is no access key {id}"))) }
    }

    async fn refused(&self, address: IpAddr, reason: &'static str) {
        self.audit.refused(address, reason).await;
    }
}

/// Binds a wrapped secret to its place, `table|column|row|version`.
fn context(id: &AccessKeyId) -> String {
    format!("theatrum|s3_access_keys|secret_wrapped|{id}|1")
}

fn secret() -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    aws_lc_rs::rand::fill(bytes.as_mut()).map_err(|error| Error::internal("could not draw a random secret", error))?;
    Ok(Zeroizing::new(STANDARD.encode(bytes.as_ref())))
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made").field("key", &self.key).finish_non_exhaustive()
    }
}
