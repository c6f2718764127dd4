//! Every file says what it is for, and no module is a drawer for everything.

use super::Finding;
use super::source::Source;
use syn::visit::{self, Visit};

/// Names that say nothing about what is inside; `mod` is the old `mod.rs` layout.
const BANNED: &[&str] = &["common", "helpers", "manager", "misc", "mod", "util", "utils"];

/// The file begins with `//!`; neither it, its folders nor its inline modules bear a banned name.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !source.text.starts_with("//!") {
        findings.push(finding(source, "header", 1, "the file does not start with `//!`; say in a line what it is for".to_owned()));
    }
    for part in source.path.trim_end_matches(".rs").split('/').filter(|part| BANNED.contains(part)) {
        findings.push(finding(source, "module-name", 0, format!("`{part}` says nothing about what is inside; name the thing")));
    }
    let mut inline = InlineModules(Vec::new());
    inline.visit_file(&source.tree);
    for (line, name) in inline.0 {
        findings.push(finding(source, "module-name", line, format!("`mod {name}` says nothing about what is inside; name the thing")));
    }
    findings
}

fn finding(source: &Source, rule: &'static str, line: usize, message: String) -> Finding {
    Finding { path: source.path.clone(), rule, line, amount: 1, message }
}

struct InlineModules(Vec<(usize, String)>);

impl<'ast> Visit<'ast> for InlineModules {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        if module.content.is_some() && BANNED.contains(&name.as_str()) {
            self.0.push((module.ident.span().start().line, name));
        }
        visit::visit_item_mod(self, module);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        check(&Source::parse(path, text).unwrap()).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn good_names_pass() {
        assert_eq!(rules("src/catalog/jobs.rs", "//! Jobs.\nmod claim {}\n"), [""; 0]);
    }

    #[test]
    fn a_header_is_wanted_first() {
        assert_eq!(rules("src/a.rs", "use std::fmt;\n"), ["header"]);
    }

    #[test]
    fn drawers_are_refused_wherever_they_hide() {
        assert_eq!(rules("src/utils.rs", "//! x\n"), ["module-name"]);
        assert_eq!(rules("src/catalog/mod.rs", "//! x\n"), ["module-name"]);
        assert_eq!(rules("src/helpers/time.rs", "//! x\n"), ["module-name"]);
        assert_eq!(rules("src/a.rs", "//! x\nmod b {\n    mod misc {}\n}\n"), ["module-name"]);
    }
}
