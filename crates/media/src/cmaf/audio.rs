//! The sound: AAC frames into the timeline's segments, as they come.

use super::fragment::{Part, fragment};
use super::init::Init;
use super::reader::FragmentReader;
use super::{CmafError, PackagedSegment};
use crate::command::LEAD_SAMPLES;
use crate::time::{AUDIO_RATE, Rational};
use crate::timeline::Segment;

/// Samples in an AAC frame.
const FRAME: i64 = 1024;
/// An AAC-LC stereo frame of digital silence, as ffmpeg's encoder writes it.
const SILENCE: [u8; 6] = [0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c];
/// AAC-LC, 48 kHz, two channels: the first two bytes of the AudioSpecificConfig.
const LC_48K_STEREO: [u8; 2] = [0x11, 0x90];

/// Takes the audio job's bytes, gives segments as they fill. Times are samples of 1/48000 s.
#[derive(Debug)]
pub struct AudioPackager {
    reader: FragmentReader,
    /// First sample of each segment, and the end of the last.
    bounds: Vec<i64>,
    /// The segment being filled.
    at: usize,
    frames: Vec<Vec<u8>>,
    /// Time of the first of `frames`.
    frames_start: i64,
    /// Where the last finished segment ended; EXTINF counts from here.
    segment_start: i64,
    /// Time of the next frame, once there was one.
    next: Option<i64>,
    primed: bool,
    frames_total: u64,
}

/// What the sound came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedAudio {
    /// The init segment.
    pub init: Init,
    /// The last segments; those before came from [`AudioPackager::push`].
    pub segments: Vec<PackagedSegment>,
    /// AAC frames in all, silence put in included.
    pub frames: u64,
}

impl AudioPackager {
    /// For the plan's segments.
    pub fn new(segments: &[Segment]) -> Self {
        let samples = |ticks: i64| Rational::TICK.rescale(ticks, Rational::AUDIO);
        let mut bounds: Vec<i64> = segments.iter().map(|segment| samples(segment.start_ticks)).collect();
        bounds.extend(segments.last().map(|segment| samples(segment.end_ticks)));
        Self {
            reader: FragmentReader::new(),
            bounds,
            at: 0,
            frames: Vec::new(),
            frames_start: 0,
            segment_start: 0,
            next: None,
            primed: false,
            frames_total: 0,
        }
    }

