//! The packets of an MP4 by its `moov` alone (ISO/IEC 14496-12 §8.5–8.7): what ffprobe says after reading the whole file, in the time it takes to
//! read the header.
//!
//! Only files without riddles are read so: one description per track, no fragments, at most one edit that hides no picture, every sample
//! inside the file. For all others there is `None`, and ffprobe is asked. What the file claims of itself is doubted: nothing here grows
//! beyond [`MAX_PICTURES`] and the bytes of the header.

use super::scan::{AudioSpan, MAX_PICTURES, Packets, Picture};
use super::streams::Chosen;
use crate::boxes::Cursor;
use mp4_atom::{Atom, Co64, Ctts, Elst, Mdhd, Mvhd, Stco, Stsc, Stss, Stsz, StszSamples, Stts};
use std::collections::HashSet;

/// Octets of a box that say what it is and how long.
pub const BOX_HEAD_BYTES: u64 = 16;

/// What a box at the top of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoxHead {
    /// Its four letters.
    pub kind: [u8; 4],
    /// What comes before its body.
    pub head_bytes: u64,
    /// All of it.
    pub size_bytes: u64,
}

/// Reads the head of a box (ISO/IEC 14496-12 §4.2) from its first [`BOX_HEAD_BYTES`], or what there is of them, `left_bytes` before the end of
/// the file; `None` for one that the file does not hold whole.
pub fn box_head(head: &[u8], left_bytes: u64) -> Option<BoxHead> {
    let mut rest = Cursor(head);
    let (size, kind) = (rest.u32()?, rest.take(4)?.try_into().ok()?);
    let (head_bytes, size_bytes) = match size {
        0 => (8, left_bytes),
        1 => (16, rest.u64()?),
        size => (8, u64::from(size)),
    };
    (head_bytes..=left_bytes).contains(&size_bytes).then_some(BoxHead { kind, head_bytes, size_bytes })
}

/// Longest `moov` read: that of twelve hours at sixty pictures a second is a third of it.
pub const MAX_MOOV_BYTES: u64 = 128 << 20;

/// What a `moov` says of its tracks, in their order, which is ffmpeg's numbering of the streams.
#[derive(Debug, Clone)]
pub struct Index {
    tracks: Vec<Option<Track>>,
}

/// Where one coded picture lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its first byte, counted from the start of the file.
    pub offset: u64,
    /// How many there are.
    pub size_bytes: u64,
    /// Whether the file says that decoding may begin here.
    pub key: bool,
}

/// H.264 as its header tells it.
#[derive(Debug, Clone)]
pub struct H264 {
    /// Its pictures, in decode order.
    pub pictures: Vec<Picture>,
    /// Where each of them lies.
    pub places: Vec<Place>,
    /// Its level times ten.
    pub level: u8,
    /// Its codec by RFC 6381.
    pub codec: String,
}

impl H264 {
    /// Which pictures may be IDR pictures and are worth looking at: those that the file says are, no two nearer than `apart` units of the
    /// stream's clock.
    pub fn candidates(&self, apart: i64) -> Vec<usize> {
        let mut last: Option<i64> = None;
        let mut is_due = |pts: i64| {
            let due = last.is_none_or(|last| pts.saturating_sub(last) >= apart);
            last = if due { Some(pts) } else { last };
            due
        };
        let timed = self.pictures.iter().zip(&self.places).enumerate().filter(|(_, (_, place))| place.key);
        timed.filter(|(_, (picture, _))| picture.pts.is_some_and(&mut is_due)).map(|(index, _)| index).collect()
    }
}

#[derive(Debug, Clone)]
struct Track {
    stts: Stts,
    ctts: Option<Ctts>,
    stss: Option<Stss>,
    stsz: StszSamples,
    stsc: Stsc,
    chunks: Vec<u64>,
    /// `None` without an edit list.
    edit: Option<Edit>,
    /// Body of `avcC`, of H.264 whose parameter sets all stand there.
    avcc: Option<Vec<u8>>,
}

/// The one edit of a track, in units of its own clock.
#[derive(Debug, Clone, Copy)]
struct Edit {
    /// How long nothing is shown before it.
    pause: i64,
    /// The presentation time that is shown then.
    from: i64,
    /// How long it lasts.
    length: i64,
}

