//! The roles of the house and the order in which they start and stop. Each runs until the shutdown token; the first that fails takes the
//! others with it. In this release one process runs them all.

mod events;
mod folder;
mod http;
mod listeners;
mod redirect;
mod restoring;
mod tls;

use crate::api::{self, Site};
use crate::audit::Log;
use crate::blobs::Blobs;
use crate::catalog::Catalog;
use crate::config::{self, Config};
use crate::depot;
use crate::domain::role::Role;
use crate::domain::{Error, Result};
use crate::doorbell::Doorbell;
use crate::edge;
use crate::ingest::{self, Inbox, Ingest, Ledger};
use crate::keys::Keys;
use crate::kms::{Keyring, Kms};
use crate::library::{self, Credentials, Embeds, Library, Signing};
use crate::links::access::Issuer;
use crate::links::cloudfront::Gate;
use crate::links::embed::Minter;
use crate::links::playback::{Signer, Verifier};
use crate::listen::{self, Proxies};
use crate::notify;
use crate::storage::{self, Reserve, Storage};
use crate::transaction;
use crate::uploads::{self, Presigner, disk};
use crate::worker::{self, ffmpeg::Tools, sandbox, sandbox::Sandbox, upkeep, verify};
use folder::Folder;
pub use folder::Layout;
use listeners::Listeners;
pub use restoring::Restoring;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tls::Tls;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const ADMIN: &str = "admin";
const ADMIN_TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
const EXPIRE_EVERY: Duration = Duration::from_secs(30);
/// A revoked key of another server is trusted for so long at most.
const FOLLOW_KEYS_EVERY: Duration = Duration::from_secs(10);

/// A house that is ready to run: everything is open, nothing is served yet.
pub struct House {
    folder: Folder,
    config: Config,
    parts: Parts,
    listeners: Listeners,
    tls: Option<Tls>,
    site: Arc<Site>,
    issuer: Arc<Issuer>,
    signer: Arc<Signer>,
    minter: Arc<Minter>,
    sandbox: Sandbox,
}

struct Parts {
    keyring: Arc<Keyring>,
    keys: Keys,
    catalog: Catalog,
    blobs: Blobs,
    doorbell: Doorbell,
    audit: Arc<Log>,
    storage: Storage,
}

impl House {
    /// Opens the data folder, making it on the first start: lock, catalog, keyring, blobs, listeners, sandbox, admin token.
    pub async fn open(data: &Path, config: Config) -> Result<Self> {
        let folder = Folder::open(data)?;
        let parts = Parts::open(&folder, &config).await?;
        let sandbox = open_sandbox(&config).await?;
        let tls = Tls::open(&config.tls, &folder)?;
        let listeners = Listeners::bind(&config, tls.as_ref()).await?;
        let (public_url, s3_public_url) = listeners.links(&config.server);
        let site = Arc::new(Site::new(public_url, s3_public_url)?);
        let key = parts.keyring.access_tokens();
        let issuer = Arc::new(Issuer::new(key.pkcs8(), key.kid())?);
        let key = parts.keyring.playback_tokens();
        let signer = Arc::new(Signer::new(key.pkcs8(), key.kid())?);
        let minter = Arc::new(Minter::new(key.pkcs8(), key.kid())?);
        let house = Self { folder, config, parts, listeners, tls, site, issuer, signer, minter, sandbox };
        house.keep_admin_token()?;
        house.warn_of_links();
        house.folder.announce(&house.listeners.announcement())?;
        Ok(house)
    }

    /// Where browsers reach the page.
    pub fn public_url(&self) -> &str {
        self.site.origin()
    }

    /// Where the S3 endpoint listens.
    pub fn s3_url(&self) -> &str {
        self.listeners.s3_url()
    }

    /// The file that holds the administrator's access token.
    pub fn admin_token_file(&self) -> PathBuf {
        self.folder.admin_token()
    }

