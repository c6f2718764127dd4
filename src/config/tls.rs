//! The section `[tls]`: where the certificate comes from, and what browsers are told.

use super::list::List;
use super::{Server, raw, wrong};
use crate::domain::Result;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// TLS of the listeners.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Where the certificate comes from; absent: the listeners speak plain HTTP.
    pub source: Option<Source>,
    /// Where a listener sends everyone to HTTPS.
    pub redirect_listen: Option<SocketAddr>,
    /// How long browsers shall insist on HTTPS.
    pub hsts_max_age: Duration,
}

/// Where a certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From two PEM files that someone else renews.
    Files {
        /// The certificate and its chain.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// From an ACME server.
    Acme(Acme),
}

/// An ACME server and what is asked of it.
#[derive(Clone, Debug)]
pub struct Acme {
    /// The URL of its directory.
    pub directory: String,
    /// A mail address it may write to.
    pub contact: Option<String>,
    /// The names of the certificate, at least one.
    pub domains: Vec<String>,
    /// Whether the names are proven on port 80 (http-01) rather than on port 443 (tls-alpn-01).
    pub is_http_01: bool,
    /// PEM certificates that vouch for the server.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    certificate: String,
    key: String,
    redirect_listen: String,
    hsts_max_age: String,
    acme: RawAcme,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAcme {
    enabled: bool,
    directory: String,
    contact: String,
    domains: List,
    challenge: String,
    ca_file: String,
}

impl RawTls {
    /// Checks the section, and what it means for the links of `server`.
    pub(super) fn check(self, server: &Server) -> Result<Tls> {
        let redirect_listen = match self.redirect_listen.as_str() {
            "" => None,
            text => Some(raw::address("tls.redirect_listen", text)?),
        };
        let source = match (self.certificate.as_str(), self.key.as_str(), self.acme.enabled) {
            ("", "", false) => None,
            ("", "", true) => Some(Source::Acme(self.acme.check(server, redirect_listen.is_some())?)),
            (certificate, key, true) => {
                let given = if certificate.is_empty() { key } else { certificate };
                return Err(wrong("tls.acme.enabled", "true", &format!("the certificate {given} is set besides: keep one of the two")));
            }
            (certificate, "", false) => return Err(wrong("tls.key", "", &format!("name the PEM file of the key of {certificate}"))),
            ("", key, false) => return Err(wrong("tls.certificate", "", &format!("name the PEM file of the certificate of {key}"))),
            (certificate, key, false) => Some(Source::Files { certificate: certificate.into(), key: key.into() }),
        };
        if source.is_none() && !self.redirect_listen.is_empty() {
            let right = "there is no HTTPS to send anyone to: set tls.certificate and tls.key, or tls.acme.enabled, or leave it empty";
            return Err(wrong("tls.redirect_listen", &self.redirect_listen, right));
        }
        if source.is_some() {
            is_https("server.public_url", server.public_url.as_deref())?;
            is_https("server.s3_public_url", server.s3_public_url.as_deref())?;
        }
        let hsts_max_age = raw::duration("tls.hsts_max_age", &self.hsts_max_age, Duration::ZERO)?;
        Ok(Tls { source, redirect_listen, hsts_max_age })
    }
}

impl RawAcme {
    fn check(self, server: &Server, has_redirect: bool) -> Result<Acme> {
        let own_host = |url: &Option<String>| url.as_deref().and_then(host);
        let mut domains: Vec<String> = self.domains.items().into_iter().map(str::to_ascii_lowercase).collect();
        if domains.is_empty() {
            domains.extend([own_host(&server.public_url), own_host(&server.s3_public_url)].into_iter().flatten());
        }
        domains.sort();
        domains.dedup();
        if domains.is_empty() {
            return Err(wrong("tls.acme.domains", "", "set server.public_url to https:// and the server's name, or list its names here"));
        }
        domains.iter().try_for_each(|domain| is_public(domain))?;
        if !self.directory.starts_with("https://") {
            return Err(wrong("tls.acme.directory", &self.directory, "write the https:// URL of the ACME server's directory"));
        }
        if !self.contact.is_empty() && !is_mail(&self.contact) {
            return Err(wrong("tls.acme.contact", &self.contact, "write a mail address, e.g. it@example.org, or nothing"));
        }
        Ok(Acme {
            directory: self.directory,
            contact: (!self.contact.is_empty()).then_some(self.contact),
            domains,
            is_http_01: is_http_01(&self.challenge, has_redirect)?,
            ca_file: (!self.ca_file.is_empty()).then(|| self.ca_file.into()),
        })
    }
}

fn is_http_01(challenge: &str, has_redirect: bool) -> Result<bool> {
    match challenge {
        "" => Ok(has_redirect),
        "http-01" if has_redirect => Ok(true),
        "http-01" => Err(wrong(
            "tls.acme.challenge",
            challenge,
            "it is answered on port 80: set tls.redirect_listen, e.g. to 0.0.0.0:80, or write tls-alpn-01",
        )),
        "tls-alpn-01" => Ok(false),
        other => Err(wrong("tls.acme.challenge", other, "write http-01 or tls-alpn-01, or nothing")),
    }
}

/// An ACME server proves names, and such that it can reach.
fn is_public(domain: &str) -> Result<()> {
    let right =
        "an ACME server gives certificates for names that it can reach, e.g. video.example.org; for others use tls.certificate and tls.key";
    let bare = domain.trim_start_matches('[').trim_end_matches(']');
    let is_host = !domain.is_empty() && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if domain == "localhost" || domain.ends_with(".localhost") || bare.parse::<IpAddr>().is_ok() || !is_host {
        return Err(wrong("tls.acme.domains", domain, right));
    }
    Ok(())
}

fn is_mail(text: &str) -> bool {
    text.split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !name.contains(':') && !host.is_empty() && !text.contains([' ', ',']))
}

