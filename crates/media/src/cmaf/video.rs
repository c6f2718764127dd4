//! One rendition of one chunk, or the source's own pictures: into segments, times by the plan.

use super::fragment::{Part, fragment};
use super::init::Init;
use super::reader::{FragmentReader, Sample, TrackConfig};
use super::{CmafError, PackagedSegment};
use crate::command::LEAD_TICKS;
use crate::nal::{Filter, Uncopyable, is_idr};
use crate::time::Rational;
use crate::timeline::{Chunk, Segment};
use mp4_atom::{Atom, Avcc};

/// Takes ffmpeg's bytes, gives the chunk's segments.
#[derive(Debug)]
pub struct VideoPackager {
    reader: FragmentReader,
    segments: Vec<Segment>,
    first_segment: u32,
    size: (u32, u32),
    /// Which of `segments` is being filled.
    at: usize,
    /// Its pictures in decode order, with their times on the timeline.
    pictures: Vec<(i64, Sample)>,
    counts: Vec<u32>,
    first_ticks: Option<i64>,
    init: Option<Init>,
    /// Of pictures that are copied: what of them is passed on. The first one makes it.
    passing: Passing,
}

/// What of each picture becomes part of a segment.
#[derive(Debug)]
enum Passing {
    /// All, as our own encoder wrote it.
    Whole,
    /// What is no word of the source, once its track is known.
    Filtered(Option<Filter>),
}

/// What one rendition of a chunk came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedVideo {
    /// The rendition's init segment: must equal that of all its other chunks, see [`EncodedVideo::check_init`].
    pub init: Init,
    /// The last segment or segments; those before came from [`VideoPackager::push`].
    pub segments: Vec<PackagedSegment>,
    /// Pictures by segment of the chunk; 0 for one that got none and was not made.
    pub pictures: Vec<u32>,
    /// Time of the first picture on the timeline.
    pub first_ticks: Option<i64>,
}

impl EncodedVideo {
    /// Compares with the init segment another chunk of the rendition gave.
    pub fn check_init(&self, other: &Init) -> Result<(), CmafError> {
        if self.init == *other { Ok(()) } else { Err(CmafError::InitChanged) }
    }
}

impl VideoPackager {
    /// For a rendition of `width` × `height` pixels of the chunk.
    pub fn new(chunk: &Chunk, width: u32, height: u32) -> Self {
        Self::over(&chunk.segments, chunk.first_segment, (width, height), Passing::Whole)
    }

    /// For the source's own pictures, of `width` × `height` pixels, over the whole timeline: each segment must begin with an IDR picture. What the
    /// source says besides its pictures is left out.
    pub fn copying(segments: &[Segment], width: u32, height: u32) -> Self {
        Self::over(segments, 0, (width, height), Passing::Filtered(None))
    }

    fn over(segments: &[Segment], first_segment: u32, size: (u32, u32), passing: Passing) -> Self {
        Self {
            reader: FragmentReader::new(),
            segments: segments.to_vec(),
            first_segment,
            size,
            at: 0,
            pictures: Vec::new(),
            counts: vec![0; segments.len()],
            first_ticks: None,
            init: None,
            passing,
        }
    }