    /// Runs every role until `shutdown` or the first failure, then drains: no new claims, leases handed back, requests finished.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let (worker, upkeep, notify, verify) = (self.worker(), self.upkeep()?, self.notify().await?, self.verify());
        let ended = transaction!(self.parts.catalog, |tx| {
            tx.free_verifications(self.folder.node(), &worker.owner).await?;
            tx.forget_former_life(self.folder.node(), &worker.owner).await
        })?;
        if ended > 0 {
            tracing::info!(ended, "took back the leases of this node's former life");
        }
        let ingest = self.ingest()?;
        let gate = Arc::new(self.gate());
        let signing = self.signing(gate.clone());
        signing.refresh().await?;
        let front = self.front(self.app(ingest.clone(), gate, signing.clone(), shutdown.clone())?);
        let endpoint = self.endpoint(ingest.clone());
        let Self { folder, parts, listeners, tls, site, .. } = self;
        listen::allow_many();
        let mut roles = JoinSet::new();
        roles.spawn(http::serve(listeners.http, front, shutdown.clone()));
        roles.spawn(disk::serve(listeners.s3, endpoint, shutdown.clone()));
        if let Some(tls) = tls {
            if let Some(socket) = listeners.redirect {
                roles.spawn(redirect::serve(socket, site.origin().to_owned(), tls.certificates(), shutdown.clone()));
            }
            roles.spawn(tls.run(shutdown.clone()));
        }
        roles.spawn(expire_uploads(ingest, shutdown.clone()));
        roles.spawn(follow_signing_keys(signing, shutdown.clone()));
        roles.spawn(upkeep::run(upkeep, shutdown.clone()));
        roles.spawn(notify::run(notify, shutdown.clone()));
        roles.spawn(verify::run(verify, shutdown.clone()));
        roles.spawn(worker::run(worker, shutdown.clone()));
        let outcome = first_failure(roles, &shutdown).await;
        parts.audit.flush().await?;
        parts.catalog.close().await;
        folder.retract();
        outcome
    }

    fn keep_admin_token(&self) -> Result<()> {
        let now_ms = now_ms();
        let valid = |token: &str| self.issuer.verify(token, now_ms).is_ok();
        if self.folder.read_admin_token().is_some_and(|token| valid(&token)) {
            return Ok(());
        }
        let issued = self.issuer.issue(ADMIN, Role::Admin, ADMIN_TOKEN_LIFETIME, now_ms)?;
        self.folder.write_admin_token(issued.token.as_str())
    }

    fn ingest(&self) -> Result<Ingest> {
        let uploads = &self.config.uploads;
        Ok(Ingest {
            catalog: self.parts.catalog.clone(),
            blobs: self.parts.blobs.clone(),
            keys: self.parts.keys.clone(),
            presigner: Arc::new(Presigner::new(self.site.s3_origin(), self.parts.keyring.s3_credentials())?),
            doorbell: self.parts.doorbell.clone(),
            storage: self.parts.storage.clone(),
            limits: ingest::Limits {
                max_size_bytes: uploads.max_size_bytes,
                part_size_bytes: uploads.part_size_bytes,
                lifetime: uploads.lifetime,
                url_lifetime: uploads.url_lifetime,
            },
        })
    }

    fn app(&self, ingest: Ingest, gate: Arc<Gate>, signing: Signing, draining: CancellationToken) -> Result<axum::Router> {
        let links = &self.config.signing;
        let verifier = Arc::new(Verifier::new([self.signer.public_key()]));
        let Parts { catalog, blobs, keys, doorbell, audit, storage, .. } = &self.parts;
        let library = Library {
            catalog: catalog.clone(),
            blobs: blobs.clone(),
            keys: keys.clone(),
            audit: audit.clone(),
            storage: storage.clone(),
            doorbell: doorbell.clone(),
            signer: self.signer.clone(),
            min_lifetime: self.config.playback.min_lifetime,
            embeds: Embeds {
                minter: self.minter.clone(),
                permitted: self.config.embedding.permitted.clone(),
                max_link_lifetime: self.config.embedding.max_link_lifetime,
            },
            signing,
            links: library::Links {
                origin: self.site.origin().to_owned(),
                download_lifetime: links.download_lifetime,
                viewers_may_download: links.viewers_may_download,
            },
            layouts: Arc::default(),
        };
        let state = api::State {
            ingest,
            library,
            credentials: self.credentials(),
            webhooks: self.webhooks(),
            courier: self.courier(),
            issuer: self.issuer.clone(),
            verifier: verifier.clone(),
            audit: audit.clone(),
            doorbell: doorbell.clone(),
            storage: storage.clone(),
            site: self.site.clone(),
            token_lifetime: self.config.token_lifetime,
            draining,
        };
        let trust = edge::Trust { verifier, gate, shared_caching: links.shared_caching };
        let edge = edge::State::new(Arc::new(blobs.clone()), trust, audit.clone());
        Ok(api::router(state)?.merge(edge::router(edge)))
    }

    fn front(&self, app: axum::Router) -> http::Front {
        let Config { server, tls, .. } = &self.config;
        // A name that was not given could be `localhost`, which is everyone's.
        let is_named = server.public_url.is_some() && self.site.is_secure();
        http::Front::new(app, self.proxies(), is_named.then_some(tls.hsts_max_age))
    }

    fn proxies(&self) -> Proxies {
        Proxies::new(self.config.server.trusted_proxies.clone())
    }

    fn warn_of_links(&self) {
        if let Some(tls) = &self.tls {
            tls.warn_of_strangers(&[self.site.origin(), self.site.s3_origin()]);
        }
        if self.site.is_secure() && self.site.s3_origin().starts_with("http://") {
            let s3_url = self.site.s3_origin();
            tracing::warn!(%s3_url, "the page is https and the S3 endpoint is not: browsers will refuse to upload; set server.s3_public_url to https://");
        }
    }

    fn credentials(&self) -> Credentials {
        let Parts { catalog, keyring, audit, .. } = &self.parts;
        Credentials { catalog: catalog.clone(), kms: Kms::Local(keyring.clone()), audit: audit.clone(), open: self.config.inbox.enabled }
    }

    /// Judges links: for our own address, and for those that the operator names.
    fn gate(&self) -> Gate {
        let config::Signing { resource_origins, accept_sha1, .. } = &self.config.signing;
        let own = self.site.origin().to_owned();
        Gate::new([own].into_iter().chain(resource_origins.iter().cloned()).collect(), *accept_sha1)
    }

    fn signing(&self, gate: Arc<Gate>) -> Signing {
        let Parts { catalog, audit, keyring, .. } = &self.parts;
        Signing::new(catalog.clone(), Kms::Local(keyring.clone()), audit.clone(), gate)
    }

    fn endpoint(&self, ingest: Ingest) -> disk::Endpoint {
        let inbox = self.config.inbox.enabled.then(|| Arc::new(Inbox(ingest.clone())) as Arc<dyn uploads::Inbox>);
        disk::Endpoint {
            blobs: self.parts.blobs.clone(),
            keys: self.parts.keys.clone(),
            ledger: Arc::new(Ledger(ingest)),
            credentials: self.parts.keyring.s3_credentials().clone(),
            gate: Arc::new(self.credentials()),
            inbox,
            allowed_origins: http::own_origins(self.site.origin()),
            proxies: self.proxies(),
            patience: disk::Patience::default(),
        }
    }

    fn worker(&self) -> worker::State {
        let Parts { catalog, blobs, keys, doorbell, audit, .. } = &self.parts;
        let processing = &self.config.processing;
        worker::State {
            catalog: catalog.clone(),
            blobs: blobs.clone(),
            keys: keys.clone(),
            audit: audit.clone(),
            doorbell: doorbell.clone(),
            sandbox: self.sandbox.clone(),
            owner: self.folder.owner(),
            limits: worker::Limits {
                slots: processing.slots,
                lease: processing.lease,
                keep_refused: processing.keep_refused,
                keep_superseded: self.config.playback.keep_superseded,
                memory_bytes: processing.memory_bytes,
                stall: processing.stall,
            },
        }
    }

    fn verify(&self) -> verify::State {
        let (Parts { catalog, blobs, keys, doorbell, .. }, storage) = (&self.parts, &self.config.storage);
        verify::State {
            catalog: catalog.clone(),
            blobs: blobs.clone(),
            keys: keys.clone(),
            doorbell: doorbell.clone(),
            owner: self.folder.owner(),
            every: storage.verify_every,
            bytes_per_s: storage.verify_bytes_per_s,
        }
    }

    fn upkeep(&self) -> Result<upkeep::State> {
        let Parts { catalog, blobs, keys, doorbell, audit, storage, .. } = &self.parts;
        let backup = &self.config.backup;
        let depot = backup.destination.as_deref().map(|place| depot::Place::parse(place, backup.endpoint.as_deref())).transpose()?;
        Ok(upkeep::State {
            catalog: catalog.clone(),
            blobs: blobs.clone(),
            keys: keys.clone(),
            audit: audit.clone(),
            doorbell: doorbell.clone(),
            depot,
            storage: storage.clone(),
            reconcile_every: self.config.storage.reconcile_every,
        })
    }
}

