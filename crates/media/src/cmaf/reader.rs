//! An incremental reader of the fragmented MP4 that ffmpeg writes: bytes in, samples out.

use super::CmafError;
use crate::boxes::Cursor;
use std::collections::VecDeque;

/// Largest box other than `mdat`.
const MAX_BOX_BYTES: u64 = 16 << 20;
/// Largest `mdat`: about two seconds of one rendition.
const MAX_MDAT_BYTES: u64 = 256 << 20;
/// Most samples of one fragment, and most that wait: a lying fragment of a hundred bytes announces as many as it likes, all empty.
const MAX_SAMPLES: usize = 1 << 16;

/// What the `moov` says of the only track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackConfig {
    /// Units per second of its times.
    pub timescale: u32,
    /// Body of `avcC`, for video.
    pub avcc: Option<Vec<u8>>,
    /// AudioSpecificConfig, for audio.
    pub audio_config: Option<Vec<u8>>,
    defaults: Defaults,
}

/// One coded picture or audio frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Decode time in units of the timescale.
    pub dts: i64,
    /// Presentation time in units of the timescale.
    pub pts: i64,
    /// Coded bytes.
    pub data: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Defaults {
    duration: u32,
    size: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    dts: i64,
    pts: i64,
    size: usize,
}

/// Reads `moov`, then `moof` and `mdat` pairs; other boxes are skipped. Holds at most one fragment in memory.
#[derive(Debug, Default)]
pub struct FragmentReader {
    buffer: Vec<u8>,
    track: Option<TrackConfig>,
    entries: Vec<Entry>,
    data_offset: usize,
    samples: VecDeque<Sample>,
}

impl FragmentReader {
    /// An empty reader.
    pub fn new() -> Self {
        Self::default()
    }

    /// The track, once its `moov` has been read.
    pub fn track(&self) -> Option<&TrackConfig> {
        self.track.as_ref()
    }

    /// Takes the next bytes, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), CmafError> {
        self.buffer.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(length) = box_length(&self.buffer[used..])? {
            let Some(whole) = self.buffer.get(used..used + length) else { break };
            let whole = whole.to_vec();
            self.take_box(&whole)?;
            used += length;
        }
        self.buffer.drain(..used);
        Ok(())
    }

    /// The next sample in decode order, if one is complete.
    pub fn next_sample(&mut self) -> Option<Sample> {
        self.samples.pop_front()
    }

    /// Whether the stream may end here: no box is half read, no announced sample is missing.
    pub fn is_at_end(&self) -> bool {
        self.buffer.is_empty() && self.entries.is_empty() && self.samples.is_empty()
    }

    fn take_box(&mut self, whole: &[u8]) -> Result<(), CmafError> {
        let (kind, body) = Cursor(whole).child().ok_or(CmafError::Malformed("box length"))?;
        match kind {
            b"moov" => self.track = Some(moov(body).ok_or(CmafError::Malformed("moov"))?),
            b"moof" => self.take_moof(whole.len(), body)?,
            b"mdat" => self.take_mdat(whole.len() - body.0.len(), body.0)?,
            _ => {}
        }
        Ok(())
    }

    fn take_moof(&mut self, moof_bytes: usize, body: Cursor<'_>) -> Result<(), CmafError> {
        let track = self.track.as_ref().ok_or(CmafError::Malformed("moof before moov"))?;
        if !self.entries.is_empty() {
            return Err(CmafError::Malformed("moof without mdat"));
        }
        let (entries, offset) = moof(body, track.defaults).ok_or(CmafError::Malformed("moof"))?;
        if self.samples.len() + entries.len() > MAX_SAMPLES {
            return Err(CmafError::TooLarge("samples"));
        }
        self.entries = entries;
        self.data_offset = offset.checked_sub(moof_bytes).ok_or(CmafError::Malformed("data offset"))?;
        Ok(())
    }

    fn take_mdat(&mut self, header: usize, body: &[u8]) -> Result<(), CmafError> {
        let missing = CmafError::Malformed("samples beyond mdat");
        let skipped = self.data_offset.saturating_sub(header);
        let mut rest = Cursor(body.get(skipped..).ok_or(missing.clone())?);
        for entry in std::mem::take(&mut self.entries) {
            let data = rest.take(entry.size).ok_or(missing.clone())?.to_vec();
            self.samples.push_back(Sample { dts: entry.dts, pts: entry.pts, data });
        }
        Ok(())
    }
}

