//! Magic bytes → the one demuxer ffmpeg may use, or a refusal. File names and declared types are never looked at.

use super::refusal::{Code, Refusal};
use serde::{Deserialize, Serialize};

/// How many bytes of a source's head [`sniff`] wants to see.
pub const HEAD_BYTES: usize = 64 * 1024;

/// The demuxers Theatrum forces; there is no other way into ffmpeg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demuxer {
    /// MP4, MOV, M4A, 3GP.
    Mov,
    /// Matroska and WebM.
    Matroska,
    /// MPEG-2 transport stream, also AVCHD's 192-byte packets.
    MpegTs,
    /// MPEG program stream.
    MpegPs,
    /// AVI.
    Avi,
    /// Flash video.
    Flv,
    /// ASF: WMV and WMA.
    Asf,
    /// Ogg.
    Ogg,
    /// RIFF WAVE and RF64.
    Wav,
    /// MPEG audio layer III, with or without an ID3 tag.
    Mp3,
    /// FLAC.
    Flac,
    /// AAC in ADTS frames.
    Aac,
    /// MXF.
    Mxf,
}

impl Demuxer {
    /// The name ffmpeg knows it by, for `-f`.
    pub fn ffmpeg_name(self) -> &'static str {
        match self {
            Self::Mov => "mov",
            Self::Matroska => "matroska",
            Self::MpegTs => "mpegts",
            Self::MpegPs => "mpeg",
            Self::Avi => "avi",
            Self::Flv => "flv",
            Self::Asf => "asf",
            Self::Ogg => "ogg",
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
            Self::Flac => "flac",
            Self::Aac => "aac",
            Self::Mxf => "mxf",
        }
    }

    /// Whether a seek by time lands on an indexed keyframe. Elsewhere ffmpeg bisects by timestamp, which misses.
    pub fn has_index(self) -> bool {
        matches!(self, Self::Mov | Self::Matroska)
    }

    /// Whether a seek may land between keyframes. AVI has an index, though not one to rely on for a time.
    pub fn lands_anywhere(self) -> bool {
        !self.has_index() && self != Self::Avi
    }
}

/// What the head of a source says about its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The demuxer to force.
    pub demuxer: Demuxer,
    /// How long the file ought to be by its outermost box, element or chunk, in bytes, where that is stated.
    /// Evidence of a cut file, used only where no index counts the packets.
    pub declared_bytes: Option<u64>,
}

/// Takes the first [`HEAD_BYTES`] of a source (all of it when shorter) and its size; gives its container, or a refusal.
pub fn sniff(head: &[u8], size_bytes: u64) -> Result<Container, Refusal> {
    if size_bytes == 0 || head.is_empty() {
        return Err(Code::EmptyFile.into());
    }
    if let Some(code) = text_code(head).or_else(|| image_code(head)) {
        return Err(code.into());
    }
    let demuxer = demuxer(head).ok_or(Code::NotMedia)?;
    let declared_bytes = match demuxer {
        Demuxer::Mov => mov_end(head),
        Demuxer::Matroska => matroska_end(head),
        Demuxer::Avi | Demuxer::Wav => riff_end(head),
        _ => None,
    };
    Ok(Container { demuxer, declared_bytes })
}

fn text_code(head: &[u8]) -> Option<Code> {
    let text = String::from_utf8_lossy(&head[..head.len().min(1024)]).to_lowercase();
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\0');
    let starts = |prefixes: &[&str]| prefixes.iter().any(|p| text.starts_with(p));
    match () {
        () if starts(&["#extm3u", "#ext-x", "[playlist]"]) => Some(Code::Playlist),
        () if starts(&["ffconcat"]) => Some(Code::ConcatScript),
        () if starts(&["<?xml", "<mpd", "<smil", "<asx", "<smoothstreamingmedia"]) => Some(Code::Manifest),
        () if starts(&["<!doctype", "<html", "<script"]) => Some(Code::NotMedia),
        () => None,
    }
}

