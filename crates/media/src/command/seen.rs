//! What the decoder gave, told beside the pictures that are made of it: where the output has a constant rate every hole is filled, and the number
//! of its pictures proves nothing.

use super::{EncodeJob, anonymous, put, words};
use crate::time::ticks_to_decimal;

/// Name of the output that lists the decoded pictures, one line each.
pub const SEEN: &str = "seen";

/// Longest line that is looked at; ffmpeg's are below 100 bytes.
const MAX_LINE_BYTES: usize = 256;

/// The decoded pictures of one attempt, with distinct times, in a chunk's interval and a little around it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many.
    pub pictures: u32,
    /// Time of the first, in ticks of the timeline.
    pub first_ticks: Option<i64>,
}

/// Reads the output [`SEEN`], in constant memory.
#[derive(Debug, Default)]
pub struct SeenReader {
    line: Vec<u8>,
    seen: Seen,
}

impl SeenReader {
    /// Takes the next bytes, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            // One octet more than is looked at marks a line as too long, wherever it was cut.
            let room = (MAX_LINE_BYTES + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                if self.line.len() <= MAX_LINE_BYTES {
                    self.take_line();
                }
                self.line.clear();
            }
        }
    }

    /// What was seen up to here.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// `stream, dts, pts, duration, size, checksum`; lines of the header begin with `#`.
    fn take_line(&mut self) {
        let text = std::str::from_utf8(&self.line).ok().filter(|text| !text.starts_with('#'));
        let Some(ticks) = text.and_then(|text| text.split(',').nth(2)?.trim().parse().ok()) else { return };
        self.seen.pictures = self.seen.pictures.saturating_add(1);
        self.seen.first_ticks = Some(self.seen.first_ticks.map_or(ticks, |first| first.min(ticks)));
    }
}

/// The stage of the filter graph that has a branch to `[seen]`, if this job has one: pictures as decoded, not copied, around the chunk's interval.
pub(super) fn branch(job: &EncodeJob<'_>, distinct: &str) -> Option<String> {
    let evidence = job.chunk.evidence?;
    let around = |ticks: i64| ticks_to_decimal(job.plan.origin_ticks + ticks);
    let (from, end) = (around(job.chunk.start_ticks() - evidence.slack_ticks), around(job.chunk.end_ticks() + evidence.slack_ticks));
    let origin = job.plan.origin_ticks;
    Some(format!(
        "split[made][decoded];[decoded]trim=start={from}:end={end},settb=1/90000,{distinct},setpts=PTS-({origin})[{SEEN}];[made]null"
    ))
}

/// The output: the encoder passes pictures on by reference, the format writes a line about each.
pub(super) fn output(job: &EncodeJob<'_>, sink_url: &str) -> Vec<String> {
    if job.chunk.evidence.is_none() {
        return Vec::new();
    }
    let mut argv = vec!["-map".to_owned(), format!("[{SEEN}]")];
    argv.extend(words("-c:v wrapped_avframe -fps_mode passthrough -enc_time_base 1:90000"));
    argv.extend(anonymous());
    argv.extend(words("-f framecrc"));
    argv.extend(put(sink_url, SEEN));
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cut_anywhere_count_the_same() {
        let text = "#software: Lavf59\n#tb 0: 1/90000\n0,   3600,   3600,  1, 472, 0x1\nrubbish\n0,      0,      0,  1, 472, 0x1\n0, 7";
        for step in [1, 7, 1000] {
            let mut reader = SeenReader::default();
            text.as_bytes().chunks(step).for_each(|bytes| reader.push(bytes));
            assert_eq!(reader.seen(), Seen { pictures: 2, first_ticks: Some(0) });
        }
        let long = format!("0, 1, 2,{}\n", " ".repeat(MAX_LINE_BYTES));
        for step in [1, 7, 1000] {
            let mut reader = SeenReader::default();
            long.as_bytes().chunks(step).for_each(|bytes| reader.push(bytes));
            assert_eq!(reader.seen().pictures, 0, "too long a line is none, not the part of it that fits");
        }
    }
}
