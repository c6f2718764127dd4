//! The `IpAddress` of a policy: one IPv4 address, or a range of them in CIDR form.

use crate::domain::{Error, Result};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

const ADDRESS_BITS: u32 = 32;

/// A range of IPv4 addresses (RFC 4632). CloudFront's policies know no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: Ipv4Addr,
    prefix_bits: u32,
}

impl Network {
    /// Reads `192.0.2.7` or `192.0.2.0/24`; anything else is `Invalid` with the code `bad-network`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("bad-network", "write an IPv4 address or a range of them, e.g. 192.0.2.7 or 192.0.2.0/24");
        read(text).ok_or_else(wrong)
    }

    /// Whether `address` lies in it. An IPv6 address lies in none.
    pub fn contains(&self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address.to_canonical() else { return false };
        let mask = u32::MAX.checked_shl(ADDRESS_BITS - self.prefix_bits).unwrap_or(0);
        address.to_bits() & mask == self.address.to_bits() & mask
    }
}

fn read(text: &str) -> Option<Network> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let prefix_bits = match prefix {
        None => ADDRESS_BITS,
        Some(digits) => digits.parse().ok().filter(|bits: &u32| *bits <= ADDRESS_BITS && bits.to_string() == digits)?,
    };
    Some(Network { address: address.parse().ok()?, prefix_bits })
}

impl fmt::Display for Network {
    /// Always with its prefix, as botocore writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_range() {
        for (text, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.7/32", "::ffff:192.0.2.7", "192.0.2.6"),
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.200/25", "192.0.2.128", "192.0.2.127"),
            ("128.0.0.0/1", "255.1.2.3", "127.255.255.255"),
            ("0.0.0.0/0", "8.8.8.8", "2001:db8::1"),
        ] {
            let network = Network::parse(text).expect(text);
            assert!(network.contains(inside.parse().expect("an address")), "{text} {inside}");
            assert!(!network.contains(outside.parse().expect("an address")), "{text} {outside}");
        }
        assert_eq!(Network::parse("192.0.2.7").expect("one").to_string(), "192.0.2.7/32");
    }

    #[test]
    fn nothing_else() {
        for wrong in [
            "",
            "*",
            "192.0.2",
            "192.0.2.7/",
            "192.0.2.7/33",
            "192.0.2.7/+8",
            "192.0.2.7/08",
            "192.0.02.7",
            "::1",
            "::/0",
            " 192.0.2.7",
            "a.b",
        ] {
            assert_eq!(Network::parse(wrong).expect_err(wrong).code(), "bad-network");
        }
    }
}
