//! One chunk, all renditions, one decode.

use super::{LEAD_TICKS, StartLevel, anonymous, clock, fragments, input, opening, put, seen, words};
use crate::ladder::Rendition;
use crate::plan::{Plan, VideoPlan};
use crate::probe::{Cadence, Colour};
use crate::time::{Rational, ticks_to_decimal};
use crate::timeline::Chunk;
use serde::{Deserialize, Serialize};

/// Whether a chunk's pictures are passed through or made up where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// As the plan says.
    Planned,
    /// A constant rate in which the last picture is repeated through holes: for a chunk with a segment nothing of which decodes.
    Hold,
}

/// One run of ffmpeg over a chunk.
#[derive(Debug, Clone, Copy)]
pub struct EncodeJob<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Its picture part.
    pub video: &'a VideoPlan,
    /// The chunk to make.
    pub chunk: &'a Chunk,
    /// The renditions to make, any subset of the plan's, lowest first.
    pub renditions: &'a [Rendition],
    /// Where decoding begins.
    pub level: StartLevel,
    /// What happens to holes.
    pub mode: Mode,
}

impl EncodeJob<'_> {
    /// The seek this attempt begins with, in ticks of the source's clock.
    pub fn seek_ticks(&self) -> Option<i64> {
        match self.level {
            StartLevel::Near => self.chunk.near_ticks,
            StartLevel::Earlier => self.chunk.earlier_ticks,
            StartLevel::FromStart => None,
        }
    }

    /// Whether its filters count or repeat pictures. Where the source's size changes ffmpeg makes filters anew, and these would begin anew: they stay,
    /// and a first one keeps changes of size and format from those after it.
    fn remembers(&self) -> bool {
        self.mode == Mode::Hold || self.video.cadence != Cadence::Source
    }
}

/// Arguments for ffmpeg: reads `source_url`, PUTs one fragmented MP4 per rendition to `{sink_url}/{name}`, and, for a
/// chunk with [`Evidence`](crate::timeline::Evidence), the list of decoded pictures to `{sink_url}/seen`; progress on stdout.
pub fn encode_argv(job: &EncodeJob<'_>, source_url: &str, sink_url: &str) -> Vec<String> {
    let mut argv = opening();
    if job.remembers() {
        argv.extend(words("-reinit_filter 0"));
    }
    argv.extend(input(job.plan, source_url, job.seek_ticks()));
    argv.extend(["-filter_complex".to_owned(), graph(job)]);
    let keys: Vec<String> = idr_ticks(job).map(|ticks| ticks_to_decimal(ticks - job.chunk.start_ticks() + LEAD_TICKS)).collect();
    for rendition in job.renditions {
        argv.extend(output(rendition, &keys.join(",")));
        argv.extend(put(sink_url, &rendition.name));
    }
    argv.extend(seen::output(job, sink_url));
    argv
}

/// In [`Mode::Hold`] the grid's first picture of a segment comes at or after its start; asking at the start forces that one.
fn idr_ticks<'a>(job: &'a EncodeJob<'_>) -> Box<dyn Iterator<Item = i64> + 'a> {
    match job.mode {
        Mode::Planned => Box::new(job.chunk.idr_ticks.iter().copied()),
        Mode::Hold => Box::new(job.chunk.segments.iter().map(|segment| segment.start_ticks)),
    }
}

fn output(rendition: &Rendition, keys: &str) -> Vec<String> {
    let mut argv = vec!["-map".to_owned(), format!("[{}]", rendition.name)];
    argv.extend(words("-c:v libx264 -preset veryfast -profile:v high -crf 23 -threads 1 -g 100000 -keyint_min 1 -sc_threshold 0"));
    argv.extend(words("-forced-idr 1 -x264-params stitchable=1 -fps_mode passthrough -enc_time_base 1:90000"));
    let cap = rendition.maxrate_kbps;
    argv.extend(words(&format!("-maxrate {cap}k -bufsize {}k -level:v {}", cap * 2, f64::from(rendition.level) / 10.0)));
    argv.extend(["-force_key_frames".to_owned(), keys.to_owned()]);
    argv.extend(anonymous());
    argv.extend(fragments("frag_keyframe+"));
    argv
}