#[cfg(test)]
impl FragmentReader {
    /// A reader whose track counts so many units per second.
    pub(super) fn with_timescale(timescale: u32) -> Self {
        let track = TrackConfig { timescale, avcc: None, audio_config: None, defaults: Defaults::default() };
        Self { track: Some(track), ..Self::default() }
    }
}

/// Length of the box at the start of `bytes`, once enough of it is there to tell.
fn box_length(bytes: &[u8]) -> Result<Option<usize>, CmafError> {
    let mut cursor = Cursor(bytes);
    let (Some(size), Some(kind)) = (cursor.u32(), cursor.take(4)) else { return Ok(None) };
    let length = match size {
        1 => match cursor.u64() {
            Some(length) => length,
            None => return Ok(None),
        },
        size => u64::from(size),
    };
    let limit = if kind == b"mdat" { MAX_MDAT_BYTES } else { MAX_BOX_BYTES };
    match length {
        0..8 => Err(CmafError::Malformed("box length")),
        _ if length > limit => Err(CmafError::TooLarge("box")),
        _ => Ok(Some(length as usize)),
    }
}

fn moov(moov: Cursor<'_>) -> Option<TrackConfig> {
    let media = moov.path(&[b"trak", b"mdia"])?;
    let mut mdhd = media.find(b"mdhd")?;
    let (version, _) = mdhd.version_flags()?;
    mdhd.take(if version == 1 { 16 } else { 8 })?;
    let timescale = mdhd.u32().filter(|&scale| scale > 0)?;
    let mut entries = media.path(&[b"minf", b"stbl", b"stsd"])?;
    entries.take(8)?;
    let (kind, mut entry) = entries.child()?;
    let defaults = trex(moov).unwrap_or_default();
    let (mut avcc, mut audio_config) = (None, None);
    match kind {
        b"avc1" => {
            entry.take(78)?;
            avcc = Some(entry.find(b"avcC")?.0.to_vec());
        }
        b"mp4a" => {
            entry.take(28)?;
            audio_config = Some(audio_specific_config(entry.find(b"esds")?)?);
        }
        _ => return None,
    }
    Some(TrackConfig { timescale, avcc, audio_config, defaults })
}

fn trex(moov: Cursor<'_>) -> Option<Defaults> {
    let mut trex = moov.path(&[b"mvex", b"trex"])?;
    trex.take(12)?;
    Some(Defaults { duration: trex.u32()?, size: trex.u32()? })
}

/// Descends through ES, decoder configuration and decoder specific descriptors (ISO/IEC 14496-1 §7.2.6).
pub(crate) fn audio_specific_config(mut esds: Cursor<'_>) -> Option<Vec<u8>> {
    esds.take(4)?;
    let mut es = descriptor(&mut esds, 3)?;
    es.take(3)?;
    let mut config = descriptor(&mut es, 4)?;
    config.take(13)?;
    Some(descriptor(&mut config, 5)?.0.to_vec())
}

fn descriptor<'a>(from: &mut Cursor<'a>, tag: u8) -> Option<Cursor<'a>> {
    let found = from.take(1)?[0];
    let mut size = 0usize;
    for _ in 0..4 {
        let byte = from.take(1)?[0];
        size = size << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    (found == tag).then(|| from.take(size).map(Cursor)).flatten()
}

/// The samples of the first track fragment, and where their data begins, counted from the start of the `moof`.
fn moof(moof: Cursor<'_>, mut defaults: Defaults) -> Option<(Vec<Entry>, usize)> {
    let traf = moof.find(b"traf")?;
    tfhd(traf.find(b"tfhd")?, &mut defaults)?;
    let mut tfdt = traf.find(b"tfdt")?;
    let (version, _) = tfdt.version_flags()?;
    let mut dts = if version == 1 { tfdt.u64()? as i64 } else { i64::from(tfdt.u32()?) };
    let (mut entries, mut offset) = (Vec::new(), None);
    let mut boxes = traf;
    while let Some((kind, body)) = boxes.child() {
        if kind == b"trun" {
            let at = trun(body, defaults, &mut dts, &mut entries)?;
            offset = offset.or(at);
        }
    }
    Some((entries, offset?))
}

