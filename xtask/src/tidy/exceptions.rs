//! The exception list: what is forgiven, and how much of it. It only shrinks: an entry larger than needed is itself a complaint.

use super::{EXCEPTIONS, Finding};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;

/// (path, rule) → how much is forgiven: lines where the rule limits lines, places otherwise.
pub type Exceptions = BTreeMap<(String, String), usize>;

/// Reads lines of `path rule number`; `#` begins a comment.
pub fn parse(text: &str) -> Result<Exceptions> {
    let mut exceptions = Exceptions::new();
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty()) {
        let [path, rule, number] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            bail!("cannot read `{line}` in {EXCEPTIONS}; a line is: path rule number");
        };
        let number = number.parse().with_context(|| format!("`{number}` in {EXCEPTIONS} is no number"))?;
        if exceptions.insert((path.to_owned(), rule.to_owned()), number).is_some() {
            bail!("{path} {rule} is listed twice in {EXCEPTIONS}");
        }
    }
    Ok(exceptions)
}

/// What remains to complain about once the list has forgiven what it may.
pub fn apply(findings: Vec<Finding>, exceptions: &Exceptions) -> Vec<String> {
    let mut amounts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for finding in &findings {
        let amount = amounts.entry((finding.path.clone(), finding.rule.to_owned())).or_default();
        *amount = if finding.rule.ends_with("-lines") { finding.amount.max(*amount) } else { *amount + finding.amount };
    }
    let is_forgiven = |finding: &Finding| {
        let key = (finding.path.clone(), finding.rule.to_owned());
        exceptions.get(&key).is_some_and(|allowed| amounts[&key] <= *allowed)
    };
    let mut complaints: Vec<String> = findings.iter().filter(|finding| !is_forgiven(finding)).map(Finding::to_string).collect();
    for (key, allowed) in exceptions {
        let needed = amounts.get(key).copied().unwrap_or_default();
        if needed < *allowed {
            let mend = if needed == 0 { "remove the line".to_owned() } else { format!("lower it to {needed}") };
            complaints.push(format!("{EXCEPTIONS}: {} {} {allowed} is more than is needed; {mend}", key.0, key.1));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(rule: &'static str, amount: usize) -> Finding {
        Finding { path: "src/a.rs".to_owned(), rule, line: 1, amount, message: "too long".to_owned() }
    }

    fn complaints(findings: &[Finding], listed: &str) -> usize {
        apply(findings.to_vec(), &parse(listed).unwrap()).len()
    }

    #[test]
    fn an_exact_exception_forgives() {
        assert_eq!(complaints(&[finding("file-lines", 450)], "src/a.rs file-lines 450 # shrinks with issue 9\n"), 0);
        assert_eq!(complaints(&[finding("sleep", 1), finding("sleep", 1)], "src/a.rs sleep 2"), 0);
        assert_eq!(complaints(&[finding("function-lines", 70), finding("function-lines", 65)], "src/a.rs function-lines 70"), 0);
    }

    #[test]
    fn growth_is_a_complaint() {
        assert_eq!(complaints(&[finding("file-lines", 451)], "src/a.rs file-lines 450"), 1);
        assert_eq!(complaints(&[finding("sleep", 1), finding("sleep", 1)], "src/a.rs sleep 1"), 2);
        assert_eq!(complaints(&[finding("sleep", 1)], "src/b.rs sleep 1"), 2);
    }

    #[test]
    fn so_is_an_entry_that_is_larger_than_needed() {
        assert_eq!(complaints(&[finding("file-lines", 449)], "src/a.rs file-lines 450"), 1);
        assert_eq!(complaints(&[], "src/a.rs file-lines 450"), 1);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse("src/a.rs file-lines").is_err());
        assert!(parse("src/a.rs file-lines many").is_err());
        assert!(parse("src/a.rs sleep 1\nsrc/a.rs sleep 2").is_err());
    }
}
