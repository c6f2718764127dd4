//! The keys that sign CloudFront's links: made, imported, named, put to work, revoked; and what administrators sign with them.

use super::Caller;
use crate::audit::{Entry, Log};
use crate::catalog::Catalog;
use crate::catalog::signing_keys::SigningKey;
use crate::domain::{Error, ErrorKind, Result};
use crate::kms::Kms;
use crate::links::cloudfront::{Algorithm, Cookies, Gate, KeyGroup, Network, Policy, PrivateKey, PublicKey, Signer};
use crate::policy::{Action, Actor, decide};
use crate::transaction;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an unwrapped private key is remembered, so that a Kms that is out of reach, or a key that is gone, is noticed soon.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
const MAX_NAME_CHARS: usize = 64;
/// Random bytes of a name we give: no two alike, and none like CloudFront's, which begin with K or APK.
const NAME_BYTES: usize = 7;

/// The use cases of signing keys. Cheap to clone; clones share what is remembered.
#[derive(Clone)]
pub struct Signing {
    catalog: Catalog,
    kms: Kms,
    audit: Arc<Log>,
    gate: Arc<Gate>,
    /// Held from reading the keys until they are trusted: an older reading must not follow a newer one.
    refreshing: Arc<tokio::sync::Mutex<()>>,
    remembered: Arc<Mutex<Option<Remembered>>>,
}

/// The signer used last.
struct Remembered {
    key: String,
    wrapped: String,
    signer: Arc<Signer>,
    since: Instant,
}

/// What an administrator wants signed.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The whole URL; for cookies one that they shall open.
    pub url: String,
    /// Epoch seconds.
    pub expires_at_s: i64,
    /// Epoch seconds; asks for a custom policy.
    pub not_before_s: Option<i64>,
    /// Asks for a custom policy.
    pub network: Option<Network>,
    /// A pattern of URLs; asks for a custom policy.
    pub resource: Option<String>,
    /// A custom policy as it shall be signed, instead of all the conditions above.
    pub policy: Option<String>,
    /// Cookies instead of a URL.
    pub cookies: bool,
    /// Another key than the active one.
    pub key_pair_id: Option<String>,
}

/// What was signed.
#[derive(Clone, Debug)]
pub enum Link {
    /// A URL.
    Url(String),
    /// Cookies: names and values.
    Cookies(Cookies),
}

impl Wanted {
    /// The custom policy to sign; `None` when a canned one will do.
    fn custom(&self) -> Result<Option<String>> {
        if let Some(text) = &self.policy {
            // As strict as the gate: what it would refuse is not signed.
            Policy::parse(text.as_bytes())?;
            return Ok(Some(text.clone()));
        }
        let Self { not_before_s, network, resource, .. } = self;
        let needed = self.cookies || resource.is_some() || not_before_s.is_some() || network.is_some();
        let policy = Policy {
            resource: resource.clone().unwrap_or_else(|| self.url.clone()),
            expires_at_s: self.expires_at_s,
            not_before_s: *not_before_s,
            network: *network,
        };
        Ok(needed.then(|| policy.text()))
    }
}

impl Signing {
    /// Over the rows of `catalog`; `gate` is told of every change.
    pub fn new(catalog: Catalog, kms: Kms, audit: Arc<Log>, gate: Arc<Gate>) -> Self {
        Self { catalog, kms, audit, gate, refreshing: Arc::default(), remembered: Arc::default() }
    }

    /// Judges links.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Has the gate trust the catalog's keys as they are now. Call it after every change, and every few seconds for those that others make.
    pub async fn refresh(&self) -> Result<()> {
        let _alone = self.refreshing.lock().await;
        let mut group = Vec::new();
        for key in self.catalog.signing_keys().await? {
            let public = Arc::new(PublicKey::from_pem(&key.public_key)?);
            group.extend(key.cloudfront_id.map(|name| (name, public.clone())));
            group.push((key.id, public));
        }
        self.gate.trust(KeyGroup::new(group));
        Ok(())
    }

