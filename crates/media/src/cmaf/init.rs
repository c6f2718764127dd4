//! Init segments built from nothing but parameter sets and sizes.

use super::CmafError;
use crate::time::{AUDIO_RATE, TICKS_PER_SECOND};
use mp4_atom::esds::{DecoderConfig, DecoderSpecific, EsDescriptor, SLConfig};
use mp4_atom::{
    Atom, Audio, Avc1, Avcc, Codec, Dinf, Dref, DrefEntry, Encode, Esds, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mp4a, Mvex, Mvhd,
    Pasp, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual, Vmhd,
};
use serde::{Deserialize, Serialize};

/// An init segment, clear, and the codec it declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    /// `ftyp`, `moov`.
    pub bytes: Vec<u8>,
    /// RFC 6381: `avc1.64001f`, `mp4a.40.2`.
    pub codec: String,
}

impl Init {
    /// For video: takes the body of ffmpeg's `avcC` and the picture's size in pixels.
    pub fn video(avcc: &[u8], width: u32, height: u32) -> Result<Self, CmafError> {
        let malformed = || CmafError::Malformed("avcC");
        let config = Avcc::decode_body(&mut &avcc[..]).map_err(|_| malformed())?;
        if config.length_size != 4 || config.sequence_parameter_sets.is_empty() {
            return Err(malformed());
        }
        let (profile, compatibility, level) = (config.avc_profile_indication, config.profile_compatibility, config.avc_level_indication);
        let (width16, height16) = (u16::try_from(width).map_err(|_| malformed())?, u16::try_from(height).map_err(|_| malformed())?);
        let entry = Avc1 {
            visual: Visual { data_reference_index: 1, width: width16, height: height16, ..Visual::default() },
            avcc: config,
            pasp: Some(Pasp { h_spacing: 1, v_spacing: 1 }),
            ..Avc1::default()
        };
        let tkhd = Tkhd { width: width16.into(), height: height16.into(), ..track_header() };
        let minf = Minf { vmhd: Some(Vmhd::default()), ..media_information(Codec::Avc1(entry)) };
        let bytes = file(trak(tkhd, TICKS_PER_SECOND as u32, b"vide", minf))?;
        Ok(Self { bytes, codec: format!("avc1.{profile:02x}{compatibility:02x}{level:02x}") })
    }

    /// For AAC-LC stereo at 48 kHz, the only sound there is.
    pub fn audio() -> Result<Self, CmafError> {
        let rate = AUDIO_RATE as u16;
        let specific = DecoderSpecific { profile: 2, freq_index: 3, chan_conf: 2, ..DecoderSpecific::default() };
        let config = DecoderConfig {
            object_type_indication: 0x40,
            stream_type: 5,
            max_bitrate: 128_000,
            avg_bitrate: 128_000,
            dec_specific: Some(specific),
            ..DecoderConfig::default()
        };
        let entry = Mp4a {
            audio: Audio { data_reference_index: 1, channel_count: 2, sample_size: 16, sample_rate: rate.into() },
            esds: Esds { es_desc: EsDescriptor { es_id: 1, dec_config: config, sl_config: SLConfig {}, ..EsDescriptor::default() } },
            btrt: None,
            taic: None,
        };
        let tkhd = Tkhd { volume: 1.into(), ..track_header() };
        let minf = Minf { smhd: Some(Smhd::default()), ..media_information(Codec::Mp4a(entry)) };
        let bytes = file(trak(tkhd, AUDIO_RATE as u32, b"soun", minf))?;
        Ok(Self { bytes, codec: "mp4a.40.2".to_owned() })
    }
}

fn track_header() -> Tkhd {
    Tkhd { track_id: 1, enabled: true, in_movie: true, ..Tkhd::default() }
}

fn media_information(codec: Codec) -> Minf {
    // The media is in this very file: a `url ` entry with an empty location.
    let dref = Dref { entries: vec![DrefEntry::Url(Url::default())] };
    Minf { dinf: Dinf { dref }, stbl: Stbl { stsd: Stsd { codecs: vec![codec] }, ..empty_tables() }, ..Minf::default() }
}

/// The sample tables stand in the fragments; `stsz` and `stco` must be there all the same.
fn empty_tables() -> Stbl {
    Stbl { stco: Some(Stco::default()), ..Stbl::default() }
}

fn trak(tkhd: Tkhd, timescale: u32, handler: &[u8; 4], minf: Minf) -> Trak {
    let mdhd = Mdhd { timescale, language: "und".to_owned(), ..Mdhd::default() };
    let hdlr = Hdlr { handler: FourCC::new(handler), name: String::new() };
    Trak { tkhd, mdia: Mdia { mdhd, hdlr, minf }, ..Trak::default() }
}

fn file(trak: Trak) -> Result<Vec<u8>, CmafError> {
    let brands = [b"iso6", b"cmfc", b"mp41"].map(FourCC::new).to_vec();
    let ftyp = Ftyp { major_brand: FourCC::new(b"cmfc"), minor_version: 0, compatible_brands: brands };
    let trex = Trex { track_id: 1, default_sample_description_index: 1, ..Trex::default() };
    let moov = Moov {
        mvhd: Mvhd { timescale: 1000, rate: 1.into(), volume: 1.into(), next_track_id: 2, ..Mvhd::default() },
        mvex: Some(Mvex { mehd: None, trex: vec![trex] }),
        trak: vec![trak],
        ..Moov::default()
    };
    let mut bytes = Vec::new();
    let written = ftyp.encode(&mut bytes).and_then(|()| moov.encode(&mut bytes));
    written.map_err(|_| CmafError::Malformed("init segment"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mp4_atom::{Any, DecodeMaybe};

    #[test]
    fn the_audio_init_reads_back() {
        let init = Init::audio().unwrap();
        let mut rest = &init.bytes[..];
        let mut kinds = Vec::new();
        while let Some(atom) = Any::decode_maybe(&mut rest).unwrap() {
            kinds.push(atom.kind().to_string());
            let Any::Moov(moov) = atom else { continue };
            assert!(moov.udta.is_none() && moov.meta.is_none() && moov.trak[0].edts.is_none());
            assert_eq!((moov.trak[0].mdia.hdlr.name.as_str(), moov.trak[0].mdia.mdhd.timescale), ("", 48_000));
        }
        assert_eq!(kinds, ["ftyp", "moov"]);
    }
}
