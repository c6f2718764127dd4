//! The inbox as the S3 endpoint needs it: who may use it, and the rows behind its objects.

use super::{Hold, StoredPart};
use crate::domain::Result;
use crate::domain::access_key::AccessKey;
use crate::domain::checksum::{Algorithm, Scope};
use crate::domain::ids::UploadId;
use crate::domain::inbox::{Object, Part};
use async_trait::async_trait;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// The bucket whose objects become videos.
pub const INBOX: &str = "inbox";

/// Who may come in.
#[async_trait]
pub trait Gate: Send + Sync {
    /// The secret of a person's access key; `None` when there is no such key, or it was revoked.
    async fn secret(&self, id: &str) -> Result<Option<Zeroizing<String>>>;

    /// Whose key it is, and where it is good. `NotFound` when there is none any more, `Forbidden` when its owner may not use the inbox.
    async fn sender(&self, id: &str) -> Result<AccessKey>;

    /// Counts a refusal by address and reason (invariant 8).
    async fn refused(&self, address: IpAddr, reason: &'static str);
}

/// A request for the inbox by someone who may make it.
#[derive(Clone, Debug)]
pub struct Sender {
    /// By which key.
    pub key: AccessKey,
    /// From where.
    pub address: Option<IpAddr>,
    /// The client's name of the call, the same when it repeats one whose answer it missed.
    pub invocation: Option<String>,
}

/// An object that someone wants to send.
#[derive(Clone, Debug)]
pub struct NewObject {
    /// Its name, folders included.
    pub key: String,
    /// Its size, when it comes at once; absent when it comes in parts.
    pub size_bytes: Option<u64>,
    /// The checksum its parts have.
    pub algorithm: Algorithm,
    /// What the checksum of the whole is taken over.
    pub scope: Scope,
}

/// Where the bytes of an object go.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The object.
    pub object: Object,
    /// The wrapped root key of its video.
    pub root_key_wrapped: String,
    /// The room of the part that is expected, while it comes.
    pub hold: Option<Hold>,
}

/// What a client says of a whole object whose parts are there.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// The parts that make it, in this order.
    pub parts: Vec<ClaimedPart>,
    /// Its size.
    pub size_bytes: Option<u64>,
    /// Its checksum: algorithm and value, for a composite one with `-` and the number of parts behind it.
    pub checksum: Option<(Algorithm, String)>,
    /// What that is taken over.
    pub scope: Option<Scope>,
}

/// One part as the client lists it.
#[derive(Clone, Debug)]
pub struct ClaimedPart {
    /// Its number.
    pub number: u64,
    /// Its entity tag, without quotes.
    pub etag: String,
    /// Its checksum, base64.
    pub checksum: Option<(Algorithm, String)>,
}

/// The rows of the inbox. Everything is limited to the sender's own objects: another's is `NotFound`.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Makes room for an object. Its upload is kept open by [`Inbox::keep`] when it comes at once, for the lifetime of uploads when it
    /// comes in parts. `Forbidden` for a key that is not the sender's to use, `Invalid` for one that no video can have, `TooLarge` beyond the
    /// operator's limit, `OutOfSpace` when the disk or a quota has no room, or the sender sends too many (`too-many-transfers`).
    async fn begin(&self, sender: &Sender, new: &NewObject) -> Result<Slot>;

    /// Keeps the upload of an object that comes at once open for a while. `Conflict` when it is not open any more.
    async fn keep(&self, upload: &UploadId) -> Result<()>;

    /// An object that is sent in parts, or was.
    async fn multipart(&self, sender: &Sender, key: &str, upload: &str) -> Result<Object>;

    /// Makes room for a part of `size_bytes` octets. `Conflict` when the object takes no more parts, `TooLarge` when it would become too large,
    /// `OutOfSpace` when the disk, or a quota, has no room for what it has more than a part that it takes the place of.
    async fn expect(&self, object: &Object, number: u32, size_bytes: u64) -> Result<Slot>;

    /// Records that a part is durable; gives the blob whose place it takes. As [`super::Ledger::received`], and `TooLarge` or `OutOfSpace` when
    /// others came in meanwhile that leave no room for it: then, too, nothing is recorded.
    async fn received(&self, object: &Object, number: u32, stored: &StoredPart, checksum: &str) -> Result<Option<crate::blobs::Key>>;

    /// The parts of an object, in order.
    async fn parts(&self, object: &Object) -> Result<Vec<Part>>;

    /// The sender's objects that are being sent in parts, by key, then by upload.
    async fn multiparts(&self, sender: &Sender) -> Result<Vec<Object>>;

    /// Makes a video of an object whose parts are there: durable when it returns, and once, however often it is called. Gives the object;
    /// that is an earlier one when the client repeats a call that sent it at once, because it missed the answer.
    /// `Forbidden` when the sender's key was revoked meanwhile.
    async fn complete(&self, sender: &Sender, object: &Object, claim: &Claim) -> Result<Object>;

    /// Gives an object up that is not complete; its bytes go at once. `Conflict` when it is.
    async fn abort(&self, object: &Object) -> Result<()>;

    /// The last object that came in from the sender as `key`, for a while; `None` later, and if none did.
    async fn receipt(&self, sender: &Sender, key: &str) -> Result<Option<Object>>;

    /// Ends the receipts of `key`.
    async fn forget(&self, sender: &Sender, key: &str) -> Result<()>;
}
