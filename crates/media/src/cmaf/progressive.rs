//! Our own segments → the layout of one progressive MP4: `ftyp`, `moov` with its sample tables, `mdat` (ISO/IEC 14496-12 §8).
//!
//! Only the heads of the segments are needed to know every byte of the file: the media data of each is taken over as it stands. So any range
//! of the file can be made without what lies before it, and its length is known before the first byte is sent.

use super::CmafError;
use crate::boxes::{Cursor, write_box};
use mp4_atom::{
    Atom, Co64, Ctts, CttsEntry, Edts, Elst, ElstEntry, Encode, FourCC, Ftyp, Moov, Mvhd, Stbl, Stco, Stsc, StscEntry, Stss, Stsz,
    StszSamples, Stts, SttsEntry, Trak,
};
use std::iter;
use std::ops::Range;

/// Units per second of the movie's own times.
const MOVIE_TIMESCALE: u32 = 90_000;
/// The bit of a sample's flags that says it depends on others (`sample_is_non_sync_sample`, §8.8.3.1).
const NON_SYNC: u32 = 0x0001_0000;
/// Durations, sizes, flags and signed offsets of every sample, and where the data begins: the one form of `trun` that we write.
const TRUN: (u8, u32) = (1, 0xf01);

/// One track of the file to be.
#[derive(Debug)]
pub struct Track {
    /// Its init segment.
    pub init: Vec<u8>,
    /// The heads of its segments, in their order.
    pub segments: Vec<SegmentHead>,
}

/// What the head of a clear segment tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHead {
    decode_time: u64,
    samples: Vec<HeadSample>,
    /// Where the media data lies, counted from the segment's start.
    data: Range<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HeadSample {
    duration: u32,
    size: u32,
    offset: i32,
    is_sync: bool,
}

impl SegmentHead {
    /// Reads the head from the first bytes of a clear segment as [`PackagedSegment`](super::PackagedSegment) holds it; `None` when more bytes
    /// are needed.
    pub fn read(start: &[u8]) -> Result<Option<Self>, CmafError> {
        let (mut at, mut found) = (0_u64, None);
        loop {
            let Some(rest) = start.get(at as usize..) else { return Ok(None) };
            let mut cursor = Cursor(rest);
            let (Some(size), Some(kind)) = (cursor.u32(), cursor.take(4)) else { return Ok(None) };
            let body = size.checked_sub(8).ok_or(CmafError::Malformed("box length"))? as usize;
            match kind {
                b"mdat" => {
                    let (decode_time, samples, data_at) = found.ok_or(CmafError::Malformed("mdat before moof"))?;
                    let data = at + 8..at + u64::from(size);
                    return Self { decode_time, samples, data }.checked(data_at).map(Some);
                }
                b"moof" => {
                    let Some(moof) = cursor.take(body) else { return Ok(None) };
                    let (decode_time, samples, offset) = moof_samples(Cursor(moof)).ok_or(CmafError::Malformed("moof"))?;
                    found = Some((decode_time, samples, at + u64::from(offset)));
                }
                _ => {}
            }
            at += u64::from(size);
        }
    }

    /// The decode time of the first sample, in units of the track's timescale.
    pub fn decode_time(&self) -> u64 {
        self.decode_time
    }

    /// How long the samples last together, in units of the track's timescale.
    pub fn duration(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.duration)).sum()
    }

    /// Whether the first sample is shown without others.
    pub fn begins_in_sync(&self) -> bool {
        self.samples.first().is_some_and(|sample| sample.is_sync)
    }

    /// Where the media data ends: that of the whole segment.
    pub fn end_bytes(&self) -> u64 {
        self.data.end
    }

    fn checked(self, data_at: u64) -> Result<Self, CmafError> {
        let announced: u64 = self.samples.iter().map(|sample| u64::from(sample.size)).sum();
        let fits = data_at == self.data.start && announced == self.data.end - self.data.start && !self.samples.is_empty();
        if fits { Ok(self) } else { Err(CmafError::Malformed("samples do not fill their mdat")) }
    }
}

