//! Collections: a course, a department, a series. Videos belong to one or to none.

use super::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

const MAX_CHARS: usize = 200;

/// A collection's name: 1 to 200 characters in pieces set apart by `/`, none of them empty, blank at its ends or holding control
/// characters. Shown, never used as a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Name(String);

impl Name {
    /// Reads a name, taking away blanks around its pieces; `Invalid` (`bad-collection`) when it is none.
    pub fn parse(text: &str) -> Result<Self> {
        Self::of_folder(text)?.filter(|_| !text.split('/').any(|piece| piece.trim().is_empty())).ok_or_else(malformed)
    }

    /// The name for the files of a folder: as [`Self::parse`], but empty pieces (`/a//b/`) are passed over. `None` for the folder that
    /// holds all others.
    pub fn of_folder(path: &str) -> Result<Option<Self>> {
        let pieces: Vec<&str> = path.split('/').map(str::trim).filter(|piece| !piece.is_empty()).collect();
        let name = pieces.join("/");
        match () {
            () if name.is_empty() => Ok(None),
            () if name.chars().count() <= MAX_CHARS && !name.chars().any(char::is_control) => Ok(Some(Self(name))),
            () => Err(malformed()),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A collection, as far as someone may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Its name.
    pub name: Name,
    /// How many of its videos they may see.
    pub videos: u64,
    /// Epoch milliseconds.
    pub created_at: i64,
}

fn malformed() -> Error {
    let message = format!(
        "the collection must be a name of 1 to {MAX_CHARS} characters without control characters, or several joined by /, such as Cardiology/2026"
    );
    Error::invalid("bad-collection", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_pieces() {
        assert_eq!(Name::parse(" Cardiology / 2026 ").expect("a name").as_str(), "Cardiology/2026");
        assert_eq!(Name::parse("..").expect("never a path").as_str(), "..");
        for bad in ["", " ", "/", "a//b", "/a", "a/", "a\nb", &"x".repeat(201)] {
            assert_eq!(Name::parse(bad).expect_err(bad).code(), "bad-collection", "{bad:?}");
        }
        assert!(serde_json::from_str::<Name>("\"a//b\"").is_err());
    }

    #[test]
    fn a_folder_may_be_written_in_many_ways() {
        for folder in ["cardiology/2026", "/cardiology//2026/", "cardiology/ 2026/"] {
            let name = Name::of_folder(folder).expect("fine").expect("not the root");
            assert_eq!(name.as_str(), "cardiology/2026");
        }
        assert_eq!(Name::of_folder("//").expect("fine"), None);
        assert!(Name::of_folder("a\u{7}").is_err());
    }
}
