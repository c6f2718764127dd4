//! The whole sound, once.

use super::{LEAD_SAMPLES, anonymous, fragments, input, opening, put, words};
use crate::plan::{AudioPlan, Plan};
use crate::time::{AUDIO_RATE, Rational};

/// Arguments for ffmpeg: AAC-LC stereo at 48 kHz of the whole source, holes filled with silence (unless pictures and samples are numbered: then
/// closed, as the picture's are), PUT to `{sink_url}/audio` as fragmented MP4.
pub fn audio_argv(plan: &Plan, audio: &AudioPlan, source_url: &str, sink_url: &str) -> Vec<String> {
    let samples = |ticks: i64| Rational::TICK.rescale(ticks, Rational::AUDIO);
    // A second more than was seen: the last packets decode to as much sound as they hold, but not to endless sound.
    let end = samples(audio.end_ticks) + AUDIO_RATE;
    let shift = LEAD_SAMPLES - samples(plan.origin_ticks);
    // By default only holes above 0.1 s are filled; a frame's worth is heard as lips out of step.
    let numbered = audio.counted_from_ticks.map_or(String::new(), |from| format!("asetpts=N/SR/TB+({from})/90000/TB,"));
    let graph = format!(
        "[0:{}]{numbered}aresample=48000:async=1:min_hard_comp=0.02,aformat=sample_fmts=fltp:sample_rates=48000:channel_layouts=stereo,atrim=end_pts={end},asetpts=PTS+{shift}[audio]",
        audio.stream
    );
    let mut argv = opening();
    argv.extend(input(plan.demuxer, source_url, None));
    argv.extend(["-filter_complex".to_owned(), graph, "-map".to_owned(), "[audio]".to_owned()]);
    argv.extend(words("-c:a aac -profile:a aac_low -b:a 128k -threads 1 -flags:a +bitexact -frag_duration 2000000"));
    argv.extend(anonymous());
    argv.extend(fragments(""));
    argv.extend(put(sink_url, "audio"));
    argv
}
