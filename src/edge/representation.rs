//! What can be sent for a key: its bytes, or where they are, and the headers that describe them.

use super::State;
use super::awaited;
use super::playlist::{MAX_PLAYLIST_BYTES, Playlist};
use crate::blobs::{CacheRule, Key, Meta};
use crate::domain::{Error, Result};
use crate::encoding::accepts_gzip;
use crate::representation::{Answer, Description, Validators};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY};
use http::{HeaderMap, HeaderValue, Method};
use theatrum_media::playlist::is_growing;

/// One representation of a key, chosen for one request.
#[derive(Debug)]
pub(super) struct Representation {
    /// Its size.
    pub(super) size_bytes: u64,
    /// Its bytes, if they are in memory; otherwise the origin streams them.
    pub(super) content: Option<Bytes>,
    validators: Validators,
    content_type: &'static str,
    rule: CacheRule,
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

impl Representation {
    /// Chooses the representation of `key` for a client with these `headers`.
    pub(super) async fn choose(edge: &State, key: &Key, reuse: Reuse, headers: &HeaderMap) -> Result<Self> {
        let meta = awaited::head(edge, key).await?;
        let chosen = if key.is_playlist() { Self::playlist(edge, key, meta, headers).await? } else { Self::stored(key, meta) };
        Ok(Self { cache_control: cache_control(chosen.rule, reuse), ..chosen })
    }

    /// A blob that is never overwritten (invariant 2): its name is as good as a hash of its content.
    fn stored(key: &Key, meta: Meta) -> Self {
        Self {
            size_bytes: meta.size_bytes,
            content: None,
            validators: Validators { etag: format!("\"{}\"", key.path()), modified: meta.modified, immutable: true },
            content_type: key.content_type(),
            rule: key.cache_rule(),
            cache_control: cache_control(key.cache_rule(), Reuse::Private),
            coding: Coding::Only,
        }
    }

    async fn playlist(edge: &State, key: &Key, meta: Meta, headers: &HeaderMap) -> Result<Self> {
        if meta.size_bytes > MAX_PLAYLIST_BYTES {
            return Err(Error::internal("the playlist is too large to be served", format!("{} bytes at {key}", meta.size_bytes)));
        }
        let playlist = Playlist::new(edge.origin.read(key).await?);
        let rule = if is_growing(&playlist.content) { CacheRule::GrowingPlaylist } else { key.cache_rule() };
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
            rule,
            cache_control: cache_control(rule, Reuse::Private),
            coding,
        })
    }

    /// Decides what a request gets of it.
    pub(super) fn answer(&self, method: &Method, headers: &HeaderMap) -> Answer {
        Answer::of(&self.validators, self.size_bytes, method, headers)
    }

    /// Its headers.
    pub(super) fn describe(&self) -> Description {
        let mut description = Description::default();
        let Description { always, content } = &mut description;
        always.insert(ETAG, visible(&self.validators.etag));
        always.insert(LAST_MODIFIED, visible(&self.validators.last_modified()));
        always.insert(CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
        always.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if self.coding != Coding::Only {
            always.insert(VARY, HeaderValue::from(ACCEPT_ENCODING));
        }
        content.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if self.coding == Coding::Gzip {
            content.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        description
    }
}

/// Who may keep an answer for a later request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reuse {
    /// The viewer alone. With the session in the path, a shared cache would keep a copy per session that serves no second viewer; and wherever
    /// it stands, it would go on serving what it keeps, unaudited, to those who may no longer have it.
    Private,
    /// Also a cache before the edge, which the operator says judges every request itself.
    Shared,
}

/// The key, or what it holds, says how long; for whom is the edge's to say.
fn cache_control(rule: CacheRule, reuse: Reuse) -> &'static str {
    match (rule, reuse) {
        (CacheRule::Never, _) => "no-store",
        (_, Reuse::Shared) => rule.header(),
        (CacheRule::Immutable, Reuse::Private) => "private, max-age=31536000, immutable",
        (CacheRule::Playlist, Reuse::Private) => "private, max-age=60",
        (CacheRule::GrowingPlaylist, Reuse::Private) => "private, max-age=1",
    }
}

/// Tags and dates are ours, and visible ASCII.
fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("tags and dates are visible ascii")
}
