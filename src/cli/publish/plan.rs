//! How a file is cut into parts.

use std::ops::Range;

/// A part of a file: `number` counts from 1, the bytes are `range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) number: u32,
    pub(super) range: Range<u64>,
}

impl Part {
    /// The size in bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// The parts of a file of `size_bytes`: all of `part_size_bytes` (at least 1), the last one of what is left.
pub(super) fn parts(size_bytes: u64, part_size_bytes: u64) -> impl Iterator<Item = Part> {
    let starts = std::iter::successors(Some(0), move |start: &u64| start.checked_add(part_size_bytes));
    let starts = starts.take_while(move |start| *start < size_bytes);
    (1..).zip(starts).map(move |(number, start)| Part { number, range: start..size_bytes.min(start.saturating_add(part_size_bytes)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_part_holds_what_is_left() {
        let ranges = |size, part| parts(size, part).map(|part| (part.number, part.range)).collect::<Vec<_>>();
        assert_eq!(ranges(10, 4), [(1, 0..4), (2, 4..8), (3, 8..10)]);
        assert_eq!(ranges(8, 4), [(1, 0..4), (2, 4..8)]);
        assert_eq!(ranges(1, 4), [(1, 0..1)]);
        assert_eq!(ranges(u64::MAX, u64::MAX - 1).len(), 2);
    }

    proptest! {
        #[test]
        fn parts_cover_the_file_once_and_in_order(size in 1_u64..100_000, part_size in 1_u64..5_000) {
            let mut end = 0;
            for (index, part) in parts(size, part_size).enumerate() {
                prop_assert_eq!(part.number as usize, index + 1);
                prop_assert_eq!(part.range.start, end);
                prop_assert!((1..=part_size).contains(&part.size_bytes()));
                end = part.range.end;
            }
            prop_assert_eq!(end, size);
        }
    }
}
