//! One byte range of a request (RFC 9110 §14.1.2). Several ranges, other units and nonsense mean the whole, as the RFC allows.

use std::ops::Range;

/// What to answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: 200.
    Whole,
    /// A part, within the size: 206.
    Part(Range<u64>),
    /// Nothing of it exists: 416.
    Nothing,
}

/// Reads the `Range` header of a request for something of `size_bytes`.
pub(super) fn parse(header: Option<&str>, size_bytes: u64) -> Wanted {
    let Some((first, last)) = header.and_then(|text| text.trim().strip_prefix("bytes=")).and_then(|range| range.split_once('-')) else {
        return Wanted::Whole;
    };
    match (number(first), number(last)) {
        (Some(first), _) if first >= size_bytes && (last.trim().is_empty() || number(last).is_some_and(|last| last >= first)) => {
            Wanted::Nothing
        }
        (Some(first), Some(last)) if last >= first => Wanted::Part(first..last.saturating_add(1).min(size_bytes)),
        (Some(first), None) if last.trim().is_empty() => Wanted::Part(first..size_bytes),
        (None, Some(suffix)) if first.trim().is_empty() => match suffix.min(size_bytes) {
            0 => Wanted::Nothing,
            length => Wanted::Part(size_bytes - length..size_bytes),
        },
        _ => Wanted::Whole,
    }
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_range_of_ten_bytes() {
        for (header, wanted) in [
            (None, Wanted::Whole),
            (Some("bytes=0-"), Wanted::Part(0..10)),
            (Some("bytes=3-5"), Wanted::Part(3..6)),
            (Some("bytes=3-99"), Wanted::Part(3..10)),
            (Some("bytes=9-18446744073709551615"), Wanted::Part(9..10)),
            (Some("bytes=-4"), Wanted::Part(6..10)),
            (Some("bytes=-40"), Wanted::Part(0..10)),
            (Some("bytes=-0"), Wanted::Nothing),
            (Some("bytes=10-"), Wanted::Nothing),
            (Some("bytes=10-12"), Wanted::Nothing),
            (Some("bytes=5-3"), Wanted::Whole),
            (Some("bytes=12-11"), Wanted::Whole),
            (Some("bytes=0-1,4-5"), Wanted::Whole),
            (Some("bytes=-"), Wanted::Whole),
            (Some("bytes=+1-"), Wanted::Whole),
            (Some("bytes=99999999999999999999-"), Wanted::Whole),
            (Some("lines=1-2"), Wanted::Whole),
        ] {
            assert_eq!(parse(header, 10), wanted, "{header:?}");
        }
        assert_eq!(parse(Some("bytes=0-"), 0), Wanted::Nothing);
    }
}
