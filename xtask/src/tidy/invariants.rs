//! Every invariant of ARCHITECTURE.md is held by at least one test that names it: `invariant_3_…`, or `invariant 3` in its doc comment.

use super::source::Source;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeSet;

/// How many invariants ARCHITECTURE.md lists.
const COUNT: usize = 10;
/// The invariants that have a test: all. A new one enters with its test.
pub const COVERED: &[usize] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/// Compares the text's list, the tests and `covered`.
pub fn check(architecture: &str, sources: &[Source], covered: &[usize]) -> Vec<String> {
    let mut named = BTreeSet::new();
    for source in sources.iter().filter(|source| !source.path.starts_with("xtask/")) {
        collect(&source.tokens, is_suite(&source.path), &mut named);
    }
    let mut complaints = Vec::new();
    for number in 1..=COUNT {
        if !architecture.lines().any(|line| line.starts_with(&format!("{number}. **"))) {
            complaints.push(format!("ARCHITECTURE.md: invariant {number} is missing from the list"));
        }
        match (named.contains(&number), covered.contains(&number)) {
            (false, true) => complaints.push(format!("invariant {number} has lost its test; name it in the test that holds it")),
            (true, false) => {
                complaints.push(format!("invariant {number} has a test now; add {number} to COVERED in xtask/src/tidy/invariants.rs"))
            }
            _ => {}
        }
    }
    complaints
}

/// A conformance suite's functions are tests although a macro gives them the attribute elsewhere.
fn is_suite(path: &str) -> bool {
    path.starts_with("tests/") || path.ends_with("/conformance.rs") || path.contains("/conformance/")
}

/// Adds the invariants named by each test function, those inside macros such as `proptest!` too.
fn collect(tokens: &TokenStream, is_suite: bool, named: &mut BTreeSet<usize>) {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let (mut text, mut is_test) = (String::new(), false);
    for (index, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Group(group) if is_attribute(&trees[..index]) => {
                is_test |= mentions_test(&group.stream());
                text.push_str(&group.stream().to_string());
            }
            TokenTree::Group(group) => {
                collect(&group.stream(), is_suite, named);
                (text, is_test) = (String::new(), false);
            }
            TokenTree::Ident(keyword) if keyword == "fn" => {
                if let Some(TokenTree::Ident(name)) = trees.get(index + 1)
                    && (is_test || is_suite)
                {
                    named.extend(numbers(&format!("{text} {name}")));
                }
                (text, is_test) = (String::new(), false);
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => (text, is_test) = (String::new(), false),
            _ => {}
        }
    }
}

fn is_attribute(before: &[TokenTree]) -> bool {
    matches!(before.last(), Some(TokenTree::Punct(punct)) if punct.as_char() == '#')
}

/// `test`, `tokio::test`, `tokio::test(flavor = …)`, but not `cfg(test)`.
fn mentions_test(attribute: &TokenStream) -> bool {
    attribute.clone().into_iter().any(|tree| matches!(tree, TokenTree::Ident(word) if word == "test"))
}

/// The numbers after each `invariant ` or `invariant_`; several may follow each other: `invariant 1, 2 and 4` names only the first.
fn numbers(text: &str) -> Vec<usize> {
    let digits = |rest: &str| rest.chars().skip(1).take_while(char::is_ascii_digit).collect::<String>();
    let mentions = text.match_indices("nvariant").map(|(at, word)| &text[at + word.len()..]).filter(|rest| rest.starts_with([' ', '_']));
    mentions.filter_map(|rest| digits(rest).parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &str, text: &str) -> Vec<usize> {
        let mut named = BTreeSet::new();
        collect(&Source::parse(path, text).unwrap().tokens, is_suite(path), &mut named);
        named.into_iter().collect()
    }

    #[test]
    fn tests_name_invariants_in_their_name_or_doc() {
        assert_eq!(named("src/a.rs", "#[test]\nfn invariant_10_checksums() {}"), [10]);
        assert_eq!(named("src/a.rs", "/// Invariant 2: fenced.\n#[tokio::test]\nasync fn a_stale_epoch_changes_nothing() {}"), [2]);
        assert_eq!(named("src/a.rs", "proptest! {\n    /// invariant 5\n    #[test]\n    fn f(a in 0..9) {}\n}"), [5]);
        assert_eq!(named("src/catalog/conformance.rs", "/// invariant 3\npub async fn published_once() {}"), [3]);
    }

    #[test]
    fn other_functions_do_not_count() {
        assert_eq!(named("src/a.rs", "/// invariant 3\nfn publish() {}\n#[test]\nfn other() {}"), [0; 0]);
        assert_eq!(named("src/a.rs", "/// invariant 3\nconst A: u8 = 1;\n#[test]\nfn other() {}"), [0; 0]);
        assert_eq!(named("src/a.rs", "#[test]\nfn invariants_hold() {}"), [0; 0]);
    }

    #[test]
    fn the_list_of_covered_invariants_only_grows() {
        let text: String = (1..=COUNT).map(|number| format!("{number}. **Name.** Sentence.\n")).collect();
        let sources = [Source::parse("src/a.rs", "#[test]\nfn invariant_4() {}").unwrap()];
        assert_eq!(check(&text, &sources, &[4]), [""; 0]);
        assert_eq!(check(&text, &sources, &[]).len(), 1, "a new test must be entered");
        assert_eq!(check(&text, &sources, &[4, 5]).len(), 1, "a lost test is noticed");
        assert_eq!(check("", &sources, &[4]).len(), COUNT, "so is a lost sentence");
    }
}
