//! Durations as people write them.

use std::time::Duration;

/// Reads `0`, `500ms`, `30s`, `10m`, `12h` or `7d`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor_ms).filter(|ms| *ms <= 100 * 365 * 86_400_000).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_or_are_zero() {
        assert_eq!(duration("0"), Some(Duration::ZERO));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration(" 10m "), Some(Duration::from_secs(600)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(604_800)));
        for wrong in ["", "7", "d", "-1s", "1.5h", "1 h", "99999999999999999999s", "9999999999999d"] {
            assert_eq!(duration(wrong), None, "{wrong:?}");
        }
    }
}
