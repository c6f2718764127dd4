//! The source's own pictures, as they are.

use super::{LEAD_TICKS, anonymous, fragments, input, opening, put, words};
use crate::plan::{Plan, VideoPlan};
use crate::time::ticks_to_decimal;

/// Arguments for ffmpeg: the picture's packets untouched, in fragments of about two seconds, PUT to `{sink_url}/{name}` as fragmented MP4.
pub fn copy_argv(plan: &Plan, video: &VideoPlan, name: &str, source_url: &str, sink_url: &str) -> Vec<String> {
    let mut argv = opening();
    argv.extend(input(plan, source_url, None));
    argv.extend(["-map".to_owned(), format!("0:{}", video.stream)]);
    argv.extend(words("-c copy -video_track_timescale 90000 -frag_duration 2000000"));
    argv.extend(["-output_ts_offset".to_owned(), ticks_to_decimal(LEAD_TICKS - plan.origin_ticks)]);
    argv.extend(anonymous());
    argv.extend(fragments(""));
    argv.extend(put(sink_url, name));
    argv
}
