//! S3 access keys: who may put objects into the inbox, and where in it.

use super::role::Role;
use super::{Error, Result};
use serde::Serialize;
use std::fmt;

/// The longest prefix; S3's keys have 1,024 bytes, and a name must fit behind it.
const MAX_PREFIX_BYTES: usize = 512;
const ID_MARK: &str = "THEATRUMU";
const ID_DIGITS: usize = 11;

/// Names an access key; public, 20 of `A-Z` and `0-9` as clients expect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct AccessKeyId(String);

/// The folder of the inbox that an access key is good for: empty for all of it, else text that ends in `/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prefix(String);

/// An access key, without its secret.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// Its name.
    pub id: AccessKeyId,
    /// Whose objects come in by it.
    pub subject: String,
    /// What they may do.
    pub role: Role,
    /// Where in the inbox.
    pub prefix: Prefix,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// Since when it opens nothing any more, epoch milliseconds.
    pub revoked_at: Option<i64>,
}

impl AccessKeyId {
    /// A new name.
    #[allow(clippy::new_without_default, reason = "a name is drawn, not defaulted")]
    pub fn new() -> Self {
        let digits = format!("{:011X}", rand::random::<u64>() >> (64 - 4 * ID_DIGITS));
        Self(format!("{ID_MARK}{digits}"))
    }

    /// Reads a name back; anything that no key of ours is called is `Invalid`.
    pub fn parse(text: &str) -> Result<Self> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        let digits = text.strip_prefix(ID_MARK).filter(|digits| digits.len() == ID_DIGITS && digits.bytes().all(is_digit));
        let malformed = || Error::invalid("malformed-access-key", format!("this is no access key of the inbox: one begins with {ID_MARK}"));
        digits.map(|_| Self(text.to_owned())).ok_or_else(malformed)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Prefix {
    /// Reads a folder such as `cardiology/2026/`; the last slash may be left out. `Invalid` with a leading or doubled slash, `.` or `..` as a
    /// folder, a control character, or more than 512 bytes.
    pub fn parse(text: &str) -> Result<Self> {
        let folders = text.strip_suffix('/').unwrap_or(text);
        if folders.is_empty() && text.is_empty() {
            return Ok(Self(String::new()));
        }
        let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.chars().any(char::is_control);
        if text.len() > MAX_PREFIX_BYTES || !folders.split('/').all(is_name) {
            let message = format!("a prefix is a folder such as cardiology/2026/ of at most {MAX_PREFIX_BYTES} bytes, or empty");
            return Err(Error::invalid("bad-prefix", message));
        }
        Ok(Self(format!("{folders}/")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the object `key` lies within.
    pub fn covers(&self, key: &str) -> bool {
        key.starts_with(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_reads_back_and_no_other_text_does() {
        let id = AccessKeyId::new();
        assert_eq!(id.as_str().len(), 20);
        assert_eq!(AccessKeyId::parse(id.as_str()).expect("own name"), id);
        for other in ["", "THEATRUMU", "AKIAIOSFODNN7EXAMPLE", "THEATRUM0123456789AB", "THEATRUMU0123456789a", "THEATRUMU0123456789AB"] {
            assert!(AccessKeyId::parse(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_prefix_is_a_folder() {
        for (text, prefix) in [("", ""), ("a", "a/"), ("a/", "a/"), ("a/b c/", "a/b c/"), ("größe", "größe/")] {
            assert_eq!(Prefix::parse(text).expect(text).as_str(), prefix);
        }
        for wrong in ["/", "/a", "a//", "a//b", "a/../b", ".", "a\nb", &"x".repeat(513)] {
            assert_eq!(Prefix::parse(wrong).expect_err(wrong).code(), "bad-prefix");
        }
        let prefix = Prefix::parse("a/b").expect("a prefix");
        assert!(prefix.covers("a/b/c.mp4") && prefix.covers("a/b/") && !prefix.covers("a/bc.mp4") && !prefix.covers("a/b"));
    }
}
