//! Words that are not said here: unfinished code, `unsafe` outside its room, waiting by the clock in tests, and I/O where all is pure.

use super::Finding;
use super::source::Source;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Macros that mark unfinished work.
const UNFINISHED: &[&str] = &["todo", "unimplemented", "dbg"];
/// The only room with `unsafe`.
const UNSAFE_ROOM: &[&str] = &["src/worker/sandbox.rs", "src/worker/sandbox/"];
/// The comment, on the line or the one above, which says that a sleep is the pause of a loop that asks for a condition.
const POLLING: &str = "// tidy: polling";
/// Names of the outside world that the pure crate does without, except in its tests.
const IMPURE: &[&str] = &["fs", "net", "process", "thread", "env", "SystemTime", "Instant"];
/// Crates that a room knows nothing of.
const UNKNOWN_CRATES: &[(&str, &[&str])] = &[
    ("src/domain", &["sqlx", "axum", "http", "hyper", "reqwest", "tokio", "object_store", "s3s"]),
    ("src/edge", &["sqlx", "s3s"]),
    ("src/worker", &["axum", "s3s"]),
];

/// Reads every token, those inside macros too.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    walk(&source.tokens, &mut |before, word, after| findings.extend(judge(source, before, word, after)));
    findings
}

/// Calls `visit` with each identifier, the tokens before it in its group and those after it.
fn walk(tokens: &TokenStream, visit: &mut impl FnMut(&[TokenTree], &proc_macro2::Ident, &[TokenTree])) {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    for (index, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Ident(word) => visit(&trees[..index], word, &trees[index + 1..]),
            TokenTree::Group(group) => walk(&group.stream(), visit),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn judge(source: &Source, before: &[TokenTree], word: &proc_macro2::Ident, after: &[TokenTree]) -> Option<Finding> {
    let (name, line) = (word.to_string(), word.span().start().line);
    let finding = |rule, message| Some(Finding { path: source.path.clone(), rule, line, amount: 1, message });
    let name = name.as_str();
    if UNFINISHED.contains(&name) && is_punct(after, '!') {
        return finding("unfinished", format!("`{name}!` marks unfinished work; finish it or leave it out"));
    }
    if name == "unsafe" && !UNSAFE_ROOM.iter().any(|room| source.path.starts_with(room)) {
        return finding("unsafe", "`unsafe` belongs into src/worker/sandbox/ only".to_owned());
    }
    if name == "sleep" && source.is_test(line) && is_call(after) && !says_polling(source, line) {
        return finding("sleep", format!("a test waits by the clock; wait for the condition, or say `{POLLING}` at a loop's pause"));
    }
    if IMPURE.contains(&name) && is_path_step(before) && source.path.starts_with("crates/media/src/") && !source.is_test(line) {
        return finding("pure-media", format!("`{name}` reaches outside; crates/media takes facts and gives plans"));
    }
    let (room, _) = UNKNOWN_CRATES.iter().find(|(room, crates)| in_room(&source.path, room) && crates.contains(&name))?;
    let is_path_start = is_punct(after, ':') && !is_path_step(before);
    if is_path_start && !source.is_test(line) { finding("unknown-crate", format!("{room} knows nothing of `{name}`")) } else { None }
}

fn in_room(path: &str, room: &str) -> bool {
    path.strip_prefix(room).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

fn is_punct(tokens: &[TokenTree], wanted: char) -> bool {
    matches!(tokens.first(), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn is_call(after: &[TokenTree]) -> bool {
    matches!(after.first(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis)
}

/// Whether the tokens before end with `::`.
fn is_path_step(before: &[TokenTree]) -> bool {
    matches!(before, [.., TokenTree::Punct(first), TokenTree::Punct(second)] if first.as_char() == ':' && second.as_char() == ':')
}

fn says_polling(source: &Source, line: usize) -> bool {
    source.text.lines().skip(line.saturating_sub(2)).take(2).any(|text| text.contains(POLLING))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        check(&Source::parse(path, text).unwrap()).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn unfinished_work_is_found_inside_macros_too() {
        assert_eq!(rules("src/a.rs", "fn f() { todo!() }"), ["unfinished"]);
        assert_eq!(rules("src/a.rs", "fn f() { vec![dbg!(1)]; }"), ["unfinished"]);
        assert_eq!(rules("src/a.rs", "/// todo!() would be wrong\nfn todo() { let dbg = \"unimplemented!\"; }"), [""; 0]);
    }

    #[test]
    fn unsafe_has_one_room() {
        let text = "fn f() { unsafe { g() } }";
        assert_eq!(rules("src/worker/sandbox/spawn.rs", text), [""; 0]);
        assert_eq!(rules("src/worker/sandbox.rs", text), [""; 0]);
        assert_eq!(rules("src/worker/ffmpeg.rs", text), ["unsafe"]);
        assert_eq!(rules("tests/it/main.rs", text), ["unsafe"]);
    }

    #[test]
    fn tests_wait_for_conditions() {
        assert_eq!(rules("tests/it/a.rs", "async fn f() { sleep(d).await; }"), ["sleep"]);
        assert_eq!(rules("tests/it/a.rs", "async fn f() { tokio::time::sleep(d).await; }"), ["sleep"]);
        assert_eq!(rules("tests/it/a.rs", "async fn f() {\n    // tidy: polling\n    sleep(d).await;\n}"), [""; 0]);
        assert_eq!(rules("tests/it/a.rs", "async fn f() {\n    sleep(d).await; // tidy: polling\n}"), [""; 0]);
        assert_eq!(rules("src/a.rs", "async fn f() { sleep(d).await; }"), [""; 0]);
        assert_eq!(rules("src/a.rs", "#[cfg(test)]\nmod tests {\n    fn f() { sleep(d); }\n}"), ["sleep"]);
    }

    #[test]
    fn the_media_crate_is_pure() {
        assert_eq!(rules("crates/media/src/a.rs", "use std::time::SystemTime;"), ["pure-media"]);
        assert_eq!(rules("crates/media/src/a.rs", "fn f() { std::fs::read(p); }"), ["pure-media"]);
        assert_eq!(rules("crates/media/src/a.rs", "use std::time::Duration; fn f(env: u8) -> u8 { env }"), [""; 0]);
        assert_eq!(rules("crates/media/src/a.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}"), [""; 0]);
        assert_eq!(rules("src/a.rs", "use std::fs;"), [""; 0]);
    }

    #[test]
    fn rooms_do_not_know_every_crate() {
        assert_eq!(rules("src/domain/video.rs", "use sqlx::Row;"), ["unknown-crate"]);
        assert_eq!(rules("src/domain.rs", "fn f(status: http::StatusCode) {}"), ["unknown-crate"]);
        assert_eq!(rules("src/edge/range.rs", "use axum::body::Body; fn f(http: u8) {}"), [""; 0]);
        assert_eq!(rules("src/domain_of_others.rs", "use sqlx::Row;"), [""; 0]);
    }
}
