//! The filters of an encode, stage by stage.

use super::{EncodeJob, LEAD_TICKS, Mode, clock, seen};
use crate::ladder::Rendition;
use crate::plan::VideoPlan;
use crate::probe::{Cadence, Colour};
use crate::time::{Rational, ticks_to_decimal};

/// Keeps the encoder from seeing one time twice, which would end it.
const DISTINCT: &str = "select='isnan(prev_selected_pts)+gt(pts,prev_selected_pts)'";

/// The whole graph: one decode in, a label per rendition out, by the rendition's name.
///
/// What looks at neighbouring pictures (deinterlacing) stands before the cut, so that a chunk's first and last picture are those of one run over
/// everything; what looks at one picture at a time stands behind it, where only the chunk's own pictures cost anything.
pub(super) fn graph(job: &EncodeJob<'_>) -> String {
    let (cut, first_ticks) = cut(job);
    let stages =
        [alike(job), clock(job.plan, "setpts"), seen::branch(job, DISTINCT), deinterlace(job.video), Some(cut), Some(pace(first_ticks))];
    let shared = stages.into_iter().flatten().collect::<Vec<_>>().join(",");
    format!("[0:{}]{shared},{}", job.video.stream, cascade(job))
}

/// A first filter that keeps changes of size and format from those after it, which are not made anew: see [`EncodeJob::remembers`].
fn alike(job: &EncodeJob<'_>) -> Option<String> {
    job.remembers().then(|| "scale".to_owned())
}

/// One picture for each two fields, at their first one's time, in the time base of the source; pictures that are not flagged pass as they are.
fn deinterlace(video: &VideoPlan) -> Option<String> {
    let Rational { num, den } = video.time_base;
    video.interlaced.then(|| format!("bwdif=mode=send_frame:deint=interlaced,settb={num}/{den}"))
}

/// The encoder's clock: each picture at its distance from the chunk's start, which is at `first_ticks` as the cut counts.
fn pace(first_ticks: i64) -> String {
    let shift = LEAD_TICKS - first_ticks;
    format!("settb=1/90000,{DISTINCT},setpts=PTS+{shift}")
}

/// Scales from the largest rendition to the smallest, each made of the one above.
fn cascade(job: &EncodeJob<'_>) -> String {
    let mut graph = String::new();
    let mut renditions = job.renditions.iter().rev().peekable();
    let mut colour = format!(",{}", colour(&job.video.colour));
    while let Some(rendition) = renditions.next() {
        let Rendition { name, width, height, .. } = rendition;
        graph += &format!("scale={width}:{height}:flags=bicubic:out_range=tv,format=yuv420p,setsar=1{colour}");
        colour.clear();
        match renditions.peek() {
            Some(_) => graph += &format!(",split[{name}][below{name}];[below{name}]"),
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
