//! H.264 access units as MP4 holds them: NAL units, each behind its length in four bytes (ISO/IEC 14496-15 §5.3.4.2; H.264 §7.3.1).

/// `nal_unit_type` of a slice of an IDR picture (H.264 table 7-1).
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;

/// What the beginning of an access unit says of its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Its first slice is of an IDR picture: decoding may begin here, and nothing before it is shown after it.
    Idr,
    /// Its first slice is of another one.
    Other,
    /// No slice begins in what there is of it; the next unit does, this many octets from the start.
    Further(u64),
    /// It is not what it should be.
    Malformed,
}

/// Reads the beginning of an access unit, from `skip` octets on; `bytes` are what there is from there.
pub fn head(bytes: &[u8], skip: u64) -> Head {
    let (mut rest, mut at) = (bytes, skip);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length);
        match after.first().map(|byte| byte & 0x1f) {
            _ if length == 0 => return Head::Malformed,
            None => break,
            Some(IDR) => return Head::Idr,
            Some(1..=4) => return Head::Other,
            Some(_) => {}
        }
        at = at.saturating_add(4 + u64::from(length));
        match after.get(length as usize..) {
            Some(next) => rest = next,
            None => break,
        }
    }
    if at == skip { Head::Malformed } else { Head::Further(at) }
}

/// Whether the first slice of an access unit is of an IDR picture, and whole: the data is asked, not the container's flags.
pub(crate) fn is_idr(mut data: &[u8]) -> bool {
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let Some((unit, after)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize) else { return false };
        match unit.first().map(|byte| byte & 0x1f) {
            Some(IDR) => return true,
            Some(1..=4) => return false,
            _ => data = after,
        }
    }
    false
}

/// The units of a whole access unit; `None` if its lengths do not add up.
fn units(mut data: &[u8]) -> Option<Vec<&[u8]>> {
    let mut units = Vec::new();
    while !data.is_empty() {
        let (length, rest) = data.split_first_chunk::<4>()?;
        let (unit, after) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        units.push(Some(unit).filter(|unit| !unit.is_empty())?);
        data = after;
    }
    Some(units)
}

/// What a picture that is copied must hold, and what of it is passed on.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Parameter sets of the track: others in a picture would change the stream in its middle.
    parameters: Vec<Vec<u8>>,
}

/// Why a picture cannot be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncopyable {
    /// Lengths that do not add up, or no picture in it.
    Malformed,
    /// Parameter sets that are not the track's.
    ParametersChange,
}

impl Filter {
    /// For a track with these parameter sets, without their lengths.
    pub fn new(parameters: Vec<Vec<u8>>) -> Self {
        Self { parameters }
    }

    /// The access unit without what is no part of its picture: delimiters, fillers, repeated parameter sets, and supplemental information but for
    /// the kinds that say when to show it (types 0, 1 and 6). What a camera or an encoder writes besides may say who and where (H.264 annex D).
    pub fn pass(&self, data: &[u8]) -> Result<Vec<u8>, Uncopyable> {
        let (mut passed, mut has_slice) = (Vec::with_capacity(data.len()), false);
        for unit in units(data).ok_or(Uncopyable::Malformed)? {
            match unit[0] & 0x1f {
                SPS | PPS if !self.parameters.iter().any(|known| known == unit) => return Err(Uncopyable::ParametersChange),
                SPS | PPS | DELIMITER | FILLER => continue,
                SEI if !is_timing(&unit[1..]) => continue,
                1..=IDR => has_slice = true,
                _ => {}
            }
            passed.extend_from_slice(&u32::try_from(unit.len()).unwrap_or(u32::MAX).to_be_bytes());
            passed.extend_from_slice(unit);
        }
        if has_slice { Ok(passed) } else { Err(Uncopyable::Malformed) }
    }
}

/// Whether all messages of a SEI are of timing or recovery (H.264 §7.3.2.3): one that mixes goes as a whole.
fn is_timing(mut rest: &[u8]) -> bool {
    let number = |rest: &mut &[u8]| {
        let mut sum = 0_usize;
        while let Some((&byte, after)) = rest.split_first() {
            *rest = after;
            sum += usize::from(byte);
            if byte != 0xff {
                return Some(sum);
            }
        }
        None
    };
    // The last octet is the trailing bits.
    while rest.len() > 1 {
        let (Some(kind), Some(size)) = (number(&mut rest), number(&mut rest)) else { return false };
        if !matches!(kind, 0 | 1 | 6) {
            return false;
        }
        match rest.get(size..) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
    }

    #[test]
    fn the_first_slice_says_what_the_picture_is() {
        let parameters = [unit(&[0x67, 1, 2]), unit(&[0x68, 3])].concat();
        let idr = [parameters.clone(), unit(&[0x65, 9, 9])].concat();
        assert_eq!(head(&idr, 0), Head::Idr);
        assert_eq!(head(&[unit(&[0x09, 0xf0]), unit(&[0x41, 9])].concat(), 0), Head::Other);
        assert_eq!(head(&parameters, 0), Head::Further(13));
        assert_eq!(head(&idr[13..17], 13), Head::Malformed, "not even a type");
        assert_eq!(head(&idr[13..], 13), Head::Idr);
        // A unit that is longer than what was read: the next begins behind it.
        assert_eq!(head(&[0, 0, 1, 0, 0x06, 5, 200], 40), Head::Further(40 + 4 + 256));
        assert_eq!(head(&[0, 0, 0, 0, 0x65], 0), Head::Malformed);
        assert_eq!(head(&[], 0), Head::Malformed);
    }

    #[test]
    fn what_is_no_picture_is_not_passed_on() {
        let filter = Filter::new(vec![vec![0x67, 1], vec![0x68, 2]]);
        let (slice, timing, words) = (unit(&[0x65, 9, 9]), unit(&[0x06, 1, 2, 7, 7, 0x80]), unit(&[0x06, 5, 3, b'a', b'b', b'c', 0x80]));
        let whole =
            [unit(&[0x09, 0xf0]), unit(&[0x67, 1]), unit(&[0x68, 2]), timing.clone(), words, slice.clone(), unit(&[0x0c, 0xff])].concat();
        assert_eq!(filter.pass(&whole), Ok([timing, slice.clone()].concat()));
        assert_eq!(filter.pass(&[unit(&[0x67, 2]), slice.clone()].concat()), Err(Uncopyable::ParametersChange));
        assert_eq!(filter.pass(&slice[..6]), Err(Uncopyable::Malformed));
        assert_eq!(filter.pass(&unit(&[0x09, 0xf0])), Err(Uncopyable::Malformed));
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_read_makes_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), skip: u64) {
            head(&bytes, skip);
            let _ = Filter::new(vec![vec![0x67]]).pass(&bytes);
        }
    }
}