fn is_https(setting: &str, url: Option<&str>) -> Result<()> {
    match url {
        Some(url) if !url.starts_with("https://") => Err(wrong(setting, url, "TLS is on: write https:// and the host")),
        _ => Ok(()),
    }
}

/// The host of an origin.
fn host(origin: &str) -> Option<String> {
    origin.parse::<http::Uri>().ok()?.host().map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Overrides, load};
    use super::*;
    use std::path::Path;

    fn load_with(variables: &[(&str, &str)]) -> Result<Config> {
        let variables = variables.iter().map(|(name, value)| (format!("THEATRUM_{name}"), (*value).to_owned()));
        load(Path::new("/nonexistent"), None, variables, Overrides::default())
    }

    const ACME: (&str, &str) = ("TLS__ACME__ENABLED", "true");
    const PUBLIC: (&str, &str) = ("SERVER__PUBLIC_URL", "https://Video.example.org");

    fn acme(variables: &[(&str, &str)]) -> Acme {
        match load_with(variables).expect("fine").tls.source {
            Some(Source::Acme(acme)) => acme,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn acme_asks_for_the_hosts_of_the_links() {
        let s3 = ("SERVER__S3_PUBLIC_URL", "https://s3.example.org:8443");
        assert_eq!(acme(&[ACME, PUBLIC, s3]).domains, ["s3.example.org", "video.example.org"]);
        assert_eq!(acme(&[ACME, PUBLIC, ("TLS__ACME__DOMAINS", "b.example, a.example")]).domains, ["a.example", "b.example"]);
    }

    #[test]
    fn port_80_is_used_where_it_is_open() {
        assert!(!acme(&[ACME, PUBLIC]).is_http_01);
        let redirect = ("TLS__REDIRECT_LISTEN", "0.0.0.0:80");
        assert!(acme(&[ACME, PUBLIC, redirect]).is_http_01);
        assert!(!acme(&[ACME, PUBLIC, redirect, ("TLS__ACME__CHALLENGE", "tls-alpn-01")]).is_http_01);
    }

    #[test]
    fn every_wrong_setting_is_named_with_the_right_form() {
        let (certificate, key) = (("TLS__CERTIFICATE", "/c.pem"), ("TLS__KEY", "/k.pem"));
        for (variables, named, right) in [
            (&[certificate][..], "tls.key", "name the PEM file"),
            (&[key], "tls.certificate", "name the PEM file"),
            (&[certificate, key, ACME, PUBLIC], "tls.acme.enabled", "keep one"),
            (&[("TLS__REDIRECT_LISTEN", "0.0.0.0:80")], "tls.redirect_listen", "set tls.certificate"),
            (&[certificate, key, ("TLS__REDIRECT_LISTEN", "80")], "tls.redirect_listen", "write an address"),
            (&[certificate, key, ("SERVER__PUBLIC_URL", "http://a.example")], "server.public_url", "write https://"),
            (&[certificate, key, ("SERVER__S3_PUBLIC_URL", "http://a.example")], "server.s3_public_url", "write https://"),
            (&[("TLS__HSTS_MAX_AGE", "long")], "tls.hsts_max_age", "7d"),
            (&[ACME], "tls.acme.domains", "server.public_url"),
            (&[ACME, ("SERVER__PUBLIC_URL", "https://192.0.2.1")], "tls.acme.domains", "names"),
            (&[ACME, ("SERVER__PUBLIC_URL", "https://[2001:db8::1]:8443")], "tls.acme.domains", "names"),
            (&[ACME, ("SERVER__PUBLIC_URL", "https://localhost:8443")], "tls.acme.domains", "names"),
            (&[ACME, ("TLS__ACME__DOMAINS", "*.example.org")], "tls.acme.domains", "names"),
            (&[ACME, PUBLIC, ("TLS__ACME__DIRECTORY", "letsencrypt")], "tls.acme.directory", "https://"),
            (&[ACME, PUBLIC, ("TLS__ACME__CONTACT", "mailto:a@b")], "tls.acme.contact", "mail address"),
            (&[ACME, PUBLIC, ("TLS__ACME__CHALLENGE", "http-01")], "tls.acme.challenge", "tls.redirect_listen"),
            (&[ACME, PUBLIC, ("TLS__ACME__CHALLENGE", "dns-01")], "tls.acme.challenge", "tls-alpn-01"),
        ] {
            let error = load_with(variables).expect_err(named);
            assert!(error.message().contains(named) && error.message().contains(right), "{variables:?}: {}", error.message());
        }
    }
}
