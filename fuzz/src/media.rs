//! Targets of `crates/media`: what reads sources, what ffprobe and ffmpeg say of them, and our own segments.

use std::collections::BTreeSet;
use theatrum_media::checklist::{InitFacts, Presentation, Rendition, SegmentFacts, check};
use theatrum_media::cmaf::{AudioPackager, CmafError, Init, Layout, PackagedSegment, SegmentHead, Track, VideoPackager};
use theatrum_media::command::{EncodeJob, Mode, SeenReader, StartLevel, audio_argv, copy_argv, encode_argv, still_argv};
use theatrum_media::copy::{self, Look};
use theatrum_media::crypt::{BLOCK_BYTES, ContentKey, initial_vector};
use theatrum_media::nal::{Filter, Head, head};
use theatrum_media::plan::Plan;
use theatrum_media::playlist::{is_growing, segments_listed};
use theatrum_media::probe::{
    BOX_HEAD_BYTES, Chosen, Container, Demuxer, Facts, HEAD_BYTES, Index, PacketScan, Packets, Points, StreamReport, box_head, sniff,
};
use theatrum_media::time::TICKS_PER_SECOND;
use theatrum_media::timeline::Segment;

/// A target's name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 6] =
    [("index", index), ("probe", probe), ("fragments", fragments), ("segments", segments), ("nal", nal), ("playlists", playlists)];

/// What an MP4 whose `moov` is fuzzed is said to be long.
const FILE_BYTES: u64 = 1 << 40;
/// Longer lists are read, but not planned: that takes its time, and nothing new comes of it.
const MOST_PLANNED: usize = 20_000;
const SOURCE: &str = "http://127.0.0.1/source";
const SINK: &str = "http://127.0.0.1/out";

/// The head of a file, and the body of a `moov`: what is read of it must lie in the file, and whatever facts come of it must make a plan.
pub fn index(data: &[u8]) {
    let _ = sniff(&data[..data.len().min(HEAD_BYTES)], FILE_BYTES);
    let _ = box_head(&data[..data.len().min(BOX_HEAD_BYTES as usize)], data.len() as u64);
    let Some(index) = Index::read(data) else { return };
    for stream in 0..3 {
        let chosen = Chosen { video: Some(stream), audio: (0..3).filter(|&other| other != stream).collect() };
        let _ = index.packets(&chosen, FILE_BYTES);
        let chosen = Chosen { video: Some(stream), audio: Vec::new() };
        let Some(packets) = index.packets(&chosen, FILE_BYTES) else { continue };
        let h264 = index.h264(stream, FILE_BYTES);
        if let Some(h264) = &h264 {
            assert_eq!(h264.pictures.len(), h264.places.len());
            assert!(h264.places.iter().all(|place| place.offset + place.size_bytes <= FILE_BYTES));
            let candidates: BTreeSet<usize> = h264.candidates(1000).into_iter().collect();
            assert!(candidates.iter().all(|&at| h264.places[at].key));
            let _ = copy::groups(&h264.pictures, |at| candidates.contains(&at));
        }
        if packets.video.len() <= MOST_PLANNED {
            plan_of_index(stream, packets, h264.map(|h264| h264.level));
        }
    }
}

/// The plan of a file with these packets, copied if its level is known.
fn plan_of_index(stream: u32, packets: Packets, level: Option<u8>) {
    let report = format!(
        r#"{{"streams":[{{"index":{stream},"codec_type":"video","codec_name":"h264","profile":"High","width":640,"height":360,
        "pix_fmt":"yuv420p","field_order":"progressive","avg_frame_rate":"25/1","time_base":"1/12800"}}]}}"#
    );
    let report = StreamReport::parse(report.as_bytes()).expect("a report");
    let pictures = packets.video.clone();
    let container = Container { demuxer: Demuxer::Mov, declared_bytes: None };
    let Ok(mut facts) = Facts::new(container, FILE_BYTES, &report, packets) else { return };
    if let (Some(video), Some(level)) = (&mut facts.video, level) {
        let groups = copy::groups(&pictures, |at| pictures[at].key);
        video.look = groups.map(|groups| Look { groups, level, codec: String::new() }).ok_or(copy::Obstacle::Idrs);
    }
    check_plan(&facts);
}