impl Index {
    /// Reads the body of a `moov`. `None` for a fragmented file, and for what cannot be read.
    pub fn read(moov: &[u8]) -> Option<Self> {
        let moov = Cursor(moov);
        if moov.find(b"mvex").is_some() {
            return None;
        }
        let movie_scale = leaf::<Mvhd>(moov, &[b"mvhd"])?.timescale;
        let (mut rest, mut tracks) = (moov, Vec::new());
        while let Some((kind, body)) = rest.child() {
            if kind == b"trak" {
                tracks.push(track(body, movie_scale));
            }
        }
        Some(Self { tracks })
    }

    /// The packets of the chosen streams of a file of `size_bytes`, as [`super::PacketScan`] would give them.
    pub fn packets(&self, chosen: &Chosen, size_bytes: u64) -> Option<Packets> {
        let mut packets = Packets::default();
        if let Some(stream) = chosen.video {
            let track = self.track(stream)?;
            let places = track.places(size_bytes)?;
            packets.video = track.pictures(&places)?;
        }
        for &stream in &chosen.audio {
            packets.audio.insert(stream, self.track(stream)?.span(size_bytes)?);
        }
        Some(packets)
    }

    /// The pictures of a stream of H.264 in a file of `size_bytes`, in decode order, and where each lies.
    pub fn h264(&self, stream: u32, size_bytes: u64) -> Option<H264> {
        let track = self.track(stream)?;
        let (avcc, places) = (track.avcc.as_ref()?, track.places(size_bytes)?);
        // Profile, compatibility and level, and lengthSizeMinusOne in the last two bits.
        let &[_, profile, compatibility, level, lengths, ..] = avcc.as_slice() else { return None };
        let codec = format!("avc1.{profile:02x}{compatibility:02x}{level:02x}");
        (lengths & 3 == 3).then_some(H264 { pictures: track.pictures(&places)?, places, level, codec })
    }

    fn track(&self, stream: u32) -> Option<&Track> {
        self.tracks.get(stream as usize)?.as_ref()
    }
}

/// The first box at the end of `path`.
fn leaf<T: Atom>(from: Cursor<'_>, path: &[&[u8; 4]]) -> Option<T> {
    T::decode_body(&mut from.path(path)?.0).ok()
}

fn track(trak: Cursor<'_>, movie_scale: u32) -> Option<Track> {
    let scale = leaf::<Mdhd>(trak, &[b"mdia", b"mdhd"])?.timescale;
    let stbl = trak.path(&[b"mdia", b"minf", b"stbl"])?;
    if stbl.find(b"stsd")?.0.get(4..8)? != 1_u32.to_be_bytes() {
        return None;
    }
    let chunks = match leaf::<Stco>(stbl, &[b"stco"]) {
        Some(short) => short.entries.into_iter().map(u64::from).collect(),
        None => leaf::<Co64>(stbl, &[b"co64"])?.entries,
    };
    let edit = match trak.path(&[b"edts", b"elst"]) {
        None => None,
        Some(mut list) => Some(edit(&Elst::decode_body(&mut list.0).ok()?, scale, movie_scale)?),
    };
    Some(Track {
        stts: leaf(stbl, &[b"stts"])?,
        ctts: stbl.find(b"ctts").map(|mut ctts| Ctts::decode_body(&mut ctts.0)).transpose().ok()?,
        stss: stbl.find(b"stss").map(|mut stss| Stss::decode_body(&mut stss.0)).transpose().ok()?,
        stsz: leaf::<Stsz>(stbl, &[b"stsz"])?.samples,
        stsc: leaf(stbl, &[b"stsc"])?,
        chunks,
        edit,
        avcc: avcc(stbl),
    })
}

/// The `avcC` of an `avc1` sample entry (ISO/IEC 14496-15 §5.4.2), behind the 78 octets that all pictures' entries begin with.
fn avcc(stbl: Cursor<'_>) -> Option<Vec<u8>> {
    let entries = Cursor(stbl.find(b"stsd")?.0.get(8..)?);
    let entry = entries.find(b"avc1")?;
    Some(Cursor(entry.0.get(78..)?).find(b"avcC")?.0.to_vec())
}

