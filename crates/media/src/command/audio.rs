//! The whole sound, once.

use super::{LEAD_SAMPLES, LEAD_TICKS, anonymous, clock, fragments, input, opening, put, words};
use crate::plan::{AudioPlan, Plan};
use crate::time::{AUDIO_RATE, Rational, ticks_to_decimal};

/// Arguments for ffmpeg: AAC-LC stereo at 48 kHz of the whole source, holes filled with silence (unless pictures and samples are numbered: then
/// closed, as the picture's are), PUT to `{sink_url}/audio` as fragmented MP4.
pub fn audio_argv(plan: &Plan, audio: &AudioPlan, source_url: &str, sink_url: &str) -> Vec<String> {
    let (filters, lead) = match audio.counted_from_ticks {
        Some(from) => (counted(audio, from), Some(LEAD_TICKS + from.max(plan.origin_ticks) - plan.origin_ticks)),
        None => (clock(plan, "asetpts").into_iter().chain([timed(audio, plan.origin_ticks)]).collect::<Vec<_>>().join(","), None),
    };
    let mut argv = opening();
    argv.extend(input(plan, source_url, None));
    argv.extend(["-filter_complex".to_owned(), format!("[0:{}]{filters}[audio]", audio.stream), "-map".to_owned(), "[audio]".to_owned()]);
    argv.extend(words("-c:a aac -profile:a aac_low -b:a 128k -threads 1 -flags:a +bitexact -frag_duration 2000000"));
    argv.extend(lead.into_iter().flat_map(|ticks| ["-output_ts_offset".to_owned(), ticks_to_decimal(ticks)]));
    argv.extend(anonymous());
    argv.extend(fragments(""));
    argv.extend(put(sink_url, "audio"));
    argv
}

/// What every sound becomes.
const STEREO: &str = "aformat=sample_fmts=fltp:sample_rates=48000:channel_layouts=stereo";

fn samples(ticks: i64) -> i64 {
    Rational::TICK.rescale(ticks, Rational::AUDIO)
}

/// Sound at its own times.
fn timed(audio: &AudioPlan, origin_ticks: i64) -> String {
    let end = end_sample(audio, 0);
    let from = audio.cut_from_ticks.map(|ticks| format!("start_pts={}:", samples(ticks))).unwrap_or_default();
    let shift = LEAD_SAMPLES - samples(origin_ticks);
    // By default only holes above 0.1 s are filled; a frame's worth is heard as lips out of step.
    format!("aresample=48000:async=1:min_hard_comp=0.02,{STEREO},atrim={from}end_pts={end},asetpts=PTS+{shift}")
}

/// The sample before which the sound ends, counted from `zero_ticks`. A second more than was seen: the last packets decode to as much sound
/// as they hold, but not to endless sound. Where the sound is cut, not one sample more.
fn end_sample(audio: &AudioPlan, zero_ticks: i64) -> i64 {
    audio.cut_end_ticks.map_or_else(|| samples(audio.end_ticks - zero_ticks) + AUDIO_RATE, |end| samples(end - zero_ticks))
}

/// Sound without times: ffmpeg then counts the samples that it encodes. Numbers given by a filter would begin anew with every change of the
/// source's channels or rate, at which ffmpeg makes the filters anew.
fn counted(audio: &AudioPlan, from_ticks: i64) -> String {
    let from = audio.cut_from_ticks.map(|ticks| format!("start_sample={}:", samples(ticks - from_ticks).max(0))).unwrap_or_default();
    format!("asetpts=NAN,aresample=48000,{STEREO},atrim={from}end_sample={}", end_sample(audio, from_ticks))
}
