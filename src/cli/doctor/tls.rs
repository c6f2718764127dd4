//! TLS: which certificate there is, how long it lasts, whom it is for, and whether plain HTTP leads to it.

use super::Check;
use crate::config::Config;
use crate::config::tls::Source;
use crate::tls::{Pair, acme};
use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

const DAY_S: u64 = 86_400;
/// Who renews by hand needs some notice; what renews itself has long done so.
const SOON: Duration = Duration::from_secs(14 * DAY_S);
const PATIENCE: Duration = Duration::from_secs(5);

/// Examines what `serve` would show with `config`, and, where it runs on `data`, what it answers.
pub(super) async fn examine(config: &Config, data: &Path, is_running: bool) -> Vec<Check> {
    let found = match &config.tls.source {
        None => return vec![off(config)],
        Some(Source::Files { certificate, key }) => Pair::read(certificate, key).map(Some),
        Some(Source::Acme(_)) => acme::Acme::stored(&data.join(acme::FOLDER)),
    };
    let mut checks = match found {
        Ok(Some(pair)) => certificate(config, &pair),
        Ok(None) => {
            vec![Check::warn("tls", "the ACME server has given no certificate yet", "start the server; its log says what it waits for")]
        }
        Err(error) => vec![Check::fail("tls", error.message(), "correct tls.certificate and tls.key, then ask again")],
    };
    if let Some(Source::Files { key, .. }) = &config.tls.source {
        checks.extend(readable_by_all(key));
    }
    if let Some(address) = config.tls.redirect_listen.filter(|_| is_running)
        && let Some(url) = announced(data).or_else(|| near(address))
    {
        checks.push(redirects(url).await);
    }
    checks
}

fn off(config: &Config) -> Check {
    match &config.server.public_url {
        Some(url) if url.starts_with("https://") => {
            let found = format!("off: a proxy in front of this server must speak it for {url}");
            if config.server.trusted_proxies.is_empty() {
                return Check::warn("tls", found, "name the proxy in server.trusted_proxies, or the audit log knows its address only");
            }
            Check::ok("tls", found)
        }
        _ if config.server.listen.ip().is_loopback() => Check::ok("tls", "off: fine while only this machine comes in"),
        _ => Check::warn("tls", "off: tokens and videos travel readable for everyone in between", "docs/tls.md says how to turn it on"),
    }
}

fn certificate(config: &Config, pair: &Pair) -> Vec<Check> {
    let names = pair.names().join(", ");
    let mend = match &config.tls.source {
        Some(Source::Acme(_)) => "the server renews it by itself: its log says why it could not",
        _ => "renew it and put the new files in place; a running server takes them up by itself",
    };
    let found = |rest: &str| format!("on: a certificate for {names}, {rest}");
    let mut checks = vec![match pair.not_after().duration_since(SystemTime::now()) {
        Err(_) => Check::fail("tls", found("which has expired"), mend),
        Ok(left) => {
            let found = found(&format!("good for {} more days", left.as_secs() / DAY_S));
            let is_short = pair.not_after().duration_since(pair.not_before()).is_ok_and(|life| left < life / 4);
            if left < SOON && is_short { Check::warn("tls", found, mend) } else { Check::ok("tls", found) }
        }
    }];
    for (setting, url) in [("server.public_url", &config.server.public_url), ("server.s3_public_url", &config.server.s3_public_url)] {
        let host = url.as_deref().and_then(|url| Url::parse(url).ok()).and_then(|url| url.host_str().map(str::to_owned));
        if let Some(host) = host.filter(|host| !pair.covers(host)) {
            let found = format!("the certificate is for {names}, and not for {host}: browsers will refuse it");
            checks.push(Check::fail("tls", found, format!("get a certificate that names {host}, or correct {setting}")));
        }
    }
    checks
}

fn readable_by_all(key: &Path) -> Option<Check> {
    let mode = key.metadata().ok()?.permissions().mode() & 0o777;
    let found = format!("every user of this machine can read the key {} (mode {mode:o})", key.display());
    (mode & 0o004 != 0).then(|| Check::fail("secrets", found, format!("chmod o= {}", key.display())))
}

#[derive(Deserialize)]
struct ServerFile {
    redirect_url: String,
}

/// The redirecting listener of the server that runs; it may have taken a free port.
fn announced(data: &Path) -> Option<Url> {
    let file: ServerFile = serde_json::from_slice(&std::fs::read(data.join("server.json")).ok()?).ok()?;
    Url::parse(&file.redirect_url).ok()
}

/// Where this machine reaches a listener.
fn near(mut address: SocketAddr) -> Option<Url> {
    match address {
        SocketAddr::V4(_) if address.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(_) if address.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Url::parse(&format!("http://{address}")).ok()
}

async fn redirects(url: Url) -> Check {
    let client = Client::builder().no_proxy().tls_certs_only([]).timeout(PATIENCE).redirect(redirect::Policy::none()).build();
    let asked = async { client.ok()?.get(url.clone()).send().await.ok() };
    let location = asked.await.and_then(|answer| answer.headers().get("location")?.to_str().ok().map(str::to_owned));
    match location {
        Some(location) if location.starts_with("https://") => Check::ok("redirect", format!("{url} leads to {location}")),
        _ => Check::warn("redirect", format!("{url} does not lead to HTTPS"), "see in the log whether tls.redirect_listen could be opened"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use crate::config::{Overrides, load};

    fn config(variables: &[(&str, &str)]) -> Config {
        let variables = variables.iter().map(|(name, value)| (format!("THEATRUM_{name}"), (*value).to_owned()));
        load(Path::new("/nonexistent"), None, variables, Overrides::default()).expect("fine")
    }

    async fn statuses(variables: &[(&str, &str)]) -> Vec<Status> {
        let data = tempfile::tempdir().expect("folder");
        examine(&config(variables), data.path(), false).await.iter().map(|check| check.status).collect()
    }

    #[tokio::test]
    async fn plain_http_is_fine_for_this_machine_or_behind_a_known_proxy() {
        assert_eq!(statuses(&[]).await, [Status::Ok]);
        assert_eq!(statuses(&[("SERVER__LISTEN", "0.0.0.0:8080")]).await, [Status::Warn]);
        let public = ("SERVER__PUBLIC_URL", "https://video.example.org");
        assert_eq!(statuses(&[public]).await, [Status::Warn]);
        assert_eq!(statuses(&[public, ("SERVER__TRUSTED_PROXIES", "127.0.0.1")]).await, [Status::Ok]);
    }

    #[tokio::test]
    async fn a_certificate_is_judged_by_its_days_and_names() {
        let folder = tempfile::tempdir().expect("folder");
        let made = rcgen::generate_simple_self_signed(["video.example.org".to_owned()]).expect("a certificate");
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        std::fs::write(&certificate, made.cert.pem()).expect("written");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("own file");
        let files = [("TLS__CERTIFICATE", certificate.to_str().expect("text")), ("TLS__KEY", key.to_str().expect("text"))];
        let with = |url| [files[0], files[1], ("SERVER__PUBLIC_URL", url)];
        assert_eq!(statuses(&with("https://video.example.org")).await, [Status::Ok]);
        assert_eq!(statuses(&with("https://other.example.org")).await, [Status::Ok, Status::Fail]);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("own file");
        assert_eq!(statuses(&with("https://video.example.org")).await, [Status::Ok, Status::Fail]);
        std::fs::remove_file(&key).expect("there");
        assert_eq!(statuses(&with("https://video.example.org")).await, [Status::Fail]);
    }
}