    /// Every key pair, oldest first.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<SigningKey>> {
        decide(actor, Action::ManageKeys).permit()?;
        self.catalog.signing_keys().await
    }

    /// Makes a key pair. It is trusted from now on; it signs if no other does.
    pub async fn create(&self, caller: &Caller, algorithm: Algorithm) -> Result<SigningKey> {
        self.permit(caller, "signing-key-create", algorithm.as_str()).await?;
        let made = self.make(algorithm).await?;
        let entry = self.entry(caller, "signing-key-create", &made.id);
        transaction!(self.catalog, |tx| {
            tx.insert_signing_key(&made).await?;
            if !tx.has_active_signing_key().await? {
                tx.activate_signing_key(&made.id).await?;
            }
            tx.append_audit(&entry).await
        })?;
        self.refresh().await?;
        self.catalog.signing_key(&made.id).await
    }

    /// Trusts a public key whose private half signs elsewhere, under the name `key_pair_id`, or one of ours.
    pub async fn import(&self, caller: &Caller, pem: &str, key_pair_id: Option<&str>) -> Result<SigningKey> {
        self.permit(caller, "signing-key-import", key_pair_id.unwrap_or_default()).await?;
        let public = PublicKey::from_pem(pem)?;
        let id = key_pair_id.map_or_else(new_name, name)?;
        let key = row(id, &public, None);
        let entry = self.entry(caller, "signing-key-import", &key.id);
        transaction!(self.catalog, |tx| {
            tx.insert_signing_key(&key).await?;
            tx.append_audit(&entry).await
        })?;
        self.refresh().await?;
        self.catalog.signing_key(&key.id).await
    }

    /// Lets a key pair sign from now on, instead of the one that did; `cloudfront_id` is the name that CloudFront gave to its public half, which
    /// its links then bear.
    pub async fn activate(&self, caller: &Caller, id: &str, cloudfront_id: Option<&str>) -> Result<SigningKey> {
        self.permit(caller, "signing-key-activate", id).await?;
        let key = self.catalog.signing_key(id).await?;
        let cloudfront_id = cloudfront_id.map(name).transpose()?;
        let entry = self.entry(caller, "signing-key-activate", &key.id);
        transaction!(self.catalog, |tx| {
            if let Some(name) = &cloudfront_id {
                tx.name_signing_key(&key.id, name).await?;
            }
            tx.activate_signing_key(&key.id).await?;
            tx.append_audit(&entry).await
        })?;
        self.refresh().await?;
        self.catalog.signing_key(&key.id).await
    }

    /// Trusts a key pair no more; its private key is deleted. Whatever it signed opens nothing from now on.
    pub async fn revoke(&self, caller: &Caller, id: &str) -> Result<()> {
        self.permit(caller, "signing-key-revoke", id).await?;
        let key = self.catalog.signing_key(id).await?;
        let entry = self.entry(caller, "signing-key-revoke", &key.id);
        transaction!(self.catalog, |tx| {
            tx.delete_signing_key(&key.id).await?;
            tx.append_audit(&entry).await
        })?;
        *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.refresh().await
    }

    /// Signs what an administrator wants; written down before it leaves.
    pub async fn sign(&self, caller: &Caller, wanted: &Wanted) -> Result<(Link, String)> {
        let custom = wanted.custom()?;
        let object = custom.clone().unwrap_or_else(|| Policy::new(&wanted.url, wanted.expires_at_s).text());
        self.permit(caller, "link-sign", &object).await?;
        let signer = self.signer(wanted.key_pair_id.as_deref()).await?;
        let link = match &custom {
            Some(text) if wanted.cookies => Link::Cookies(signer.cookies(text)?),
            Some(text) => Link::Url(signer.url_with_policy(&wanted.url, text)?),
            None => Link::Url(signer.url(&wanted.url, wanted.expires_at_s)?),
        };
        self.audit.append(&self.entry(caller, "link-sign", &object)).await?;
        Ok((link, signer.key_pair_id().to_owned()))
    }

    /// A signer: of the key pair `id`, else of the active one, which is made if there is none.
    pub async fn signer(&self, id: Option<&str>) -> Result<Arc<Signer>> {
        let key = match id {
            Some(id) => self.catalog.signing_key(id).await?,
            None => match self.catalog.active_signing_key().await? {
                Some(key) => key,
                None => self.first_key().await?,
            },
        };
        let no_private = || {
            Error::conflict("no-private-key", format!("signing key {} was imported without its private key and cannot sign here", key.id))
        };
        let wrapped = key.wrapped.clone().ok_or_else(no_private)?;
        if let Some(signer) = self.remembered(&key, &wrapped) {
            return Ok(signer);
        }
        let pkcs8 = self.kms.unwrap(&context(&key.id), &wrapped).await?;
        let private = PrivateKey::from_pkcs8(Algorithm::parse(&key.algorithm)?, &pkcs8)?;
        let signer = Arc::new(Signer::new(private, key.key_pair_id()));
        let remembered = Remembered { key: key.key_pair_id().to_owned(), wrapped, signer: signer.clone(), since: Instant::now() };
        *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = Some(remembered);
        Ok(signer)
    }

    fn remembered(&self, key: &SigningKey, wrapped: &str) -> Option<Arc<Signer>> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            |found: &&Remembered| found.key == key.key_pair_id() && found.wrapped == wrapped && found.since.elapsed() < REMEMBERED_FOR;
        remembered.as_ref().filter(fits).map(|found| found.signer.clone())
    }

    /// The key pair that signs where nobody has made one: of those who need it at once, one makes it.
    async fn first_key(&self) -> Result<SigningKey> {
        let made = self.make(Algorithm::Ecdsa).await?;
        let entry = Entry {
            actor: "theatrum".to_owned(),
            role: "none".to_owned(),
            action: "signing-key-create".to_owned(),
            object: Some(made.id.clone()),
            decision: "allow",
            reason: "none-was-active".to_owned(),
            ..Entry::default()
        };
        transaction!(self.catalog, |tx| {
            if !tx.has_active_signing_key().await? {
                tx.insert_signing_key(&made).await?;
                tx.activate_signing_key(&made.id).await?;
                tx.append_audit(&entry).await?;
            }
            Ok(())
        })?;
        self.refresh().await?;
        let gone = || Error::conflict("no-signing-key", "the signing key was revoked this moment: try again").with_retryable(true);
        self.catalog.active_signing_key().await?.ok_or_else(gone)
    }

    async fn make(&self, algorithm: Algorithm) -> Result<SigningKey> {
        let generated = tokio::task::spawn_blocking(move || PrivateKey::generate(algorithm)).await;
        let private = generated.map_err(|error| Error::internal("could not make a signing key", error))??;
        let id = new_name()?;
        let wrapped = self.kms.wrap(&context(&id), &private.to_pkcs8()?).await?;
        Ok(row(id, &private.public_key()?, Some(wrapped)))
    }

    /// Lets an administrator pass; anybody else is in the audit log before they hear of it (invariant 8).
    async fn permit(&self, caller: &Caller, action: &str, object: &str) -> Result<()> {
        let decision = decide(&caller.actor, Action::ManageKeys);
        if decision.permit().is_err() {
            self.audit.append(&self.entry(caller, action, object)).await?;
        }
        decision.permit()
    }

    fn entry(&self, caller: &Caller, action: &str, object: &str) -> Entry {
        Entry { object: Some(object.to_owned()), ..caller.entry(action, decide(&caller.actor, Action::ManageKeys)) }
    }
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signing").field("gate", &self.gate).finish_non_exhaustive()
    }
}