    /// Takes the next bytes ffmpeg sent, cut anywhere; gives the segments they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<PackagedSegment>, CmafError> {
        self.reader.push(bytes)?;
        let mut done = Vec::new();
        while let Some(sample) = self.reader.next_sample() {
            done.extend(self.take(sample)?);
        }
        Ok(done)
    }

    /// The init segment, once the first segment is done.
    pub fn init(&self) -> Result<Init, CmafError> {
        self.build_init()
    }

    /// Ends the stream. An error when it broke off in the middle of a box or held no header; a chunk without pictures is no error here.
    pub fn finish(mut self) -> Result<EncodedVideo, CmafError> {
        if !self.reader.is_at_end() {
            return Err(CmafError::Malformed("stream ends inside a box"));
        }
        let segments = self.close()?.into_iter().collect();
        if self.init.is_none() {
            self.init = Some(self.build_init()?);
        }
        let init = self.init.ok_or(CmafError::Empty)?;
        Ok(EncodedVideo { init, segments, pictures: self.counts, first_ticks: self.first_ticks })
    }

    fn build_init(&self) -> Result<Init, CmafError> {
        let track = self.reader.track().ok_or(CmafError::Empty)?;
        let avcc = track.avcc.as_ref().ok_or(CmafError::Malformed("not an h.264 stream"))?;
        Init::video(avcc, self.size.0, self.size.1)
    }

    fn take(&mut self, mut sample: Sample) -> Result<Option<PackagedSegment>, CmafError> {
        let track = self.reader.track().ok_or(CmafError::Empty)?;
        if let Passing::Filtered(known) = &mut self.passing {
            let filter = match known {
                Some(filter) => filter,
                None => known.insert(filter(track)?),
            };
            sample.data = filter.pass(&sample.data).map_err(|why| match why {
                Uncopyable::Malformed => CmafError::Malformed("access unit"),
                Uncopyable::ParametersChange => CmafError::InitChanged,
            })?;
        }
        let scale = Rational { num: 1, den: track.timescale };
        let chunk_start = self.segments.first().map_or(0, |segment| segment.start_ticks);
        let ticks = scale.ticks(sample.pts).saturating_sub(LEAD_TICKS).saturating_add(chunk_start);
        let at = Some(self.segments.partition_point(|segment| segment.end_ticks <= ticks));
        let at = at.filter(|&at| self.segments.get(at).is_some_and(|segment| segment.start_ticks <= ticks));
        let at = at.filter(|&at| at >= self.at).ok_or(CmafError::Misplaced { ticks })?;
        let done = if at > self.at { self.close()? } else { None };
        self.at = at;
        self.first_ticks = Some(self.first_ticks.map_or(ticks, |first| first.min(ticks)));
        if self.pictures.len() >= most_pictures(&self.segments[at]) {
            return Err(CmafError::TooLarge("pictures of a segment"));
        }
        self.pictures.push((ticks, sample));
        Ok(done)
    }

    /// Writes the segment being filled, its decode times made anew from the pictures' own times, whatever delay the encoder had.
    fn close(&mut self) -> Result<Option<PackagedSegment>, CmafError> {
        let pictures = std::mem::take(&mut self.pictures);
        let Some((_, first)) = pictures.first() else { return Ok(None) };
        let (segment, index) = (self.segments[self.at], self.first_segment + self.at as u32);
        if !is_idr(&first.data) {
            return Err(CmafError::NotIdr { segment: index });
        }
        let shown: Vec<i64> = pictures.iter().map(|(ticks, _)| *ticks).collect();
        let mut sorted = shown.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(CmafError::Misplaced { ticks: pair[0] });
        }
        let mut times = decode_times(&shown, segment.start_ticks);
        times.push(segment.end_ticks);
        let part = |((ticks, sample), pair): ((i64, Sample), &[i64])| Part {
            duration: (pair[1] - pair[0]) as u32,
            offset: (ticks - pair[0]) as i32,
            sync: is_idr(&sample.data),
            data: sample.data,
        };
        let parts: Vec<Part> = pictures.into_iter().zip(times.windows(2)).map(part).collect();
        self.counts[self.at] = parts.len() as u32;
        let bytes = fragment(index + 1, segment.start_ticks as u64, &parts);
        Ok(Some(PackagedSegment { index, bytes, duration_ticks: segment.duration_ticks(), samples: parts.len() as u32 }))
    }
}

/// More pictures than a segment has when passed through or, held, at the highest rate.
fn most_pictures(segment: &Segment) -> usize {
    let held = segment.duration_ticks().max(0).unsigned_abs() / 1000;
    segment.pictures as usize + usize::try_from(held).unwrap_or(usize::MAX) + 90
}

