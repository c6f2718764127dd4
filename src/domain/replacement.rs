//! Replacements: the version in the making of a video that plays already, from a new source or from another cut of its own.

use super::ids::{SourceId, VersionId};
use super::job::words;
use super::video::{Refusal, Stage};
use super::{Error, Result};
use serde::{Deserialize, Serialize};

/// The shortest that a trim may leave of a source.
pub const LEAST_TRIMMED_MS: u64 = 1_000;

words! {
    /// What the version in the making is made from.
    Kind {
        /// A source that was uploaded for it.
        Source = "source",
        /// The source of the version that plays, trimmed anew.
        Trim = "trim",
    }
}

words! {
    /// Where a replacement stands. A published one is none any more: it is the video's version.
    State {
        /// It is being made; the version before plays on.
        Processing = "processing",
        /// A job died; its dead letter can be redriven.
        Failed = "failed",
        /// Its source cannot become a video; the version before stays.
        Refused = "refused",
        /// Somebody called it off.
        Cancelled = "cancelled",
    }
}

/// What of a source is shown: the pictures and the sound whose presentation time is in `[in_ms, out_ms)`, counted from the source's
/// own beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trim {
    /// Milliseconds from the source's beginning.
    pub in_ms: u64,
    /// Milliseconds from the source's beginning; absent: to its end.
    pub out_ms: Option<u64>,
}

impl Trim {
    /// Checks the two points against a source of `source_ms`. `None` when they leave the source as it is: nothing is trimmed. `Invalid`
    /// (`trim-out-of-range`, `trim-order`, `trim-too-short`) otherwise.
    pub fn new(in_ms: u64, out_ms: Option<u64>, source_ms: u64) -> Result<Option<Self>> {
        let end_ms = out_ms.unwrap_or(source_ms);
        if in_ms >= source_ms || end_ms > source_ms {
            let message = format!("the source is {source_ms} ms long: choose in and out points within it");
            return Err(Error::invalid("trim-out-of-range", message));
        }
        if in_ms >= end_ms {
            return Err(Error::invalid("trim-order", "the in point must come before the out point"));
        }
        if end_ms - in_ms < LEAST_TRIMMED_MS {
            let message = format!("a trim must leave at least {LEAST_TRIMMED_MS} ms: move its points apart");
            return Err(Error::invalid("trim-too-short", message));
        }
        let out_ms = out_ms.filter(|&out_ms| out_ms < source_ms);
        Ok((in_ms > 0 || out_ms.is_some()).then_some(Self { in_ms, out_ms }))
    }
}

/// A replacement's row.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// What it is made from.
    pub kind: Kind,
    /// The source it is made from.
    pub source: SourceId,
    /// Its version, once planned.
    pub version: Option<VersionId>,
    /// Where it stands.
    pub state: State,
    /// What its processing is busy with.
    pub stage: Stage,
    /// How much of the processing is done, 0 to 99; never falls.
    pub percent: i64,
    /// What of its source will be shown; absent: all.
    pub trim: Option<Trim>,
    /// Why its source was refused.
    pub refusal: Option<Refusal>,
    /// Epoch milliseconds.
    pub created_at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_within_the_source_in_order_and_a_second_apart() {
        let code = |in_ms, out_ms| Trim::new(in_ms, out_ms, 10_000).expect_err("wrong").code();
        assert_eq!(code(10_000, None), "trim-out-of-range");
        assert_eq!(code(0, Some(10_001)), "trim-out-of-range");
        assert_eq!(code(5_000, Some(5_000)), "trim-order");
        assert_eq!(code(6_000, Some(5_000)), "trim-order");
        assert_eq!(code(9_001, None), "trim-too-short");
        assert_eq!(code(2_000, Some(2_999)), "trim-too-short");
        let trim = |in_ms, out_ms| Trim::new(in_ms, out_ms, 10_000).expect("fine");
        assert_eq!(trim(2_000, Some(3_000)), Some(Trim { in_ms: 2_000, out_ms: Some(3_000) }));
        assert_eq!(trim(9_000, Some(10_000)), Some(Trim { in_ms: 9_000, out_ms: None }));
    }

    #[test]
    fn all_of_a_source_is_no_trim() {
        for out_ms in [None, Some(10_000)] {
            assert_eq!(Trim::new(0, out_ms, 10_000).expect("fine"), None);
        }
    }
}
