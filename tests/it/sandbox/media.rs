//! Real media through the door: seeks in, several outputs out.

use super::*;
use std::process::Command;
use theatrum::worker::door::{SOURCE_URL, output_url};
use theatrum::worker::ffmpeg::follow;

/// Eight seconds with B-frames, sound, and a key picture every second, in the container that `args` ask for.
fn sample(folder: &Path, name: &str, args: &str) -> Bytes {
    let path = folder.join(name);
    let video = "-f lavfi -i testsrc=size=640x360:rate=25:duration=8 -f lavfi -i sine=duration=8 -c:v libx264 -b:v 3M -minrate 3M -g 25";
    let mut command = Command::new(tools().ffmpeg);
    command.args("-nostdin -v error".split(' ')).args(video.split(' ')).args("-nal-hrd cbr -bufsize 1M -c:a aac".split(' '));
    assert!(command.args(args.split_ascii_whitespace()).arg(&path).status().expect("ffmpeg").success());
    Bytes::from(std::fs::read(path).expect("a sample"))
}

async fn picture_hashes(sandbox: &Sandbox, source: &Bytes, input: &str) -> (Finished, Vec<String>) {
    let args = format!("{input} -i {SOURCE_URL} -map 0:v -frames:v 5 -fps_mode passthrough -f framemd5 -");
    let (finished, lines) = lines(sandbox, ffmpeg(&args, Memory(source.clone()))).await;
    assert!(finished.success, "{}", finished.stderr_tail);
    let hash = |line: String| line.rsplit(',').next().map(|hash| hash.trim().to_owned());
    (finished, lines.into_iter().filter(|line| !line.starts_with('#')).filter_map(hash).collect())
}

#[tokio::test]
async fn every_container_seeks_and_reads_only_what_it_needs() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().expect("a folder");
    let containers = [("moov-last.mp4", ""), ("moov-first.mp4", "-movflags +faststart"), ("a.mkv", ""), ("a.ts", "")];
    for (name, args) in containers {
        let source = sample(folder.path(), name, args);
        let (_, all) = picture_hashes(&sandbox, &source, "").await;
        assert_eq!(all.len(), 5, "{name}");
        let (finished, late) = picture_hashes(&sandbox, &source, "-ss 6").await;
        assert_eq!(late.len(), 5, "{name}");
        assert_ne!(all, late, "{name}");
        if name != "a.ts" {
            let same = Command::new(tools().ffmpeg)
                .args("-nostdin -v error -ss 6 -i".split(' '))
                .arg(folder.path().join(name))
                .args("-map 0:v -frames:v 5 -fps_mode passthrough -f framemd5 -".split(' '))
                .output()
                .expect("ffmpeg");
            let text = String::from_utf8(same.stdout).expect("text");
            assert!(late.iter().all(|hash| text.contains(hash.as_str())), "{name}: not the pictures a plain file gives");
        }
        println!("{name}: {} of {} bytes for five pictures at 6 s", finished.door_bytes_read, source.len());
    }
}

#[tokio::test]
async fn several_outputs_arrive_complete_and_progress_is_seen() {
    let sandbox = sandbox().await;
    let folder = tempfile::tempdir().expect("a folder");
    let source = sample(folder.path(), "a.mp4", "");
    let encode = "-c:v libx264 -preset ultrafast -f mp4 -movflags +frag_keyframe+empty_moov+default_base_moof -method PUT";
    let args = format!(
        "-progress pipe:1 -i {SOURCE_URL} -map 0:v -s 320x180 {encode} {} -map 0:v -s 160x90 {encode} {} -map 0:a -c:a copy -f mp4 -movflags +frag_keyframe+empty_moov -method PUT {}",
        output_url("180p"),
        output_url("90p"),
        output_url("audio"),
    );
    let (stdout, progress) = follow();
    let mut run = ffmpeg(&args, Memory(source));
    run.stdout = Some(stdout);
    let (finished, outputs) = collect(&sandbox, run, &["180p", "90p", "audio"]).await;
    assert!(finished.success, "{finished:?}");
    let sizes: Vec<u64> = finished.outputs.iter().map(|output| output.size_bytes).collect();
    assert_eq!(sizes, outputs.iter().map(|bytes| bytes.len() as u64).collect::<Vec<_>>());

    let mut progress = progress;
    while progress.changed().await.is_ok() {}
    let last = *progress.borrow();
    assert!(last.is_end && last.frames == 200 && last.out_time_us > Some(7_000_000), "{last:?}");

    for (bytes, packets) in outputs.into_iter().zip([200, 200, 345]) {
        let args = format!("-v error -count_packets -show_entries stream=nb_read_packets -of csv=p=0 {SOURCE_URL}");
        let (finished, lines) = lines(&sandbox, super::run(Program::Ffprobe, &args, Memory(Bytes::from(bytes)))).await;
        assert!(finished.success, "{}", finished.stderr_tail);
        let count: u64 = lines[0].trim_end_matches(',').parse().expect("a count");
        assert!(count.abs_diff(packets) <= 2, "{count} packets, not {packets}");
    }
}

#[tokio::test]
async fn many_lines_and_many_runs_at_once() {
    let sandbox = sandbox().await;
    let frames = 30_000;
    let one = || async {
        let args = format!("-f lavfi -i nullsrc=size=16x16:rate=1000 -frames:v {frames} -f framecrc -");
        let (finished, lines) = lines(&sandbox, ffmpeg(&args, Memory(Bytes::new()))).await;
        assert!(finished.success, "{finished:?}");
        lines.iter().filter(|line| !line.starts_with('#')).count()
    };
    assert_eq!(tokio::join!(one(), one(), one(), one()), (frames, frames, frames, frames));
}
