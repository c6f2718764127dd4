//! Little films made by ffmpeg, and what a player makes of a playback URL.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Pictures of [`clip`]: six seconds, 25 a second.
pub const PICTURES: usize = 150;

/// Six seconds of 320×180 with sound, in `folder`: published in about a second.
pub fn clip(folder: &Path, name: &str) -> PathBuf {
    film(folder, name, "testsrc2=s=320x180:r=25:d=6", 6)
}

/// A minute of 1280×720 with sound: encoded for longer than any test needs to look.
pub fn long_clip(folder: &Path, name: &str) -> PathBuf {
    film(folder, name, "testsrc2=s=1280x720:r=25:d=60", 60)
}

/// As [`clip`], of 640×360 and so restless that its renditions are a few hundred kilobytes each.
pub fn busy_clip(folder: &Path, name: &str) -> PathBuf {
    film(folder, name, "testsrc2=s=640x360:r=25:d=6,noise=alls=60:allf=t", 6)
}

/// [`clip`] made larger by an empty box of `padding_bytes` (ISO/IEC 14496-12 §8.1.2), which readers skip.
pub fn padded_clip(folder: &Path, name: &str, padding_bytes: u32) -> PathBuf {
    let path = clip(folder, name);
    let mut file = OpenOptions::new().write(true).open(&path).expect("the clip");
    let end = file.seek(SeekFrom::End(0)).expect("a length");
    file.write_all(&[&padding_bytes.to_be_bytes(), b"free".as_slice()].concat()).expect("space on the disk");
    file.set_len(end + u64::from(padding_bytes)).expect("a sparse end");
    path
}

/// [`clip`] with a box of random bytes behind it (ISO/IEC 14496-12 §8.1.2), which readers skip: `size_bytes` in all, no two parts alike.
pub fn noisy_clip(folder: &Path, name: &str, size_bytes: u64) -> PathBuf {
    let path = clip(folder, name);
    let mut file = OpenOptions::new().append(true).open(&path).expect("the clip");
    let mut left = size_bytes - file.metadata().expect("its size").len();
    let mut piece = [&u32::try_from(left).expect("four gigabytes at most").to_be_bytes(), b"free".as_slice()].concat();
    while left > 0 {
        file.write_all(&piece).expect("space on the disk");
        left -= piece.len() as u64;
        piece.resize(left.min(1 << 20) as usize, 0);
        aws_lc_rs::rand::fill(&mut piece).expect("randomness");
    }
    path
}

/// `pictures`, a source of ffmpeg's lavfi, with a tone, for so many seconds.
pub fn film(folder: &Path, name: &str, pictures: &str, seconds: u32) -> PathBuf {
    let path = folder.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", &format!("sine=d={seconds}")]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-c:a", "aac"]).arg(&path);
    let output = command.output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

/// Plays a URL to its end; gives how many pictures came. Sound must come too, and not one complaint.
pub fn play(url: &str) -> usize {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-xerror", "-i", url, "-map", "0:v:0", "-map", "0:a:0", "-f", "framemd5", "-"]);
    let output = command.output().expect("ffmpeg is installed");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{url} does not play: {complaints}");
    let frames = String::from_utf8(output.stdout).expect("text");
    let of_stream = |mark: &str| frames.lines().filter(|line| line.starts_with(mark)).count();
    assert!(of_stream("1,") > 0, "{url} is silent");
    of_stream("0,")
}