/// ffprobe's JSON, its packet lines and its complaints, with a zero octet between them: facts or a refusal, and a plan that holds together.
pub fn probe(data: &[u8]) {
    let Some((&knobs, rest)) = data.split_first() else { return };
    let mut parts = rest.split(|&byte| byte == 0);
    let (json, lines, said) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    seen(lines);
    let Ok(report) = StreamReport::parse(json) else { return };
    let Ok(chosen) = report.choose() else { return };
    let said = String::from_utf8_lossy(said);
    let scan = |step: usize| {
        let mut scan = PacketScan::new(chosen.clone());
        lines.chunks(step).for_each(|piece| scan.push(piece));
        scan.finish(&said)
    };
    let packets = scan(usize::MAX);
    assert_eq!(format!("{packets:?}"), format!("{:?}", scan(7)), "where lines are cut makes no difference");
    let demuxers = [Demuxer::Mov, Demuxer::Matroska, Demuxer::MpegTs, Demuxer::Avi];
    let container =
        Container { demuxer: demuxers[usize::from(knobs & 3)], declared_bytes: (knobs & 4 != 0).then_some(u64::from(knobs) << 12) };
    let Ok(facts) = Facts::new(container, u64::from(knobs) << 10, &report, packets) else { return };
    if facts.video.as_ref().is_some_and(|video| video.pictures.0.len() > MOST_PLANNED) {
        return;
    }
    check_plan(&facts);
    for (in_ms, out_ms) in [(0, Some(1)), (u64::from(knobs) * 40, None), (1000, Some(u64::from(knobs) * 100)), (u64::MAX, Some(0))] {
        check_one(&Plan::trimmed(&facts, 2, Points::of_ms(in_ms, out_ms)));
    }
}

/// The list of decoded pictures that ffmpeg writes.
fn seen(lines: &[u8]) {
    let read = |step: usize| {
        let mut reader = SeenReader::default();
        lines.chunks(step).for_each(|piece| reader.push(piece));
        reader.seen()
    };
    assert_eq!(read(usize::MAX), read(5), "where lines are cut makes no difference");
}

fn check_plan(facts: &Facts) {
    for slots in [1, 2, 64] {
        check_one(&Plan::new(facts, slots));
    }
}

/// Every plan holds together, reads back from its row, and can be told to ffmpeg.
fn check_one(plan: &Plan) {
    let row = serde_json::to_vec(plan).expect("a plan is written");
    assert_eq!(&serde_json::from_slice::<Plan>(&row).expect("a plan is read"), plan);
    let ends = || plan.segments.iter().map(|segment| segment.end_ticks);
    assert_eq!(plan.segments.first().map(|segment| segment.start_ticks), Some(0));
    assert!(plan.segments.iter().skip(1).map(|segment| segment.start_ticks).eq(ends().take(plan.segments.len() - 1)), "no gap, no overlap");
    assert_eq!(ends().next_back(), Some(plan.duration_ticks));
    let _ = (plan.most_bytes(), plan.duration_ms());
    let mut commands: Vec<Vec<String>> = plan.audio.iter().map(|audio| audio_argv(plan, audio, SOURCE, SINK)).collect();
    if let Some(video) = &plan.video {
        let held: usize = video.chunks.iter().map(|chunk| chunk.segments.len()).sum();
        assert_eq!(held, plan.segments.len(), "each segment is in one chunk");
        assert!(video.ladder().all(|rendition| rendition.width % 2 == 0 && rendition.height % 2 == 0 && rendition.width > 0));
        commands.push(copy_argv(plan, video, "copy", SOURCE, SINK));
        for level in [StartLevel::Near, StartLevel::FromStart] {
            commands.push(still_argv(plan, video, level, SOURCE, SINK));
            for (chunk, mode) in video.chunks.iter().take(3).zip([Mode::Planned, Mode::Hold, Mode::Planned]) {
                let job = EncodeJob { plan, video, chunk, renditions: &video.renditions, level, mode };
                commands.push(encode_argv(&job, SOURCE, SINK));
            }
        }
    }
    // What a file says of itself reaches ffmpeg as numbers only.
    assert!(commands.iter().flatten().all(|word| word.bytes().all(|byte| (0x20..0x7f).contains(&byte))));
}

/// A fragmented MP4 as an encoder in the hands of an attacker sends it: segments or an error, the same wherever it was cut, and none that we
/// could not read back.
pub fn fragments(data: &[u8]) {
    let Some((&knobs, stream)) = data.split_first() else { return };
    let step = usize::from(knobs >> 2) * 31 + 1;
    let (whole, pieces) = (package(knobs, stream, usize::MAX), package(knobs, stream, step));
    assert_eq!(whole.is_ok(), pieces.is_ok(), "where a stream is cut makes no difference");
    let (Ok((init, segments)), Ok(others)) = (whole, pieces) else { return };
    assert_eq!((&init, &segments), (&others.0, &others.1));
    if segments.is_empty() {
        return;
    }
    let heads = segments.iter().map(|segment| {
        assert!(segment.duration_ticks >= 0 && segment.samples > 0);
        SegmentHead::read(&segment.bytes).expect("our own segment").expect("a whole segment")
    });
    let layout = Layout::new(&[Track { init: init.bytes, segments: heads.collect() }]).expect("our own segments");
    assert!(layout.size_bytes() >= layout.head.len() as u64);
    round_trip(&segments[0].bytes);
}

fn timeline() -> Vec<Segment> {
    let at = |index: i64| index * TICKS_PER_SECOND;
    (0..4).map(|index| Segment { start_ticks: at(index), end_ticks: at(index + 1), pictures: 25 }).collect()
}

type Packaged = (Init, Vec<PackagedSegment>);

