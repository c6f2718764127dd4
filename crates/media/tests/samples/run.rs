//! Runs what the library says to run.

use crate::sink::Sink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use theatrum_media::cmaf::{AudioPackager, EncodedVideo, Init, PackagedSegment, VideoPackager};
use theatrum_media::command::{Attempts, EncodeJob, Outcome, SEEN, Seen, SeenReader, Step, audio_argv, encode_argv};
use theatrum_media::copy::{self, Look, Obstacle};
use theatrum_media::ladder::Rendition;
use theatrum_media::nal::{self, Head};
use theatrum_media::plan::Plan;
use theatrum_media::probe::{Facts, HEAD_BYTES, Index, PacketScan, Refusal, StreamReport, box_head, packets_argv, sniff, streams_argv};
use theatrum_media::timeline::Chunk;

/// The sample whose name begins with `prefix`, or `None`, said aloud, when there are no samples here.
pub fn sample(folder: &str, prefix: &str) -> Option<PathBuf> {
    let root = std::env::var_os("THEATRUM_SAMPLES").map_or_else(
        || {
            let up = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            ["../shared/media", "../../shared/media"].iter().map(|at| up.join(at)).find(|at| at.exists()).unwrap_or_default()
        },
        PathBuf::from,
    );
    let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
    let found = entries.map(|entry| entry.path()).find(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix));
    if found.is_none() {
        eprintln!("left out: no sample {folder}/{prefix}* (set THEATRUM_SAMPLES)");
    }
    found
}

/// Runs a program and gives stdout, the end of stderr, and whether it said success.
pub fn run(program: &str, argv: &[String]) -> (Vec<u8>, String, bool) {
    let output = Command::new(program).args(argv).stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let tail = stderr.chars().rev().take(4096).collect::<Vec<_>>().into_iter().rev().collect();
    (output.stdout, tail, output.status.success())
}

/// The probe job.
pub fn probe(path: &Path) -> Result<Facts, Refusal> {
    let bytes = std::fs::read(path).unwrap();
    let container = sniff(&bytes[..bytes.len().min(HEAD_BYTES)], bytes.len() as u64)?;
    let url = path.to_str().unwrap();
    let (json, stderr, success) = run("ffprobe", &streams_argv(container.demuxer, url));
    if !success {
        return Err(Refusal::from_ffprobe(&stderr));
    }
    let report = StreamReport::parse(&json)?;
    let chosen = report.choose()?;
    let index = moov(&bytes).and_then(Index::read);
    if let Some((index, packets)) = index.and_then(|index| index.packets(&chosen, bytes.len() as u64).map(|packets| (index, packets))) {
        let mut facts = Facts::new(container, bytes.len() as u64, &report, packets)?;
        look(&bytes, &index, &mut facts);
        return Ok(facts);
    }
    let mut scan = PacketScan::new(chosen);
    let (lines, stderr, _) = run("ffprobe", &packets_argv(container.demuxer, url));
    lines.chunks(1000).for_each(|bytes| scan.push(bytes));
    Facts::new(container, bytes.len() as u64, &report, scan.finish(&stderr))
}

/// The body of the file's `moov`.
pub fn moov(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        let head = box_head(rest, rest.len() as u64)?;
        let (start, end) = (head.head_bytes as usize, head.size_bytes as usize);
        if &head.kind == b"moov" {
            return Some(&rest[start..end]);
        }
        rest = &rest[end..];
    }
}

/// The look at the NAL units of what may be copied.
fn look(bytes: &[u8], index: &Index, facts: &mut Facts) {
    let Some(video) = &facts.video else { return };
    let invited = copy::invites(facts, video);
    let h264 = invited.and_then(|()| index.h264(video.stream, bytes.len() as u64).ok_or(Obstacle::Unseen));
    let found = h264.and_then(|h264| {
        let is_idr = |picture: usize| {
            let place = h264.places[picture];
            place.key && nal::head(&bytes[place.offset as usize..][..place.size_bytes as usize], 0) == Head::Idr
        };
        copy::groups(&h264.pictures, is_idr).map(|groups| Look { groups, level: h264.level, codec: h264.codec }).ok_or(Obstacle::Idrs)
    });
    facts.video.as_mut().unwrap().look = found;
}

/// One rendition of everything: init segment and segments in order, and how often a chunk was made again.
pub struct Made {
    pub init: Init,
    pub segments: Vec<PackagedSegment>,
    pub retries: usize,
    pub missing: u32,
}

