//! Reading one video: the parts of its source, its initialisation segments, segments, poster and playlists.

use super::Run;
use super::fragment::{self, Place as FragmentPlace};
use super::meaning::{self, Place};
use crate::blobs::frames::sealed_size;
use crate::blobs::{Digests, Hasher, Key};
use crate::catalog::versions::{Init, Segment, Version};
use crate::domain::ids::VideoId;
use crate::domain::verification::{Finding, Outcome, Piece, Problem};
use crate::domain::video::{RenditionName, State, Video};
use crate::domain::{Error, ErrorKind, Result};
use crate::keys::RootKey;
use crate::worker::publish;
use bytes::Bytes;
use futures_util::TryStreamExt;
use std::collections::HashMap;
use theatrum_media::cmaf::FragmentReader;
use theatrum_media::crypt::{KEY_PERIOD, content_key, key_index};
use theatrum_media::time::TICKS_PER_SECOND;

/// Start of image (ITU-T T.81 annex B).
const JPEG_MAGIC: [u8; 3] = [0xff, 0xd8, 0xff];
/// A playlist or poster that is longer is none of ours.
const MOST_SMALL_BYTES: u64 = 16 << 20;

/// What came of one video.
pub(super) enum Verdict {
    /// It was not read, for this reason.
    Skipped(String),
    /// It was, and these are the findings.
    Read(Vec<Finding>),
}

/// A version that was read.
pub(super) struct Checked {
    pub version: Version,
    pub found: Vec<Found>,
}

/// A finding, and which blob it is about.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub finding: Finding,
    pub target: Target,
}

/// What is to be made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A segment that this epoch wrote.
    Segment { rendition: RenditionName, number: u64, epoch: i64 },
    /// An initialisation segment that this epoch wrote.
    Init { rendition: RenditionName, epoch: i64 },
    /// The poster that this epoch wrote.
    Poster { epoch: i64 },
    /// The playlists.
    Playlist,
    /// Nothing of it can be.
    Nothing,
}

impl Checked {
    /// What was found, as it is told when nothing is done about it.
    pub fn findings(self) -> Vec<Finding> {
        self.found.into_iter().map(|found| found.finding).collect()
    }
}

/// What is wrong with a blob, and where it is not obvious, what exactly.
type Wrong = (Problem, Option<&'static str>);

/// Reads one version.
struct Check<'a, 'r> {
    run: &'a mut Run<'r>,
    version: &'a Version,
    root: RootKey,
    found: Vec<Found>,
}

impl Run<'_> {
    /// Reads all of a video, or says why it is not read.
    pub(super) async fn check(&mut self, id: &VideoId) -> Result<Result<Checked, &'static str>> {
        let version = match self.readable(id).await? {
            Ok(version) => version,
            Err(why) => return Ok(Err(why)),
        };
        // A repair of somebody else's would look like damage; one of our own says what became of it.
        if !self.row.repairs && !self.settles(&version).await? {
            return Ok(Err("jobs of it are still on their way"));
        }
        self.examine(version, true).await
    }

    /// Reads all of a version but its source once more.
    pub(super) async fn check_again(&mut self, version: Version) -> Result<Result<Checked, &'static str>> {
        self.examine(version, false).await
    }

    /// The version that a video plays.
    async fn readable(&self, id: &VideoId) -> Result<Result<Version, &'static str>> {
        let catalog = &self.state.catalog;
        let video = match catalog.video(id).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err("it was deleted")),
            video => video?,
        };
        match (video.state, &video.version) {
            (State::Ready, Some(version)) => catalog.version(version).await.map(Ok),
            (State::Refused, _) => Ok(Err("it was refused: there is nothing to play")),
            (State::Failed, _) => Ok(Err("it failed: redrive its dead letters first")),
            _ => Ok(Err("it is still in processing")),
        }
    }

    async fn examine(&mut self, version: Version, with_source: bool) -> Result<Result<Checked, &'static str>> {
        let wrapped = self.state.catalog.wrapped_root_key(&version.video).await;
        let root = match wrapped {
            Ok(wrapped) => self.state.keys.open(&version.video, &wrapped).await,
            Err(error) => Err(error),
        };
        let found = match root {
            Ok(root) => {
                let mut check = Check { run: self, version: &version, root, found: Vec::new() };
                check.everything(with_source).await?;
                check.found
            }
            Err(error) if error.is_retryable() => return Err(error),
            Err(_) => vec![found(&version, Piece::Key, "root key".to_owned(), Problem::Unreadable, Target::Nothing)],
        };
        // What was found may have been replaced, or deleted, while it was read.
        let catalog = &self.state.catalog;
        let plays = |video: Video| video.state == State::Ready && video.version.as_ref() == Some(&version.id);
        if !found.is_empty() && !catalog.video(&version.video).await.is_ok_and(plays) {
            return Ok(Err("it was replaced or deleted while it was read"));
        }
        if !found.is_empty() && !self.row.repairs && catalog.is_being_mended(&version.video, &version.id).await? {
            return Ok(Err("it was repaired while it was read: verify it again"));
        }
        Ok(Ok(Checked { version, found }))
    }
}