fn package(knobs: u8, stream: &[u8], step: usize) -> Result<Packaged, CmafError> {
    let (timeline, mut segments) = (timeline(), Vec::new());
    if knobs & 1 == 0 {
        let mut packager = AudioPackager::new(&timeline);
        for piece in stream.chunks(step) {
            segments.extend(packager.push(piece)?);
        }
        let made = packager.finish()?;
        segments.extend(made.segments);
        return Ok((made.init, segments));
    }
    let mut packager = if knobs & 2 == 0 { VideoPackager::copying(&timeline, 640, 360) } else { encoded(&timeline) };
    for piece in stream.chunks(step) {
        segments.extend(packager.push(piece)?);
    }
    let made = packager.finish()?;
    assert!(made.pictures.iter().map(|&pictures| pictures as usize).sum::<usize>() >= made.segments.len());
    segments.extend(made.segments);
    Ok((made.init, segments))
}

/// The packager of a chunk whose pictures were encoded.
fn encoded(timeline: &[Segment]) -> VideoPackager {
    let chunk = serde_json::json!({
        "index": 0, "first_segment": 0, "segments": timeline, "first_picture": 0, "end_picture": 100, "pictures": 100,
        "first_picture_ticks": 0, "idr_ticks": [], "near_ticks": null, "earlier_ticks": null, "loose_seek": false, "evidence": null,
    });
    VideoPackager::new(&serde_json::from_value(chunk).expect("a chunk"), 640, 360)
}

/// Encrypted and decrypted a segment is the same.
fn round_trip(clear: &[u8]) {
    let (key, mut bytes) = (ContentKey::from_bytes([7; BLOCK_BYTES]), clear.to_vec());
    key.encrypt(3, &mut bytes).expect("encrypted");
    key.decrypt_blocks(initial_vector(3), &mut bytes).expect("decrypted");
    assert_eq!(&bytes[..clear.len()], clear);
}

/// The head of a segment, which a download is laid out by: what it announces is in it, and more bytes change nothing.
pub fn segments(data: &[u8]) {
    let whole = SegmentHead::read(data);
    for length in [data.len() / 2, data.len().saturating_sub(1)] {
        match (&whole, SegmentHead::read(&data[..length])) {
            (Ok(Some(head)), Ok(Some(early))) => assert_eq!(*head, early),
            (Err(_) | Ok(None), Ok(Some(_))) => panic!("fewer bytes say more"),
            _ => {}
        }
    }
    let Ok(Some(head)) = whole else { return };
    for init in [Init::audio().expect("an init segment").bytes, data.to_vec()] {
        let tracks = [Track { init, segments: vec![head.clone(), head.clone()] }];
        if let Ok(layout) = Layout::new(&tracks) {
            assert!(layout.pieces.windows(2).all(|pair| pair[0].end() == pair[1].at), "no gap between pieces");
            assert_eq!(layout.pieces.first().map(|piece| piece.at), Some(layout.head.len() as u64));
        }
    }
}

/// Access units of H.264: what is passed on passes again as it is, and its beginning is told from any part of it.
pub fn nal(data: &[u8]) {
    let Some((&skip, unit)) = data.split_first() else { return };
    let skip = u64::from(skip);
    if let Head::Further(at) = head(unit, skip) {
        assert!(at > skip, "it goes forward");
        let inside = usize::try_from(at - skip).ok().and_then(|from| unit.get(from..)).filter(|rest| rest.len() > 4);
        assert!(inside.is_none(), "what is there is read");
    }
    let filter = Filter::new(vec![vec![0x67, 1], vec![0x68, 2]]);
    let Ok(passed) = filter.pass(unit) else { return };
    assert!(passed.len() <= unit.len());
    assert_eq!(filter.pass(&passed).as_ref(), Ok(&passed), "what is passed on passes again");
    assert!(matches!(head(&passed, 0), Head::Idr | Head::Other | Head::Further(_)));
}

/// A master playlist, a media playlist and boxes, with a zero octet between them: the checklist reads what is no playlist of ours too, and
/// complains of it.
pub fn playlists(data: &[u8]) {
    let mut parts = data.splitn(3, |&byte| byte == 0);
    let text = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or_default()).into_owned();
    let (master, playlist, boxes) = (text(parts.next()), text(parts.next()), parts.next().unwrap_or_default());
    let segments: Vec<SegmentFacts> = SegmentFacts::read(boxes, boxes.len() as u64).into_iter().collect();
    if let (Some(facts), Ok(Some(_))) = (segments.first(), SegmentHead::read(boxes)) {
        assert!(facts.samples > 0, "two readers, one segment");
    }
    let sound = Init::audio().expect("an init segment").bytes;
    for init in [boxes, &sound] {
        let rendition = |uri| Rendition { uri, playlist: &playlist, init, segments: segments.clone() };
        let findings = check(&Presentation {
            master: &master,
            renditions: vec![rendition("a/playlist.m3u8"), rendition("b")],
            deliveries: Vec::new(),
        });
        // One list cannot be of one segment and of one address each: something is always wrong.
        assert!(!findings.is_empty());
        assert!(findings.iter().all(|finding| !finding.to_string().is_empty()));
    }
    let _ = (InitFacts::read(boxes), is_growing(master.as_bytes()));
    assert!(segments_listed(playlist.as_bytes()) <= playlist.len());
}
