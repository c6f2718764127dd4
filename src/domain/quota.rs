//! Quotas: how much a user or a collection may keep.
//!
//! What counts is what people bring: the originals of videos that are not deleted, and the whole of each upload that is under way. Renditions
//! do not: how many there are, and how large, is the house's choice and changes with it.

use super::collection;
use super::size::size;
use super::{Error, Result};

const MAX_USER_CHARS: usize = 128;

/// Whom a quota is for. Users come first, each kind by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// The subject who owns videos.
    User(String),
    /// The collection they are in.
    Collection(collection::Name),
}

/// How much a holder has, and may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Whose it is.
    pub holder: Holder,
    /// What counts towards it.
    pub used_bytes: u64,
    /// Its own limit, if it was given one; 0 is none.
    pub own_limit_bytes: Option<u64>,
}

/// The limits of holders that were given none of their own; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Of each user.
    pub user_bytes: u64,
    /// Of each collection.
    pub collection_bytes: u64,
}

impl Holder {
    /// Reads the two words of the API and the command line: `users` or `collections`, and a name.
    pub fn parse(kind: &str, name: &str) -> Result<Self> {
        match kind {
            "users" => user(name),
            "collections" => collection::Name::parse(name).map(Self::Collection),
            _ => Err(Error::not_found(format!("there are quotas of users and of collections, none of {kind:?}"))),
        }
    }

    /// Reads the catalog's word and name back.
    pub fn of_row(kind: &str, name: &str) -> Result<Self> {
        match kind {
            "user" => Ok(Self::User(name.to_owned())),
            "collection" => collection::Name::parse(name).map(Self::Collection),
            _ => Err(Error::internal("the catalog holds a quota of nobody", kind)),
        }
    }

    /// The word in the catalog and the API.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Collection(_) => "collection",
        }
    }

    /// The user's or the collection's name.
    pub fn name(&self) -> &str {
        match self {
            Self::User(name) => name,
            Self::Collection(name) => name.as_str(),
        }
    }
}

impl Quota {
    /// The limit that holds: its own, else the default; `None` when neither is one.
    pub fn limit_bytes(&self, defaults: &Defaults) -> Option<u64> {
        let default = match self.holder {
            Holder::User(_) => defaults.user_bytes,
            Holder::Collection(_) => defaults.collection_bytes,
        };
        Some(self.own_limit_bytes.unwrap_or(default)).filter(|limit| *limit > 0)
    }

    /// Whether `size_bytes` more still fit; `OutOfSpace` (`quota-exceeded`) when not.
    pub fn admit(&self, size_bytes: u64, defaults: &Defaults) -> Result<()> {
        let Some(limit) = self.limit_bytes(defaults) else { return Ok(()) };
        if self.used_bytes.saturating_add(size_bytes) <= limit {
            return Ok(());
        }
        let who = match &self.holder {
            Holder::User(name) => format!("the quota of {name}"),
            Holder::Collection(name) => format!("the quota of collection {name}"),
        };
        let (limit, used, wanted) = (size(limit), size(self.used_bytes), size(size_bytes));
        let remedy = "delete videos that are no longer needed, or ask an administrator for more";
        Err(Error::quota_exceeded(format!("{who} is {limit}, {used} of it in use, and this file has {wanted}; {remedy}")))
    }
}

fn user(name: &str) -> Result<Holder> {
    let name = name.trim();
    let fits = (1..=MAX_USER_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    let wrong =
        || Error::invalid("bad-subject", format!("a user has a name of 1 to {MAX_USER_CHARS} characters without control characters"));
    if fits { Ok(Holder::User(name.to_owned())) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_limit_goes_before_the_default_and_nought_is_none() {
        let defaults = Defaults { user_bytes: 10, collection_bytes: 0 };
        let user = |own_limit_bytes| Quota { holder: Holder::User("ada".to_owned()), used_bytes: 8, own_limit_bytes };
        for (own, wanted, fits) in
            [(None, 2, true), (None, 3, false), (Some(20), 12, true), (Some(20), 13, false), (Some(0), u64::MAX, true), (Some(1), 0, false)]
        {
            let admitted = user(own).admit(wanted, &defaults);
            assert_eq!(admitted.is_ok(), fits, "{own:?} {wanted} {admitted:?}");
        }
        let name = collection::Name::parse("Cardiology").expect("a name");
        let collection = Quota { holder: Holder::Collection(name), used_bytes: 8, own_limit_bytes: None };
        assert!(collection.admit(u64::MAX, &defaults).is_ok());
    }

    #[test]
    fn a_refusal_says_who_has_how_much_and_what_to_do() {
        let quota = Quota { holder: Holder::User("ada".to_owned()), used_bytes: 900, own_limit_bytes: Some(1 << 20) };
        let error = quota.admit(1 << 20, &Defaults::default()).expect_err("too much");
        assert_eq!(error.code(), "quota-exceeded");
        insta::assert_snapshot!(error.message(), @"the quota of ada is 1.00 MiB, 900 B of it in use, and this file has 1.00 MiB; delete videos that are no longer needed, or ask an administrator for more");
    }

    #[test]
    fn holders_are_named_by_two_words() {
        assert_eq!(Holder::parse("users", " ada ").expect("fine"), Holder::User("ada".to_owned()));
        assert_eq!(Holder::parse("collections", "a/b").expect("fine").name(), "a/b");
        for (kind, name) in [("users", ""), ("users", "a\nb"), ("collections", "/"), ("groups", "ada")] {
            assert!(Holder::parse(kind, name).is_err(), "{kind} {name:?}");
        }
    }
}