impl Check<'_, '_> {
    async fn everything(&mut self, with_source: bool) -> Result<()> {
        let catalog = self.run.state.catalog.clone();
        let inits: HashMap<RenditionName, Init> = catalog.inits(&self.version.id).await?.into_iter().collect();
        let segments = catalog.segments(&self.version.id).await?;
        let source = catalog.source(&self.version.source).await?;
        let parts = if with_source { catalog.upload_parts(&source.upload).await? } else { Vec::new() };
        self.run.done_bytes = 0;
        self.run.of_bytes =
            parts.iter().map(|part| part.size_bytes).sum::<u64>() + segments.iter().map(|segment| segment.size_bytes).sum::<u64>();
        for part in parts {
            self.part(part.number, part.blob.as_deref(), part.size_bytes, &part.sha256).await?;
        }
        let mut timescales = HashMap::new();
        for (rendition, init) in &inits {
            timescales.extend(self.init(rendition, init).await?.map(|timescale| (rendition.clone(), timescale)));
        }
        for run in segments.chunk_by(|one, next| one.rendition == next.rendition) {
            self.rendition(run, timescales.get(&run[0].rendition).copied()).await?;
        }
        self.poster().await?;
        self.playlists().await
    }

    async fn part(&mut self, number: u64, blob: Option<&str>, size_bytes: u64, sha256: &str) -> Result<()> {
        let Some(key) = blob.map(Key::parse).transpose()? else { return Ok(()) };
        let wrong = match self.sealed(&key, size_bytes).await? {
            Ok(digests) if hex::encode(digests.sha256) == sha256 => return Ok(()),
            Ok(_) => (Problem::Altered, None),
            Err(wrong) => wrong,
        };
        let mut found = self.found(Piece::Source, &key, wrong, Target::Nothing, &Place::default());
        found.finding.number = Some(number);
        self.found.push(found);
        Ok(())
    }

    /// Reads an initialisation segment; gives the timescale that it names.
    async fn init(&mut self, rendition: &RenditionName, init: &Init) -> Result<Option<u32>> {
        let (video, version) = self.names();
        let key = Key::Init { video, version, rendition: rendition.clone(), epoch: init.epoch.cast_unsigned() };
        let timescale = |bytes: &Bytes| {
            let mut reader = FragmentReader::new();
            reader.push(bytes).ok().and_then(|()| reader.track().map(|track| track.timescale))
        };
        let read = self.clear(&key, init.size_bytes, &init.md5, &init.sha256).await?;
        match read.and_then(|bytes| timescale(&bytes).ok_or((Problem::Malformed, Some("it names no track")))) {
            Ok(timescale) => Ok(Some(timescale)),
            Err(wrong) => {
                let target = Target::Init { rendition: rendition.clone(), epoch: init.epoch };
                let place = Place { rendition: Some(rendition.clone()), span_ms: None };
                let found = self.found(Piece::Init, &key, wrong, target, &place);
                self.found.push(found);
                Ok(None)
            }
        }
    }

    /// Reads the segments of one rendition, in their order.
    async fn rendition(&mut self, segments: &[Segment], timescale: Option<u32>) -> Result<()> {
        let mut start_ticks = 0;
        for segment in segments {
            let duration_ticks = i64::try_from(segment.duration_ticks).unwrap_or(i64::MAX / 2);
            let is_at_an_end = segment.number == 0 || segment.number + 1 == segments.len() as u64;
            let place = timescale.map(|timescale| FragmentPlace {
                start_ticks,
                duration_ticks,
                timescale,
                is_sound: segment.rendition == RenditionName::audio(),
                is_at_an_end,
            });
            self.segment(segment, start_ticks, place).await?;
            start_ticks = start_ticks.saturating_add(duration_ticks);
        }
        Ok(())
    }

