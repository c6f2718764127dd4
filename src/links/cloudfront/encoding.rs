//! CloudFront's base64: `+`, `=` and `/`, which mean something in a URL, become `-`, `_` and `~`; the padding stays.

use base64::Engine;
use base64::alphabet::Alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};
use std::sync::LazyLock;

/// The alphabet with `-` and `~`. Padding and unused bits must be as they are written: one text for one value.
static ENGINE: LazyLock<GeneralPurpose> = LazyLock::new(|| {
    let alphabet = Alphabet::new("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-~").expect("64 different characters");
    GeneralPurpose::new(&alphabet, PAD)
});

/// The text of `bytes`.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes).replace('+', "-").replace('=', "_").replace('/', "~")
}

/// The bytes of `text`; `None` unless it is what [`encode`] writes.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    if text.contains('=') {
        return None;
    }
    ENGINE.decode(text.replace('_', "=")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_characters_are_others() {
        assert_eq!(encode(&[0xfb, 0xff, 0xfe]), "-~~-");
        assert_eq!((encode(b"a"), encode(b"ab"), encode(b"")), ("YQ__".into(), "YWI_".into(), String::new()));
        assert_eq!(decode("-~~-"), Some(vec![0xfb, 0xff, 0xfe]));
    }

    #[test]
    fn a_value_has_one_text() {
        for wrong in ["+//+", "YQ==", "YQ", "YQ_", "YR__", "YWJ_", "YQ__YQ__", "_", " YQ__", "YQ__\n", "Y%51__"] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(bytes: Vec<u8>) {
            proptest::prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }
}
