//! What a clear segment must be: a fragment that begins and lasts as its row says.

use theatrum_media::cmaf::SegmentHead;
use theatrum_media::time::TICKS_PER_SECOND;

/// Sound is cut at whole frames: its segments may be off by two of the longest there are.
const SOUND_TOLERANCE_TICKS: i64 = TICKS_PER_SECOND / 10;

/// What the rows say of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Where it begins on the timeline.
    pub start_ticks: i64,
    /// How long it lasts.
    pub duration_ticks: i64,
    /// Units per second of its track's times.
    pub timescale: u32,
    /// Whether it is sound.
    pub is_sound: bool,
    /// Whether it is the first or the last one: sound may begin late and end early.
    pub is_at_an_end: bool,
}

/// Examines a decrypted segment; says what is wrong with it, if anything is.
pub(super) fn examine(clear: &[u8], place: &Place) -> Result<(), &'static str> {
    let head = SegmentHead::read(clear).ok().flatten().ok_or("it is no fragment")?;
    if head.end_bytes() != clear.len() as u64 {
        return Err("its media data does not fill it");
    }
    if !head.begins_in_sync() {
        return Err("it does not begin with a picture that stands by itself");
    }
    let ticks = |units: u64| i64::try_from(u128::from(units) * TICKS_PER_SECOND as u128 / u128::from(place.timescale.max(1)));
    let (start, duration) = (ticks(head.decode_time()).unwrap_or(i64::MAX), ticks(head.duration()).unwrap_or(i64::MAX));
    let tolerance = if place.is_sound { SOUND_TOLERANCE_TICKS } else { 0 };
    let is_off = |got: i64, wanted: i64| got.abs_diff(wanted) > tolerance.unsigned_abs();
    if place.is_sound && place.is_at_an_end {
        let end = place.start_ticks + place.duration_ticks + tolerance;
        let fits = start >= place.start_ticks - tolerance && start.saturating_add(duration) <= end;
        return if fits { Ok(()) } else { Err("its times are not those of its place") };
    }
    if is_off(start, place.start_ticks) {
        return Err("it begins at another time than its place says");
    }
    if is_off(duration, place.duration_ticks) {
        return Err("it does not last as long as its row says");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fragment of one sample of 4 octets (ISO/IEC 14496-12 §8.8).
    fn fragment(decode_time: u64, duration: u32, flags: u32) -> Vec<u8> {
        let boxed = |kind: &[u8; 4], body: Vec<u8>| [&(body.len() as u32 + 8).to_be_bytes(), kind.as_slice(), &body].concat();
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let tfdt = boxed(b"tfdt", [words(&[0x0100_0000]), decode_time.to_be_bytes().to_vec()].concat());
        let moof = |offset| {
            let trun = boxed(b"trun", words(&[0x0100_0f01, 1, offset, duration, 4, flags, 0]));
            boxed(b"moof", boxed(b"traf", [tfdt.clone(), trun].concat()))
        };
        let offset = moof(0).len() as u32 + 8;
        [moof(offset), boxed(b"mdat", vec![7; 4])].concat()
    }

    #[test]
    fn a_picture_is_where_its_row_says_to_the_tick() {
        let place = Place { start_ticks: 900, duration_ticks: 300, timescale: 90_000, is_sound: false, is_at_an_end: false };
        let whole = fragment(900, 300, 0x0200_0000);
        assert_eq!(examine(&whole, &place), Ok(()));
        assert!(examine(&whole[..whole.len() - 1], &place).is_err(), "cut short");
        assert!(examine(&[whole.as_slice(), b"more"].concat(), &place).is_err(), "something follows");
        assert!(examine(&fragment(901, 300, 0x0200_0000), &place).is_err());
        assert!(examine(&fragment(900, 299, 0x0200_0000), &place).is_err());
        assert!(examine(&fragment(900, 300, 0x0101_0000), &place).is_err(), "no picture by itself");
        assert!(examine(b"no boxes at all", &place).is_err());
    }

    #[test]
    fn sound_is_cut_at_frames_and_may_begin_late_and_end_early() {
        let place = Place { start_ticks: 90_000, duration_ticks: 180_000, timescale: 48_000, is_sound: true, is_at_an_end: false };
        assert_eq!(examine(&fragment(48_500, 96_256, 0x0200_0000), &place), Ok(()));
        assert!(examine(&fragment(48_000, 48_000, 0x0200_0000), &place).is_err());
        assert_eq!(examine(&fragment(48_000, 48_000, 0x0200_0000), &Place { is_at_an_end: true, ..place }), Ok(()));
        assert!(examine(&fragment(0, 48_000, 0x0200_0000), &Place { is_at_an_end: true, ..place }).is_err());
    }
}
