//! Rust files, read and parsed once for all rules.

use anyhow::{Context, Result};
use proc_macro2::{Span, TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Folders that hold nothing of ours.
const SKIPPED: &[&str] = &["target", "node_modules", "dist"];

/// One Rust file.
pub struct Source {
    /// Relative to the repository, with forward slashes.
    pub path: String,
    /// The text as it stands.
    pub text: String,
    /// The text as tokens: doc comments are attributes, other comments are gone.
    pub tokens: TokenStream,
    /// The text as a syntax tree.
    pub tree: syn::File,
    /// The lines that hold code.
    pub code: BTreeSet<usize>,
    /// The lines of each `#[cfg(test)] mod … { … }`.
    pub tests: Vec<RangeInclusive<usize>>,
}

impl Source {
    /// Parses `text` as the file at `path`.
    pub fn parse(path: &str, text: &str) -> Result<Self> {
        let tree = syn::parse_file(text).with_context(|| format!("cannot parse {path}"))?;
        let tokens: TokenStream = text.parse().map_err(|error| anyhow::anyhow!("cannot read the tokens of {path}: {error}"))?;
        let lines: Vec<&str> = text.lines().collect();
        let mut code = BTreeSet::new();
        code_lines(&tokens, &lines, &mut code);
        let mut tests = TestModules::default();
        tests.visit_file(&tree);
        Ok(Self { path: path.to_owned(), text: text.to_owned(), tokens, tree, code, tests: tests.0 })
    }

    /// Whether `line` belongs to a test: in a `#[cfg(test)]` module, in `tests.rs`, or in a folder `tests`.
    pub fn is_test(&self, line: usize) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs") || self.in_test_module(line)
    }

    /// Whether `line` lies in a `#[cfg(test)]` module.
    pub fn in_test_module(&self, line: usize) -> bool {
        self.tests.iter().any(|lines| lines.contains(&line))
    }
}

/// Reads every Rust file under `root`, in order of path.
pub fn load(root: &Path) -> Result<Vec<Source>> {
    files(root, &["rs"])?
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            Source::parse(&relative(root, &file), &text)
        })
        .collect()
}

/// Every file under `folder` with one of the `extensions`, in order of path; build output and hidden folders are left out.
pub fn files(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name().to_string_lossy().into_owned()))?;
        if path.is_dir() && !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
            found.extend(files(&path, extensions)?);
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// `file` relative to `root`, with forward slashes.
pub fn relative(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).to_string_lossy().replace('\\', "/")
}

/// Adds the lines of every token that is not a doc comment.
fn code_lines(tokens: &TokenStream, lines: &[&str], found: &mut BTreeSet<usize>) {
    for token in tokens.clone() {
        if is_doc_comment(&token, lines) {
            continue;
        }
        match &token {
            TokenTree::Group(group) => {
                found.insert(group.span_open().start().line);
                code_lines(&group.stream(), lines, found);
                found.insert(group.span_close().end().line);
            }
            other => found.extend(other.span().start().line..=other.span().end().line),
        }
    }
}

/// A doc comment's tokens all carry the span of the comment, which begins with a slash as no token but the operator does.
fn is_doc_comment(token: &TokenTree, lines: &[&str]) -> bool {
    let start = token.span().start();
    let first = start.line.checked_sub(1).and_then(|index| lines.get(index)).and_then(|line| line.chars().nth(start.column));
    first == Some('/') && !matches!(token, TokenTree::Punct(punct) if punct.as_char() == '/')
}

/// The lines from the start of `first` to the end of `last`.
pub fn lines(first: Span, last: Span) -> RangeInclusive<usize> {
    first.start().line..=last.end().line
}

#[derive(Default)]
struct TestModules(Vec<RangeInclusive<usize>>);

impl<'ast> Visit<'ast> for TestModules {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_some() && module.attrs.iter().any(is_cfg_test) {
            self.0.push(lines(module.attrs.first().map_or_else(|| module.span(), Spanned::span), module.span()));
        } else {
            visit::visit_item_mod(self, module);
        }
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|what| what.is_ident("test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_no_code() {
        let text = "//! About.\n\n/// What it does.\nfn f() {\n    // why\n    g(\"two\n lines\");\n}\n/* a\nb */\n";
        let source = Source::parse("src/x.rs", text).unwrap();
        assert_eq!(source.code.into_iter().collect::<Vec<_>>(), [4, 6, 7, 8]);
    }

    #[test]
    fn a_division_is_code() {
        let source = Source::parse("src/x.rs", "const HALF: f64 = 1.0\n    / 2.0;\n").unwrap();
        assert_eq!(source.code.len(), 2);
    }

    #[test]
    fn test_modules_are_found_with_their_attribute() {
        let source = Source::parse("src/x.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n").unwrap();
        assert_eq!(source.tests, [2..=5]);
        assert!(source.is_test(4) && !source.is_test(1));
    }
}
