//! Web origins: scheme, host and port of a site that may show a video in a frame.

use super::{Error, Result};
use serde::{Serialize, Serializer};
use std::fmt;

const MAX_CHARS: usize = 253;

/// An origin as browsers write it (RFC 6454 §6.2): lower case, no path, no default port. Safe in a header by construction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(String);

impl Origin {
    /// Reads `https://moodle.example.edu`, with a port where it is not the scheme's own, with or without a slash at its end; `Invalid`
    /// (`bad-origin`) when it is anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let (scheme, authority) = lower.split_once("://").ok_or_else(|| malformed(text))?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let default_port = match scheme {
            "https" => "443",
            "http" => "80",
            _ => return Err(malformed(text)),
        };
        let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port));
        if !is_host(host) || !port_fits {
            return Err(malformed(text));
        }
        let port = port.filter(|&port| port != default_port).map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self(format!("{scheme}://{host}{port}")))
    }

    /// The origin.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether browsers reach it by TLS.
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The origins that an operator lets videos be embedded on; the owner of each video chooses among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permitted {
    /// Any that browsers reach by TLS.
    pub any_secure: bool,
    /// These besides.
    pub listed: Vec<Origin>,
}

impl Permitted {
    /// Whether it is one of them.
    pub fn permits(&self, origin: &Origin) -> bool {
        (self.any_secure && origin.is_secure()) || self.listed.contains(origin)
    }

    /// Whether there is none: nothing can be embedded anywhere.
    pub fn is_empty(&self) -> bool {
        !self.any_secure && self.listed.is_empty()
    }
}

/// A host name in ASCII, or an address; IPv6 in brackets.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        let fits = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        !label.is_empty() && fits && !label.starts_with('-') && !label.ends_with('-')
    };
    host.len() <= MAX_CHARS && host.split('.').all(is_label)
}

fn malformed(text: &str) -> Error {
    let message = format!("{text:?} is no origin: write scheme and host, such as https://moodle.example.edu, without a path");
    Error::invalid("bad-origin", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        for (text, origin) in [
            ("https://Moodle.Example.edu", "https://moodle.example.edu"),
            ("https://moodle.example.edu:443/", "https://moodle.example.edu"),
            (" http://127.0.0.1:8090 ", "http://127.0.0.1:8090"),
            ("http://[::1]:80", "http://[::1]"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(Origin::parse(text).expect(text).as_str(), origin);
        }
    }

    /// invariant 9: deny by default: nothing that means more than one site, and nothing that ends the header's directive.
    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "*",
            "https://",
            "https://*",
            "https://*.example.edu",
            "moodle.example.edu",
            "https://a/b",
            "https://a?b",
            "https://a b",
            "https://a;script-src *",
            "https://a:0",
            "https://a:99999",
            "https://a:",
            "ftp://a",
            "https://u@a",
            "https://-a",
            "https://a..b",
            "null",
            "https://ä.example",
            "https://[::1",
            "https://a\nb",
        ] {
            assert_eq!(Origin::parse(text).expect_err(text).code(), "bad-origin");
        }
    }

    #[test]
    fn any_secure_origin_is_not_any_origin() {
        let origin = |text| Origin::parse(text).expect(text);
        let any = Permitted { any_secure: true, listed: vec![origin("http://localhost:8090")] };
        assert!(any.permits(&origin("https://a.example")) && any.permits(&origin("http://localhost:8090")));
        assert!(!any.permits(&origin("http://a.example")));
        assert!(!Permitted::default().permits(&origin("https://a.example")) && Permitted::default().is_empty());
    }
}
