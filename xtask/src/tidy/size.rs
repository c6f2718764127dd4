//! Files, functions and handlers that fit a head.

use super::Finding;
use super::source::{self, Source};
use anyhow::Result;
use std::ops::RangeInclusive;
use std::path::Path;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Lines of code in a file; blank lines, comments and `#[cfg(test)]` modules do not count.
const FILE_LINES: usize = 400;
/// Lines of code in a function, from its signature to its closing brace.
const FUNCTION_LINES: usize = 60;
/// Lines of code in an HTTP handler: extractor, one use case, view.
const HANDLER_LINES: usize = 40;
/// Lines that are not blank in a file of the page.
const WEB_LINES: usize = 400;
/// What the page is written in.
const WEB_EXTENSIONS: &[&str] = &["ts", "svelte", "css", "html", "js", "mjs"];

/// Checks the file and each function in it.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let amount = source.code.iter().filter(|line| !source.in_test_module(**line)).count();
    if amount > FILE_LINES {
        findings.push(too_long(&source.path, "file-lines", 0, amount, format!("{amount} lines of code, {FILE_LINES} allowed; split it")));
    }
    let mut functions = Functions::default();
    functions.visit_file(&source.tree);
    findings.extend(functions.0.iter().filter_map(|function| check_function(source, function)));
    findings
}

fn check_function(source: &Source, function: &Function) -> Option<Finding> {
    let line = *function.lines.start();
    // Every async function of `api` counts as a handler: what is longer belongs into a use case below it.
    let is_handler = function.is_async && source.path.starts_with("src/api/") && !source.is_test(line);
    let (rule, limit) = if is_handler { ("handler-lines", HANDLER_LINES) } else { ("function-lines", FUNCTION_LINES) };
    let amount = source.code.range(function.lines.clone()).count();
    let message = || format!("`{}` has {amount} lines of code, {limit} allowed; name its steps", function.name);
    (amount > limit).then(|| too_long(&source.path, rule, line, amount, message()))
}

/// Checks the sources of the page under `root`/web, where there is one.
pub fn web(root: &Path) -> Result<Vec<Finding>> {
    let folder = root.join("web");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    for file in source::files(&folder, WEB_EXTENSIONS)? {
        let text = std::fs::read_to_string(&file)?;
        findings.extend(check_web(&source::relative(root, &file), &text));
    }
    Ok(findings)
}

fn check_web(path: &str, text: &str) -> Option<Finding> {
    let amount = text.lines().filter(|line| !line.trim().is_empty()).count();
    (amount > WEB_LINES).then(|| too_long(path, "web-lines", 0, amount, format!("{amount} lines, {WEB_LINES} allowed; split it")))
}

fn too_long(path: &str, rule: &'static str, line: usize, amount: usize, message: String) -> Finding {
    Finding { path: path.to_owned(), rule, line, amount, message }
}

struct Function {
    name: String,
    is_async: bool,
    lines: RangeInclusive<usize>,
}

#[derive(Default)]
struct Functions(Vec<Function>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = source::lines(signature.span(), block.brace_token.span.close());
        self.0.push(Function { name: signature.ident.to_string(), is_async: signature.asyncness.is_some(), lines });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(&'static str, usize)> {
        check(&Source::parse(path, text).unwrap()).into_iter().map(|finding| (finding.rule, finding.amount)).collect()
    }

    /// A function of `lines` lines of code, with comments that must not count.
    fn function(head: &str, lines: usize) -> String {
        format!("/// Doc.\n{head} {{\n{}}}\n", "    // why\n    g();\n\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_at_the_limit_passes_and_one_line_more_does_not() {
        assert_eq!(found("src/a.rs", &function("fn f()", 60)), []);
        assert_eq!(found("src/a.rs", &function("fn f()", 61)), [("function-lines", 61)]);
        assert_eq!(found("src/a.rs", &format!("impl A {{\n{}}}\n", function("fn f()", 61))), [("function-lines", 61)]);
        assert_eq!(found("src/a.rs", &format!("trait A {{\nfn g();\n{}}}\n", function("fn f()", 61))), [("function-lines", 61)]);
    }

    #[test]
    fn handlers_are_shorter() {
        assert_eq!(found("src/api/videos.rs", &function("pub async fn show()", 40)), []);
        assert_eq!(found("src/api/videos.rs", &function("pub async fn show()", 41)), [("handler-lines", 41)]);
        assert_eq!(found("src/api/videos.rs", &function("fn view()", 41)), []);
        assert_eq!(found("src/edge/serve.rs", &function("async fn serve()", 41)), []);
    }

    #[test]
    fn test_modules_do_not_count_for_the_file() {
        let items = |count: usize| "const A: u8 = 1;\n".repeat(count);
        assert_eq!(found("src/a.rs", &format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", items(400), items(300))), []);
        assert_eq!(found("src/a.rs", &items(401)), [("file-lines", 401)]);
    }

    #[test]
    fn files_of_the_page_have_a_limit_too() {
        assert_eq!(check_web("web/src/a.ts", &"let a;\n\n".repeat(400)), None);
        assert_eq!(check_web("web/src/a.ts", &"let a;\n".repeat(401)).map(|finding| finding.amount), Some(401));
    }
}