impl Parts {
    async fn open(folder: &Folder, config: &Config) -> Result<Self> {
        let catalog = match &config.catalog_url {
            Some(url) => Catalog::open_postgres(url).await?,
            None => Catalog::open_sqlite(&folder.catalog()).await?,
        };
        // A new keyring beside old rows would make every video unreadable without a word.
        if !folder.keyring().exists() && catalog.has_root_keys().await? {
            let message = format!("the catalog holds videos, but their keyring {} is gone: put it back", folder.keyring().display());
            return Err(Error::invalid("keyring-missing", message));
        }
        let keyring = Arc::new(Keyring::open_or_create(&folder.keyring())?);
        let keys = Keys::new(Kms::Local(keyring.clone()));
        let blobs = Blobs::open(&folder.blobs()).await?;
        let audit = Arc::new(Log::new(catalog.clone()));
        let storage = Storage::new(catalog.clone(), blobs.clone(), storage_limits(config));
        Ok(Self { keyring, keys, catalog, blobs, doorbell: Doorbell::default(), audit, storage })
    }
}

fn storage_limits(config: &Config) -> storage::Limits {
    let config::Storage { reserve_bytes, reserve_percent, orphan_age, .. } = config.storage;
    storage::Limits { reserve: Reserve { bytes: reserve_bytes, percent: reserve_percent }, quotas: config.quotas, orphan_age }
}