    async fn segment(&mut self, segment: &Segment, start_ticks: i64, place: Option<FragmentPlace>) -> Result<()> {
        let (video, version) = self.names();
        let Segment { rendition, number, epoch, .. } = segment;
        let index = u32::try_from(*number).map_err(|error| Error::internal("a segment has an impossible number", error))?;
        let key = Key::Segment { video, version, rendition: rendition.clone(), index, epoch: epoch.cast_unsigned() };
        let read = self.clear(&key, segment.size_bytes, &segment.md5, &segment.sha256).await?;
        let Err(wrong) = read.and_then(|sealed| self.content(segment, index, sealed, place)) else { return Ok(()) };
        let ms = |ticks: i64| u64::try_from(ticks.saturating_mul(1_000) / TICKS_PER_SECOND).unwrap_or(0);
        let until = start_ticks.saturating_add(i64::try_from(segment.duration_ticks).unwrap_or(0));
        let place = Place { rendition: Some(rendition.clone()), span_ms: Some((ms(start_ticks), ms(until))) };
        let target = Target::Segment { rendition: rendition.clone(), number: *number, epoch: *epoch };
        let mut found = self.found(Piece::Segment, &key, wrong, target, &place);
        found.finding.number = Some(*number);
        self.found.push(found);
        Ok(())
    }

    /// Whether a segment, which is what was written, is what it must be: it decrypts with the key of its place, to a fragment of its place.
    fn content(&self, row: &Segment, index: u32, sealed: Bytes, place: Option<FragmentPlace>) -> Result<(), Wrong> {
        let malformed = |why| (Problem::Malformed, Some(why));
        if row.key_index != u64::from(key_index(index, KEY_PERIOD)) {
            return Err(malformed("its row names the key of another period"));
        }
        let key = content_key(self.root.expose(), self.version.id.as_str(), row.rendition.as_str(), key_index(index, KEY_PERIOD));
        let mut clear = Vec::from(sealed);
        let opened = key.and_then(|key| key.decrypt(u64::from(index), &mut clear));
        opened.map_err(|_| malformed("its content key does not open it"))?;
        place.map_or(Ok(()), |place| fragment::examine(&clear, &place).map_err(malformed))
    }

    async fn poster(&mut self) -> Result<()> {
        let Some(epoch) = self.run.state.catalog.poster_epoch(&self.version.id).await? else { return Ok(()) };
        let (video, version) = self.names();
        let key = Key::Poster { video, version, epoch: epoch.cast_unsigned() };
        let state = self.run.state;
        let wrong = match self.size(&key).await? {
            Ok(size) if size > MOST_SMALL_BYTES => (Problem::Size, None),
            Ok(size) => {
                self.took(size).await?;
                match state.blobs.get_sealed(&key, &self.root).await {
                    Ok(picture) if picture.starts_with(&JPEG_MAGIC) => return Ok(()),
                    Ok(_) => (Problem::Malformed, Some("it is no JPEG")),
                    Err(error) => wrong(&error),
                }
            }
            Err(wrong) => wrong,
        };
        let found = self.found(Piece::Poster, &key, wrong, Target::Poster { epoch }, &Place::default());
        self.found.push(found);
        Ok(())
    }

    /// Compares the playlists with what publishing would write of the rows as they are now.
    async fn playlists(&mut self) -> Result<()> {
        let state = self.run.state;
        let expected = match publish::playlists(&state.catalog, self.version).await {
            Err(error) if error.is_retryable() => return Err(error),
            Err(_) => {
                let path = format!("videos/{}/{}", self.version.video, self.version.id);
                self.found.push(found(self.version, Piece::Rows, path, Problem::Malformed, Target::Nothing));
                return Ok(());
            }
            Ok(expected) => expected,
        };
        for (key, text) in expected {
            let wrong = match self.size(&key).await? {
                Ok(size) if size > MOST_SMALL_BYTES => (Problem::Size, None),
                Ok(size) => {
                    self.took(size).await?;
                    match state.blobs.get(&key).await {
                        Ok(bytes) if bytes == text.as_bytes() => continue,
                        Ok(_) => (Problem::Altered, Some("it does not say what the rows say now")),
                        Err(error) => wrong(&error),
                    }
                }
                Err(wrong) => wrong,
            };
            let rendition = if let Key::MediaPlaylist { rendition, .. } = &key { Some(rendition.clone()) } else { None };
            let found = self.found(Piece::Playlist, &key, wrong, Target::Playlist, &Place { rendition, span_ms: None });
            self.found.push(found);
        }
        Ok(())
    }

