//! The settings: `theatrum.default.toml`, then a file, then the environment, then the command line; each value checked once, here.

mod backup;
mod embedding;
mod inbox;
mod list;
mod playback;
mod quotas;
mod raw;
mod signing;
mod storage;
pub mod tls;
mod units;
mod webhooks;

use crate::domain::quota::Defaults;
use crate::domain::{Error, Result};
pub use backup::Backup;
pub use embedding::Embedding;
pub use inbox::Inbox;
use ipnet::IpNet;
pub use playback::Playback;
pub use signing::Signing;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
pub use storage::Storage;
pub use webhooks::Webhooks;

/// The settings file with all defaults, as text.
pub const DEFAULTS: &str = include_str!("../theatrum.default.toml");

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses and links.
    pub server: Server,
    /// Certificates.
    pub tls: tls::Tls,
    /// A PostgreSQL URL; absent for SQLite in the data folder.
    pub catalog_url: Option<String>,
    /// Limits of uploads.
    pub uploads: Uploads,
    /// The inbox.
    pub inbox: Inbox,
    /// Limits of processing.
    pub processing: Processing,
    /// The disk.
    pub storage: Storage,
    /// Limits of whoever was given none.
    pub quotas: Defaults,
    /// Lifetimes of playback.
    pub playback: Playback,
    /// Frames on other sites.
    pub embedding: Embedding,
    /// The lifetime of an access token unless told otherwise.
    pub token_lifetime: Duration,
    /// CloudFront's scheme, and downloads.
    pub signing: Signing,
    /// How events leave the house.
    pub webhooks: Webhooks,
    /// Where backups go.
    pub backup: Backup,
    /// Logging.
    pub log: Log,
}

/// Addresses and links.
#[derive(Clone, Debug)]
pub struct Server {
    /// Of the page and the API.
    pub listen: SocketAddr,
    /// Of the S3 endpoint.
    pub s3_listen: SocketAddr,
    /// Without a slash at its end; absent: the bound address.
    pub public_url: Option<String>,
    /// Without a slash at its end; absent: the bound address.
    pub s3_public_url: Option<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// Limits of uploads.
#[derive(Clone, Debug)]
pub struct Uploads {
    /// The largest file.
    pub max_size_bytes: u64,
    /// The preferred part.
    pub part_size_bytes: u64,
    /// Until an unfinished upload is dropped.
    pub lifetime: Duration,
    /// Of a part's URL.
    pub url_lifetime: Duration,
}

/// Limits of processing.
#[derive(Clone, Debug)]
pub struct Processing {
    /// Chunks at once, at least 1.
    pub slots: usize,
    /// Silence after which a job goes to another worker.
    pub lease: Duration,
    /// How long a refused source is kept.
    pub keep_refused: Duration,
    /// Whether ffmpeg must be walled in.
    pub sandbox: Sandbox,
    /// The program.
    pub ffmpeg: PathBuf,
    /// The program.
    pub ffprobe: PathBuf,
    /// Address space of one ffmpeg.
    pub memory_bytes: u64,
    /// No progress for so long means stuck.
    pub stall: Duration,
}

/// Whether ffmpeg must be walled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// Own user and network namespaces, or no start.
    Namespace,
    /// Trusted uploaders only.
    Off,
}

/// Logging.
#[derive(Clone, Debug)]
pub struct Log {
    /// An `EnvFilter` directive.
    pub filter: String,
    /// JSON lines instead of text.
    pub json: bool,
}

/// What the command line overrides; absent values keep what file and environment say.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `server.listen`.
    pub listen: Option<String>,
    /// `server.s3_listen`.
    pub s3_listen: Option<String>,
    /// `server.public_url`.
    pub public_url: Option<String>,
    /// `server.s3_public_url`.
    pub s3_public_url: Option<String>,
    /// `catalog.url`.
    pub catalog: Option<String>,
}

/// Loads the settings for a data folder: the defaults, then `file` (else `DATA/theatrum.toml` where there is one), then the
/// environment `variables`, then `overrides`. A wrong setting is `Invalid` and named, with the right form.
pub fn load(
    data: &Path,
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    overrides: Overrides,
) -> Result<Config> {
    let implied = data.join("theatrum.toml");
    let file = file.or_else(|| implied.exists().then_some(implied.as_path()));
    raw::Raw::load(file, variables.into_iter().collect(), overrides)?.check()
}

/// The environment's settings, for [`load`]. A value that is not UTF-8 is `Invalid`; other variables are nobody's business.
pub fn variables_of_process() -> Result<Vec<(String, String)>> {
    let variables = std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value));
    variables
        .filter(|(name, _)| raw::is_setting(name))
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(Error::invalid("wrong-setting", format!("variable {name} is not UTF-8 text: correct or unset it"))),
        })
        .collect()
}

