//! The direction of imports: `media ← domain ← ports ← work ← api ← roles ← cli ← main`, and never sideways unless listed.

use super::Finding;
use super::source::Source;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The rooms of `src/`, lowest first. A room may import from every layer below its own.
const LAYERS: &[&[&str]] = &[
    &["domain"],
    &["encoding", "failpoint", "problem", "recent", "tls"],
    &["listen"],
    &["representation"],
    &["audit", "blobs", "catalog", "depot", "doorbell", "keys", "kms", "links", "policy", "uploads"],
    &["storage"],
    &["backup", "edge", "ingest", "library", "notify", "worker"],
    &["api"],
    &["roles"],
    &["cli"],
    &["main"],
];
/// The imports allowed within a layer: (who, whom).
const SIDEWAYS: &[(&str, &str)] = &[
    ("keys", "kms"),
    ("blobs", "keys"),
    ("uploads", "blobs"),
    ("uploads", "keys"),
    ("uploads", "kms"),
    ("audit", "catalog"),
    ("depot", "blobs"),
];
/// Rooms that only those who put the house together may read; all others are handed plain values.
const SETTINGS: &[&str] = &["config", "telemetry"];
/// Who puts the house together; telemetry reads how it is to log.
const ASSEMBLERS: &[&str] = &["roles", "cli", "main", "telemetry"];
/// Imports that the layers would allow and the design does not: the roles stay apart, the edge has no catalog, the worker no policy.
const FORBIDDEN: &[(&str, &str)] = &[("api", "worker"), ("api", "edge"), ("edge", "catalog"), ("worker", "policy")];

/// Checks each path of the file that leads into another room.
pub fn check(source: &Source) -> Vec<Finding> {
    let Some(module) = module_path(&source.path) else { return Vec::new() };
    let mut imports = Vec::new();
    collect(&source.tokens, &module, &mut imports);
    let from = module[0].as_str();
    let wrong = imports.into_iter().filter_map(|import| Some((why_not(from, &import.room)?, import)));
    wrong.map(|(message, import)| finding(&source.path, import.line, message)).collect()
}

/// Rooms that have no place in the table yet.
pub fn unplaced(sources: &[Source]) -> Vec<Finding> {
    let rooms = sources.iter().filter(|source| module_path(&source.path).is_some_and(|module| !is_placed(&module[0])));
    rooms.map(|source| finding(&source.path, 0, "this room has no layer; place it in xtask/src/tidy/direction.rs".to_owned())).collect()
}

fn finding(path: &str, line: usize, message: String) -> Finding {
    Finding { path: path.to_owned(), rule: "direction", line, amount: 1, message }
}

fn is_placed(room: &str) -> bool {
    layer(room).is_some() || SETTINGS.contains(&room)
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&room))
}

/// Why `from` may not import `to`; `None` if it may, or if `to` is no room (a macro or a re-exported item).
fn why_not(from: &str, to: &str) -> Option<String> {
    if from == to || !is_placed(to) {
        return None;
    }
    let arrow = format!("`{from}` must not import `{to}`");
    if SETTINGS.contains(&to) {
        return (!ASSEMBLERS.contains(&from)).then(|| format!("{arrow}: settings are handed down by roles, cli and main"));
    }
    if SETTINGS.contains(&from) {
        return (layer(to) != Some(0)).then(|| format!("{arrow}: settings know the domain only"));
    }
    if FORBIDDEN.contains(&(from, to)) {
        return Some(format!("{arrow}: roles stay apart and hold only what they need"));
    }
    let (own, other) = (layer(from)?, layer(to)?);
    let allowed = other < own || SIDEWAYS.contains(&(from, to));
    (!allowed).then(|| format!("{arrow}: imports point downwards (ARCHITECTURE.md, code map)"))
}

/// `src/api/videos.rs` is `["api", "videos"]`; the crate's root and files outside `src/` have no room.
fn module_path(path: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    (inside != "lib").then(|| inside.split('/').map(str::to_owned).collect())
}

struct Import {
    room: String,
    line: usize,
}

/// Finds `crate::room`, `theatrum::room`, `crate::{room, …}` and the `super::` chains that climb to the root.
fn collect(tokens: &TokenStream, module: &[String], imports: &mut Vec<Import>) {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut index = 0;
    while index < trees.len() {
        let rest = &trees[index..];
        if let [TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Group(body), ..] = rest
            && keyword == "mod"
        {
            collect(&body.stream(), &[module, &[name.to_string()]].concat(), imports);
            index += 3;
            continue;
        }
        if let TokenTree::Group(group) = &rest[0] {
            collect(&group.stream(), module, imports);
        }
        let climbed = from_root(rest, module.len());
        if let Some(target) = climbed.and_then(|steps| rest.get(steps)) {
            imports.extend(rooms(target));
        }
        index += climbed.unwrap_or(1);
    }
}

