//! Byte ranges (RFC 9110 §14): which part of a representation a request asks for.

use std::ops::Range;

/// What a `Range` header means for a representation of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// All of it: the header is malformed, of another unit, or asks for several ranges, which a server may ignore.
    Whole,
    /// These bytes: never empty, never beyond the end.
    Part(Range<u64>),
    /// Nothing: the range lies beyond the end.
    Unsatisfiable,
}

/// Reads the value of a `Range` header for a representation of `size` bytes.
pub(super) fn select(header: &str, size: u64) -> Selection {
    let Some((unit, set)) = header.split_once('=') else { return Selection::Whole };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    // A list may have empty elements (RFC 9110 §5.6.1.2).
    let mut specs = set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|spec| !spec.is_empty());
    match (specs.next(), specs.next()) {
        (Some(spec), None) => select_one(spec, size).unwrap_or(Selection::Whole),
        _ => Selection::Whole,
    }
}

/// One `first-last`, `first-` or `-length`; `None` if it is malformed.
fn select_one(spec: &str, size: u64) -> Option<Selection> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        return Some(suffix(number(last)?, size));
    }
    let first = number(first)?;
    let end = match last {
        "" => size,
        last => {
            let last = number(last)?;
            if last < first {
                return None;
            }
            size.min(last.saturating_add(1))
        }
    };
    Some(if first < size { Selection::Part(first..end) } else { Selection::Unsatisfiable })
}

fn suffix(length: u64, size: u64) -> Selection {
    match (length, size) {
        (0, _) => Selection::Unsatisfiable,
        // Satisfiable by definition, but `Content-Range` can't express no bytes.
        (_, 0) => Selection::Whole,
        (length, size) => Selection::Part(size.saturating_sub(length)..size),
    }
}

/// Digits only; what is too large for any blob is as large as can be, which means the same.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::Selection::{Part, Unsatisfiable, Whole};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_mean_what_rfc_9110_says() {
        for (header, size, expected) in [
            ("bytes=0-499", 10_000, Part(0..500)),
            ("bytes=500-999", 10_000, Part(500..1000)),
            ("bytes=-500", 10_000, Part(9500..10_000)),
            ("bytes=9500-", 10_000, Part(9500..10_000)),
            ("bytes=0-0", 10_000, Part(0..1)),
            ("bytes=-1", 10_000, Part(9999..10_000)),
            ("BYTES=0-0", 10, Part(0..1)),
            ("bytes= 0-0 ,", 10, Part(0..1)),
            ("bytes=,\t3-", 10, Part(3..10)),
            ("bytes=0-99", 10, Part(0..10)),
            ("bytes=-99", 10, Part(0..10)),
            ("bytes=0-99999999999999999999999", 10, Part(0..10)),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=10-20", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-5", 0, Whole),
            ("bytes=0-0,-1", 10, Whole),
            ("bytes=5-4", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=1-2-3", 10, Whole),
            ("bytes 0-1", 10, Whole),
            ("bytes =0-1", 10, Whole),
            ("items=0-1", 10, Whole),
            ("", 10, Whole),
        ] {
            assert_eq!(select(header, size), expected, "{header:?} of {size}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_and_never_beyond_the_end(header in "(bytes=)?[-0-9, a-z=]{0,24}", size in 0u64..5000) {
            if let Part(range) = select(&header, size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }

        #[test]
        fn a_range_within_the_end_is_taken_as_asked(first in 0u64..4000, length in 1u64..1000, beyond in 0u64..1000) {
            let (end, size) = (first + length, first + length + beyond);
            prop_assert_eq!(select(&format!("bytes={first}-{}", end - 1), size), Part(first..end));
            prop_assert_eq!(select(&format!("bytes={first}-"), size), Part(first..size));
            prop_assert_eq!(select(&format!("bytes=-{length}"), size), Part(size - length..size));
        }
    }
}
