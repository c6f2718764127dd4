//! What can be sent for a key: its bytes, or where they are, and the headers that describe them.

use super::State;
use super::conditional::{Validators, Verdict};
use super::playlist::{MAX_PLAYLIST_BYTES, Playlist};
use super::range::{Selection, select};
use crate::blobs::{CacheRule, Key, Meta};
use crate::domain::{Error, Result};
use crate::encoding::accepts_gzip;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LAST_MODIFIED, RANGE, VARY};
use http::{HeaderMap, HeaderValue, Method};
use std::ops::Range;

/// One representation of a key, chosen for one request.
#[derive(Debug)]
pub(super) struct Representation {
    /// Its size.
    pub(super) size_bytes: u64,
    /// Its bytes, if they are in memory; otherwise the origin streams them.
    pub(super) content: Option<Bytes>,
    validators: Validators,
    content_type: &'static str,
    cache_control: &'static str,
    /// Whether it has a gzip form besides, and whether this is it.
    coding: Coding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// It has one form only. Segments are ciphertext: compressing them gains nothing.
    Only,
    Plain,
    Gzip,
}

/// What a request shall get of a representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200, and all of it; for HEAD only its headers.
    Whole,
    /// 206, and these bytes.
    Part(Range<u64>),
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client takes it for.
    PreconditionFailed,
    /// 416: the range lies beyond the end.
    Unsatisfiable,
}

impl Representation {
    /// Chooses the representation of `key` for a client with these `headers`.
    pub(super) async fn choose(edge: &State, key: &Key, headers: &HeaderMap) -> Result<Self> {
        let meta = edge.origin.head(key).await?;
        if key.is_playlist() { Self::playlist(edge, key, meta, headers).await } else { Ok(Self::stored(key, meta)) }
    }

    /// A blob that is never overwritten (invariant 2): its name is as good as a hash of its content.
    fn stored(key: &Key, meta: Meta) -> Self {
        Self {
            size_bytes: meta.size_bytes,
            content: None,
            validators: Validators { etag: format!("\"{}\"", key.path()), modified: meta.modified, immutable: true },
            content_type: key.content_type(),
            cache_control: cache_control(key),
            coding: Coding::Only,
        }
    }

    async fn playlist(edge: &State, key: &Key, meta: Meta, headers: &HeaderMap) -> Result<Self> {
        if meta.size_bytes > MAX_PLAYLIST_BYTES {
            return Err(Error::internal("the playlist is too large to be served", format!("{} bytes at {key}", meta.size_bytes)));
        }
        let playlist = Playlist::new(edge.origin.read(key).await?);
        let (content, etag, coding) = if accepts_gzip(headers) {
            (edge.compressor.gzip(&playlist).await?, playlist.gzip_etag(), Coding::Gzip)
        } else {
            (playlist.content.clone(), playlist.etag(), Coding::Plain)
        };
        Ok(Self {
            size_bytes: content.len() as u64,
            content: Some(content),
            validators: Validators { etag, modified: meta.modified, immutable: false },
            content_type: key.content_type(),
            cache_control: cache_control(key),
            coding,
        })
    }

    /// Decides the answer, in the order of RFC 9110 §13.2.2: preconditions, then the range, which only GET has.
    pub(super) fn answer(&self, method: &Method, headers: &HeaderMap) -> Answer {
        match self.validators.judge(headers) {
            Verdict::NotModified => return Answer::NotModified,
            Verdict::Failed => return Answer::PreconditionFailed,
            Verdict::Proceed => {}
        }
        let mut ranges = headers.get_all(RANGE).iter();
        let (Some(range), None) = (ranges.next(), ranges.next()) else { return Answer::Whole };
        if method != Method::GET || !self.validators.allow_range(headers) {
            return Answer::Whole;
        }
        match select(range.to_str().unwrap_or(""), self.size_bytes) {
            Selection::Whole => Answer::Whole,
            Selection::Part(range) => Answer::Part(range),
            Selection::Unsatisfiable => Answer::Unsatisfiable,
        }
    }

    /// The headers that go with 200, 206 and 304 alike (RFC 9110 §15.4.5).
    pub(super) fn describe(&self, headers: &mut HeaderMap) {
        headers.insert(ETAG, visible(&self.validators.etag));
        headers.insert(LAST_MODIFIED, visible(&self.validators.last_modified()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if self.coding != Coding::Only {
            headers.insert(VARY, HeaderValue::from(ACCEPT_ENCODING));
        }
    }

    /// The headers that go with its bytes.
    pub(super) fn describe_content(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if self.coding == Coding::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
}

/// The key knows how long; for whom is the edge's to say. The session is in the path, so a shared cache would keep a
/// copy per session that serves no second viewer, and would go on serving it, unaudited, after the token has expired or
/// was revoked: hence `private`. A CDN that checks tokens itself may cache by the path behind the token.
fn cache_control(key: &Key) -> &'static str {
    match key.cache_rule() {
        CacheRule::Immutable => "private, max-age=31536000, immutable",
        CacheRule::Playlist => "private, max-age=60",
        CacheRule::Never => "no-store",
    }
}

/// Tags and dates are ours, and visible ASCII.
fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("tags and dates are visible ascii")
}