    /// Takes the next bytes ffmpeg sent, cut anywhere; gives the segments they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<PackagedSegment>, CmafError> {
        self.reader.push(bytes)?;
        let mut done = Vec::new();
        while let Some(sample) = self.reader.next_sample() {
            self.check_track()?;
            // The encoder's first frame primes the decoder; what it decodes to lies before the sound.
            if std::mem::replace(&mut self.primed, true) {
                self.take(sample.pts.saturating_sub(LEAD_SAMPLES), sample.data, &mut done);
            }
        }
        Ok(done)
    }

    /// The init segment, which is the same for all sound.
    pub fn init() -> Result<Init, CmafError> {
        Init::audio()
    }

    /// Ends the stream: the rest, silence where whole segments have no sound. An error when nothing was encoded or the stream broke off.
    pub fn finish(mut self) -> Result<EncodedAudio, CmafError> {
        if !self.reader.is_at_end() {
            return Err(CmafError::Malformed("stream ends inside a box"));
        }
        let next = self.next.ok_or(CmafError::Empty)?;
        let mut segments = Vec::new();
        let last = self.bounds.len().saturating_sub(2);
        if self.at < last {
            let end = self.bounds.last().copied().unwrap_or(0);
            self.silence(next, end, &mut segments);
        }
        segments.extend(self.close(None));
        Ok(EncodedAudio { init: Init::audio()?, segments, frames: self.frames_total })
    }

    fn check_track(&self) -> Result<(), CmafError> {
        let track = self.reader.track().ok_or(CmafError::Empty)?;
        let right = track.audio_config.as_ref().is_some_and(|config| config.starts_with(&LC_48K_STEREO));
        if right && i64::from(track.timescale) == AUDIO_RATE { Ok(()) } else { Err(CmafError::Malformed("not aac-lc stereo at 48 kHz")) }
    }

    /// Takes a frame of ffmpeg's. Frames follow one another; a hole of a frame or more is filled, a frame for a time already filled is dropped.
    fn take(&mut self, time: i64, data: Vec<u8>, done: &mut Vec<PackagedSegment>) {
        let next = match self.next {
            Some(next) => next,
            None => self.begin(time),
        };
        let end = self.bounds.last().copied().unwrap_or(0);
        if time <= next - FRAME {
            return;
        }
        let next = if time >= next + FRAME { self.silence(next, (time - FRAME + 1).min(end), done) } else { next };
        // What begins after the end is the encoder's padding, or a lie.
        if next < end {
            self.put(next, data, done);
        }
    }

    /// The time of the very first frame. Sound that begins after the whole first segment gets silence before it, on the same grid of frames.
    fn begin(&mut self, time: i64) -> i64 {
        let time = time.max(0);
        let late = self.bounds.get(1).is_some_and(|&second| time >= second);
        if late { time % FRAME } else { time }
    }

    /// Puts silent frames from `from` until the next one would begin at or after `until`; gives that time.
    fn silence(&mut self, from: i64, until: i64, done: &mut Vec<PackagedSegment>) -> i64 {
        let mut time = from;
        while time < until {
            self.put(time, SILENCE.to_vec(), done);
            time += FRAME;
        }
        time
    }

    /// Puts a frame into the segment in which it begins; the last segment takes all that is left.
    fn put(&mut self, time: i64, data: Vec<u8>, done: &mut Vec<PackagedSegment>) {
        while self.at + 2 < self.bounds.len() && time >= self.bounds[self.at + 1] {
            done.extend(self.close(Some(time)));
            self.at += 1;
        }
        if self.frames.is_empty() {
            self.frames_start = time;
        }
        self.frames.push(data);
        self.next = Some(time + FRAME);
    }

    fn close(&mut self, next: Option<i64>) -> Option<PackagedSegment> {
        let frames = std::mem::take(&mut self.frames);
        // Sound may end before the picture does; its last segment is announced to the end of the timeline all the same, as the first is from zero.
        let until = self.bounds.last().copied().unwrap_or(0);
        let end = next.unwrap_or((self.frames_start + frames.len() as i64 * FRAME).max(until));
        let (start, index, samples) = (self.segment_start, self.at as u32, frames.len() as u32);
        self.segment_start = end;
        self.frames_total += u64::from(samples);
        let part = |data| Part { duration: FRAME as u32, offset: 0, sync: true, data };
        let parts: Vec<Part> = frames.into_iter().map(part).collect();
        let duration_ticks = Rational::AUDIO.ticks(end) - Rational::AUDIO.ticks(start);
        let bytes = fragment(index + 1, self.frames_start as u64, &parts);
        (samples > 0).then_some(PackagedSegment { index, bytes, duration_ticks, samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(count: i64) -> Vec<Segment> {
        let at = |index: i64| index * 540_000;
        (0..count).map(|index| Segment { start_ticks: at(index), end_ticks: at(index + 1), pictures: 0 }).collect()
    }

    fn package(count: i64, from: i64, frames: i64) -> (Vec<PackagedSegment>, i64) {
        let mut packager = AudioPackager::new(&segments(count));
        let mut done = Vec::new();
        (0..frames).for_each(|frame| packager.take(from + frame * FRAME, vec![1], &mut done));
        let end = packager.finish().unwrap();
        done.extend(end.segments);
        (done, end.frames as i64)
    }

    #[test]
    fn segments_follow_the_timeline_within_a_frame() {
        let (done, frames) = package(3, 0, 18 * 48_000 / FRAME);
        assert_eq!((done.len(), frames), (3, 843));
        let mut drift = 0;
        for segment in &done[..2] {
            drift += segment.duration_ticks - 540_000;
            assert!((0..1920).contains(&drift), "{drift}");
        }
    }

    #[test]
    fn silence_stands_only_for_whole_segments() {
        let (done, frames) = package(3, 5 * 48_000, 100);
        assert_eq!(done.len(), 3, "sound ends in the second segment, the third is silence");
        assert!(frames > 500);
        let (late, _) = package(3, 7 * 48_000, 500);
        assert_eq!(late.iter().map(|segment| segment.index).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(late[0].samples, 282);
    }

    #[test]
    fn a_last_segment_with_little_sound_lasts_as_long_as_its_picture() {
        let (done, frames) = package(2, 0, 300);
        assert_eq!((done.len(), frames), (2, 300), "no silence is made up");
        assert_eq!(done.iter().map(|segment| segment.duration_ticks).sum::<i64>(), 2 * 540_000);
    }

    #[test]
    fn frames_after_the_end_are_left_out() {
        let (done, frames) = package(1, 0, 300);
        assert_eq!((done.len(), frames), (1, 282));
    }

    #[test]
    fn a_frame_for_the_end_of_time_fills_the_timeline_and_no_more() {
        let mut packager = AudioPackager::new(&segments(2));
        let mut done = Vec::new();
        for time in [0, i64::MAX, i64::MAX - 1, i64::MIN] {
            packager.take(time, vec![1], &mut done);
        }
        let end = packager.finish().unwrap();
        assert_eq!((done.len() + end.segments.len(), end.frames), (2, 563));
    }

    #[test]
    fn no_sound_at_all_is_an_error() {
        assert_eq!(AudioPackager::new(&segments(2)).finish(), Err(CmafError::Empty));
    }
}