/// Decode times for pictures shown at the distinct times `shown`, in decode order: ascending from `start`, and none later than its picture is shown.
///
/// Reordered pictures would need negative composition offsets if each had the time of one picture, and ffmpeg's demuxer shows a whole track
/// later by the largest such offset: out of step with the sound. So pictures that are decoded ahead share the time before the next one shown.
/// Only where pictures are fewer ticks apart than there are pictures to reorder does an offset fall below zero, by those few ticks.
fn decode_times(shown: &[i64], start: i64) -> Vec<i64> {
    let mut latest = shown.to_vec();
    for at in (1..latest.len()).rev() {
        latest[at - 1] = latest[at - 1].min(latest[at]);
    }
    let mut times = vec![start];
    while let Some(&until) = latest.get(times.len()) {
        let from = times.last().copied().unwrap_or(start);
        let run = latest[times.len()..].iter().take_while(|&&time| time == until).count() as i64;
        times.extend((1..=run).map(|step| (from + (until - from) * step / run).max(from + step)));
    }
    times
}

/// What of a copied picture is passed on, by the parameter sets of its track.
fn filter(track: &TrackConfig) -> Result<Filter, CmafError> {
    let malformed = || CmafError::Malformed("avcC");
    let config = Avcc::decode_body(&mut &track.avcc.as_ref().ok_or_else(malformed)?[..]).map_err(|_| malformed())?;
    let parameters = config.sequence_parameter_sets.into_iter().chain(config.picture_parameter_sets);
    Ok(Filter::new(parameters.map(|set| set.to_vec()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_decoded_ahead_share_the_time_before_the_next_shown() {
        // I P B b b, then a late start, then pictures a tick apart.
        assert_eq!(decode_times(&[0, 4000, 2000, 1000, 3000], 0), [0, 333, 666, 1000, 3000]);
        assert_eq!(decode_times(&[700, 1700], 0), [0, 1700]);
        assert_eq!(decode_times(&[0, 4, 2, 1, 3], 0), [0, 1, 2, 3, 4]);
    }

    proptest::proptest! {
        #[test]
        fn decode_times_ascend_and_precede_their_pictures(
            steps in proptest::collection::vec(1i64..5000, 1..60), groups in proptest::collection::vec(1usize..6, 60), start in 0i64..9
        ) {
            let at = |index: usize| 9 + steps[..index].iter().sum::<i64>();
            // Groups whose last picture is decoded first, as with B-pictures.
            let (mut shown, mut rest, mut groups) = (vec![at(0)], 1..steps.len(), groups.into_iter());
            while let Some(first) = rest.next() {
                let last = (first + groups.next().unwrap_or(1)).min(steps.len()) - 1;
                shown.push(at(last));
                shown.extend((first..last).map(at));
                rest = last + 1..steps.len();
            }
            let times = decode_times(&shown, start);
            proptest::prop_assert_eq!((times.len(), times[0]), (shown.len(), start));
            proptest::prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
            proptest::prop_assert!(*times.last().unwrap() <= at(steps.len() - 1));
            let crowded = steps.iter().any(|&step| step < 60);
            proptest::prop_assert!(crowded || times.iter().zip(&shown).all(|(time, shown)| time <= shown));
        }
    }

    #[test]
    fn more_pictures_than_a_segment_can_have_are_refused() {
        let facts = crate::probe::tests_support::facts(crate::probe::tests_support::video(64, 64));
        let chunk = crate::plan::Plan::new(&facts, 1).video.unwrap().chunks.remove(0);
        let mut packager = VideoPackager::new(&chunk, 64, 64);
        packager.reader = FragmentReader::with_timescale(90_000);
        let sample = Sample { dts: LEAD_TICKS, pts: LEAD_TICKS, data: Vec::new() };
        let taken = (0..100_000).map(|_| packager.take(sample.clone())).take_while(Result::is_ok).count();
        assert!((84..1000).contains(&taken), "{taken}");
    }

    #[test]
    fn idr_is_told_by_the_first_slice() {
        assert!(is_idr(b"\0\0\0\x01\x06\0\0\0\x02\x65\x88"));
        assert!(!is_idr(b"\0\0\0\x01\x06\0\0\0\x02\x41\x88"));
        assert!(!is_idr(b"\0\0\0\x09\x65"));
        assert!(!is_idr(b""));
    }
}
