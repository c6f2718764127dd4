//! What ffmpeg makes of a source or a stream: the times of its pictures and sounds, and how alike two pictures are.

use std::path::Path;
use std::process::{Command, Stdio};

/// The decoded frames of one stream.
#[derive(Debug, Default)]
pub struct Track {
    /// When each begins, in seconds, in order.
    pub times: Vec<f64>,
    /// When the last one ends.
    pub end: f64,
}

/// The first picture and the first sound track of an input.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Absent when nothing of it decodes.
    pub picture: Option<Track>,
    /// Absent when nothing of it decodes.
    pub sound: Option<Track>,
}

/// Size and shape of a source's picture, upright and with square pixels.
pub fn shown_size(source: &Path) -> (f64, f64) {
    let entries = "stream=width,height,sample_aspect_ratio:stream_side_data=rotation:stream_tags=rotate";
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-select_streams", "v:0", "-show_entries", entries, "-of", "json"]).arg(source);
    let json: serde_json::Value = serde_json::from_str(&text(&mut probe)).expect("json");
    let stream = &json["streams"][0];
    let (width, height) = (stream["width"].as_f64().expect("a width"), stream["height"].as_f64().expect("a height"));
    let ratio = stream["sample_aspect_ratio"].as_str().and_then(|ratio| ratio.split_once(':'));
    let ratio = ratio.and_then(|(num, den)| Some(num.parse::<f64>().ok()? / den.parse::<f64>().ok()?)).unwrap_or(1.0);
    let side_data = stream["side_data_list"].as_array().into_iter().flatten();
    let rotation = side_data.filter_map(|side| side["rotation"].as_i64()).next().unwrap_or(0);
    if rotation.rem_euclid(180) == 90 { (height, width * ratio) } else { (width * ratio, height) }
}

/// Decodes all of `input`, a path or an address, with the timestamps it carries.
pub fn decode(input: &str) -> Decoded {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-copyts", "-i", input, "-map", "0:v:0?", "-map", "0:a:0?", "-c:v", "wrapped_avframe"]);
    ffmpeg.args(["-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "framecrc", "-"]);
    read_frames(&text(&mut ffmpeg))
}

/// The least PSNR of any picture of `stream` against the same one of `source`, in dB.
pub fn worst_psnr(source: &Path, stream: &str, size: (u64, u64)) -> f64 {
    let (width, height) = size;
    let graph = format!(
        "[0:v:0]scale={width}:{height}:flags=bicubic:out_range=tv,format=yuv420p,setsar=1,settb=1/1000,setpts=N[a];\
         [1:v:0]setsar=1,settb=1/1000,setpts=N[b];[a][b]psnr=stats_file=-"
    );
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-i"]).arg(source).args(["-i", stream, "-filter_complex", &graph]);
    ffmpeg.args(["-fps_mode", "passthrough", "-f", "null", "-"]);
    let stats = text(&mut ffmpeg);
    let values = stats.split_whitespace().filter_map(|word| word.strip_prefix("psnr_avg:"));
    values.map(|value| value.parse::<f64>().expect("a number")).reduce(f64::min).expect("pictures to compare")
}

/// What a program prints on standard output. Its exit code proves nothing: damaged inputs are among those decoded.
fn text(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("ffmpeg runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Reads the table of ffmpeg's framecrc: stream, dts, pts, duration, size, checksum.
fn read_frames(table: &str) -> Decoded {
    let (mut units, mut kinds) = ([1.0; 2], [""; 2]);
    let mut tracks = [Track::default(), Track::default()];
    for line in table.lines() {
        if let Some((index, unit)) = header(line, "#tb ") {
            let (num, den) = unit.split_once('/').expect("a fraction");
            units[index] = num.parse::<f64>().expect("a number") / den.parse::<f64>().expect("a number");
        } else if let Some((index, kind)) = header(line, "#media_type ") {
            kinds[index] = kind;
        } else if !line.starts_with('#') {
            let numbers: Vec<i64> = line.split(',').take(4).map(|word| word.trim().parse().expect("a number")).collect();
            let index = usize::try_from(numbers[0]).expect("an index");
            let (start, length) = (numbers[2] as f64 * units[index], numbers[3] as f64 * units[index]);
            tracks[index].times.push(start);
            tracks[index].end = tracks[index].end.max(start + length);
        }
    }
    let mut decoded = Decoded::default();
    for (mut track, kind) in tracks.into_iter().zip(kinds) {
        track.times.sort_by(f64::total_cmp);
        let place = if kind == "video" { &mut decoded.picture } else { &mut decoded.sound };
        *place = Some(track).filter(|track| !track.times.is_empty()).or(place.take());
    }
    decoded
}

fn header<'a>(line: &'a str, name: &str) -> Option<(usize, &'a str)> {
    let (index, value) = line.strip_prefix(name)?.split_once(": ")?;
    Some((index.parse().ok()?, value))
}