/// All encode jobs, all given renditions; gives them in the same order.
pub fn encode(plan: &Plan, path: &Path, renditions: &[Rendition]) -> Vec<Made> {
    let video = plan.video.as_ref().unwrap();
    let mut made: Vec<Made> = Vec::new();
    for chunk in &video.chunks {
        let (outputs, retries, missing) = encode_chunk(plan, chunk, path, renditions);
        for (index, (mut segments, encoded)) in outputs.into_iter().enumerate() {
            segments.extend(encoded.segments.clone());
            match made.get_mut(index) {
                Some(made) => {
                    encoded.check_init(&made.init).unwrap();
                    made.segments.extend(segments);
                    made.retries += retries;
                    made.missing += missing;
                }
                None => made.push(Made { init: encoded.init, segments, retries, missing }),
            }
        }
    }
    made
}

type Output = (Vec<PackagedSegment>, EncodedVideo);

fn encode_chunk(plan: &Plan, chunk: &Chunk, path: &Path, renditions: &[Rendition]) -> (Vec<Output>, usize, u32) {
    let video = plan.video.as_ref().unwrap();
    let mut attempts = Attempts::default();
    for retries in 0..8 {
        let sink = Sink::new();
        let Attempts { level, mode, .. } = attempts;
        let job = EncodeJob { plan, video, chunk, renditions, level, mode };
        let (_, stderr, _) = run("ffmpeg", &encode_argv(&job, path.to_str().unwrap(), &sink.url));
        let outputs: Vec<Output> = renditions.iter().map(|rendition| package(&sink, chunk, rendition, &stderr)).collect();
        let (pictures, first_ticks) = (outputs[0].1.pictures.clone(), outputs[0].1.first_ticks);
        assert!(outputs.iter().all(|(_, encoded)| encoded.pictures == pictures), "renditions differ: {stderr}");
        let seen = chunk.evidence.map(|_| seen(&sink));
        let outcome = Outcome { pictures, first_ticks, seen, level, mode };
        match attempts.judge(chunk, &outcome, &stderr) {
            Step::Keep { missing } => return (outputs, retries, missing),
            Step::Again => {}
            Step::Hopeless => panic!("nothing decodes: {stderr}"),
        }
        eprintln!("chunk {}: not from {level:?} {mode:?}: got {} of {}: {stderr:.300}", chunk.index, outcome.got(), chunk.pictures);
    }
    panic!("no verdict");
}

fn seen(sink: &Sink) -> Seen {
    let mut reader = SeenReader::default();
    sink.take(SEEN).chunks(41).for_each(|bytes| reader.push(bytes));
    reader.seen()
}

fn package(sink: &Sink, chunk: &Chunk, rendition: &Rendition, stderr: &str) -> Output {
    let mut packager = VideoPackager::new(chunk, rendition.width, rendition.height);
    let body = sink.take(&rendition.name);
    let pushed = body.chunks(4097).map(|bytes| packager.push(bytes).unwrap_or_else(|error| panic!("{error}: {stderr}")));
    let segments = pushed.flatten().collect();
    (segments, packager.finish().unwrap_or_else(|error| panic!("{error}: {stderr}")))
}

/// The audio job.
pub fn sound(plan: &Plan, path: &Path) -> (Init, Vec<PackagedSegment>) {
    let sink = Sink::new();
    let (_, stderr, _) = run("ffmpeg", &audio_argv(plan, plan.audio.as_ref().unwrap(), path.to_str().unwrap(), &sink.url));
    let mut packager = AudioPackager::new(&plan.segments);
    let mut segments = Vec::new();
    for bytes in sink.take("audio").chunks(1013) {
        segments.extend(packager.push(bytes).unwrap_or_else(|error| panic!("{error}: {stderr}")));
    }
    let end = packager.finish().unwrap_or_else(|error| panic!("{error}: {stderr}"));
    segments.extend(end.segments);
    (end.init, segments)
}

/// Presentation times of the segments' samples, in units of their track, read back from the bytes as a player would.
pub fn times(init: &Init, segments: &[PackagedSegment]) -> Vec<i64> {
    let mut reader = theatrum_media::cmaf::FragmentReader::new();
    reader.push(&init.bytes).unwrap();
    let mut times = Vec::new();
    for segment in segments {
        reader.push(&segment.bytes).unwrap();
        times.extend(std::iter::from_fn(|| reader.next_sample()).map(|sample| sample.pts));
    }
    times.sort_unstable();
    times
}
