//! How far ffmpeg is: the blocks of `key=value` lines that `-progress pipe:1` prints.

use tokio::sync::{mpsc, watch};

/// Batches that may wait; each is a few hundred bytes.
const BATCHES: usize = 16;

/// ffmpeg's last complete block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Pictures encoded so far.
    pub frames: u64,
    /// The latest timestamp written, which may be negative; `None` before the first.
    pub out_time_us: Option<i64>,
    /// Whether this was the last block.
    pub is_end: bool,
}

impl Progress {
    /// Takes one line; true when it ended a block.
    pub fn take(&mut self, line: &str) -> bool {
        match line.split_once('=').map(|(key, value)| (key, value.trim())) {
            Some(("frame", value)) => self.frames = value.parse().unwrap_or(self.frames),
            Some(("out_time_us", value)) => self.out_time_us = value.parse().ok().or(self.out_time_us),
            Some(("progress", value)) => {
                self.is_end = value == "end";
                return true;
            }
            _ => {}
        }
        false
    }
}

/// A standard output for [`super::Run::stdout`] and the progress it shows. The watch closes when the run ends.
pub fn follow() -> (mpsc::Sender<Vec<String>>, watch::Receiver<Progress>) {
    let (lines, mut batches) = mpsc::channel::<Vec<String>>(BATCHES);
    let (latest, progress) = watch::channel(Progress::default());
    tokio::spawn(async move {
        let mut block = Progress::default();
        while let Some(batch) = batches.recv().await {
            for line in batch {
                if block.take(&line) {
                    latest.send_replace(block);
                }
            }
        }
    });
    (lines, progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn blocks_of_ffmpeg_5_and_its_na_values() {
        let (lines, mut progress) = follow();
        let text = "frame=0\nout_time_us=N/A\nprogress=continue\nframe=  30\nfps=1.0\nout_time_us=-21333\nout_time=00:00\nprogress=end";
        lines.send(text.lines().map(str::to_owned).collect()).await.expect("a follower");
        drop(lines);
        while progress.changed().await.is_ok() {}
        assert_eq!(*progress.borrow(), Progress { frames: 30, out_time_us: Some(-21333), is_end: true });
    }
}
