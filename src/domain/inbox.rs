//! The inbox: objects that come in by any S3 client, each an upload of its own whose parts have the sizes the client gives them.

use super::checksum::{Algorithm, Scope};
use super::collection;
use super::ids::{UploadId, VideoId};
use super::upload::{self, Request};
use super::{Error, Result};

/// The most octets of one part, and of an object that is sent at once (S3's rule, FACTS.md).
pub const MAX_PART_BYTES: u64 = 5 << 30;

/// An object on its way into the inbox, or one that has come in.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its upload.
    pub upload: UploadId,
    /// The video it becomes.
    pub video: VideoId,
    /// The name its client gave it, folders included.
    pub key: String,
    /// Whether it comes in parts.
    pub multipart: bool,
    /// Which checksum each part has, besides its SHA-256.
    pub algorithm: Algorithm,
    /// What the whole object's checksum is taken over.
    pub scope: Scope,
    /// Where its upload stands.
    pub state: upload::State,
    /// All of it, once it has come in.
    pub size_bytes: u64,
    /// Its entity tag without quotes, once it has come in.
    pub etag: Option<String>,
    /// Epoch milliseconds.
    pub created_at: i64,
    /// When it came in, epoch milliseconds.
    pub received_at: Option<i64>,
}

/// A part that has come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// 1 to 10,000.
    pub number: u64,
    /// Its length.
    pub size_bytes: u64,
    /// Hexadecimal; its entity tag.
    pub md5: String,
    /// The value of the object's [`Object::algorithm`], base64.
    pub checksum: String,
    /// Where its frames lie.
    pub blob: String,
    /// Epoch milliseconds.
    pub received_at: i64,
}

/// What the object `key` asks for as an upload: its folder is the collection, its file name the title. `size_bytes` is 1 while it is not
/// known. `Invalid` when the folder is no collection or the name is no file name, `TooLarge` beyond `max_size_bytes`.
pub fn request(key: &str, size_bytes: u64, max_size_bytes: u64) -> Result<Request> {
    if key.chars().any(char::is_control) {
        return Err(Error::invalid("bad-key", "the key holds a control character: give the file another name"));
    }
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    if name.trim().is_empty() {
        return Err(Error::invalid("bad-filename", "the key names a folder: put the file's name behind it"));
    }
    let collection = collection::Name::of_folder(folder)?;
    Ok(Request::new(name, None, size_bytes, max_size_bytes)?.in_collection(collection))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_collection_and_the_name_the_title() {
        for (key, collection, title) in [
            ("cardiology/2026/op 7.mp4", Some("cardiology/2026"), "op 7"),
            ("op 7.mp4", None, "op 7"),
            ("/a//b/x.y.mov", Some("a/b"), "x.y"),
            ("größe/.mp4", Some("größe"), ".mp4"),
        ] {
            let request = request(key, 1, 10).expect(key);
            assert_eq!((request.collection.as_ref().map(collection::Name::as_str), request.title.as_str()), (collection, title), "{key}");
        }
        for (key, code) in
            [("a/", "bad-filename"), ("a/ ", "bad-filename"), ("", "bad-filename"), ("a\u{7}/b", "bad-key"), ("a/b\n", "bad-key")]
        {
            assert_eq!(request(key, 1, 10).expect_err(key).code(), code, "{key:?}");
        }
        assert_eq!(request("a", 11, 10).expect_err("large").code(), "file-too-large");
        assert_eq!(request("a", 0, 10).expect_err("empty").code(), "empty-file");
    }
}
