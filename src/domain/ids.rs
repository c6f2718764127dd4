//! Identifiers: 32 lowercase hexadecimal digits, ordered by time of creation, safe in paths and URLs by construction.

use super::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

const DIGITS: usize = 32;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub struct $name(String);

        impl $name {
            /// A new id; later ids sort after earlier ones (UUID version 7, RFC 9562 §5.7).
            #[allow(clippy::new_without_default, reason = "an id is an event, not a default value")]
            pub fn new() -> Self {
                Self(uuid::Uuid::now_v7().simple().to_string())
            }

            /// The id that `seed` and a moment (epoch milliseconds) stand for: the same for the same, and in its place among the others.
            pub fn derived(at_ms: i64, seed: &[u8; 10]) -> Self {
                let at_ms = u64::try_from(at_ms).unwrap_or_default();
                Self(uuid::Builder::from_unix_timestamp_millis(at_ms, seed).into_uuid().simple().to_string())
            }

            /// Reads an id back; anything but 32 lowercase hexadecimal digits is `Invalid`.
            pub fn parse(text: &str) -> Result<Self> {
                if is_id(text) { Ok(Self(text.to_owned())) } else { Err(malformed(stringify!($name))) }
            }

            /// The digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(/// A video: what a viewer watches.
    VideoId);
id!(/// A multipart transfer in progress.
    UploadId);
id!(/// An original file.
    SourceId);
id!(/// One complete processing of a source.
    VersionId);
id!(/// A durable unit of work.
    JobId);
id!(/// A course, department or series.
    CollectionId);
id!(/// One viewer's session with one version.
    SessionId);
id!(/// One link to a download.
    LinkId);
id!(/// One comparison of blobs and rows.
    ReconciliationId);
id!(/// One reading of blobs against their digests.
    VerificationId);
id!(/// One backup of a house.
    SnapshotId);
id!(/// An endpoint that events are sent to.
    WebhookId);
id!(/// One event on its way to one endpoint.
    DeliveryId);

fn is_id(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn malformed(what: &str) -> Error {
    Error::invalid("malformed-id", format!("this is no {what}: an id has 32 digits 0-9 and a-f"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_creation_and_survive_parsing() {
        let (a, b) = (VideoId::new(), VideoId::new());
        assert!(a <= b);
        assert_eq!(VideoId::parse(a.as_str()).expect("own id"), a);
    }

    #[test]
    fn anything_that_could_leave_its_folder_is_refused() {
        for bad in [
            "",
            "..",
            "../../etc/passwd",
            "0123456789ABCDEF0123456789ABCDEF",
            "0123456789abcdef0123456789abcde/",
            "0123456789abcdef0123456789abcdef0",
        ] {
            assert!(VideoId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
