//! Who is at the other end: the address of the connection, or, behind proxies that the settings name, of the client they speak for.

use http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address of the connection.
    pub address: SocketAddr,
    /// Whether it speaks TLS with us.
    pub is_tls: bool,
}

/// The proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed; everyone else could write anything there.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Proxies with an address in one of these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// The client's address: the last one that is no proxy's, walking from the connection backwards through `X-Forwarded-For`. What a proxy
    /// wrote is believed, what reached it is not.
    pub fn client(&self, peer: &Peer, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.address.ip().to_canonical();
        // Bytes, not text: what a client puts before its proxy's word must not make that unreadable.
        let hops: Vec<&[u8]> =
            headers.get_all(X_FORWARDED_FOR).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).collect();
        for hop in hops.into_iter().rev() {
            if !self.are(client) {
                break;
            }
            let Some(address) = std::str::from_utf8(hop).ok().and_then(|hop| address(hop.trim())) else { break };
            client = address;
        }
        client
    }

    /// Whether the request of `peer` was sent over HTTPS: to us, or to the proxy before us as it says.
    pub fn is_https(&self, peer: &Peer, headers: &HeaderMap) -> bool {
        let said = || headers.get_all(X_FORWARDED_PROTO).iter().next_back()?.as_bytes().rsplit(|byte| *byte == b',').next();
        peer.is_tls || (self.are(peer.address.ip().to_canonical()) && said().is_some_and(|scheme| scheme.trim_ascii() == b"https"))
    }

    fn are(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`: proxies write all of them.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn proxies() -> Proxies {
        Proxies::new(["10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1/32"].map(|network| network.parse().expect("a network")).to_vec())
    }

    fn peer(address: &str) -> Peer {
        Peer { address: SocketAddr::new(address.parse().expect("an address"), 4711), is_tls: false }
    }

    fn headers(name: &'static str, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (http::HeaderName::from_static(name), HeaderValue::from_bytes(&latin_1(line)).expect("a value"))).collect()
    }

    /// One byte for each character, so that a line can hold what is no UTF-8.
    fn latin_1(line: &str) -> Vec<u8> {
        line.chars().map(|character| u8::try_from(character).expect("a byte")).collect()
    }

    #[test]
    fn the_last_address_that_is_no_proxys_is_the_clients() {
        for (from, lines, client) in [
            ("192.0.2.9", &["198.51.100.1"][..], "192.0.2.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.6, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.6", "198.51.100.1, 10.7.7.7"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:5000"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8:2::5]:5000"], "2001:db8:2::5"),
            ("2001:db8:1::1", &["2001:db8:2::5, [2001:db8:1::7]"], "2001:db8:2::5"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, garbage, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["\u{ff}, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, \u{ff}, 10.0.0.2"], "10.0.0.2"),
        ] {
            let expected: IpAddr = client.parse().expect("an address");
            assert_eq!(proxies().client(&peer(from), &headers(X_FORWARDED_FOR, lines)), expected, "{from} {lines:?}");
        }
        let nobody = Proxies::default();
        assert_eq!(nobody.client(&peer("127.0.0.1"), &headers(X_FORWARDED_FOR, &["198.51.100.1"])).to_string(), "127.0.0.1");
    }

    #[test]
    fn only_tls_and_proxies_make_https() {
        let says = |lines: &[&str]| headers(X_FORWARDED_PROTO, lines);
        assert!(proxies().is_https(&peer("10.0.0.1"), &says(&["https"])));
        assert!(proxies().is_https(&Peer { is_tls: true, ..peer("192.0.2.9") }, &says(&["http"])));
        assert!(!proxies().is_https(&peer("192.0.2.9"), &says(&["https"])));
        assert!(proxies().is_https(&peer("10.0.0.1"), &says(&["\u{ff}, https"])));
        assert!(!proxies().is_https(&peer("10.0.0.1"), &says(&["https, http"])));
        assert!(!proxies().is_https(&peer("10.0.0.1"), &says(&[])));
    }
}
