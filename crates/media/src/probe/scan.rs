//! Reads ffprobe's packet lines as they arrive: the evidence everything else rests on.

use super::streams::Chosen;
use std::collections::BTreeMap;

/// Most video packets remembered; more is refused as too long.
pub const MAX_PICTURES: usize = 3_000_000;

/// Longest line kept; ffprobe's are below 200 bytes.
const MAX_LINE_BYTES: usize = 4096;

/// One video packet, times in units of its stream's time base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// Presentation time, if it has one.
    pub pts: Option<i64>,
    /// Decode time, if it has one.
    pub dts: Option<i64>,
    /// Claimed duration, 0 if none.
    pub duration: i64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Whether decoding may begin here.
    pub key: bool,
    /// Whether an edit list hides it: decoded, never shown.
    pub discard: bool,
}

/// Most pauses in the sound remembered, the longest ones.
const MAX_PAUSES: usize = 64;

/// A time between two packets, in units of their stream's time base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// The latest end so far.
    pub end_pts: i64,
    /// When the next packet begins.
    pub next_pts: i64,
}

/// What the packets of one audio stream cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioSpan {
    /// Presentation time of the first packet in the file, in units of the stream's time base; not the earliest where the clock runs back.
    pub first_pts: i64,
    /// Earliest presentation time, in units of the stream's time base.
    pub start_pts: i64,
    /// End of the latest packet.
    pub end_pts: i64,
    /// Number of packets.
    pub packets: u64,
    /// How long all packets together last.
    pub length: i64,
    /// The longest pauses, in no order.
    pub pauses: Vec<Pause>,
}

/// Everything the packets say.
#[derive(Debug, Clone, Default)]
pub struct Packets {
    /// The chosen video stream's packets in decode order.
    pub video: Vec<Picture>,
    /// Spans by audio stream.
    pub audio: BTreeMap<u32, AudioSpan>,
    /// More video packets than [`MAX_PICTURES`].
    pub too_many: bool,
    /// ffprobe met the end of the file where the index promised data; the last video packet is then a stump.
    pub cut_short: bool,
}

/// Push parser for the output of [`super::packets_argv`]; memory is bounded by [`MAX_PICTURES`].
#[derive(Debug)]
pub struct PacketScan {
    chosen: Chosen,
    line: Vec<u8>,
    packets: Packets,
}

impl PacketScan {
    /// Starts a scan that keeps the packets of the chosen streams.
    pub fn new(chosen: Chosen) -> Self {
        Self { chosen, line: Vec::new(), packets: Packets::default() }
    }

    /// Takes the next bytes of ffprobe's stdout, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            // One octet more than is kept marks a line as too long, wherever it was cut.
            let room = (MAX_LINE_BYTES + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.take_line(&line);
                self.line = line;
                self.line.clear();
            }
        }
    }

    /// Ends the scan. `stderr_tail` is the end of ffprobe's stderr, in which it complains of a file cut short.
    pub fn finish(mut self, stderr_tail: &str) -> Packets {
        let line = std::mem::take(&mut self.line);
        self.take_line(&line);
        self.packets.cut_short = stderr_tail.contains("partial file");
        self.packets
    }

    fn take_line(&mut self, line: &[u8]) {
        let Some(line) = std::str::from_utf8(line).ok().filter(|line| line.len() <= MAX_LINE_BYTES) else { return };
        let mut fields = Fields::default();
        line.trim_end().split('|').filter_map(|field| field.split_once('=')).for_each(|(key, value)| fields.set(key, value));
        let Some(stream) = fields.stream else { return };
        if self.chosen.video == Some(stream) {
            if self.packets.video.len() < MAX_PICTURES {
                self.packets.video.push(fields.picture);
            } else {
                self.packets.too_many = true;
            }
        } else if self.chosen.audio.contains(&stream) {
            self.take_audio(stream, fields.picture);
        }
    }

    fn take_audio(&mut self, stream: u32, packet: Picture) {
        let Some(pts) = packet.pts.or(packet.dts).filter(|_| !packet.discard) else { return };
        let end = pts.saturating_add(packet.duration.max(0));
        let span = self.packets.audio.entry(stream).or_insert(AudioSpan {
            first_pts: pts,
            start_pts: pts,
            end_pts: pts,
            packets: 0,
            length: 0,
            pauses: Vec::new(),
        });
        span.take_pause(Pause { end_pts: span.end_pts, next_pts: pts });
        span.length = span.length.saturating_add(packet.duration.max(0));
        span.start_pts = span.start_pts.min(pts);
        span.end_pts = span.end_pts.max(end);
        span.packets += 1;
    }
}

