//! Plans → ffmpeg's arguments, and what to make of how it ended.
//!
//! Every command reads one source through the sandbox's door and sends its outputs back through it by HTTP PUT; it writes no file.
//! An exit code proves nothing: the packager counts pictures, [`Attempts`] judge.

mod audio;
mod copy;
mod encode;
mod graph;
mod seen;
mod still;
mod verdict;

pub use audio::audio_argv;
pub use copy::copy_argv;
pub use encode::{EncodeJob, Mode, encode_argv};
pub use seen::{SEEN, Seen, SeenReader};
pub use still::still_argv;
pub use verdict::{Attempts, Outcome, Step};

use crate::plan::Plan;
use crate::probe::{input_argv, with_jumps};
use crate::time::{AUDIO_RATE, TICKS_PER_SECOND, ticks_to_decimal};
use serde::{Deserialize, Serialize};

/// Seconds added to every timestamp ffmpeg writes, so that decode times never fall below zero however long the pauses between reordered pictures.
const LEAD_SECONDS: i64 = 1000;
/// [`LEAD_SECONDS`] in ticks: the packager takes it off again.
pub(crate) const LEAD_TICKS: i64 = LEAD_SECONDS * TICKS_PER_SECOND;
/// [`LEAD_SECONDS`] in audio samples.
pub(crate) const LEAD_SAMPLES: i64 = LEAD_SECONDS * AUDIO_RATE;
/// Where the clock of a transport stream overflows (ISO/IEC 13818-1 §2.4.3.7).
const OVERFLOW_TICKS: i64 = 1 << 33;
/// What lies further below the timeline's zero comes after an overflow.
const OVERFLOW_SLACK_TICKS: i64 = 30 * TICKS_PER_SECOND;

/// How far before its chunk a job begins to decode. Each is slower and surer than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartLevel {
    /// The nearest keyframe from which all should decode.
    Near,
    /// Some keyframes and at least ten seconds earlier.
    Earlier,
    /// The first byte.
    FromStart,
}

/// Options that go first in every command.
fn opening() -> Vec<String> {
    words("-nostdin -hide_banner -v warning -nostats -stats_period 1 -progress pipe:1 -filter_complex_threads 1")
}

/// The input: seek if any, limits, demuxer, URL. Timestamps are the source's own, the cut is left to the filters.
fn input(plan: &Plan, url: &str, seek_ticks: Option<i64>) -> Vec<String> {
    let mut argv = words("-copyts -noaccurate_seek -threads 1 -max_pixels 35389440");
    if let Some(ticks) = seek_ticks {
        let own = ticks_to_decimal(with_jumps(&plan.jumps, ticks));
        argv.extend(["-seek_timestamp".to_owned(), "1".to_owned(), "-ss".to_owned(), own]);
    }
    argv.extend(input_argv(plan.demuxer, url));
    argv
}

/// The first filters, where there are jumps: they take them out of the source's clock. `setpts` is the filter's name, which is another for sound.
fn clock(plan: &Plan, setpts: &str) -> Option<String> {
    if plan.jumps.is_empty() {
        return None;
    }
    // What lies more than half the clock's range after the start, ffmpeg takes for what was before an overflow, but only behind a seek.
    let lowest = plan.origin_ticks - OVERFLOW_SLACK_TICKS;
    let overflow = format!("{setpts}='PTS+round(lt(T*90000,{lowest})*{OVERFLOW_TICKS}/90000/TB)'");
    let jumps = plan.jumps.iter().map(|jump| format!("gte(T*90000,{})*{}", jump.middle_ticks(), jump.by_ticks));
    Some(format!("{overflow},{setpts}='PTS-round(({})/90000/TB)'", jumps.collect::<Vec<_>>().join("+")))
}

/// Output options that keep every word of the source out of the result.
fn anonymous() -> Vec<String> {
    words("-map_metadata -1 -map_chapters -1 -fflags +bitexact")
}

/// A stream of fragments with true timestamps: no edit list, `tfdt` absolute.
fn fragments(extra_flag: &str) -> Vec<String> {
    let mut argv = words("-f mp4 -use_editlist 0 -avoid_negative_ts disabled -movflags");
    argv.push(format!("{extra_flag}empty_moov+default_base_moof+frag_discont+skip_trailer"));
    argv
}

/// Where an output goes: `sink_url` is the door's address for outputs, without a slash at its end.
fn put(sink_url: &str, name: &str) -> Vec<String> {
    vec!["-method".to_owned(), "PUT".to_owned(), format!("{sink_url}/{name}")]
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
