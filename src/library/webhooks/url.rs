//! Addresses of endpoints, as someone writes them.

use crate::domain::webhook::{Rules, refused};
use crate::domain::{Error, Result};
use std::net::IpAddr;

/// The longest URL.
const MAX_URL_BYTES: usize = 2_000;

/// Checks the form of an endpoint's URL, and its address if it names one: `Invalid` says what is wrong. What a name resolves to is
/// checked whenever it is called.
pub(super) fn check(rules: &Rules, url: &str) -> Result<()> {
    let wrong = |message: &str| Err(Error::invalid("bad-webhook-url", message.to_owned()));
    let Ok(uri) = url.parse::<http::Uri>() else { return wrong("this is no URL: write https://host/path") };
    let Some(authority) = uri.authority() else { return wrong("the URL names no host: write https://host/path") };
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if rules.allow_http => {}
        _ => return wrong("the URL must begin with https:// (http:// needs the setting webhooks.allow_http)"),
    }
    if url.len() > MAX_URL_BYTES || url.contains('#') || authority.as_str().contains('@') {
        return wrong("the URL may have 2000 bytes, no fragment, and no name or password");
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) if !rules.permits(address) => Err(refused(&address.to_string())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_https_and_a_host_and_nothing_secret_in_its_authority() {
        let rules = Rules::default();
        for url in ["https://example.org/hook", "https://example.org:8443/a?b=c", "https://8.8.8.8/"] {
            check(&rules, url).expect(url);
        }
        for (url, code) in [
            ("", "bad-webhook-url"),
            ("/hook", "bad-webhook-url"),
            ("https:///hook", "bad-webhook-url"),
            ("http://example.org/hook", "bad-webhook-url"),
            ("ftp://example.org/hook", "bad-webhook-url"),
            ("https://user:word@example.org/hook", "bad-webhook-url"),
            ("https://example.org/hook#part", "bad-webhook-url"),
            (&format!("https://example.org/{}", "x".repeat(2_000)), "bad-webhook-url"),
            ("https://127.0.0.1/hook", "private-address"),
            ("https://[::1]:8443/hook", "private-address"),
            ("https://[::ffff:10.0.0.1]/hook", "private-address"),
        ] {
            assert_eq!(check(&rules, url).expect_err(url).code(), code, "{url}");
        }
        check(&Rules { allow_http: true, ..rules }, "http://example.org/hook").expect("allowed");
    }
}