/// Decode time, samples, and where their data begins, counted from the start of the `moof`.
fn moof_samples(moof: Cursor<'_>) -> Option<(u64, Vec<HeadSample>, u32)> {
    let traf = moof.find(b"traf")?;
    let mut tfdt = traf.find(b"tfdt")?;
    let decode_time = if tfdt.version_flags()?.0 == 1 { tfdt.u64()? } else { return None };
    let mut trun = traf.find(b"trun")?;
    if trun.version_flags()? != TRUN {
        return None;
    }
    let (count, offset) = (trun.u32()?, trun.u32()?);
    let samples = (0..count).map(|_| {
        let (duration, size, flags, offset) = (trun.u32()?, trun.u32()?, trun.u32()?, trun.u32()? as i32);
        Some(HeadSample { duration, size, offset, is_sync: flags & NON_SYNC == 0 })
    });
    Some((decode_time, samples.collect::<Option<_>>()?, offset))
}

/// Every byte of the file: its head, then the media data of the segments, piece by piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// `ftyp`, `moov`, and the header of `mdat`.
    pub head: Vec<u8>,
    /// What follows it, without gaps.
    pub pieces: Vec<Piece>,
}

/// The media data of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Which of the tracks.
    pub track: usize,
    /// Which of its segments.
    pub segment: usize,
    /// Where it stands in the file.
    pub at: u64,
    /// Which bytes of the clear segment it is.
    pub data: Range<u64>,
}

impl Piece {
    /// Where it ends in the file.
    pub fn end(&self) -> u64 {
        self.at + (self.data.end - self.data.start)
    }
}

impl Layout {
    /// Lays out a file of these tracks, segments side by side so that players need not jump. An error when they are none of our making.
    pub fn new(tracks: &[Track]) -> Result<Self, CmafError> {
        let mut pieces = pieces(tracks);
        let media_bytes = pieces.last().map_or(0, Piece::end);
        let mut timings = Vec::with_capacity(tracks.len());
        for track in tracks {
            timings.push(Timing::of(track)?);
        }
        let tables: Vec<Trak> =
            tracks.iter().zip(&timings).zip(1..).map(|((track, timing), id)| trak(track, timing, id)).collect::<Result<_, _>>()?;
        // Where the data begins depends on the tables' length, and that on whether their offsets need eight bytes; with four it is less.
        let longest = head(&tables, &pieces, media_bytes, true)?.len() as u64;
        let wide = longest + media_bytes > u64::from(u32::MAX);
        let data_at = if wide { longest } else { head(&tables, &pieces, media_bytes, false)?.len() as u64 };
        for piece in &mut pieces {
            piece.at += data_at;
        }
        Ok(Self { head: head(&tables, &pieces, media_bytes, wide)?, pieces })
    }

    /// The length of the file.
    pub fn size_bytes(&self) -> u64 {
        self.pieces.last().map_or(self.head.len() as u64, Piece::end)
    }
}

/// The segments of all tracks, the first of each, then the second of each …; places are counted from the start of the data.
fn pieces(tracks: &[Track]) -> Vec<Piece> {
    let longest = tracks.iter().map(|track| track.segments.len()).max().unwrap_or(0);
    let mut pieces: Vec<Piece> = Vec::new();
    for segment in 0..longest {
        for (track, Track { segments, .. }) in tracks.iter().enumerate() {
            let Some(head) = segments.get(segment) else { continue };
            let at = pieces.last().map_or(0, Piece::end);
            pieces.push(Piece { track, segment, at, data: head.data.clone() });
        }
    }
    pieces
}

/// The times of a track, in units of its own timescale.
struct Timing {
    start: u64,
    durations: Vec<u32>,
    total: u64,
}