/// Cut, time, then scales cascaded from the largest to the smallest.
fn graph(job: &EncodeJob<'_>) -> String {
    let deinterlace = if job.video.interlaced { ",yadif=mode=send_frame:deint=interlaced" } else { "" };
    let (cut, first_ticks) = cut(job);
    // `gt` keeps the encoder from seeing one time twice, which would end it.
    let distinct = "select='isnan(prev_selected_pts)+gt(pts,prev_selected_pts)'";
    let shift = LEAD_TICKS - first_ticks;
    let seen = seen::branch(job, distinct).unwrap_or_default();
    let clock = clock(job.plan, "setpts");
    let alike = if job.remembers() { "scale," } else { "" };
    let mut graph = format!("[0:{}]{alike}{clock}{seen}{cut}{deinterlace},settb=1/90000,{distinct},setpts=PTS+{shift}", job.video.stream);
    let mut renditions = job.renditions.iter().rev().peekable();
    let mut colour = format!(",{}", colour(&job.video.colour));
    while let Some(rendition) = renditions.next() {
        let Rendition { name, width, height, .. } = rendition;
        graph += &format!(",scale={width}:{height}:flags=bicubic:out_range=tv,format=yuv420p,setsar=1{colour}");
        colour.clear();
        match renditions.peek() {
            Some(_) => graph += &format!(",split[{name}][below{name}];[below{name}]null"),
            None => graph += &format!("[{name}]"),
        }
    }
    graph
}

/// The filters that keep just the chunk's pictures, and the tick (as they count) at which the chunk starts.
fn cut(job: &EncodeJob<'_>) -> (String, i64) {
    let (chunk, origin) = (job.chunk, job.plan.origin_ticks);
    let (first, end) = (chunk.first_picture, chunk.end_picture);
    let start = origin + chunk.start_ticks();
    let counted = |rate: Rational| rate.inverse().ticks(first) - (chunk.first_picture_ticks - chunk.start_ticks());
    match (job.mode, job.video.cadence) {
        // Numbers close the gaps of pictures that do not decode: it is the end that runs dry.
        (Mode::Hold, Cadence::Counted { rate }) => (format!("{},{}", numbered(rate), hold(rate, first, end)), counted(rate)),
        (Mode::Hold, cadence) => {
            let rate = hold_rate(job.video.rate, cadence);
            let step = rate.inverse();
            let from = grid_at_or_after(start, step);
            (hold(rate, from, grid_at_or_after(origin + chunk.end_ticks(), step).max(from + 1)), start)
        }
        (Mode::Planned, Cadence::Source) => (format!("trim=start_pts={first}:end_pts={end}"), start),
        (Mode::Planned, Cadence::Constant { rate }) => (hold(rate, first, end), start),
        (Mode::Planned, Cadence::Counted { rate }) => (format!("{},trim=start_pts={first}:end_pts={end}", numbered(rate)), counted(rate)),
    }
}

/// Times by number, whatever the source's own.
pub(super) fn numbered(rate: Rational) -> String {
    format!("settb={}/{},setpts=N", rate.den, rate.num)
}

/// A constant rate, the last picture repeated to the end, of which pictures `from..end` of the grid are kept. The first `fps` makes the rate
/// known and lets a lone picture through, `tpad` repeats the last one for ever, the second `fps` repeats the first one back to the start.
fn hold(rate: Rational, from: i64, end: i64) -> String {
    let start = ticks_to_decimal(rate.inverse().ticks(from));
    let fps = format!("fps={}/{}:round=near", rate.num, rate.den);
    format!("{fps}:eof_action=pass,tpad=stop_mode=clone:stop=-1,{fps}:start_time={start},trim=start_pts={from}:end_pts={end}")
}

fn hold_rate(rate: Rational, cadence: Cadence) -> Rational {
    match cadence {
        Cadence::Constant { rate } | Cadence::Counted { rate } => rate,
        Cadence::Source => Rational { num: (rate.as_f64().round() as u32).clamp(5, 60), den: 1 },
    }
}

fn grid_at_or_after(ticks: i64, step: Rational) -> i64 {
    let near = Rational::TICK.rescale(ticks, step) - 1;
    (near..).find(|&index| step.ticks(index) >= ticks).unwrap_or(near)
}

/// Names the colours outright, so that every chunk's parameter sets are the same whatever the first picture says.
fn colour(colour: &Colour) -> String {
    let known = |value: &str, names: &[&str]| if names.contains(&value) { value.to_owned() } else { "unknown".to_owned() };
    let primaries =
        known(&colour.primaries, &["bt709", "bt470m", "bt470bg", "smpte170m", "smpte240m", "film", "bt2020", "smpte431", "smpte432"]);
    let transfer = known(
        &colour.transfer,
        &["bt709", "smpte170m", "smpte240m", "linear", "iec61966-2-1", "bt2020-10", "bt2020-12", "smpte2084", "arib-std-b67"],
    );
    let matrix = known(&colour.matrix, &["bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "bt2020nc", "bt2020c"]);
    format!("setparams=range=tv:color_primaries={primaries}:color_trc={transfer}:colorspace={matrix}")
}
