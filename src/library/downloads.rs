//! Downloads: a link is decided on and signed; whoever comes with it is decided on anew, written down, and gets bytes.

use super::lease::Lease;
use super::movie::Movie;
use super::{Caller, Library, now_ms};
use crate::audit::Entry;
use crate::blobs::{self, Key};
use crate::catalog::downloads::DownloadLink;
use crate::catalog::versions::Source;
use crate::domain::ids::{LinkId, VersionId, VideoId};
use crate::domain::role::Role;
use crate::domain::video::{RenditionName, State, Video};
use crate::domain::{Error, ErrorKind, Result};
use crate::policy::{Action, Actor, Decision, decide};
use crate::representation::Validators;
use crate::transaction;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SOURCE: &str = "source";
const MAX_NAME_CHARS: usize = 100;
const MAX_ENDING_CHARS: usize = 8;
/// Forbidden in a file's name somewhere, or able to mislead the one who reads it.
const UNWELCOME: &[char] = &[
    '/', '\\', ':', '*', '?', '"', '<', '>', '|', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}',
    '\u{2068}', '\u{2069}',
];

/// What the operator says about links.
#[derive(Clone, Debug)]
pub struct Links {
    /// Where links lead: the public URL, without a slash at its end.
    pub origin: String,
    /// How long the link to a download is good for.
    pub download_lifetime: Duration,
    /// Whether whoever may watch a ready video may download its renditions.
    pub viewers_may_download: bool,
}

/// What of a video is downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The original file, byte for byte.
    Source,
    /// A rendition with the sound, as one MP4.
    Rendition(RenditionName),
}

impl Item {
    /// Reads `source` or the name of a rendition.
    pub fn parse(word: &str) -> Result<Self> {
        if word == SOURCE { Ok(Self::Source) } else { RenditionName::parse(word).map(Self::Rendition) }
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Source => SOURCE,
            Self::Rendition(name) => name.as_str(),
        }
    }
}

/// Where a download is: below `/d/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The video.
    pub video: VideoId,
    /// What of it.
    pub item: Item,
    /// The version, for a rendition.
    pub version: Option<VersionId>,
}

impl Place {
    /// Reads `{video}/source` or `{video}/{version}/{rendition}.mp4`; `NotFound` for anything else.
    pub fn parse(path: &str) -> Result<Self> {
        let nothing = || Error::not_found("there is no such download");
        let pieces: Vec<&str> = path.split('/').collect();
        let read = match pieces[..] {
            [video, SOURCE] => VideoId::parse(video).map(|video| Self { video, item: Item::Source, version: None }),
            [video, version, file] => {
                let name = file.strip_suffix(".mp4").ok_or_else(nothing)?;
                VideoId::parse(video).and_then(|video| {
                    let (version, item) = (Some(VersionId::parse(version)?), Item::Rendition(RenditionName::parse(name)?));
                    Ok(Self { video, item, version })
                })
            }
            _ => return Err(nothing()),
        };
        read.map_err(|_| nothing())
    }

    fn path(&self) -> String {
        match &self.version {
            Some(version) => format!("/d/{}/{version}/{}.mp4", self.video, self.item.as_str()),
            None => format!("/d/{}/{}", self.video, self.item.as_str()),
        }
    }
}

/// A link that was signed.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// The URL. A secret while it lasts.
    pub url: String,
    /// Epoch milliseconds.
    pub expires_at: i64,
    /// What the file will be called.
    pub filename: String,
}

/// Who comes for a download: what a signed link said, and from where.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// The key pair that signed.
    pub key_pair_id: String,
    /// The id of our link, if it is one of ours.
    pub link: Option<String>,
    /// The client's network address.
    pub address: String,
    /// The request's id.
    pub request_id: Option<String>,
}

/// A file that may be sent.
#[derive(Debug)]
pub struct Download {
    content: Content,
    /// None for the source of a video that has no version yet: nothing replaces that.
    lease: Option<Lease>,
    /// Its state, for conditional requests.
    pub validators: Validators,
    /// Its media type.
    pub content_type: &'static str,
    /// What it shall be called; any characters but those that no file's name has.
    pub filename: String,
}

