//! The checksums of S3 (Amazon S3 user guide, "Checking object integrity"): which one, and over what.

use super::{Error, Result};

/// How a checksum is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME; always of the whole object.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// What the checksum of an object in parts is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The checksums of its parts, one after the other.
    Composite,
    /// Its bytes.
    FullObject,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// S3's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header, or trailer, that carries its value.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// Reads S3's word.
    pub fn parse(word: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == word);
        known.ok_or_else(|| Error::invalid("bad-checksum-algorithm", "the checksum is CRC32, CRC32C, CRC64NVME, SHA1 or SHA256"))
    }

    /// Octets of a value.
    pub fn size_bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// What is meant when a client does not say.
    pub fn default_scope(self) -> Scope {
        if self == Self::Crc64Nvme { Scope::FullObject } else { Scope::Composite }
    }

    /// Whether S3 has this algorithm over `scope`: hashes cannot be combined, and CRC-64 is not made of parts.
    pub fn allows(self, scope: Scope) -> bool {
        match self {
            Self::Crc32 | Self::Crc32c => true,
            Self::Crc64Nvme => scope == Scope::FullObject,
            Self::Sha1 | Self::Sha256 => scope == Scope::Composite,
        }
    }
}

impl Scope {
    /// S3's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Composite => "COMPOSITE",
            Self::FullObject => "FULL_OBJECT",
        }
    }

    /// Reads S3's word.
    pub fn parse(word: &str) -> Result<Self> {
        let known = [Self::Composite, Self::FullObject].into_iter().find(|scope| scope.as_str() == word);
        known.ok_or_else(|| Error::invalid("bad-checksum-type", "the checksum type is COMPOSITE or FULL_OBJECT"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.as_str()).expect("own word"), algorithm);
            assert!(algorithm.allows(algorithm.default_scope()));
        }
        for scope in [Scope::Composite, Scope::FullObject] {
            assert_eq!(Scope::parse(scope.as_str()).expect("own word"), scope);
        }
        assert!(Algorithm::parse("MD5").is_err() && Scope::parse("").is_err());
    }

    #[test]
    fn hashes_are_composite_only_and_crc64_is_whole_only() {
        assert!(!Algorithm::Sha256.allows(Scope::FullObject) && !Algorithm::Sha1.allows(Scope::FullObject));
        assert!(!Algorithm::Crc64Nvme.allows(Scope::Composite));
    }
}
