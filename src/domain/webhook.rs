//! Webhooks: where events are sent, which of them, and which addresses a server may be made to call.

use super::Error;
use super::event::Kind;
use super::ids::WebhookId;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An endpoint, without its secret.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Where its events are posted.
    pub url: String,
    /// Which of them; empty: all.
    pub kinds: Vec<Kind>,
    /// Who made it.
    pub created_by: String,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Since when nothing is sent to it, epoch milliseconds. What happens meanwhile waits.
    pub disabled_at: Option<i64>,
    /// Why: `asked`, `gone`, `unanswered` or `restored`.
    pub disabled_why: Option<String>,
    /// Since when no attempt has succeeded, epoch milliseconds.
    pub failing_since: Option<i64>,
    /// Until when messages are signed with the secret before too, epoch milliseconds.
    pub former_until: Option<i64>,
    /// Deliveries that it has not had.
    pub pending: u64,
}

/// What an operator changes of an endpoint; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Another address.
    pub url: Option<String>,
    /// Other events.
    pub kinds: Option<Vec<Kind>>,
    /// Whether anything is sent to it.
    pub disabled: Option<bool>,
    /// Whether it gets a new secret.
    pub rotate_secret: bool,
}

/// Which addresses may be called.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Networks besides the public ones.
    pub allow_private: Vec<IpNet>,
    /// Whether `http://` will do.
    pub allow_http: bool,
}

/// Binds a wrapped secret to its place, `table|column|row|version`. It stays the same when the secret becomes the former one.
pub fn secret_context(id: &WebhookId) -> String {
    format!("theatrum|webhooks|secret_wrapped|{id}|1")
}

impl Rules {
    /// Whether this address may be called: a public one, or one of the networks that the operator allows.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.allow_private.iter().any(|network| network.contains(&address))
    }
}

/// What is said of a host at which no address may be called.
pub fn refused(host: &str) -> Error {
    let message = format!("{host} is not on the public internet: an operator allows its network with the setting webhooks.allow_private");
    Error::invalid("private-address", message)
}

/// Whether an address is one of the public internet (IANA's special-purpose registries, RFC 6890): not loopback, private, link-local,
/// shared, reserved, multicast, for documentation or benchmarks, and no wrapping of an IPv4 address that could be one of these.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = matches!(
        (a, b, c),
        (0 | 10 | 127, ..) // this network, private, loopback
            | (100, 64..=127, _) // shared (RFC 6598)
            | (169, 254, _) // link-local: cloud metadata lives here
            | (172, 16..=31, _) // private
            | (192, 0, 0 | 2) // protocol assignments, documentation
            | (192, 88, 99) // 6to4 relays
            | (192, 168, _) // private
            | (198, 18..=19, _) // benchmarks
            | (198, 51, 100) // documentation
            | (203, 0, 113) // documentation
            | (224.., ..) // multicast, reserved, broadcast
    );
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Only 2000::/3 is given to anybody; NAT64's 64:ff9b::/96, unique local, link-local and multicast addresses lie outside.
    let is_global = segments[0] & 0xe000 == 0x2000;
    let is_special = matches!(segments, [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..]);
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(rules: &Rules, address: &str) -> bool {
        rules.permits(address.parse().expect("an address"))
    }

    #[test]
    fn only_public_addresses_are_called_unless_their_network_is_allowed() {
        let rules = Rules::default();
        for address in ["93.184.216.34", "8.8.8.8", "100.63.0.1", "172.15.0.1", "172.32.0.1", "2606:2800:220:1::1", "2a00:1450::1"] {
            assert!(permits(&rules, address), "{address}");
        }
        let own = [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::1",
            "3fff::1",
        ];
        for address in own {
            assert!(!permits(&rules, address), "{address}");
        }
        let rules =
            Rules { allow_private: vec!["10.1.0.0/16".parse().expect("a network"), "::1/128".parse().expect("a network")], ..rules };
        assert!(permits(&rules, "10.1.2.3") && permits(&rules, "::ffff:10.1.2.3") && permits(&rules, "::1"));
        assert!(!permits(&rules, "10.2.0.1") && !permits(&rules, "127.0.0.1"));
    }
}
