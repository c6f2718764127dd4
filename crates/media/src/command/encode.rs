//! One chunk, all renditions, one decode.

use super::graph::graph;
use super::{LEAD_TICKS, StartLevel, anonymous, fragments, input, opening, put, seen, words};
use crate::ladder::Rendition;
use crate::plan::{Plan, VideoPlan};
use crate::probe::Cadence;
use crate::time::ticks_to_decimal;
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
    pub(super) fn remembers(&self) -> bool {
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