/// An edit list of pauses and then one edit at normal speed.
fn edit(list: &Elst, scale: u32, movie_scale: u32) -> Option<Edit> {
    let (last, pauses) = list.entries.split_last()?;
    if pauses.iter().any(|entry| entry.media_time.is_some()) || last.media_rate.integer() != 1 || last.media_rate.decimal() != 0 {
        return None;
    }
    // ffmpeg rounds to the nearest, halves away from zero (av_rescale).
    let rescale = |movie: u64| {
        let (scaled, movie_scale) = (u128::from(movie) * u128::from(scale), u128::from(movie_scale.max(1)));
        i64::try_from((scaled + movie_scale / 2) / movie_scale).ok()
    };
    let pause = pauses.iter().try_fold(0_u64, |sum, entry| sum.checked_add(entry.segment_duration))?;
    Some(Edit { pause: rescale(pause)?, from: i64::try_from(last.media_time?).ok()?, length: rescale(last.segment_duration)? })
}

impl Track {
    fn count(&self) -> usize {
        match &self.stsz {
            StszSamples::Identical { count, .. } => *count as usize,
            StszSamples::Different { sizes } => sizes.len(),
        }
    }

    fn size(&self, sample: usize) -> Option<u64> {
        match &self.stsz {
            StszSamples::Identical { size, .. } => Some(u64::from(*size)),
            StszSamples::Different { sizes } => sizes.get(sample).copied().map(u64::from),
        }
    }

    /// Each chunk's first byte, and how many samples it holds.
    fn chunks(&self) -> Option<Vec<(u64, usize)>> {
        let (mut left, mut chunks) = (self.count(), Vec::with_capacity(self.chunks.len()));
        let mut runs = self.stsc.entries.iter().peekable();
        let mut samples_per_chunk = 0;
        for (number, &start) in (1_u32..).zip(&self.chunks) {
            while let Some(run) = runs.next_if(|run| run.first_chunk <= number) {
                samples_per_chunk = run.samples_per_chunk as usize;
            }
            let held = samples_per_chunk.min(left);
            chunks.push((start, held));
            left -= held;
        }
        (left == 0).then_some(chunks)
    }

    /// The size of each of its samples, where they are bare sound: one moment of it each.
    fn bare_size(&self) -> Option<u64> {
        match (&self.stsz, self.stts.entries.as_slice()) {
            (StszSamples::Identical { size, .. }, [only]) if only.sample_delta == 1 => Some(u64::from(*size)),
            _ => None,
        }
    }

    /// Where each sample lies; `None` unless all of them lie in a file of `size_bytes`, and are not more than are taken.
    fn places(&self, size_bytes: u64) -> Option<Vec<Place>> {
        let count = Some(self.count()).filter(|&count| count > 0 && count <= MAX_PICTURES)?;
        let keys: Option<HashSet<u32>> = self.stss.as_ref().map(|stss| stss.entries.iter().copied().collect());
        let mut places = Vec::with_capacity(count);
        for (mut offset, held) in self.chunks()? {
            for _ in 0..held {
                let size_bytes = self.size(places.len())?;
                let number = u32::try_from(places.len() + 1).ok()?;
                places.push(Place { offset, size_bytes, key: keys.as_ref().is_none_or(|keys| keys.contains(&number)) });
                offset = offset.checked_add(size_bytes)?;
            }
        }
        places.iter().all(|place| place.offset.saturating_add(place.size_bytes) <= size_bytes).then_some(places)
    }

    /// Decode time and duration of each sample, in decode order.
    fn decode_times(&self) -> Option<Vec<(i64, i64)>> {
        // After a pause ffmpeg takes the last one for as long as the codec says, not the file.
        if self.edit.is_some_and(|edit| edit.pause > 0) && self.stts.entries.len() > 1 {
            return None;
        }
        let (mut at, mut times) = (0_i64, Vec::with_capacity(self.count().min(MAX_PICTURES)));
        for entry in &self.stts.entries {
            let delta = i64::from(i32::try_from(entry.sample_delta).ok()?);
            for _ in 0..entry.sample_count {
                if times.len() == self.count() {
                    break;
                }
                times.push((at, delta));
                at = at.checked_add(delta)?;
            }
        }
        (times.len() == self.count()).then_some(times)
    }

