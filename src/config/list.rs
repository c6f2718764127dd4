//! Lists: `["a", "b"]` in a file, `a, b` in a variable.

use serde::Deserialize;

/// A list as it is written.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum List {
    Text(String),
    Items(Vec<String>),
}

impl List {
    /// Its items, trimmed; empty ones are none.
    pub(super) fn items(&self) -> Vec<&str> {
        let items: Vec<&str> = match self {
            Self::Text(text) => text.split(',').collect(),
            Self::Items(items) => items.iter().map(String::as_str).collect(),
        };
        items.into_iter().map(str::trim).filter(|item| !item.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_the_same_items() {
        let items = List::Items(vec!["a".to_owned(), " b ".to_owned()]);
        assert_eq!(items.items(), ["a", "b"]);
        assert_eq!(List::Text("a, b,".to_owned()).items(), ["a", "b"]);
        assert!(List::Text(String::new()).items().is_empty() && List::Items(vec![]).items().is_empty());
    }
}