fn tfhd(mut tfhd: Cursor<'_>, defaults: &mut Defaults) -> Option<()> {
    let (_, flags) = tfhd.version_flags()?;
    tfhd.take(4)?;
    tfhd.take(if flags & 0x1 != 0 { 8 } else { 0 })?;
    tfhd.take(if flags & 0x2 != 0 { 4 } else { 0 })?;
    if flags & 0x8 != 0 {
        defaults.duration = tfhd.u32()?;
    }
    if flags & 0x10 != 0 {
        defaults.size = tfhd.u32()?;
    }
    Some(())
}

/// Appends a run's samples; gives its data offset, if it states one.
fn trun(mut trun: Cursor<'_>, defaults: Defaults, dts: &mut i64, entries: &mut Vec<Entry>) -> Option<Option<usize>> {
    let (_, flags) = trun.version_flags()?;
    let count = trun.u32()? as usize;
    if count > MAX_SAMPLES - entries.len() {
        return None;
    }
    let offset = if flags & 0x1 != 0 { Some(usize::try_from(trun.u32()?).ok()?) } else { None };
    trun.take(if flags & 0x4 != 0 { 4 } else { 0 })?;
    for _ in 0..count {
        let duration = if flags & 0x100 != 0 { trun.u32()? } else { defaults.duration };
        let size = if flags & 0x200 != 0 { trun.u32()? } else { defaults.size };
        trun.take(if flags & 0x400 != 0 { 4 } else { 0 })?;
        // Version 0 offsets are unsigned, but ffmpeg writes small ones; version 1's are signed. One reading serves both.
        let cts = if flags & 0x800 != 0 { trun.u32()? as i32 } else { 0 };
        entries.push(Entry { dts: *dts, pts: dts.checked_add(i64::from(cts))?, size: size as usize });
        *dts = dts.checked_add(i64::from(duration))?;
    }
    Some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_lengths_are_refused_at_once() {
        assert_eq!(FragmentReader::new().push(b"\0\0\0\x04moof"), Err(CmafError::Malformed("box length")));
        assert_eq!(FragmentReader::new().push(b"\xff\0\0\0moof"), Err(CmafError::TooLarge("box")));
        assert_eq!(FragmentReader::new().push(b"\0\0\0\x08moof"), Err(CmafError::Malformed("moof before moov")));
    }

    /// A movie fragment that announces `count` samples, all empty and at one time.
    fn empty_samples(count: u32) -> Vec<u8> {
        let boxed = |kind: &[u8; 4], body: &[u8]| [&(body.len() as u32 + 8).to_be_bytes(), kind.as_slice(), body].concat();
        let trun = [0x1, count, 0x200].map(u32::to_be_bytes).concat();
        let inside = [boxed(b"tfhd", &[0; 8]), boxed(b"tfdt", &[0; 8]), boxed(b"trun", &trun)].concat();
        [boxed(b"moof", &boxed(b"traf", &inside)), boxed(b"mdat", &[0; 512])].concat()
    }

    #[test]
    fn announced_samples_are_bounded_however_few_bytes_announce_them() {
        let mut reader = FragmentReader::with_timescale(1);
        assert_eq!(reader.push(&empty_samples(1 << 20)), Err(CmafError::Malformed("moof")));
        let mut reader = FragmentReader::with_timescale(1);
        assert_eq!(reader.push(&empty_samples(40_000)), Ok(()));
        assert_eq!(reader.push(&empty_samples(40_000)), Err(CmafError::TooLarge("samples")));
        let mut reader = FragmentReader::with_timescale(1);
        for _ in 0..10 {
            assert_eq!(reader.push(&empty_samples(40_000)), Ok(()));
            assert_eq!(std::iter::from_fn(|| reader.next_sample()).count(), 40_000);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(kinds in proptest::collection::vec((0usize..12, proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)), 0..20)) {
            let names = [b"moov", b"moof", b"mdat", b"traf", b"trun", b"tfhd", b"tfdt", b"trak", b"mdia", b"stsd", b"mvex", b"trex"];
            let mut reader = FragmentReader::new();
            for (kind, body) in kinds {
                let mut bytes = (body.len() as u32 + 8).to_be_bytes().to_vec();
                bytes.extend_from_slice(names[kind]);
                bytes.extend(&body);
                let _ = reader.push(&bytes);
                let _ = (moov(Cursor(&bytes)), moof(Cursor(&bytes), Defaults::default()), audio_specific_config(Cursor(&body)));
                let (mut dts, mut entries) = (0, Vec::new());
                let _ = trun(Cursor(&body), Defaults::default(), &mut dts, &mut entries);
            }
        }
    }
}