impl Timing {
    /// A sample lasts until the next one begins: where a segment's samples fall short of the next segment, its last one lasts longer.
    fn of(track: &Track) -> Result<Self, CmafError> {
        let unsorted = CmafError::Malformed("segments overlap");
        let start = track.segments.first().ok_or(CmafError::Empty)?.decode_time;
        let nexts = track.segments.iter().skip(1).map(|next| Some(next.decode_time)).chain(iter::once(None));
        let (mut durations, mut total) = (Vec::new(), 0);
        for (segment, next) in track.segments.iter().zip(nexts) {
            let mut time = segment.decode_time;
            for (at, sample) in segment.samples.iter().enumerate() {
                let end = time + u64::from(sample.duration);
                let end = next.filter(|_| at + 1 == segment.samples.len()).unwrap_or(end);
                let duration = end.checked_sub(time).and_then(|duration| u32::try_from(duration).ok()).ok_or(unsorted.clone())?;
                durations.push(duration);
                total += u64::from(duration);
                time = end;
            }
        }
        Ok(Self { start, durations, total })
    }
}

/// The track's box but for the places of its chunks: the init segment's, with tables.
fn trak(track: &Track, timing: &Timing, id: u32) -> Result<Trak, CmafError> {
    let malformed = || CmafError::Malformed("init segment");
    let moov = Cursor(&track.init).find(b"moov").ok_or_else(malformed)?;
    let mut trak = Moov::decode_body(&mut &*moov.0).map_err(|_| malformed())?.trak.into_iter().next().ok_or_else(malformed)?;
    let movie = |units: u64| units * u64::from(MOVIE_TIMESCALE) / u64::from(trak.mdia.mdhd.timescale.max(1));
    let (delay, duration) = (movie(timing.start), movie(timing.total));
    trak.edts = (delay > 0).then(|| Edts { elst: Some(Elst { entries: vec![edit(delay, None), edit(duration, Some(0))] }) });
    trak.tkhd.track_id = id;
    trak.tkhd.duration = delay + duration;
    trak.mdia.mdhd.duration = timing.total;
    let stbl = &mut trak.mdia.minf.stbl;
    *stbl = Stbl { stsd: stbl.stsd.clone(), ..tables(track, timing) };
    Ok(trak)
}

/// One entry of an edit list (§8.6.6): nothing (`None`), or the media from its start, for so long.
fn edit(segment_duration: u64, media_time: Option<u64>) -> ElstEntry {
    ElstEntry { segment_duration, media_time, media_rate: 1.into() }
}

fn tables(track: &Track, timing: &Timing) -> Stbl {
    let samples = || track.segments.iter().flat_map(|segment| &segment.samples);
    let durations = runs(timing.durations.iter().copied());
    let offsets = runs(samples().map(|sample| sample.offset));
    let sync: Vec<u32> = samples().zip(1..).filter(|(sample, _)| sample.is_sync).map(|(_, number)| number).collect();
    let ctts =
        Ctts { entries: offsets.iter().map(|&(sample_count, offset)| CttsEntry { sample_count, sample_offset: offset.into() }).collect() };
    let mut first_chunk = 1;
    let chunks = runs(track.segments.iter().map(|segment| segment.samples.len() as u32)).into_iter().map(|(count, samples_per_chunk)| {
        let entry = StscEntry { first_chunk, samples_per_chunk, sample_description_index: 1 };
        first_chunk += count;
        entry
    });
    Stbl {
        stts: Stts {
            entries: durations.into_iter().map(|(sample_count, sample_delta)| SttsEntry { sample_count, sample_delta }).collect(),
        },
        ctts: offsets.iter().any(|&(_, offset)| offset != 0).then_some(ctts),
        // Where every sample is a sync sample, the table says so by its absence (§8.6.2).
        stss: (sync.len() < timing.durations.len()).then_some(Stss { entries: sync }),
        stsc: Stsc { entries: chunks.collect() },
        stsz: Stsz { samples: StszSamples::Different { sizes: samples().map(|sample| sample.size).collect() } },
        ..Stbl::default()
    }
}

/// Equal neighbours, counted.
fn runs<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<(u32, T)> {
    let mut runs: Vec<(u32, T)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((count, last)) if *last == value => *count += 1,
            _ => runs.push((1, value)),
        }
    }
    runs
}

