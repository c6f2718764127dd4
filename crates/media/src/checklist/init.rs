//! What an init segment declares.

use crate::boxes::Cursor;

/// What a rendition's init segment says of its track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitFacts {
    /// The sample entry's four letters.
    pub entry: String,
    /// Units per second of its times.
    pub timescale: u32,
    /// Width and height in pixels, of pictures.
    pub size: Option<(u32, u32)>,
    /// Profile, compatibility and level, of H.264.
    pub avc: Option<[u8; 3]>,
    /// Channels by the AudioSpecificConfig, of AAC.
    pub channels: Option<u8>,
    /// Audio object type by the AudioSpecificConfig: 2 is AAC-LC.
    pub object_type: Option<u8>,
    /// Whether there is an edit list.
    pub has_edit_list: bool,
}

impl InitFacts {
    /// Reads an init segment; `None` unless it holds one track that can be read.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = Cursor(bytes).find(b"moov")?;
        let (mut trak, mut tracks) = (None, 0);
        while let Some((kind, body)) = rest.child() {
            if kind == b"trak" {
                (trak, tracks) = (Some(body), tracks + 1);
            }
        }
        let trak = trak.filter(|_| tracks == 1)?;
        let mdia = trak.find(b"mdia")?;
        let mut mdhd = mdia.find(b"mdhd")?;
        let (version, _) = mdhd.version_flags()?;
        mdhd.take(if version == 1 { 16 } else { 8 })?;
        let timescale = mdhd.u32().filter(|&scale| scale > 0)?;
        let mut entries = mdia.path(&[b"minf", b"stbl", b"stsd"])?;
        entries.take(8)?;
        let (kind, entry) = entries.child()?;
        let mut facts = Self {
            entry: String::from_utf8_lossy(kind).into_owned(),
            timescale,
            size: None,
            avc: None,
            channels: None,
            object_type: None,
            has_edit_list: trak.find(b"edts").is_some(),
        };
        match &kind {
            [b'm', b'p', b'4', b'a'] => facts.read_sound(entry),
            _ => facts.read_picture(entry),
        }?;
        Some(facts)
    }

    /// A visual sample entry (ISO/IEC 14496-12 §12.1.3).
    fn read_picture(&mut self, mut entry: Cursor<'_>) -> Option<()> {
        entry.take(24)?;
        let side = u32::from_be_bytes(entry.take(4)?.try_into().ok()?);
        self.size = Some((side >> 16, side & 0xffff));
        entry.take(50)?;
        self.avc = entry.find(b"avcC").and_then(|avcc| avcc.0.get(1..4)?.try_into().ok());
        Some(())
    }

    /// An audio sample entry with an AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1).
    fn read_sound(&mut self, mut entry: Cursor<'_>) -> Option<()> {
        entry.take(28)?;
        let config = crate::cmaf::audio_specific_config(entry.find(b"esds")?)?;
        let (&first, &second) = (config.first()?, config.get(1)?);
        self.object_type = Some(first >> 3);
        self.channels = Some(second >> 3 & 0xf);
        Some(())
    }

    /// The codec as RFC 6381 writes it; `None` of what is neither H.264 nor AAC.
    pub(super) fn codec(&self) -> Option<String> {
        match (self.avc, self.object_type) {
            (Some([profile, compatibility, level]), _) => Some(format!("{}.{profile:02x}{compatibility:02x}{level:02x}", self.entry)),
            (None, Some(kind)) => Some(format!("mp4a.40.{kind}")),
            (None, None) => None,
        }
    }
}