    /// The bytes of a blob that is what its row says, or what is wrong with it.
    async fn clear(&mut self, key: &Key, size_bytes: u64, md5: &str, sha256: &str) -> Result<Result<Bytes, Wrong>> {
        match self.size(key).await? {
            // Nothing of another size need be read, whatever it is.
            Ok(size) if size != size_bytes => return Ok(Err((Problem::Size, None))),
            Ok(_) => {}
            Err(wrong) => return Ok(Err(wrong)),
        }
        let read = self.run.state.blobs.get(key).await;
        self.took(size_bytes).await?;
        Ok(read.map_err(|error| wrong(&error)).and_then(|bytes| {
            let digests = Digests::of(&bytes);
            let is_whole = hex::encode(digests.sha256) == sha256 && hex::encode(digests.md5) == md5;
            if is_whole { Ok(bytes) } else { Err((Problem::Altered, None)) }
        }))
    }

    /// The digests of what a sealed blob holds, every frame of which authenticates; or what is wrong with it.
    async fn sealed(&mut self, key: &Key, plain_bytes: u64) -> Result<Result<Digests, Wrong>> {
        match self.size(key).await? {
            Ok(size) if size != sealed_size(plain_bytes) => return Ok(Err((Problem::Size, None))),
            Ok(_) => {}
            Err(wrong) => return Ok(Err(wrong)),
        }
        let (mut hasher, mut pieces) = (Hasher::new(), self.run.state.blobs.read_sealed(key, &self.root, plain_bytes, 0..plain_bytes));
        loop {
            match pieces.try_next().await {
                Ok(Some(piece)) => {
                    hasher.update(&piece);
                    self.run.took(piece.len() as u64).await?;
                }
                Ok(None) => break,
                Err(error) => return Ok(Err(wrong(&error))),
            }
        }
        self.run.row.report.blobs += 1;
        Ok(Ok(hasher.finish()))
    }

    async fn size(&mut self, key: &Key) -> Result<Result<u64, Wrong>> {
        // Each blob is a sign of life, missing ones too.
        self.run.took(0).await?;
        Ok(self.run.state.blobs.head(key).await.map(|meta| meta.size_bytes).map_err(|error| wrong(&error)))
    }

    async fn took(&mut self, bytes: u64) -> Result<()> {
        self.run.row.report.blobs += 1;
        self.run.took(bytes).await
    }

    fn names(&self) -> (VideoId, crate::domain::ids::VersionId) {
        (self.version.video.clone(), self.version.id.clone())
    }

    fn found(&self, piece: Piece, key: &Key, (problem, detail): Wrong, target: Target, place: &Place) -> Found {
        let mut found = found(self.version, piece, key.path(), problem, target);
        found.finding.means = meaning::means(piece, place);
        if let Some(detail) = detail {
            tracing::warn!(path = %key, detail, "a blob is not what it must be");
        }
        found.finding.rendition.clone_from(&place.rendition);
        (found.finding.from_ms, found.finding.until_ms) = place.span_ms.unzip();
        found
    }
}

fn found(version: &Version, piece: Piece, path: String, problem: Problem, target: Target) -> Found {
    let finding = Finding {
        video: version.video.clone(),
        piece,
        path,
        rendition: None,
        number: None,
        from_ms: None,
        until_ms: None,
        problem,
        means: meaning::means(piece, &Place::default()),
        outcome: Outcome::Found,
        mend: meaning::mend(piece, Outcome::Found, None),
    };
    Found { finding, target }
}

fn wrong(error: &Error) -> Wrong {
    match error.kind() {
        ErrorKind::NotFound => (Problem::Missing, None),
        // A frame that does not authenticate, or ends early.
        ErrorKind::Internal | ErrorKind::Invalid => (Problem::Altered, None),
        _ => (Problem::Unreadable, None),
    }
}