fn image_code(head: &[u8]) -> Option<Code> {
    let magics: [&[u8]; 8] = [b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ", b"\0\0\0\x0cJXL "];
    let brands: [&[u8]; 8] = [b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"jpeg"];
    let webp = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
    let brand = head.get(4..8) == Some(b"ftyp") && head.get(8..12).is_some_and(|b| brands.contains(&b));
    (webp || brand || magics.iter().any(|m| head.starts_with(m))).then_some(Code::StillImage)
}

fn demuxer(head: &[u8]) -> Option<Demuxer> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    let riff = at(0, b"RIFF") || at(0, b"RF64");
    match () {
        () if is_mov(head) => Some(Demuxer::Mov),
        () if at(0, b"\x1a\x45\xdf\xa3") => Some(Demuxer::Matroska),
        () if riff && at(8, b"AVI ") => Some(Demuxer::Avi),
        () if riff && at(8, b"WAVE") => Some(Demuxer::Wav),
        () if at(0, b"FLV\x01") => Some(Demuxer::Flv),
        () if at(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11") => Some(Demuxer::Asf),
        () if at(0, b"OggS") => Some(Demuxer::Ogg),
        () if at(0, b"fLaC") => Some(Demuxer::Flac),
        () if at(0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01") => Some(Demuxer::Mxf),
        () if at(0, b"\0\0\x01\xba") => Some(Demuxer::MpegPs),
        () if is_mpegts(head) => Some(Demuxer::MpegTs),
        () => mpeg_audio(head),
    }
}

/// An ISO base media file starts with a box of one of these kinds.
fn is_mov(head: &[u8]) -> bool {
    let kinds: [&[u8]; 9] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"styp"];
    head.get(4..8).is_some_and(|kind| kinds.contains(&kind))
}

/// Sync bytes a packet apart, anywhere in the first packets: a capture may begin in the middle of one.
fn is_mpegts(head: &[u8]) -> bool {
    [188, 192, 204].iter().any(|&packet| {
        (0..packet.min(head.len())).any(|start| {
            let syncs = head[start..].iter().step_by(packet).take(8);
            syncs.len() >= 3 && syncs.clone().all(|&byte| byte == 0x47)
        })
    })
}

fn mpeg_audio(head: &[u8]) -> Option<Demuxer> {
    if head.starts_with(b"ID3") {
        let tag = head.get(6..10)?.iter().fold(0usize, |size, &b| size << 7 | usize::from(b & 0x7f)) + 10;
        return match head.get(tag..) {
            Some(rest) if rest.starts_with(b"fLaC") => Some(Demuxer::Flac),
            Some(rest) if rest.len() >= 2 => frame_sync(rest).or(Some(Demuxer::Mp3)),
            _ => Some(Demuxer::Mp3),
        };
    }
    frame_sync(head)
}

fn frame_sync(head: &[u8]) -> Option<Demuxer> {
    match *head {
        [0xff, second, ..] if second & 0xf6 == 0xf0 => Some(Demuxer::Aac),
        [0xff, second, third, ..] if second & 0xe0 == 0xe0 && second & 0x06 != 0 && third & 0xf0 != 0xf0 => Some(Demuxer::Mp3),
        _ => None,
    }
}

fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The end of the last top-level box whose header lies in the head.
fn mov_end(head: &[u8]) -> Option<u64> {
    let mut offset = 0u64;
    let mut steps = 0;
    while let Some(header) = usize::try_from(offset).ok().and_then(|o| head.get(o..o.checked_add(8)?)) {
        let size = match be(&header[..4]) {
            1 => be(head.get(offset as usize + 8..offset as usize + 16)?),
            size => size,
        };
        steps += 1;
        // Size 0 means "to the end of the file", which says nothing about where that is.
        if size < 8 || steps > 4096 {
            return (offset > 0 && size != 0).then_some(offset);
        }
        offset = offset.checked_add(size)?;
    }
    (offset > 0).then_some(offset)
}

/// The end of the Matroska Segment, unless its size is unknown (a live recording).
fn matroska_end(head: &[u8]) -> Option<u64> {
    let mut offset = 0usize;
    loop {
        let id_length = head.get(offset)?.leading_zeros() as usize + 1;
        let id = be(head.get(offset..offset + id_length)?);
        let first = *head.get(offset + id_length)?;
        let length = first.leading_zeros() as usize + 1;
        if length > 8 {
            return None;
        }
        let raw = be(head.get(offset + id_length..offset + id_length + length)?);
        let mask = (1u64 << (7 * length)) - 1;
        let (body, size) = (offset + id_length + length, raw & mask);
        if id == 0x1853_8067 {
            return (size != mask).then(|| (body as u64).checked_add(size)).flatten();
        }
        offset = body.checked_add(usize::try_from(size).ok()?)?;
    }
}

fn riff_end(head: &[u8]) -> Option<u64> {
    let size = u32::from_le_bytes(head.get(4..8)?.try_into().ok()?);
    // Recorders that never came back to fill it in leave 0 or the largest number.
    (head.starts_with(b"RIFF") && size != 0 && size < 0xffff_ff00).then(|| u64::from(size) + 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(head: &[u8]) -> Option<Code> {
        sniff(head, head.len() as u64).err().map(|refusal| refusal.code)
    }

    #[test]
    fn texts_and_pictures_are_refused() {
        assert_eq!(code(b""), Some(Code::EmptyFile));
        assert_eq!(code(b"\xef\xbb\xbf#EXTM3U\n"), Some(Code::Playlist));
        assert_eq!(code(b"ffconcat version 1.0"), Some(Code::ConcatScript));
        assert_eq!(code(b"  <?xml version='1.0'?><MPD>"), Some(Code::Manifest));
        assert_eq!(code(b"<!DOCTYPE html>"), Some(Code::NotMedia));
        assert_eq!(code(b"PK\x03\x04zip"), Some(Code::NotMedia));
        assert_eq!(code(b"\x89PNG\r\n"), Some(Code::StillImage));
        assert_eq!(code(b"\0\0\0\x20ftypavif\0\0\0\0"), Some(Code::StillImage));
        assert_eq!(code(b"\0\0\0\x20ftypheic\0\0\0\0"), Some(Code::StillImage));
    }

    #[test]
    fn containers_are_known_by_their_magic() {
        let named = |head: &[u8]| sniff(head, 1).map(|c| c.demuxer).ok();
        assert_eq!(named(b"\0\0\0\x18ftypisom"), Some(Demuxer::Mov));
        assert_eq!(named(b"RIFF\x10\0\0\0AVI LIST"), Some(Demuxer::Avi));
        assert_eq!(named(b"\xff\xfb\x90\x64"), Some(Demuxer::Mp3));
        assert_eq!(named(b"\xff\xf1\x50\x80"), Some(Demuxer::Aac));
        let mut ts = vec![0u8; 188 * 4];
        ts.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
        assert_eq!(named(&ts), Some(Demuxer::MpegTs));
    }

    #[test]
    fn declared_lengths_are_read_without_trust() {
        assert_eq!(mov_end(b"\0\0\0\x08ftyp\0\0\x10\0mdat"), Some(8 + 4096));
        assert_eq!(mov_end(b"\0\0\0\x08ftyp\0\0\0\0mdat"), None);
        assert_eq!(matroska_end(b"\x1a\x45\xdf\xa3\x81\0\x18\x53\x80\x67\x83"), Some(11 + 3));
        assert_eq!(matroska_end(b"\x1a\x45\xdf\xa3\x81\0\x18\x53\x80\x67\xff"), None);
        assert_eq!(matroska_end(&[0; 64]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_head_makes_it_panic(head in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2048)) {
            let _ = sniff(&head, head.len() as u64);
            let _ = (mov_end(&head), matroska_end(&head), riff_end(&head));
        }
    }
}
