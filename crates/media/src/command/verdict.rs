//! Whether a chunk may be kept, or must be made again from further back.

use super::{Mode, Seen, StartLevel};
use crate::timeline::Chunk;

/// What one attempt at a chunk gave, in its lowest rendition (all come from one decode).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Pictures by segment, as the packager counted them.
    pub pictures: Vec<u32>,
    /// Ticks of the first picture on the timeline, if there was one.
    pub first_ticks: Option<i64>,
    /// What the decoder gave, where the chunk has [`Evidence`](crate::timeline::Evidence).
    pub seen: Option<Seen>,
    /// Where this attempt began.
    pub level: StartLevel,
    /// How it treated holes.
    pub mode: Mode,
}

/// What an attempt's outcome means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Keep the segments. `missing` pictures were expected and do not decode: the source is damaged there.
    Accept {
        /// Expected minus decoded; repeated pictures of a held chunk do not count as decoded.
        missing: u32,
    },
    /// Throw the segments away and run again at this level, same mode.
    StartEarlier(StartLevel),
    /// Throw the segments away and run again in [`Mode::Hold`] at this level.
    Hold(StartLevel),
    /// Nothing decodes from the source's start to here.
    Hopeless,
}

/// What the worker does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Keep the segments.
    Keep {
        /// Pictures that were expected and do not decode: the source is damaged there. Repeated pictures do not count as decoded.
        missing: u32,
    },
    /// Throw the segments away and run again as [`Attempts`] now says.
    Again,
    /// Nothing decodes from the source's start to here.
    Hopeless,
}

/// The attempts at one chunk: how the next one is made, and what is remembered of those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// Where the next one begins to decode.
    pub level: StartLevel,
    /// What it does about holes.
    pub mode: Mode,
    /// What the last one in [`Mode::Planned`] decoded; held attempts repeat pictures and prove nothing.
    decoded: Option<u32>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { level: StartLevel::Near, mode: Mode::Planned, decoded: None }
    }
}

impl Attempts {
    /// Takes what the attempt it described gave and what ffmpeg said (`stderr_tail`, its last KiB); says what is next.
    pub fn judge(&mut self, chunk: &Chunk, outcome: &Outcome, stderr_tail: &str) -> Step {
        let verdict = chunk_verdict(chunk, outcome, self.decoded, stderr_tail);
        if outcome.mode == Mode::Planned {
            self.decoded = Some(outcome.decoded(chunk));
        }
        match verdict {
            Verdict::Accept { missing } => return Step::Keep { missing },
            Verdict::StartEarlier(level) => self.level = level,
            Verdict::Hold(level) => (self.level, self.mode) = (level, Mode::Hold),
            Verdict::Hopeless => return Step::Hopeless,
        }
        Step::Again
    }
}

impl Outcome {
    /// Pictures in all.
    pub fn got(&self) -> u32 {
        self.pictures.iter().sum()
    }

    /// Pictures of the source that came out, of those expected.
    pub fn decoded(&self, chunk: &Chunk) -> u32 {
        let seen = self.seen.map_or(0, |seen| seen.pictures);
        chunk.evidence.map_or(self.got(), |evidence| seen.min(evidence.pictures))
    }

    /// Whether the chunk begins with something else than its first picture.
    fn lacks_head(&self, chunk: &Chunk) -> bool {
        let late = chunk.evidence.filter(|evidence| evidence.pictures > 0).is_some_and(|evidence| {
            let first = self.seen.and_then(|seen| seen.first_ticks);
            first.is_none_or(|first| first > evidence.first_ticks + evidence.slack_ticks)
        });
        late || self.first_ticks != Some(chunk.first_picture_ticks)
    }

    fn has_empty_segment(&self) -> bool {
        self.pictures.is_empty() || self.pictures.contains(&0)
    }
}

/// Judges an attempt by what came out, and by what ffmpeg said (`stderr_tail`, its last KiB). `previous_got` is what the attempt before in
/// [`Mode::Planned`] got, if there was one; held attempts do not replace it.
///
/// A chunk whose head is missing is tried from ever further back, for a seek may have landed late. One that is complete but was decoded
/// with complaints, or lacks pictures further on, gets one more attempt from earlier: when that changes nothing the source itself is damaged.
fn chunk_verdict(chunk: &Chunk, outcome: &Outcome, previous_got: Option<u32>, stderr_tail: &str) -> Verdict {
    let (got, expected) = (outcome.decoded(chunk), chunk.expected());
    let back = further_back(chunk, outcome.level);
    if outcome.mode == Mode::Hold {
        return match back {
            _ if !outcome.has_empty_segment() => Verdict::Accept { missing: expected.saturating_sub(previous_got.unwrap_or(0)) },
            Some(level) => Verdict::StartEarlier(level),
            None => Verdict::Hopeless,
        };
    }
    let head_lost = outcome.lacks_head(chunk);
    let suspect = got < expected || (complains(stderr_tail) && !chunk.loose_seek);
    let settled = previous_got.is_some_and(|previous| previous >= got) && !head_lost;
    match back {
        Some(level) if head_lost || (suspect && !settled) => Verdict::StartEarlier(level),
        _ if outcome.has_empty_segment() => Verdict::Hold(outcome.level),
        _ => Verdict::Accept { missing: expected.saturating_sub(got) },
    }
}

