//! CloudFront's signed URLs and cookies: made here, and accepted here as CloudFront accepts them.
//!
//! A *policy* says which resource may be had, until when, and optionally from when on and from where. A canned policy is not sent: the verifier
//! rebuilds its bytes from the URL and `Expires`. A custom policy is sent, and verified over the very bytes that came. All of this is pure:
//! keys, clock and the client's address are handed in. (Amazon CloudFront Developer Guide, "Serve private content with signed URLs and signed
//! cookies".)

mod encoding;
mod gate;
mod key;
mod network;
mod policy;
mod request;
mod sign;
mod wildcard;

pub use gate::{Admission, Gate, Scope};
pub use key::{Algorithm, KeyGroup, PrivateKey, PublicKey};
pub use network::Network;
pub use policy::Policy;
pub use sign::{Cookies, Signer};

use crate::domain::{Error, ErrorKind};

/// The names of a signed URL's own parameters; reserved, so no resource may use them.
const EXPIRES: &str = "Expires";
const POLICY: &str = "Policy";
const SIGNATURE: &str = "Signature";
const KEY_PAIR_ID: &str = "Key-Pair-Id";
const HASH_ALGORITHM: &str = "Hash-Algorithm";
const RESERVED: [&str; 5] = [EXPIRES, POLICY, SIGNATURE, KEY_PAIR_ID, HASH_ALGORITHM];
/// What stands before each name where it is a cookie's.
const COOKIE_PREFIX: &str = "CloudFront-";

/// The hash under a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    /// CloudFront's default, and what old tools sign.
    Sha1,
    /// What everybody should sign.
    Sha256,
}

/// Why a signed link opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Missing,
    Malformed,
    HashUnknown,
    Sha1,
    KeyUnknown,
    Signature,
    PolicyMalformed,
    Resource,
    Expired,
    NotYet,
    Address,
}

impl Refusal {
    /// A signed link is no identity: without a valid one the answer is 403. The codes never change their meaning.
    fn into_error(self) -> Error {
        const NO: ErrorKind = ErrorKind::Forbidden;
        match self {
            Self::Missing => Error::new(
                NO,
                "signature-missing",
                "the link is not signed: use a signed url, or send the CloudFront-* cookies of a playback",
            ),
            Self::Malformed => Error::new(NO, "signature-malformed", MALFORMED),
            Self::HashUnknown => Error::new(
                NO,
                "signature-hash",
                "Hash-Algorithm must be SHA256 or SHA1: sign with SHA-256 and append Hash-Algorithm=SHA256",
            ),
            Self::Sha1 => Error::new(NO, "signature-weak-hash", SHA1),
            Self::KeyUnknown => {
                Error::new(NO, "signature-key", "the link's Key-Pair-Id is not in the key group, or was revoked: ask for a new link")
            }
            Self::Signature => Error::new(NO, "signature-mismatch", MISMATCH),
            Self::PolicyMalformed => Error::new(NO, "policy-malformed", POLICY_MALFORMED),
            Self::Resource => Error::new(NO, "policy-resource", "the link's policy is for another resource; ask for a link for this one"),
            Self::Expired => Error::new(NO, "policy-expired", "the link has expired; ask for a new one"),
            Self::NotYet => Error::new(NO, "policy-not-yet", "the link is not valid yet: wait, and check the clock of whoever signed it"),
            Self::Address => Error::new(NO, "policy-address", "the link is for another network address; ask for a new one from here"),
        }
    }
}

const MALFORMED: &str =
    "the link's signature is incomplete or garbled: it needs Expires or Policy, Signature and Key-Pair-Id, each once and as signed";
const SHA1: &str =
    "signatures over SHA-1, the default without Hash-Algorithm, are not accepted: sign with SHA-256 and append Hash-Algorithm=SHA256";
const MISMATCH: &str = "the signature does not fit the link: nothing may be added or changed after signing; ask for a new link";
const POLICY_MALFORMED: &str =
    "the policy is not one that CloudFront takes: one statement with Resource and DateLessThan, and at most DateGreaterThan and IpAddress";

#[cfg(test)]
mod tests;
