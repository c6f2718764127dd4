//! The poster.

use super::graph::numbered;
use super::{StartLevel, anonymous, clock, input, opening, put, words};
use crate::plan::{Plan, VideoPlan};
use crate::probe::Cadence;

/// Arguments for ffmpeg: one JPEG from about a tenth of the way in, PUT to `{sink_url}/poster`. [`StartLevel::FromStart`] takes the first
/// picture that decodes at all, of what is shown: for a source whose tenth is rotten.
pub fn still_argv(plan: &Plan, video: &VideoPlan, level: StartLevel, source_url: &str, sink_url: &str) -> Vec<String> {
    let poster = video.poster;
    let (seek, from) = match level {
        StartLevel::FromStart => (None, poster.within.map(|(first, _)| first)),
        _ => (poster.near_ticks, Some(poster.pts)),
    };
    let clock = clock(plan, "setpts").map(|clock| clock + ",").unwrap_or_default();
    let cut = match (poster.within, video.cadence) {
        // What was cut away is not shown, not even by its poster.
        (Some((first, end)), Cadence::Counted { rate }) => {
            format!("{},trim=start_pts={}:end_pts={end},", numbered(rate), from.unwrap_or(first))
        }
        (Some((first, end)), _) => format!("trim=start_pts={}:end_pts={end},", from.unwrap_or(first)),
        (None, _) => from.map(|pts| format!("trim=start_pts={pts},")).unwrap_or_default(),
    };
    let scale = format!("scale={}:{}:flags=bicubic:out_range=pc,setsar=1,format=yuvj420p", poster.width, poster.height);
    let mut argv = opening();
    argv.extend(input(plan, source_url, seek));
    argv.extend(["-filter_complex".to_owned(), format!("[0:{}]{clock}{cut}{scale}[poster]", video.stream)]);
    argv.extend(words("-map [poster] -frames:v 1 -fps_mode passthrough -c:v mjpeg -q:v 3 -threads 1 -flags:v +bitexact"));
    argv.extend(anonymous());
    argv.extend(words("-f image2pipe"));
    argv.extend(put(sink_url, "poster"));
    argv
}
