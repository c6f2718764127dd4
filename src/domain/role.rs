//! Roles: what a person or a machine may do, as their access token says.

use super::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A role, from the mightiest to the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May do everything.
    Admin,
    /// Uploads videos; lists, watches and deletes their own; lists and watches what is ready.
    Author,
    /// Lists and watches what is ready.
    Viewer,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Author, Self::Viewer];

    /// The word in tokens, in the API and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Author => "author",
            Self::Viewer => "viewer",
        }
    }

    /// Reads the word back; any other is `Invalid` with the code `bad-role`.
    pub fn parse(word: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == word)
            .ok_or_else(|| Error::invalid("bad-role", "there is no such role: choose admin, author or viewer"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_survives_its_word_in_text_and_json() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()).expect("own word"), role);
            assert_eq!(serde_json::to_string(&role).expect("json"), format!("\"{role}\""));
        }
    }

    #[test]
    fn no_other_word_is_a_role() {
        for word in ["", "Admin", "root", "admin "] {
            assert!(Role::parse(word).is_err(), "{word:?}");
        }
    }
}