/// Everything before the media data, each segment a chunk at its piece's place.
fn head(tables: &[Trak], pieces: &[Piece], media_bytes: u64, wide: bool) -> Result<Vec<u8>, CmafError> {
    let brands = [b"isom", b"iso2", b"avc1", b"mp41"].map(FourCC::new).to_vec();
    let ftyp = Ftyp { major_brand: FourCC::new(b"isom"), minor_version: 0x200, compatible_brands: brands };
    let duration = tables.iter().map(|trak| trak.tkhd.duration).max().unwrap_or(0);
    let mvhd = Mvhd {
        timescale: MOVIE_TIMESCALE,
        duration,
        rate: 1.into(),
        volume: 1.into(),
        next_track_id: tables.len() as u32 + 1,
        ..Mvhd::default()
    };
    let trak = tables.iter().enumerate().map(|(number, trak)| {
        let places = pieces.iter().filter(|piece| piece.track == number).map(|piece| piece.at);
        let mut trak = trak.clone();
        let stbl = &mut trak.mdia.minf.stbl;
        if wide {
            stbl.co64 = Some(Co64 { entries: places.collect() });
        } else {
            stbl.stco = Some(Stco { entries: places.map(|place| place as u32).collect() });
        }
        trak
    });
    let moov = Moov { mvhd, trak: trak.collect(), ..Moov::default() };
    let mut bytes = Vec::new();
    let written = ftyp.encode(&mut bytes).and_then(|()| moov.encode(&mut bytes));
    written.map_err(|_| CmafError::Malformed("sample tables"))?;
    if wide {
        bytes.extend_from_slice(&[0, 0, 0, 1]);
        bytes.extend_from_slice(b"mdat");
        bytes.extend_from_slice(&(media_bytes + 16).to_be_bytes());
    } else {
        let header = bytes.len();
        write_box(&mut bytes, b"mdat", |_| {});
        bytes[header..header + 4].copy_from_slice(&(media_bytes as u32 + 8).to_be_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::fragment::{Part, fragment};
    use super::super::init::Init;
    use super::*;
    use mp4_atom::{Any, DecodeMaybe};

    fn segment(decode_time: u64, sizes: &[usize]) -> Vec<u8> {
        let part =
            |(at, &size): (usize, &usize)| Part { duration: 1000, offset: at as i32 * 10, sync: at == 0, data: vec![at as u8; size] };
        fragment(1, decode_time, &sizes.iter().enumerate().map(part).collect::<Vec<_>>())
    }

    fn track(starts: &[u64], sizes: &[usize]) -> Track {
        let heads = starts.iter().map(|&start| SegmentHead::read(&segment(start, sizes)).unwrap().unwrap());
        Track { init: Init::audio().unwrap().bytes, segments: heads.collect() }
    }

    fn moov(head: &[u8]) -> Moov {
        let mut rest = head;
        while let Some(atom) = Any::decode_maybe(&mut rest).unwrap() {
            if let Any::Moov(moov) = atom {
                return moov;
            }
        }
        panic!("no moov");
    }

    #[test]
    fn a_head_is_read_from_as_much_as_there_is() {
        let segment = segment(500, &[3, 0, 9]);
        let whole = SegmentHead::read(&segment).unwrap().unwrap();
        assert_eq!((whole.decode_time, whole.samples.len(), whole.data.end), (500, 3, segment.len() as u64));
        assert_eq!(&segment[whole.data.start as usize..], [vec![0; 3], vec![2; 9]].concat());
        let data_at = whole.data.start as usize;
        for length in 0..segment.len() {
            let read = SegmentHead::read(&segment[..length]).unwrap();
            assert_eq!(read.is_some(), length >= data_at, "{length}");
        }
    }

    #[test]
    fn what_is_no_segment_of_ours_is_refused() {
        let good = segment(0, &[3, 5]);
        let at = |mark: &[u8]| good.windows(4).position(|window| window == mark).unwrap();
        for place in [at(b"mdat") - 1, at(b"trun") + 5, at(b"trun") + 15, at(b"trun") + 23, at(b"tfdt") + 4, at(b"moof") - 4] {
            let mut bad = good.clone();
            bad[place] ^= 0x40;
            assert!(!matches!(SegmentHead::read(&bad), Ok(Some(_))), "{place}");
        }
        assert_eq!(SegmentHead::read(b"\0\0\0\x04moof"), Err(CmafError::Malformed("box length")));
    }

    #[test]
    fn tables_say_where_everything_is() {
        let tracks = [track(&[0, 2000, 4000], &[3, 5]), track(&[700, 2700, 4800], &[7, 7])];
        let layout = Layout::new(&tracks).unwrap();
        let moov = moov(&layout.head);
        assert_eq!(layout.size_bytes(), layout.head.len() as u64 + 3 * 8 + 3 * 14);
        assert_eq!(
            layout.pieces.iter().map(|piece| (piece.track, piece.segment)).collect::<Vec<_>>(),
            [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
        );
        assert!(layout.pieces.windows(2).all(|pair| pair[0].end() == pair[1].at));
        assert_eq!(layout.pieces[0].at, layout.head.len() as u64);
        let [first, second] = &moov.trak[..] else { panic!("two tracks") };
        let stbl = &second.mdia.minf.stbl;
        assert_eq!(stbl.stco.as_ref().unwrap().entries, [1, 3, 5].map(|piece: usize| layout.pieces[piece].at as u32));
        assert_eq!(
            stbl.stts.entries,
            [(3, 1000), (1, 1100), (2, 1000)].map(|(sample_count, sample_delta)| SttsEntry { sample_count, sample_delta })
        );
        assert_eq!(stbl.stsc.entries.len(), 1);
        assert_eq!(stbl.stss.as_ref().unwrap().entries, [1, 3, 5]);
        // 700 of 48,000 units late: an empty edit of so much.
        let edits = &second.edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
        assert_eq!((edits[0].segment_duration, edits[0].media_time, edits[1].media_time), (1312, None, Some(0)));
        assert!(first.edts.is_none() && moov.mvex.is_none());
        assert_eq!((first.tkhd.track_id, second.tkhd.track_id, moov.mvhd.next_track_id), (1, 2, 3));
        let mdat = &layout.head[layout.head.len() - 8..];
        assert_eq!(mdat, [(8 + 66_u32).to_be_bytes().as_slice(), b"mdat"].concat());
    }

    #[test]
    fn beyond_four_gigabytes_offsets_have_eight_bytes() {
        let mut long = track(&[0, 2000], &[3, 5]);
        for head in &mut long.segments {
            head.samples[1].size = u32::MAX - 3;
            head.data.end = head.data.start + u64::from(u32::MAX);
        }
        let layout = Layout::new(&[long]).unwrap();
        let stbl = moov(&layout.head).trak.remove(0).mdia.minf.stbl;
        assert_eq!(stbl.co64.unwrap().entries, [layout.head.len() as u64, layout.head.len() as u64 + u64::from(u32::MAX)]);
        assert!(stbl.stco.is_none());
        let header = [&[0, 0, 0, 1], b"mdat".as_slice(), &(16 + 2 * u64::from(u32::MAX)).to_be_bytes()].concat();
        assert!(layout.head.ends_with(&header));
    }

    #[test]
    fn segments_out_of_order_are_refused() {
        assert_eq!(Layout::new(&[track(&[2000, 0], &[3, 5])]), Err(CmafError::Malformed("segments overlap")));
        assert_eq!(Layout::new(&[track(&[], &[3])]), Err(CmafError::Empty));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, at in 0usize..300, byte: u8) {
            let _ = SegmentHead::read(&bytes);
            let mut segment = segment(0, &[3, 5, 9]);
            let at = at % segment.len();
            segment[at] = byte;
            let _ = SegmentHead::read(&segment);
        }
    }
}