#[derive(Debug)]
enum Content {
    Movie(Movie),
    Source(blobs::Source),
}

impl Download {
    /// Its length.
    pub fn size_bytes(&self) -> u64 {
        match &self.content {
            Content::Movie(movie) => movie.size_bytes(),
            Content::Source(source) => source.size_bytes(),
        }
    }

    /// The bytes `range`, in pieces, each read and decrypted when it is asked for. What is replaced meanwhile is kept as long as they are.
    pub fn read(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        let size_bytes = range.end.saturating_sub(range.start);
        let pieces = match &self.content {
            _ if range.is_empty() => return stream::empty().boxed(),
            Content::Movie(movie) => movie.read(range),
            Content::Source(source) => source.read(range),
        };
        match &self.lease {
            Some(lease) => lease.hold(pieces, size_bytes),
            None => pieces,
        }
    }
}

impl Library {
    /// Decides whether the caller may download `item`, writes that down, and signs a link that is good for a short time.
    pub async fn link_download(&self, caller: &Caller, id: &VideoId, item: Item) -> Result<NewLink> {
        let video = self.catalog.video(id).await?;
        let decision = self.decide_download(&caller.actor, &video, &item);
        self.permit(caller, "download-link", &video, decision).await?;
        let version = self.find_item(&video, &item).await?;
        let place = Place { video: id.clone(), item, version: version.clone() };
        let lifetime_ms = i64::try_from(self.links.download_lifetime.as_millis()).unwrap_or(i64::MAX);
        let expires_at_s = now_ms().saturating_add(lifetime_ms).div_euclid(1000);
        let link = DownloadLink {
            id: LinkId::new(),
            video: id.clone(),
            object: place.item.as_str().to_owned(),
            subject: caller.actor.subject.clone(),
            role: caller.actor.role.to_string(),
            expires_at: expires_at_s * 1000,
        };
        let signer = self.signing.signer(None).await?;
        let url = signer.url(&format!("{}{}?link={}", self.links.origin, place.path(), link.id), expires_at_s)?;
        let entry = Entry {
            video: Some(id.to_string()),
            version: version.map(|version| version.to_string()),
            object: Some(format!("{} {}", link.object, link.id)),
            ..caller.entry("download-link", decision)
        };
        transaction!(self.catalog, |tx| {
            tx.insert_download_link(&link).await?;
            tx.append_audit(&entry).await
        })?;
        Ok(NewLink { url, expires_at: link.expires_at, filename: self.filename(&video, &place.item).await? })
    }