async fn open_sandbox(config: &Config) -> Result<Sandbox> {
    let processing = &config.processing;
    let setting = match processing.sandbox {
        config::Sandbox::Namespace => sandbox::Setting::Auto,
        config::Sandbox::Off => sandbox::Setting::Off,
    };
    let sandbox = Sandbox::detect(setting, Tools::find(Some(&processing.ffmpeg), Some(&processing.ffprobe))?).await?;
    match sandbox.level() {
        sandbox::Level::Off => tracing::warn!("ffmpeg runs without a sandbox: only trusted people may upload"),
        level => tracing::info!(%level, landlock = sandbox.landlock_abi(), "ffmpeg runs in a sandbox"),
    }
    Ok(sandbox)
}

/// Uploads that nobody finished in time go, with their parts.
async fn expire_uploads(ingest: Ingest, shutdown: CancellationToken) -> Result<()> {
    let passes = async {
        loop {
            match ingest.expire().await {
                Ok(0) => {}
                Ok(expired) => tracing::info!(expired, "dropped uploads that nobody finished"),
                Err(error) => tracing::warn!(cause = %error.chain(), "could not expire uploads; it is tried again"),
            }
            tokio::time::sleep(EXPIRE_EVERY).await;
        }
    };
    // Thousands of parts must not hold up a drain: what is cut short goes on in the next life.
    let _ = shutdown.run_until_cancelled(passes).await;
    Ok(())
}

/// Trusts what other servers on the same catalog have made or revoked; our own changes are seen at once.
async fn follow_signing_keys(signing: Signing, shutdown: CancellationToken) -> Result<()> {
    let passes = async {
        loop {
            tokio::time::sleep(FOLLOW_KEYS_EVERY).await;
            if let Err(error) = signing.refresh().await {
                tracing::warn!(cause = %error.chain(), "could not read the signing keys; it is tried again");
            }
        }
    };
    let _ = shutdown.run_until_cancelled(passes).await;
    Ok(())
}

/// Waits for all roles; the first that fails, or ends before it was told to, ends the others.
async fn first_failure(mut roles: JoinSet<Result<()>>, shutdown: &CancellationToken) -> Result<()> {
    let mut outcome = Ok(());
    while let Some(joined) = roles.join_next().await {
        let ended = joined.unwrap_or_else(|panic| Err(Error::internal("a role panicked", panic)));
        shutdown.cancel();
        if let (Ok(()), Err(error)) = (&outcome, ended) {
            tracing::error!(cause = %error.chain(), "a role failed; the others stop");
            outcome = Err(error);
        }
    }
    outcome
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