fn wrong(setting: &str, text: &str, right: &str) -> Error {
    Error::invalid("wrong-setting", format!("setting {setting} is {text:?}: {right}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_with(variables: &[(&str, &str)]) -> Result<Config> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(Path::new("/nonexistent"), None, variables, Overrides::default())
    }

    #[test]
    fn the_documented_defaults_are_valid() {
        let config = load_with(&[]).expect("defaults");
        assert_eq!(config.processing.keep_refused, Duration::from_secs(7 * 86_400));
        assert!(config.processing.slots >= 1);
        assert_eq!(config.server.public_url, None);
    }

    #[test]
    fn the_environment_overrides_and_the_command_line_overrides_that() {
        let variables = [("THEATRUM_UPLOADS__LIFETIME", "2d"), ("THEATRUM_SERVER__LISTEN", "0.0.0.0:1"), ("THEATRUM_DATA", "/x")];
        assert_eq!(load_with(&variables).expect("fine").uploads.lifetime, Duration::from_secs(2 * 86_400));
        let overrides = Overrides { listen: Some("127.0.0.1:9".into()), ..Overrides::default() };
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = load(Path::new("/nonexistent"), None, variables, overrides).expect("fine");
        assert_eq!(config.server.listen.port(), 9);
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (written, origin) in [
            ("https://video.example.org", "https://video.example.org"),
            ("https://Video.Example.org:443/", "https://video.example.org"),
            ("http://video.example.org:80", "http://video.example.org"),
            ("https://video.example.org:8443/", "https://video.example.org:8443"),
            ("https://[2001:db8::1]:443", "https://[2001:db8::1]"),
        ] {
            let config = load_with(&[("THEATRUM_SERVER__PUBLIC_URL", written)]).expect(written);
            assert_eq!(config.server.public_url.as_deref(), Some(origin));
        }
        for wrong in ["https://u@video.example.org", "https://video.example.org/path", "https://video.example.org?x", "ftp://x", "https://"]
        {
            load_with(&[("THEATRUM_SERVER__PUBLIC_URL", wrong)]).expect_err(wrong);
        }
    }

    #[test]
    fn every_wrong_setting_is_named_with_the_right_form() {
        for (name, value, named) in [
            ("THEATRUM_SERVER__LISTEN", "localhost", "server.listen"),
            ("THEATRUM_SERVER__PUBLIC_URL", "video.example.org", "server.public_url"),
            ("THEATRUM_SERVER__TRUSTED_PROXIES", "10.0.0.0/8, loopback", "server.trusted_proxies"),
            ("THEATRUM_CATALOG__URL", "mysql://x", "catalog.url"),
            ("THEATRUM_UPLOADS__LIFETIME", "soon", "uploads.lifetime"),
            ("THEATRUM_UPLOADS__PART_SIZE_BYTES", "7", "uploads.part_size_bytes"),
            ("THEATRUM_PROCESSING__SANDBOX", "perhaps", "processing.sandbox"),
            ("THEATRUM_PROCESSING__LEASE", "1s", "processing.lease"),
            ("THEATRUM_PLAYBACK__KEEP_SUPERSEDED", "ever", "playback.keep_superseded"),
            ("THEATRUM_EMBEDDING__ORIGINS", "https://*.example.edu", "embedding.origins"),
            ("THEATRUM_EMBEDDING__MAX_LINK_LIFETIME", "1s", "embedding.max_link_lifetime"),
            ("THEATRUM_BACKUP__DESTINATION", "backups", "backup.destination"),
            ("THEATRUM_BACKUP__ENDPOINT", "s3.example.org", "backup.endpoint"),
            ("THEATRUM_BACKUP__REMIND_AFTER", "often", "backup.remind_after"),
            ("THEATRUM_STORAGE__RESERVE_PERCENT", "91", "storage.reserve_percent"),
            ("THEATRUM_STORAGE__RECONCILE_EVERY", "weekly", "storage.reconcile_every"),
            ("THEATRUM_QUOTAS__USER_BYTES", "much", "quotas.user_bytes"),
            ("THEATRUM_SIGNING__RESOURCE_ORIGINS", "https://a.example d1.cloudfront.net", "signing.resource_origins"),
            ("THEATRUM_SIGNING__DOWNLOAD_LIFETIME", "8d", "signing.download_lifetime"),
            ("THEATRUM_WEBHOOKS__ALLOW_PRIVATE", "10.0.0.0/8, intranet", "webhooks.allow_private"),
            ("THEATRUM_WEBHOOKS__TIMEOUT", "2m", "webhooks.timeout"),
            ("THEATRUM_WEBHOOKS__LONGEST_PAUSE", "1s", "webhooks.longest_pause"),
            ("THEATRUM_WEBHOOKS__GIVE_UP_AFTER", "0", "webhooks.give_up_after"),
            ("THEATRUM_LOG__FORMAT", "xml", "log.format"),
            ("THEATRUM_PROCESSING__SLOTTS", "3", "slotts"),
        ] {
            let error = load_with(&[(name, value)]).expect_err(name);
            assert!(error.message().contains(named), "{name}: {}", error.message());
        }
    }
}