/// The next level that begins anywhere else than `level` did.
fn further_back(chunk: &Chunk, level: StartLevel) -> Option<StartLevel> {
    match level {
        StartLevel::Near if chunk.earlier_ticks.is_some() => Some(StartLevel::Earlier),
        StartLevel::Near if chunk.near_ticks.is_some() => Some(StartLevel::FromStart),
        StartLevel::Earlier if chunk.earlier_ticks.is_some() => Some(StartLevel::FromStart),
        _ => None,
    }
}

/// What ffmpeg's decoders say of pictures that do not come out as they were.
fn complains(stderr_tail: &str) -> bool {
    let complaints =
        ["concealing", "error while decoding", "Missing reference", "reference picture missing", "Could not find ref", "corrupt"];
    complaints.iter().any(|text| stderr_tail.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::probe::tests_support::{facts, video};

    fn chunk() -> Chunk {
        let mut video = video(640, 360);
        video.pictures.0 = (0..2500).map(|i| i * 40).collect();
        video.end_pts = 100_000;
        video.keyframes = (0..50).map(|i| crate::probe::Keyframe { pts: i * 2000, dts: i * 2000, clean: true }).collect();
        Plan::new(&facts(video), 1).video.unwrap().chunks[2].clone()
    }

    fn judge(chunk: &Chunk, lost: u32, head_lost: bool, level: StartLevel, previous: Option<u32>, said: &str) -> Verdict {
        let mut pictures: Vec<u32> = chunk.segments.iter().map(|segment| segment.pictures).collect();
        pictures[0] -= lost;
        let first_ticks = Some(chunk.first_picture_ticks + i64::from(head_lost));
        chunk_verdict(chunk, &Outcome { pictures, first_ticks, seen: None, level, mode: Mode::Planned }, previous, said)
    }

    #[test]
    fn complete_and_quiet_is_accepted() {
        assert_eq!(judge(&chunk(), 0, false, StartLevel::Near, None, ""), Verdict::Accept { missing: 0 });
    }

    #[test]
    fn a_lost_head_goes_back_to_the_very_start() {
        let chunk = chunk();
        assert_eq!(judge(&chunk, 3, true, StartLevel::Near, None, ""), Verdict::StartEarlier(StartLevel::Earlier));
        assert_eq!(judge(&chunk, 3, true, StartLevel::Earlier, Some(140), ""), Verdict::StartEarlier(StartLevel::FromStart));
        assert_eq!(judge(&chunk, 3, true, StartLevel::FromStart, Some(140), ""), Verdict::Accept { missing: 3 });
    }

    #[test]
    fn damage_further_on_is_tried_once_more_only() {
        let chunk = chunk();
        let again = Verdict::StartEarlier(StartLevel::Earlier);
        assert_eq!(judge(&chunk, 0, false, StartLevel::Near, None, "concealing 30 DC errors"), again);
        assert_eq!(judge(&chunk, 2, false, StartLevel::Near, None, ""), again);
        assert_eq!(judge(&chunk, 2, false, StartLevel::Earlier, Some(chunk.pictures - 2), ""), Verdict::Accept { missing: 2 });
    }

    #[test]
    fn what_decodes_of_a_held_chunk_counts() {
        let chunk = chunk();
        let whole: Vec<u32> = chunk.segments.iter().map(|segment| segment.pictures).collect();
        let mut holed = whole.clone();
        holed[1] = 0;
        let mut attempts = Attempts::default();
        let mut step = |pictures: &Vec<u32>| {
            let first_ticks = Some(chunk.first_picture_ticks);
            let outcome = Outcome { pictures: pictures.clone(), first_ticks, seen: None, level: attempts.level, mode: attempts.mode };
            (attempts.judge(&chunk, &outcome, ""), attempts.level, attempts.mode)
        };
        assert_eq!(step(&holed), (Step::Again, StartLevel::Earlier, Mode::Planned));
        assert_eq!(step(&holed), (Step::Again, StartLevel::Earlier, Mode::Hold));
        // Held, nothing shows from here: further back the segments are full.
        assert_eq!(step(&holed), (Step::Again, StartLevel::FromStart, Mode::Hold));
        assert_eq!(step(&whole).0, Step::Keep { missing: whole[1] });
    }

    #[test]
    fn an_empty_segment_is_held() {
        let chunk = chunk();
        let whole = chunk.segments[0].pictures;
        assert_eq!(judge(&chunk, whole, true, StartLevel::FromStart, None, ""), Verdict::Hold(StartLevel::FromStart));
        let outcome = Outcome { pictures: vec![0], first_ticks: None, seen: None, level: StartLevel::FromStart, mode: Mode::Hold };
        assert_eq!(chunk_verdict(&chunk, &outcome, None, ""), Verdict::Hopeless);
    }
}