    /// How much later than decoded each sample is shown; in both versions of the box a signed number, as every writer means it.
    fn offsets(&self) -> Option<Vec<i64>> {
        let Some(ctts) = &self.ctts else { return Some(vec![0; self.count()]) };
        let mut offsets = Vec::with_capacity(self.count().min(MAX_PICTURES));
        for entry in &ctts.entries {
            let left = self.count() - offsets.len();
            let offset = i64::from(entry.sample_offset as i32);
            offsets.extend(std::iter::repeat_n(offset, left.min(entry.sample_count as usize)));
        }
        (offsets.len() == self.count()).then_some(offsets)
    }

    fn pictures(&self, places: &[Place]) -> Option<Vec<Picture>> {
        let (times, offsets) = (self.decode_times()?, self.offsets()?);
        let shown = || times.iter().zip(&offsets).map(|((dts, _), offset)| dts + offset);
        let (first, last) = (shown().min()?, shown().max()?);
        // Pictures that were moved before their decode time: ffmpeg decodes all of them earlier instead.
        let early = -offsets.iter().copied().min()?.min(0);
        let shift = match self.edit {
            None => 0,
            // Nothing hidden before it nor behind: what is hidden from where is ffmpeg's to say.
            Some(edit) if edit.from == first && places.first()?.key && (edit.length == 0 || edit.length > last - first) => {
                edit.pause - first
            }
            Some(_) => return None,
        };
        let picture = |(((dts, duration), offset), place): (((i64, i64), i64), &Place)| Picture {
            pts: Some(dts + offset + shift),
            dts: Some(dts - early + shift),
            duration,
            size_bytes: place.size_bytes,
            key: place.key,
            discard: false,
        };
        Some(times.into_iter().zip(offsets).zip(places).map(picture).collect())
    }

    fn span(&self, size_bytes: u64) -> Option<AudioSpan> {
        if self.ctts.is_some() {
            return None;
        }
        if let Some(each) = self.bare_size() {
            return self.bare_span(each, size_bytes);
        }
        self.places(size_bytes)?;
        let times = self.decode_times()?;
        let last = times.last().map(|(dts, duration)| dts + duration)?;
        let (shift, from) = self.heard(last)?;
        let mut heard = times.iter().filter(|(dts, duration)| dts + duration > from).map(|(dts, duration)| (dts + shift, *duration));
        let (first, length) = heard.next()?;
        let mut span = AudioSpan { first_pts: first, start_pts: first, end_pts: first + length, packets: 1, length, pauses: Vec::new() };
        for (pts, duration) in heard {
            span.end_pts = pts + duration;
            span.length += duration;
            span.packets += 1;
        }
        Some(span)
    }

    /// By how much the sound is moved, and the time before which none is heard, of a track that ends at `last`.
    fn heard(&self, last: i64) -> Option<(i64, i64)> {
        match self.edit {
            None => Some((0, 0)),
            Some(edit) if edit.length == 0 || edit.length >= last - edit.from => Some((edit.pause - edit.from, edit.from)),
            Some(_) => None,
        }
    }

    /// Bare sound: ffmpeg makes packets of 1024 moments within each chunk.
    fn bare_span(&self, each_bytes: u64, size_bytes: u64) -> Option<AudioSpan> {
        let end = i64::try_from(self.count()).ok().filter(|&end| end > 0)?;
        let (shift, from) = self.heard(end)?;
        let chunks = self.chunks()?;
        let lies_within = |&(start, held): &(u64, usize)| start.saturating_add((held as u64).saturating_mul(each_bytes)) <= size_bytes;
        if from > 0 || !chunks.iter().all(lies_within) {
            return None;
        }
        let packets = chunks.iter().map(|(_, held)| held.div_ceil(1024) as u64).sum();
        Some(AudioSpan { first_pts: shift, start_pts: shift, end_pts: end + shift, packets, length: end, pauses: Vec::new() })
    }
}
