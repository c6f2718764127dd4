//! The settings as they are written, and the checks that turn them into [`Config`].

use super::backup::RawBackup;
use super::embedding::RawEmbedding;
use super::list::List;
use super::playback::RawPlayback;
use super::tls::RawTls;
use super::{Config, DEFAULTS, Inbox, Log, Overrides, Processing, Sandbox, Server, Uploads, units, wrong};
use crate::domain::upload::MIN_PART_SIZE_BYTES;
use crate::domain::{Error, Result};
use config::{Environment, File, FileFormat};
use ipnet::IpNet;
use serde::Deserialize;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::path::Path;
use std::time::Duration;

const PREFIX: &str = "THEATRUM_";
const DURATION: &str = "write 0, 500ms, 30s, 10m, 12h or 7d";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    server: RawServer,
    tls: RawTls,
    catalog: RawCatalog,
    uploads: RawUploads,
    inbox: Inbox,
    processing: RawProcessing,
    storage: super::storage::Raw,
    quotas: super::quotas::Raw,
    playback: RawPlayback,
    embedding: RawEmbedding,
    tokens: RawTokens,
    signing: super::signing::RawSigning,
    webhooks: super::webhooks::Raw,
    backup: RawBackup,
    log: RawLog,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    listen: String,
    s3_listen: String,
    public_url: String,
    s3_public_url: String,
    trusted_proxies: List,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalog {
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUploads {
    max_size_bytes: u64,
    part_size_bytes: u64,
    lifetime: String,
    url_lifetime: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProcessing {
    slots: usize,
    lease: String,
    keep_refused: String,
    sandbox: String,
    ffmpeg: String,
    ffprobe: String,
    memory_bytes: u64,
    stall: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTokens {
    lifetime: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    filter: String,
    format: String,
}

/// Whether a variable is a setting. Names with one underscore (THEATRUM_DATA, THEATRUM_TOKEN …) are the clients'.
pub(super) fn is_setting(variable: &str) -> bool {
    variable.starts_with(PREFIX) && variable.contains("__")
}

impl Raw {
    pub(super) fn load(file: Option<&Path>, variables: HashMap<String, String>, overrides: Overrides) -> Result<Self> {
        let settings = variables.into_iter().filter(|(name, _)| is_setting(name)).collect();
        let environment = Environment::with_prefix("THEATRUM").prefix_separator("_").separator("__").source(Some(settings));
        let mut builder = config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(file) = file {
            builder = builder.add_source(File::from(file).format(FileFormat::Toml));
        }
        builder = builder.add_source(environment);
        let Overrides { listen, s3_listen, public_url, s3_public_url, catalog } = overrides;
        for (setting, value) in [
            ("server.listen", listen),
            ("server.s3_listen", s3_listen),
            ("server.public_url", public_url),
            ("server.s3_public_url", s3_public_url),
            ("catalog.url", catalog),
        ] {
            builder = builder.set_override_option(setting, value).map_err(unreadable)?;
        }
        builder.build().and_then(config::Config::try_deserialize).map_err(unreadable)
    }

    pub(super) fn check(self) -> Result<Config> {
        let server = self.server.check()?;
        Ok(Config {
            tls: self.tls.check(&server)?,
            server,
            catalog_url: catalog_url(&self.catalog.url)?,
            uploads: self.uploads.check()?,
            inbox: self.inbox,
            processing: self.processing.check()?,
            storage: self.storage.check()?,
            quotas: self.quotas.check(),
            playback: self.playback.check()?,
            embedding: self.embedding.check()?,
            token_lifetime: duration("tokens.lifetime", &self.tokens.lifetime, Duration::from_secs(60))?,
            signing: self.signing.check()?,
            webhooks: self.webhooks.check()?,
            backup: self.backup.check()?,
            log: self.log.check()?,
        })
    }
}

impl RawServer {
    fn check(self) -> Result<Server> {
        Ok(Server {
            listen: address("server.listen", &self.listen)?,
            s3_listen: address("server.s3_listen", &self.s3_listen)?,
            public_url: origin("server.public_url", &self.public_url)?,
            s3_public_url: origin("server.s3_public_url", &self.s3_public_url)?,
            trusted_proxies: self.trusted_proxies.items().into_iter().map(network).collect::<Result<_>>()?,
        })
    }
}

impl RawUploads {
    fn check(self) -> Result<Uploads> {
        if self.part_size_bytes < MIN_PART_SIZE_BYTES {
            let right = format!("write at least {MIN_PART_SIZE_BYTES} (5 MiB)");
            return Err(wrong("uploads.part_size_bytes", &self.part_size_bytes.to_string(), &right));
        }
        if self.max_size_bytes == 0 {
            return Err(wrong("uploads.max_size_bytes", "0", "write at least 1"));
        }
        Ok(Uploads {
            max_size_bytes: self.max_size_bytes,
            part_size_bytes: self.part_size_bytes,
            lifetime: duration("uploads.lifetime", &self.lifetime, Duration::from_secs(60))?,
            url_lifetime: url_lifetime(&self.url_lifetime)?,
        })
    }
}

impl RawProcessing {
    fn check(self) -> Result<Processing> {
        let sandbox = match self.sandbox.as_str() {
            "namespace" => Sandbox::Namespace,
            "off" => Sandbox::Off,
            other => return Err(wrong("processing.sandbox", other, "write namespace or off")),
        };
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Ok(Processing {
            slots: if self.slots == 0 { cores } else { self.slots },
            lease: duration("processing.lease", &self.lease, Duration::from_secs(5))?,
            keep_refused: duration("processing.keep_refused", &self.keep_refused, Duration::ZERO)?,
            sandbox,
            ffmpeg: self.ffmpeg.into(),
            ffprobe: self.ffprobe.into(),
            memory_bytes: self.memory_bytes,
            stall: duration("processing.stall", &self.stall, Duration::from_secs(5))?,
        })
    }
}

impl RawLog {
    fn check(self) -> Result<Log> {
        let json = match self.format.as_str() {
            "text" => false,
            "json" => true,
            other => return Err(wrong("log.format", other, "write text or json")),
        };
        Ok(Log { filter: self.filter, json })
    }
}

fn unreadable(error: config::ConfigError) -> Error {
    Error::invalid("wrong-setting", format!("the settings cannot be read: {error}; theatrum.default.toml shows every setting"))
}

pub(super) fn duration(setting: &str, text: &str, least: Duration) -> Result<Duration> {
    let duration = units::duration(text).ok_or_else(|| wrong(setting, text, DURATION))?;
    if duration < least {
        return Err(wrong(setting, text, &format!("it must be at least {} s; {DURATION}", least.as_secs())));
    }
    Ok(duration)
}

fn url_lifetime(text: &str) -> Result<Duration> {
    let lifetime = duration("uploads.url_lifetime", text, Duration::from_secs(10))?;
    // S3: X-Amz-Expires is at most 604,800 s.
    if lifetime > Duration::from_secs(604_800) { Err(wrong("uploads.url_lifetime", text, "it must be at most 7d")) } else { Ok(lifetime) }
}

pub(super) fn address(setting: &str, text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| wrong(setting, text, "write an address and a port, e.g. 127.0.0.1:8080 or [::]:8080"))
}

fn network(text: &str) -> Result<IpNet> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.ok_or_else(|| wrong("server.trusted_proxies", text, "list addresses or networks, e.g. 127.0.0.1, 10.0.0.0/8"))
}

pub(super) fn origin(setting: &str, text: &str) -> Result<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    let right = "write scheme and host, e.g. https://video.example.org, without a path";
    let uri: http::Uri = text.parse().map_err(|_| wrong(setting, text, right))?;
    let usual_port = match uri.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => return Err(wrong(setting, text, right)),
    };
    let is_whole = matches!(uri.path(), "" | "/") && uri.query().is_none() && !text.contains('@');
    let Some(host) = uri.host().filter(|host| !host.is_empty() && is_whole) else { return Err(wrong(setting, text, right)) };
    // As browsers write origins (RFC 6454 §6.2): they are compared as text.
    let port = uri.port_u16().filter(|port| *port != usual_port).map_or_else(String::new, |port| format!(":{port}"));
    Ok(Some(format!("{}://{}{port}", uri.scheme_str().unwrap_or_default(), host.to_ascii_lowercase())))
}

fn catalog_url(text: &str) -> Result<Option<String>> {
    match text {
        "" => Ok(None),
        url if url.starts_with("postgres://") || url.starts_with("postgresql://") => Ok(Some(url.to_owned())),
        // Not repeated: a URL may hold a password.
        _ => Err(wrong("catalog.url", "(not shown)", "write postgres://user@host:5432/database, or nothing for SQLite")),
    }
}