impl AudioSpan {
    fn take_pause(&mut self, pause: Pause) {
        let length = |pause: &Pause| pause.next_pts.saturating_sub(pause.end_pts);
        if length(&pause) <= 0 {
            return;
        }
        self.pauses.push(pause);
        if self.pauses.len() > MAX_PAUSES {
            let shortest = (0..self.pauses.len()).min_by_key(|&at| length(&self.pauses[at])).unwrap_or(0);
            self.pauses.swap_remove(shortest);
        }
    }
}

struct Fields {
    stream: Option<u32>,
    picture: Picture,
}

impl Default for Fields {
    fn default() -> Self {
        let picture = Picture { pts: None, dts: None, duration: 0, size_bytes: 0, key: false, discard: false };
        Self { stream: None, picture }
    }
}

impl Fields {
    fn set(&mut self, key: &str, value: &str) {
        match key {
            "stream_index" => self.stream = value.parse().ok(),
            "pts" => self.picture.pts = value.parse().ok(),
            "dts" => self.picture.dts = value.parse().ok(),
            "duration" => self.picture.duration = value.parse().unwrap_or(0),
            "size" => self.picture.size_bytes = value.parse().unwrap_or(0),
            "flags" => {
                self.picture.key = value.contains('K');
                self.picture.discard = value.contains('D');
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cut_anywhere_give_the_same_packets() {
        let text = "stream_index=0|pts=10|dts=N/A|duration=5|size=7|pos=1|flags=K_\n\nstream_index=1|pts=3|dts=3|duration=4|size=1|flags=KD\n\
                    stream_index=1|pts=7|dts=7|duration=4|size=1|flags=K_\nstream_index=9|pts=1|flags=K_\nside|data\nstream_index=0|pts=15|flags=_D";
        for step in [1, 7, 1000] {
            let mut scan = PacketScan::new(Chosen { video: Some(0), audio: vec![1] });
            text.as_bytes().chunks(step).for_each(|bytes| scan.push(bytes));
            let packets = scan.finish("x: partial file");
            assert_eq!(packets.video.len(), 2);
            assert_eq!((packets.video[0].pts, packets.video[0].dts, packets.video[0].key), (Some(10), None, true));
            assert!(packets.video[1].discard && packets.cut_short);
            assert_eq!(packets.audio[&1], AudioSpan { first_pts: 7, start_pts: 7, end_pts: 11, packets: 1, length: 4, pauses: Vec::new() });
        }
    }

    #[test]
    fn too_long_a_line_is_none_wherever_it_is_cut() {
        let long = format!("stream_index=0|pts=1|{}|duration=9\n", "x".repeat(MAX_LINE_BYTES));
        for step in [1, 7, 10_000] {
            let mut scan = PacketScan::new(Chosen { video: Some(0), audio: Vec::new() });
            long.as_bytes().chunks(step).for_each(|bytes| scan.push(bytes));
            assert_eq!(scan.finish("").video.len(), 0);
        }
    }

    #[test]
    fn the_longest_pauses_are_remembered() {
        let mut scan = PacketScan::new(Chosen { video: None, audio: vec![1] });
        let mut pts = 0;
        for step in (1..=500).rev().chain(1..=600) {
            pts += step;
            scan.push(format!("stream_index=1|pts={pts}|duration=0\n").as_bytes());
        }
        let pauses = scan.finish("").audio.remove(&1).unwrap().pauses;
        let mut lengths: Vec<i64> = pauses.iter().map(|pause| pause.next_pts - pause.end_pts).collect();
        lengths.sort_unstable();
        assert_eq!((lengths.len(), lengths[0], lengths[63]), (64, 537, 600));
    }
}
