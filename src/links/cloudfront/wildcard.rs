//! Wildcards of a Resource: `*` stands for any characters or none, `?` for exactly one; both may stand anywhere.

/// Whether `pattern` matches the whole of `text`. Takes at most `pattern.len() × text.len()` steps.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where to go on when a comparison fails: behind the last star, which then takes one character more.
    let mut retry: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                at_pattern += 1;
                retry = Some((at_pattern, at_text));
            }
            Some(sign) if *sign == b'?' || *sign == text[at_text] => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => {
                let Some((behind_star, taken)) = retry else { return false };
                (at_pattern, at_text) = (behind_star, taken + 1);
                retry = Some((behind_star, taken + 1));
            }
        }
    }
    pattern[at_pattern..].iter().all(|sign| *sign == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_anywhere() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "https://x/y", true),
            ("?", "", false),
            ("?", "a", true),
            ("?", "ab", false),
            ("a?c", "a?c", true),
            ("a?c", "abc", true),
            ("http*://x/*.m3u8", "https://x/a/b.m3u8", true),
            ("http*://x/*.m3u8", "https://x/a/b.m3u8?x", false),
            ("*a*b*c", "xaxbxbxc", true),
            ("*a*b*c", "xaxcxb", false),
            ("a**b", "ab", true),
            ("*?", "", false),
            ("?*?", "ab", true),
            ("a*", "b", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let begun = std::time::Instant::now();
        assert!(!matches(&"*a".repeat(2000), &"a".repeat(1999)));
        assert!(!matches(&format!("{}b", "*a".repeat(1000)), &"a".repeat(8000)));
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }

    /// The definition, which takes exponential time.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            Some((sign, rest)) => text.split_first().is_some_and(|(first, text)| (*sign == b'?' || sign == first) && naive(rest, text)),
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]
        #[test]
        fn it_agrees_with_its_definition(pattern in "[ab*?]{0,10}", text in "[ab?]{0,10}") {
            proptest::prop_assert_eq!(matches(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
