//! What a clear segment holds: its times by its boxes, its pictures by their NAL units.

use crate::boxes::Cursor;
use crate::nal::is_idr;

/// The facts of one segment, a hundred bytes whatever its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Octets as they are stored and sent.
    pub stored_bytes: u64,
    /// The fragment's number.
    pub sequence: u32,
    /// Decode time of the first sample, in units of the track's timescale.
    pub decode_time: u64,
    /// How long its samples last together.
    pub duration: u64,
    /// How long the shortest of them lasts.
    pub shortest: u32,
    /// How many there are.
    pub samples: u32,
    /// When the first one shown is.
    pub first_shown: i64,
    /// When the last one shown is.
    pub last_shown: i64,
    /// When each IDR picture is shown, by its NAL units.
    pub idrs: Vec<i64>,
    /// Whether its first sample is an IDR picture.
    pub starts_with_idr: bool,
    /// Whether its samples fill its media data, and there is one fragment.
    pub is_whole: bool,
}

/// What a `trun` says of one sample (ISO/IEC 14496-12 §8.8.8).
struct Sample {
    duration: u32,
    size: u32,
    offset: i32,
}

/// The boxes of a segment that matter.
#[derive(Default)]
struct Boxes<'a> {
    moof: Option<Cursor<'a>>,
    fragments: u32,
    mdat: Option<&'a [u8]>,
}

impl SegmentFacts {
    /// Reads a decrypted segment of which `stored_bytes` are kept; `None` when its boxes cannot be read. The NAL units of its samples are looked at,
    /// whatever flags say.
    pub fn read(clear: &[u8], stored_bytes: u64) -> Option<Self> {
        let mut boxes = Boxes::default();
        let mut rest = Cursor(clear);
        while let Some((kind, body)) = rest.child() {
            match kind {
                b"moof" => (boxes.moof, boxes.fragments) = (Some(body), boxes.fragments + 1),
                b"mdat" => boxes.mdat = Some(body.0),
                _ => {}
            }
        }
        let (moof, mut data) = (boxes.moof?, boxes.mdat?);
        let mut mfhd = moof.find(b"mfhd")?;
        mfhd.version_flags()?;
        let traf = moof.find(b"traf")?;
        let mut tfdt = traf.find(b"tfdt")?;
        let decode_time = if tfdt.version_flags()?.0 == 1 { tfdt.u64()? } else { u64::from(tfdt.u32()?) };
        let mut facts = Self {
            stored_bytes,
            sequence: mfhd.u32()?,
            decode_time,
            duration: 0,
            shortest: u32::MAX,
            samples: 0,
            first_shown: i64::MAX,
            last_shown: i64::MIN,
            idrs: Vec::new(),
            starts_with_idr: false,
            is_whole: false,
        };
        for sample in samples(traf.find(b"trun")?)? {
            let (bytes, after) = data.split_at_checked(sample.size as usize)?;
            data = after;
            facts.take(&sample, bytes)?;
        }
        facts.is_whole = rest.0.is_empty() && boxes.fragments == 1 && data.is_empty() && facts.samples > 0;
        Some(facts)
    }

    fn take(&mut self, sample: &Sample, bytes: &[u8]) -> Option<()> {
        let decoded = i64::try_from(self.decode_time.checked_add(self.duration)?).ok()?;
        let shown = decoded.checked_add(i64::from(sample.offset))?;
        let idr = is_idr(bytes);
        if idr {
            self.idrs.push(shown);
        }
        self.starts_with_idr |= idr && self.samples == 0;
        self.first_shown = self.first_shown.min(shown);
        self.last_shown = self.last_shown.max(shown);
        self.duration += u64::from(sample.duration);
        self.shortest = self.shortest.min(sample.duration);
        self.samples += 1;
        Some(())
    }

    /// Where its samples end.
    pub(super) fn end(&self) -> u64 {
        self.decode_time.saturating_add(self.duration)
    }
}

/// The samples of a run whose durations and sizes are all written out.
fn samples(mut trun: Cursor<'_>) -> Option<Vec<Sample>> {
    let (_, flags) = trun.version_flags()?;
    let count = trun.u32()? as usize;
    trun.take(if flags & 0x1 != 0 { 4 } else { 0 })?;
    trun.take(if flags & 0x4 != 0 { 4 } else { 0 })?;
    if flags & 0x300 != 0x300 || count > trun.0.len() {
        return None;
    }
    let sample = |_| {
        let (duration, size) = (trun.u32()?, trun.u32()?);
        trun.take(if flags & 0x400 != 0 { 4 } else { 0 })?;
        let offset = if flags & 0x800 != 0 { trun.u32()? as i32 } else { 0 };
        Some(Sample { duration, size, offset })
    };
    (0..count).map(sample).collect()
}
