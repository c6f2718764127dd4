//! What a published version must be for every player, as a list that is gone through: Apple's HLS authoring specification by its numbers,
//! RFC 8216, CMAF (ISO/IEC 23000-19), and what players are known to choke on.
//!
//! [`check`] takes texts and facts, and finds what does not hold; it shares no code with what writes them. Facts of segments are read by
//! [`SegmentFacts::read`] one after another, so that nobody holds a video in memory. What only a server can show, redirects and compression, is in
//! [`Delivery`].
//!
//! A rendition that is copied is its author's: where its pictures may be decoded from and how its bits are spread is as it came. The rules that speak
//! of that are SHOULD in Apple's specification, and their findings say so; no MUST is forgiven because of it.

mod init;
mod lines;
mod master;
mod media;
mod rule;
mod segment;
mod timeline;

pub use init::InitFacts;
pub use rule::{Finding, RULES, Rule, Severity};
pub use segment::SegmentFacts;

use lines::{MasterLines, MediaLines};

/// A finished version as a player gets it.
#[derive(Debug, Clone)]
pub struct Presentation<'a> {
    /// The master playlist.
    pub master: &'a str,
    /// Every rendition that it lists, in any order.
    pub renditions: Vec<Rendition<'a>>,
    /// How its files came over HTTP; empty where nobody asked by HTTP.
    pub deliveries: Vec<Delivery<'a>>,
}

/// One rendition.
#[derive(Debug, Clone)]
pub struct Rendition<'a> {
    /// The address of its playlist, as the master playlist has it.
    pub uri: &'a str,
    /// Its playlist.
    pub playlist: &'a str,
    /// Its init segment.
    pub init: &'a [u8],
    /// Its segments in the order of the playlist.
    pub segments: Vec<SegmentFacts>,
}

/// How one file came over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Its address, with the playback token left out.
    pub uri: &'a str,
    /// The status of the first answer.
    pub status: u16,
    /// The answer's Content-Encoding, to a client that takes gzip.
    pub encoding: Option<&'a str>,
}

/// A rendition whose texts and boxes were read.
struct Read<'a> {
    uri: &'a str,
    lines: MediaLines<'a>,
    init: InitFacts,
    segments: &'a [SegmentFacts],
}

impl Read<'_> {
    fn is_picture(&self) -> bool {
        self.init.size.is_some()
    }
}

/// Goes through the list; gives what does not hold, in the list's order within each file.
pub fn check(presentation: &Presentation<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = MasterLines::read(presentation.master);
    let mut read = Vec::new();
    for rendition in &presentation.renditions {
        let Some(init) = InitFacts::read(rendition.init) else {
            findings.push(rule::INIT.broken(rendition.uri, "the init segment cannot be read"));
            continue;
        };
        let lines = MediaLines::read(rendition.playlist);
        read.push(Read { uri: rendition.uri, lines, init, segments: &rendition.segments });
    }
    master::check(&lines, &read, &mut findings);
    for rendition in &read {
        media::check(rendition, &mut findings);
        timeline::check(rendition, &mut findings);
    }
    timeline::check_together(&read, &mut findings);
    for delivery in &presentation.deliveries {
        check_delivery(delivery, &mut findings);
    }
    findings
}

fn check_delivery(delivery: &Delivery<'_>, findings: &mut Vec<Finding>) {
    let Delivery { uri, status, encoding } = *delivery;
    if (300..400).contains(&status) {
        findings.push(rule::REDIRECT.broken(uri, format!("the answer is {status}")));
    }
    if uri.ends_with(".m3u8") && encoding != Some("gzip") {
        findings.push(rule::GZIP.broken(uri, format!("its Content-Encoding is {}", encoding.unwrap_or("none"))));
    }
}

#[cfg(test)]
mod tests;
