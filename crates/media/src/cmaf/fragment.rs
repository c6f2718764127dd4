//! Writes one segment: `styp`, one `moof`, one `mdat`.

use crate::boxes::write_box;

/// A sample that may be shown without others (ISO/IEC 14496-12 §8.8.3.1: depends on none).
const SYNC: u32 = 0x0200_0000;
/// One that may not.
const NON_SYNC: u32 = 0x0101_0000;

/// One sample as the segment describes it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Time to the next decode time, in units of the track's timescale.
    pub duration: u32,
    /// Presentation minus decode time.
    pub offset: i32,
    /// Whether it is an IDR picture or an audio frame.
    pub sync: bool,
    /// Coded bytes.
    pub data: Vec<u8>,
}

/// Takes the `moof`'s sequence number, the decode time of the first sample and the samples in decode order.
pub(super) fn fragment(sequence: u32, decode_time: u64, parts: &[Part]) -> Vec<u8> {
    let payload: usize = parts.iter().map(|part| part.data.len()).sum();
    let mut out = Vec::with_capacity(payload + parts.len() * 16 + 160);
    write_box(&mut out, b"styp", |out| out.extend_from_slice(b"msdh\0\0\0\0msdhmsixcmfs"));
    let moof_start = out.len();
    let mut offset_at = 0;
    write_box(&mut out, b"moof", |out| {
        write_box(out, b"mfhd", |out| words(out, &[0, sequence]));
        write_box(out, b"traf", |out| {
            // 0x020000: offsets count from the moof.
            write_box(out, b"tfhd", |out| words(out, &[0x0002_0000, 1]));
            write_box(out, b"tfdt", |out| {
                words(out, &[0x0100_0000]);
                out.extend_from_slice(&decode_time.to_be_bytes());
            });
            write_box(out, b"trun", |out| offset_at = trun(out, parts));
        });
    });
    let data_offset = (out.len() - moof_start + 8) as u32;
    out[offset_at..offset_at + 4].copy_from_slice(&data_offset.to_be_bytes());
    write_box(&mut out, b"mdat", |out| parts.iter().for_each(|part| out.extend_from_slice(&part.data)));
    out
}

/// Version 1 (signed offsets) with data offset, durations, sizes, flags and offsets; gives where the data offset stands.
fn trun(out: &mut Vec<u8>, parts: &[Part]) -> usize {
    words(out, &[0x0100_0f01, parts.len() as u32]);
    let offset_at = out.len();
    words(out, &[0]);
    for part in parts {
        let flags = if part.sync { SYNC } else { NON_SYNC };
        words(out, &[part.duration, part.data.len() as u32, flags, part.offset as u32]);
    }
    offset_at
}

fn words(out: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
}
