//! The checksums of S3: of bytes as they pass, and of an object from those of its parts.

use crate::domain::checksum::{Algorithm, Scope};
use crate::domain::{Error, Result};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;

/// Computes one checksum of bytes that come in pieces.
pub struct Hasher {
    algorithm: Algorithm,
    state: State,
}

enum State {
    Crc(Box<crc_fast::Digest>),
    Sha(digest::Context),
}

impl Hasher {
    /// Nothing hashed yet.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match crc(algorithm) {
            Some(crc) => State::Crc(Box::new(crc_fast::Digest::new(crc))),
            None if algorithm == Algorithm::Sha1 => State::Sha(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            None => State::Sha(digest::Context::new(&digest::SHA256)),
        };
        Self { algorithm, state }
    }

    /// What it computes.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc(crc) => crc.update(bytes),
            State::Sha(sha) => sha.update(bytes),
        }
    }

    /// The value of all that was taken, in network byte order.
    pub fn value(&self) -> Vec<u8> {
        match &self.state {
            State::Crc(crc) => crc_bytes(self.algorithm, crc.finalize()),
            State::Sha(sha) => sha.clone().finish().as_ref().to_vec(),
        }
    }
}

/// The checksum of an object whose parts have these values (base64) and sizes, as S3 writes it: base64, and for a composite one `-` and the
/// number of parts behind it.
pub fn whole(algorithm: Algorithm, scope: Scope, parts: &[(&str, u64)]) -> Result<String> {
    let values = parts.iter().map(|(value, size_bytes)| Ok((decode(algorithm, value)?, *size_bytes))).collect::<Result<Vec<_>>>()?;
    match (scope, crc(algorithm)) {
        (Scope::FullObject, Some(crc)) => {
            let join =
                |joined, (value, size_bytes): &(Vec<u8>, u64)| crc_fast::checksum_combine(crc, joined, crc_value(value), *size_bytes);
            let (first, rest) = values.split_first().ok_or_else(|| Error::internal("an object has no parts", algorithm.as_str()))?;
            Ok(STANDARD.encode(crc_bytes(algorithm, rest.iter().fold(crc_value(&first.0), join))))
        }
        (Scope::FullObject, None) => Err(Error::internal("a hash cannot be put together from those of parts", algorithm.as_str())),
        (Scope::Composite, _) => {
            let mut hasher = Hasher::new(algorithm);
            values.iter().for_each(|(value, _)| hasher.update(value));
            Ok(format!("{}-{}", STANDARD.encode(hasher.value()), parts.len()))
        }
    }
}

/// Reads a value, base64 of just as many octets as the algorithm gives; else `Invalid` (`bad-checksum`).
pub fn decode(algorithm: Algorithm, text: &str) -> Result<Vec<u8>> {
    let value = STANDARD.decode(text).ok().filter(|value| value.len() == algorithm.size_bytes());
    value.ok_or_else(|| {
        Error::invalid("bad-checksum", format!("the value for {} is no {} in base64", algorithm.header(), algorithm.as_str()))
    })
}

fn crc(algorithm: Algorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        Algorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        Algorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        Algorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        Algorithm::Sha1 | Algorithm::Sha256 => None,
    }
}

fn crc_bytes(algorithm: Algorithm, value: u64) -> Vec<u8> {
    value.to_be_bytes()[8 - algorithm.size_bytes()..].to_vec()
}

fn crc_value(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(algorithm: Algorithm, text: &[u8]) -> String {
        let mut hasher = Hasher::new(algorithm);
        text.chunks(4).for_each(|piece| hasher.update(piece));
        STANDARD.encode(hasher.value())
    }

    #[test]
    fn check_values_are_the_published_ones() {
        for (algorithm, published) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ] {
            assert_eq!(value(algorithm, b"123456789"), STANDARD.encode(hex::decode(published).expect("hex")), "{algorithm:?}");
        }
    }

    #[test]
    fn the_crc_of_the_whole_follows_from_those_of_its_parts() {
        let text: Vec<u8> = (0..70_000_u32).map(|i| (i * 31 + i / 251) as u8).collect();
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            for cut in [1, 7, 40_000, 69_999] {
                let (a, b) = text.split_at(cut);
                let (va, vb, vc) = (value(algorithm, a), value(algorithm, &b[..1]), value(algorithm, &b[1..]));
                let parts = [(&*va, a.len() as u64), (&*vb, 1), (&*vc, b.len() as u64 - 1)];
                assert_eq!(whole(algorithm, Scope::FullObject, &parts).expect("combines"), value(algorithm, &text), "{algorithm:?} {cut}");
            }
        }
    }

    #[test]
    fn a_composite_is_the_checksum_of_checksums() {
        let parts = [value(Algorithm::Sha256, b"a"), value(Algorithm::Sha256, b"b")];
        let digests: Vec<u8> = parts.iter().flat_map(|part| STANDARD.decode(part).expect("base64")).collect();
        let sizes: Vec<(&str, u64)> = parts.iter().map(|part| (part.as_str(), 1)).collect();
        assert_eq!(
            whole(Algorithm::Sha256, Scope::Composite, &sizes).expect("composite"),
            format!("{}-2", value(Algorithm::Sha256, &digests))
        );
        assert!(whole(Algorithm::Sha256, Scope::FullObject, &sizes).is_err() && whole(Algorithm::Crc32, Scope::FullObject, &[]).is_err());
    }

    #[test]
    fn a_value_has_the_size_of_its_algorithm() {
        assert_eq!(decode(Algorithm::Crc32, "y/Q5Jg==").expect("a value"), [0xcb, 0xf4, 0x39, 0x26]);
        for wrong in ["", "y/Q5Jg", "AAAA", "not base64", "AAAAAAAAAAA="] {
            assert_eq!(decode(Algorithm::Crc32, wrong).expect_err(wrong).code(), "bad-checksum");
        }
    }
}
