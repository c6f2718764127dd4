//! Playlists as lines (RFC 8216 §4.1): only what the rules ask about, and what stands where it may not.

use std::collections::BTreeMap;

/// The attributes of a tag, quotes taken off.
pub(super) type Attributes<'a> = BTreeMap<&'a str, &'a str>;

/// A master playlist.
#[derive(Debug, Default)]
pub(super) struct MasterLines<'a> {
    pub version: Option<u32>,
    pub is_independent: bool,
    /// Attributes and address of each variant.
    pub variants: Vec<(Attributes<'a>, &'a str)>,
    /// EXT-X-MEDIA.
    pub media: Vec<Attributes<'a>>,
    /// EXT-X-I-FRAME-STREAM-INF.
    pub i_frames: Vec<Attributes<'a>>,
    /// Lines that make no sense.
    pub nonsense: Vec<&'a str>,
}

/// What stands in the body of a media playlist, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line<'a> {
    Map(Attributes<'a>),
    Key(Attributes<'a>),
    Segment { seconds: f64, uri: &'a str },
}

/// A media playlist.
#[derive(Debug, Default)]
pub(super) struct MediaLines<'a> {
    pub version: Option<u32>,
    pub target_s: Option<u64>,
    pub sequence: Option<u64>,
    pub kind: Option<&'a str>,
    pub is_independent: bool,
    pub has_end: bool,
    pub body: Vec<Line<'a>>,
    /// Lines that make no sense.
    pub nonsense: Vec<&'a str>,
}

impl<'a> MasterLines<'a> {
    pub fn read(text: &'a str) -> Self {
        let (mut read, mut variant) = (Self::default(), None);
        for (number, line) in text.lines().map(str::trim_end).enumerate() {
            match tag(line) {
                _ if number == 0 && line == "#EXTM3U" => {}
                _ if number == 0 => read.nonsense.push(line),
                Some(("EXT-X-VERSION", value)) => read.version = value.parse().ok(),
                Some(("EXT-X-INDEPENDENT-SEGMENTS", _)) => read.is_independent = true,
                Some(("EXT-X-STREAM-INF", value)) => match attributes(value) {
                    Some(found) if variant.is_none() => variant = Some(found),
                    _ => read.nonsense.push(line),
                },
                Some(("EXT-X-MEDIA", value)) => keep(attributes(value), &mut read.media, &mut read.nonsense, line),
                Some(("EXT-X-I-FRAME-STREAM-INF", value)) => keep(attributes(value), &mut read.i_frames, &mut read.nonsense, line),
                Some(_) => {}
                None if line.is_empty() || line.starts_with('#') => {}
                None => match variant.take() {
                    Some(found) => read.variants.push((found, line)),
                    None => read.nonsense.push(line),
                },
            }
        }
        read.nonsense.extend(variant.map(|_| "EXT-X-STREAM-INF at the end"));
        read
    }
}

impl<'a> MediaLines<'a> {
    pub fn read(text: &'a str) -> Self {
        let (mut read, mut seconds) = (Self::default(), None);
        for (number, line) in text.lines().map(str::trim_end).enumerate() {
            match tag(line) {
                _ if number == 0 && line == "#EXTM3U" => {}
                _ if number == 0 => read.nonsense.push(line),
                Some(("EXTINF", value)) => match value.split(',').next().and_then(|text| text.parse::<f64>().ok()) {
                    Some(length) if length.is_finite() && length >= 0.0 && seconds.is_none() => seconds = Some(length),
                    _ => read.nonsense.push(line),
                },
                Some((name, value)) => read.take_tag(name, value, line),
                None if line.is_empty() || line.starts_with('#') => {}
                None => match seconds.take() {
                    Some(seconds) => read.body.push(Line::Segment { seconds, uri: line }),
                    None => read.nonsense.push(line),
                },
            }
        }
        read.nonsense.extend(seconds.map(|_| "EXTINF at the end"));
        read
    }

    fn take_tag(&mut self, name: &str, value: &'a str, line: &'a str) {
        match name {
            "EXT-X-VERSION" => self.version = value.parse().ok(),
            "EXT-X-TARGETDURATION" => self.target_s = value.parse().ok(),
            "EXT-X-MEDIA-SEQUENCE" => self.sequence = value.parse().ok(),
            "EXT-X-PLAYLIST-TYPE" => self.kind = Some(value),
            "EXT-X-INDEPENDENT-SEGMENTS" => self.is_independent = true,
            "EXT-X-ENDLIST" => self.has_end = true,
            "EXT-X-MAP" => keep(attributes(value).map(Line::Map), &mut self.body, &mut self.nonsense, line),
            "EXT-X-KEY" => keep(attributes(value).map(Line::Key), &mut self.body, &mut self.nonsense, line),
            _ => {}
        }
    }

    /// Length and address of each segment.
    pub fn segments(&self) -> impl Iterator<Item = (f64, &'a str)> {
        self.body.iter().filter_map(|line| if let Line::Segment { seconds, uri } = line { Some((*seconds, *uri)) } else { None })
    }

    /// The segments before which the key changes, by number.
    pub fn key_changes(&self) -> Vec<usize> {
        let (mut changes, mut segments) = (Vec::new(), 0);
        for line in &self.body {
            match line {
                Line::Key(_) => changes.push(segments),
                Line::Segment { .. } => segments += 1,
                Line::Map(_) => {}
            }
        }
        changes
    }
}

fn keep<'a, T>(found: Option<T>, into: &mut Vec<T>, nonsense: &mut Vec<&'a str>, line: &'a str) {
    match found {
        Some(found) => into.push(found),
        None => nonsense.push(line),
    }
}

/// Name and value of a tag.
fn tag(line: &str) -> Option<(&str, &str)> {
    let tag = line.strip_prefix('#').filter(|tag| tag.starts_with("EXT"))?;
    Some(tag.split_once(':').unwrap_or((tag, "")))
}

/// An attribute list (RFC 8216 §4.2); `None` if it is none, or names an attribute twice.
fn attributes(mut text: &str) -> Option<Attributes<'_>> {
    let mut found = Attributes::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-');
        if !is_name || found.insert(name, value).is_some() {
            return None;
        }
        text = match rest.strip_prefix(',') {
            Some(rest) if !rest.is_empty() => rest,
            None if rest.is_empty() => rest,
            _ => return None,
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_lists_are_read_as_the_format_has_them() {
        let read = |text| attributes(text).map(|found| found.into_iter().collect::<Vec<_>>());
        assert_eq!(read(r#"A=1,URI="x,y=z",B-2=c"#), Some(vec![("A", "1"), ("B-2", "c"), ("URI", "x,y=z")]));
        assert_eq!(read(""), Some(vec![]));
        for wrong in ["A", "A=1,", "A=1,A=2", "a=1", r#"A="x"#, r#"A="x"y"#, "=1"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