/// Binds a wrapped private key to its row.
fn context(id: &str) -> String {
    format!("theatrum|signing_keys|wrapped|{id}|1")
}

fn row(id: String, public: &PublicKey, wrapped: Option<String>) -> SigningKey {
    let (algorithm, public_key) = (public.algorithm().as_str().to_owned(), public.to_pem());
    SigningKey { id, cloudfront_id: None, algorithm, public_key, wrapped, active: false, created_at: 0 }
}

fn new_name() -> Result<String> {
    let mut bytes = [0; NAME_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|error| Error::internal("could not draw a key's name", error))?;
    Ok(format!("T{}", hex::encode_upper(bytes)))
}

/// A name as CloudFront gives them.
fn name(text: &str) -> Result<String> {
    let fits =
        (1..=MAX_NAME_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let wrong = || {
        Error::new(
            ErrorKind::Invalid,
            "bad-key-pair-id",
            "a key pair id has 1 to 64 letters, digits, hyphens and underscores, e.g. K2JCJMDEHXQW5F",
        )
    };
    fits.then(|| text.to_owned()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::Keyring;
    use http::HeaderMap;
    use std::net::{IpAddr, Ipv4Addr};

    /// A refresh that has begun is not overtaken: the other could have read the keys before it, and trust what was revoked in between.
    #[tokio::test]
    async fn an_older_reading_of_the_keys_does_not_follow_a_newer_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let keyring = Keyring::open_or_create(&folder.path().join("keyring.json")).expect("a keyring");
        let catalog = Catalog::open_sqlite(&folder.path().join("catalog.db")).await.expect("a catalog");
        let gate = Arc::new(Gate::new(vec!["https://a.example".to_owned()], false));
        let signing = Signing::new(catalog.clone(), Kms::Local(Arc::new(keyring)), Arc::new(Log::new(catalog.clone())), gate);
        let signer = signing.signer(None).await.expect("a signer");
        let url = signer.url("https://a.example/x", 2).expect("a link").parse().expect("a url");
        let trusts = || signing.gate().admit(&url, &HeaderMap::new(), IpAddr::V4(Ipv4Addr::LOCALHOST), 1_000).is_ok();
        assert!(trusts());
        let begun = signing.refreshing.lock().await;
        let mut other = Box::pin(signing.refresh());
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut other).await.is_err(), "it waits for the one that has begun");
        transaction!(catalog, |tx| tx.delete_signing_key(signer.key_pair_id()).await).expect("revoked");
        drop(begun);
        other.await.expect("refreshed");
        assert!(!trusts(), "what it reads after waiting is the newest");
    }
}