/// How many tokens at the start of `rest` lead to the crate's root from a module `depth` levels deep; `None` if they do not.
fn from_root(rest: &[TokenTree], depth: usize) -> Option<usize> {
    let step = |at: usize, word: &str| matches!(rest.get(at..at + 3), Some([TokenTree::Ident(ident), TokenTree::Punct(_), TokenTree::Punct(second)]) if ident == word && second.as_char() == ':');
    if step(0, "crate") || step(0, "theatrum") {
        return Some(3);
    }
    let supers = (0..).take_while(|count| step(count * 3, "super")).count();
    (supers > 0 && supers == depth).then_some(supers * 3)
}

/// The rooms named by the token after the root: one, or each first word of a `{…}` list.
fn rooms(target: &TokenTree) -> Vec<Import> {
    match target {
        TokenTree::Ident(ident) => vec![Import { room: ident.to_string(), line: ident.span().start().line }],
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
            let trees: Vec<TokenTree> = group.stream().into_iter().collect();
            trees
                .split(|tree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ','))
                .filter_map(|item| item.first())
                .flat_map(rooms)
                .collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(path: &str, text: &str) -> usize {
        check(&Source::parse(path, text).unwrap()).len()
    }

    #[test]
    fn imports_point_downwards() {
        assert_eq!(wrong("src/api/videos.rs", "use crate::ingest::begin; use crate::{catalog::Catalog, domain};"), 0);
        assert_eq!(wrong("src/catalog/jobs.rs", "use crate::worker::Worker;"), 1);
        assert_eq!(wrong("src/domain/video.rs", "use crate::{catalog::Catalog, domain::Error, blobs};"), 2);
        assert_eq!(wrong("src/main.rs", "use theatrum::{cli, roles};"), 0);
    }

    #[test]
    fn roles_never_import_one_another() {
        assert_eq!(wrong("src/api.rs", "use crate::worker::Worker;"), 1);
        assert_eq!(wrong("src/worker.rs", "use crate::edge::serve;"), 1);
        assert_eq!(wrong("src/edge.rs", "fn f() { crate::api::router() }"), 1);
    }

    #[test]
    fn sideways_needs_the_list() {
        assert_eq!(wrong("src/keys.rs", "use crate::kms::Kms;"), 0);
        assert_eq!(wrong("src/kms.rs", "use crate::keys::Keys;"), 1);
        assert_eq!(wrong("src/links/sign.rs", "use crate::keys::Keys;"), 1);
        assert_eq!(wrong("src/uploads/disk.rs", "use crate::blobs::Blobs;"), 0);
    }

    #[test]
    fn settings_are_handed_down() {
        assert_eq!(wrong("src/roles.rs", "use crate::config::Config;"), 0);
        assert_eq!(wrong("src/worker/claim.rs", "use crate::config::Config;"), 1);
        assert_eq!(wrong("src/config/listen.rs", "use crate::domain::Error;"), 0);
        assert_eq!(wrong("src/config/listen.rs", "use crate::catalog::Catalog;"), 1);
    }

    #[test]
    fn some_hands_stay_empty() {
        assert_eq!(wrong("src/edge/origin.rs", "use crate::catalog::Catalog;"), 1);
        assert_eq!(wrong("src/worker/claim.rs", "use crate::policy::Policy;"), 1);
    }

    #[test]
    fn climbing_by_super_is_seen() {
        assert_eq!(wrong("src/domain.rs", "use super::catalog::Catalog;"), 1);
        assert_eq!(wrong("src/domain/video.rs", "use super::super::catalog::Catalog;"), 1);
        assert_eq!(wrong("src/catalog/jobs.rs", "use super::worker::x;"), 0, "that is catalog::worker");
        assert_eq!(wrong("src/domain.rs", "mod a {\n    use super::super::api::x;\n}"), 1);
        assert_eq!(wrong("src/domain.rs", "macro_rules! m { () => { crate::worker::run() }; }"), 1);
    }

    #[test]
    fn a_new_room_must_be_placed() {
        let sources = [Source::parse("src/attic.rs", "").unwrap(), Source::parse("src/domain.rs", "").unwrap()];
        assert_eq!(unplaced(&sources).len(), 1);
    }
}