    /// Opens what a signed link is for. The decision is made anew, for whom the link was made; it is in the audit log before the first byte
    /// leaves (invariant 8). A link that was signed elsewhere is on the responsibility of its key pair.
    pub async fn open_download(&self, bearer: &Bearer, place: &Place) -> Result<Download> {
        let (actor, decision) = self.decide_bearer(bearer, place).await?;
        let entry = Entry {
            actor: actor.as_ref().map_or_else(|| format!("key:{}", bearer.key_pair_id), |actor| actor.subject.clone()),
            role: actor.map_or_else(|| "none".to_owned(), |actor| actor.role.to_string()),
            address: Some(bearer.address.clone()),
            action: "download".to_owned(),
            video: Some(place.video.to_string()),
            version: place.version.as_ref().map(VersionId::to_string),
            object: Some([Some(place.item.as_str()), bearer.link.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ")),
            decision: decision.as_str(),
            reason: decision.reason().to_owned(),
            request_id: bearer.request_id.clone(),
            ..Entry::default()
        };
        let unwritten = |error| {
            let message = "the download cannot begin: its audit entry cannot be written; try again later";
            Error::new(ErrorKind::Unavailable, "audit-unavailable", message).with_source(error)
        };
        self.audit.append(&entry).await.map_err(unwritten)?;
        if let Decision::Deny(reason) = decision {
            return Err(refusal(reason));
        }
        let video = self.catalog.video(&place.video).await?;
        let filename = self.filename(&video, &place.item).await?;
        match (&place.item, &place.version) {
            (Item::Rendition(name), Some(version)) => {
                let movie = self.movie(&video.id, version, name).await?;
                let modified = time(video.ready_at.unwrap_or(video.created_at));
                let etag = format!("\"{version}-{name}-{}\"", hex::encode(&digest(&SHA256, movie.head()).as_ref()[..8]));
                let content_type = if *name == RenditionName::audio() { "audio/mp4" } else { "video/mp4" };
                let validators = Validators { etag, modified, immutable: true };
                let lease = Some(Lease::begin(self.catalog.clone(), version.clone()).await?);
                Ok(Download { content: Content::Movie(movie), lease, validators, content_type, filename })
            }
            _ => {
                let (row, source) = self.source(&video).await?;
                // Another source may take its place at the same address, in the same second even.
                let validators = Validators { etag: format!("\"{}\"", row.id), modified: time(row.created_at), immutable: false };
                let lease = match video.version {
                    Some(version) => Some(Lease::begin(self.catalog.clone(), version).await?),
                    None => None,
                };
                let (content, content_type) = (Content::Source(source), "application/octet-stream");
                Ok(Download { content, lease, validators, content_type, filename })
            }
        }
    }

    fn decide_download(&self, actor: &Actor, video: &Video, item: &Item) -> Decision {
        match item {
            Item::Source => decide(actor, Action::DownloadSource(video)),
            Item::Rendition(_) => decide(actor, Action::DownloadRendition { video, viewers_may: self.links.viewers_may_download }),
        }
    }

    /// For whom a link was made, if we made it, and what holds for them now.
    async fn decide_bearer(&self, bearer: &Bearer, place: &Place) -> Result<(Option<Actor>, Decision)> {
        let video = match self.catalog.video(&place.video).await {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            video => Some(video?),
        };
        let current = |video: &Video| place.version.is_none() || (video.version == place.version && video.state == State::Ready);
        let Some(id) = &bearer.link else {
            let decision = match video {
                None => Decision::Deny("video-gone"),
                Some(video) if !current(&video) => Decision::Deny("version-gone"),
                Some(_) => Decision::Allow("signed"),
            };
            return Ok((None, decision));
        };
        let link = match LinkId::parse(id) {
            Ok(id) => self.catalog.download_link(&id).await,
            Err(_) => Err(Error::not_found("there is no such link")),
        };
        let link = match link {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((None, Decision::Deny("link-unknown"))),
            link => link?,
        };
        let actor = Actor { subject: link.subject, role: Role::parse(&link.role)? };
        let decision = match video {
            _ if link.video != place.video || link.object != place.item.as_str() => Decision::Deny("link-other-object"),
            None => Decision::Deny("video-gone"),
            Some(video) if !current(&video) => Decision::Deny("version-gone"),
            Some(video) => self.decide_download(&actor, &video, &place.item),
        };
        Ok((Some(actor), decision))
    }

    /// The version that `item` is of, for a rendition; an error when it is not there.
    async fn find_item(&self, video: &Video, item: &Item) -> Result<Option<VersionId>> {
        match item {
            Item::Source => self.source(video).await.map(|_| None),
            Item::Rendition(name) => {
                let not_yet = || Error::conflict("not-ready", "the video cannot be downloaded yet: wait until it is ready");
                let version = video.version.clone().filter(|_| video.state == State::Ready).ok_or_else(not_yet)?;
                let has_it = self.catalog.renditions(&version).await?.iter().any(|rendition| rendition.name == *name);
                let unknown = || Error::not_found(format!("the video has no rendition {name}"));
                has_it.then_some(Some(version)).ok_or_else(unknown)
            }
        }
    }

    /// The original of the version that plays, or of the newest upload where none does.
    async fn source(&self, video: &Video) -> Result<(Source, blobs::Source)> {
        let gone = || Error::not_found("the original file of this video is not kept");
        let id = match &video.version {
            Some(version) => self.catalog.version(version).await?.source,
            None => self.catalog.newest_source(&video.id).await?.ok_or_else(gone)?,
        };
        let source = self.catalog.source(&id).await?;
        let root = self.keys.open(&video.id, &self.catalog.wrapped_root_key(&video.id).await?).await?;
        let mut parts = Vec::new();
        for part in self.catalog.upload_parts(&source.upload).await? {
            parts.push((Key::parse(&part.blob.ok_or_else(gone)?)?, part.size_bytes));
        }
        // Whether it was purged since is known before the status is sent.
        if let Some((key, _)) = parts.first() {
            self.blobs.head(key).await.map_err(|error| if error.kind() == ErrorKind::NotFound { gone() } else { error })?;
        }
        Ok((source, blobs::Source::new(self.blobs.clone(), root, parts)))
    }

    async fn filename(&self, video: &Video, item: &Item) -> Result<String> {
        Ok(match item {
            Item::Source => format!("{}{}", stem(&video.title), self.ending(video).await?),
            Item::Rendition(name) if *name == RenditionName::audio() => format!("{}.m4a", stem(&video.title)),
            Item::Rendition(name) => format!("{} {name}.mp4", stem(&video.title)),
        })
    }

    /// The ending of the uploaded file's name, with its dot; nothing if it had none.
    async fn ending(&self, video: &Video) -> Result<String> {
        let source = match &video.version {
            Some(version) => Some(self.catalog.version(version).await?.source),
            None => self.catalog.newest_source(&video.id).await?,
        };
        let Some(source) = source else { return Ok(String::new()) };
        let upload = self.catalog.upload(&self.catalog.source(&source).await?.upload).await?;
        Ok(ending_of(&upload.filename))
    }
}

fn ending_of(filename: &str) -> String {
    let ending = filename.rsplit_once('.').map_or("", |(_, ending)| ending);
    let fits = (1..=MAX_ENDING_CHARS).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { format!(".{}", ending.to_ascii_lowercase()) } else { String::new() }
}

/// A title as the name of a file, without its ending.
fn stem(title: &str) -> String {
    let allowed = title.chars().map(|c| if c.is_control() || UNWELCOME.contains(&c) { ' ' } else { c });
    let text: String = allowed.take(MAX_NAME_CHARS).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.trim_matches(['.', ' ']);
    if text.is_empty() { "video".to_owned() } else { text.to_owned() }
}

fn refusal(reason: &'static str) -> Error {
    const NO: ErrorKind = ErrorKind::Forbidden;
    match reason {
        "video-gone" | "version-gone" => Error::not_found("what this link was for is no longer there: ask for a new link"),
        "link-unknown" => Error::new(NO, "link-unknown", "this link was forgotten: ask for a new one"),
        "link-other-object" => Error::new(NO, "link-other-object", "this link was made for another file: ask for one for this file"),
        _ => Error::new(NO, "not-allowed", "whoever this link was made for may not download this any more"),
    }
}

fn time(epoch_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(epoch_ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_place_has_one_path() {
        for path in [format!("{ID}/source"), format!("{ID}/{ID}/720p.mp4"), format!("{ID}/{ID}/audio.mp4")] {
            assert_eq!(Place::parse(&path).expect("a place").path(), format!("/d/{path}"));
        }
        for path in [
            "",
            "source",
            ID,
            "x/source",
            &format!("{ID}/source/"),
            &format!("{ID}/{ID}/720p"),
            &format!("{ID}/{ID}/../720p.mp4"),
            &format!("{ID}/{ID}/A.mp4"),
        ] {
            assert_eq!(Place::parse(path).expect_err(path).kind(), ErrorKind::NotFound);
        }
    }

    #[test]
    fn a_title_becomes_a_name_that_every_disk_takes() {
        for (title, name) in [
            ("Appendektomie – Teil 2", "Appendektomie – Teil 2"),
            ("a/b\\c: \"d\"\r\nX-Evil: 1", "a b c d X-Evil 1"),
            ("..", "video"),
            ("  .hidden. ", "hidden"),
            ("exe\u{202e}4pm.", "exe 4pm"),
            ("", "video"),
        ] {
            assert_eq!(stem(title), name, "{title:?}");
        }
        assert_eq!(stem(&"ä".repeat(500)).chars().count(), MAX_NAME_CHARS);
        for (filename, ending) in [("a.MKV", ".mkv"), ("a", ""), ("a.", ""), ("a.tar.gz", ".gz"), ("a.b c", ""), ("a.verylongending", "")] {
            assert_eq!(ending_of(filename), ending);
        }
    }
}
