//! The poster.

use super::{StartLevel, anonymous, clock, input, opening, put, words};
use crate::plan::{Plan, VideoPlan};

/// Arguments for ffmpeg: one JPEG from about a tenth of the way in, PUT to `{sink_url}/poster`. [`StartLevel::FromStart`] takes the first
/// picture that decodes at all: for a source whose tenth is rotten.
pub fn still_argv(plan: &Plan, video: &VideoPlan, level: StartLevel, source_url: &str, sink_url: &str) -> Vec<String> {
    let poster = video.poster;
    let (seek, cut) = match level {
        StartLevel::FromStart => (None, String::new()),
        _ => (poster.near_ticks, format!("trim=start_pts={},", poster.pts)),
    };
    let scale = format!("scale={}:{}:flags=bicubic:out_range=pc,setsar=1,format=yuvj420p", poster.width, poster.height);
    let mut argv = opening();
    argv.extend(input(plan, source_url, seek));
    argv.extend(["-filter_complex".to_owned(), format!("[0:{}]{}{cut}{scale}[poster]", video.stream, clock(plan, "setpts"))]);
    argv.extend(words("-map [poster] -frames:v 1 -fps_mode passthrough -c:v mjpeg -q:v 3 -threads 1 -flags:v +bitexact"));
    argv.extend(anonymous());
    argv.extend(words("-f image2pipe"));
    argv.extend(put(sink_url, "poster"));
    argv
}
