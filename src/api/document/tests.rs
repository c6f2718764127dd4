//! The document and the router say the same, the codes are those of the source, and the checked-in copy is up to date.

use super::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Set to write the checked-in document anew: `scripts/api` does.
const WRITE: &str = "THEATRUM_WRITE_API";
/// The rooms whose errors reach clients of the API.
const HEARD: [&str; 13] =
    ["api", "audit", "catalog", "domain", "ingest", "keys", "library", "links", "policy", "problem", "recent", "representation", "storage"];
/// Codes in those rooms that never reach a client, and why.
const UNHEARD: &[(&str, &str)] = &[
    ("already-exists", "a key of ours that is not new: the caller of the statement knows what it means"),
    ("access-key-revoked", "the S3 endpoint's"),
    ("bad-checksum-algorithm", "the S3 endpoint's, which answers with codes of its own"),
    ("bad-checksum-type", "the S3 endpoint's"),
    ("bad-key", "the S3 endpoint's"),
    ("catalog-newer", "the server does not start"),
    ("catalog-older", "a backup's, whose command says it"),
    ("catalog-url", "the server does not start"),
    ("checksum-algorithm", "the S3 endpoint's"),
    ("checksum-mismatch", "the S3 endpoint's"),
    ("checksum-type", "the S3 endpoint's"),
    ("init-adopted", "a worker's"),
    ("invalid-part", "the S3 endpoint's"),
    ("not-processing", "a worker's"),
    ("object-size", "the S3 endpoint's"),
    ("outside-prefix", "the S3 endpoint's"),
    ("part-order", "the S3 endpoint's"),
    ("part-superseded", "the S3 endpoint's, which answers with codes of its own"),
    ("part-too-small", "the S3 endpoint's"),
    ("row-misfit", "a backup's"),
    ("segment-adopted", "a worker's"),
    ("signing-key", "the server does not start"),
    ("stale-epoch", "a worker's"),
    ("too-many-transfers", "the S3 endpoint's"),
];

fn document() -> Value {
    complete(super::super::routes().get_openapi()).expect("json")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Method and path of every route that axum knows: its router tells them to whoever debugs it, and nowhere else.
fn routed() -> BTreeSet<(String, String)> {
    let told = format!("{:?}", super::super::routes().split_for_parts().0);
    let (told, _) = told.split_once("fallback_router").expect("axum's routers come in pairs");
    let (handlers, paths) = told.split_once("node: Node").expect("routes, then their paths");
    let mut found = BTreeSet::new();
    for route in paths.split("RouteId(").skip(1) {
        let (id, path) = route.split_once("): \"").expect("a path");
        let path = path.split('"').next().expect("its end");
        let (_, handler) = handlers.split_once(&format!("RouteId({id}): MethodRouter(")).expect("its handlers");
        let (handler, _) = handler.split_once("fallback:").expect("the end of its methods");
        let methods = METHODS.iter().filter(|method| handler.contains(&format!("{method}: BoxedHandler")));
        found.extend(methods.map(|method| ((*method).to_owned(), path.to_owned())));
    }
    found
}

/// invariant 9: no route is there that nobody wrote down, so none is forgotten by the tests that go by the document.
#[test]
fn every_route_is_in_the_document_and_the_other_way_round() {
    let mut document = document();
    let documented: BTreeSet<_> = operations(&mut document).map(|(path, method, _)| (method.to_owned(), path.clone())).collect();
    assert!(documented.len() > 20, "{documented:?}");
    assert_eq!(routed(), documented);
}

#[test]
fn every_operation_says_what_it_is() {
    let mut document = document();
    let tags: BTreeSet<_> = tags().as_array().expect("a list").iter().map(|tag| tag["name"].as_str().expect("a text").to_owned()).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&mut document) {
        let id = operation["operationId"].as_str().unwrap_or_default();
        assert!(ids.insert(id.to_owned()), "{method} {path}: {id} is another's operation_id");
        assert!(
            operation["summary"].as_str().is_some_and(|summary| summary.ends_with('.') || summary.ends_with('?')),
            "{method} {path}: {operation}"
        );
        assert!(
            operation["tags"].as_array().is_some_and(|own| own.len() == 1 && tags.contains(own[0].as_str().unwrap_or_default())),
            "{method} {path}"
        );
        for (status, response) in operation["responses"].as_object().expect("answers") {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path} {status}");
        }
    }
}

/// What a handler names in `x-problems` is in [`CODES`], which are in order and each there once.
#[test]
fn every_code_that_a_handler_names_is_known() {
    let mut annotated = serde_json::to_value(super::super::routes().get_openapi()).expect("json");
    for (path, method, operation) in operations(&mut annotated) {
        for code in operation[OWN_PROBLEMS].as_array().into_iter().flatten() {
            assert!(named_problem(code.as_str().unwrap_or_default()).is_some(), "{method} {path}: {code} is not in src/api/problems.rs");
        }
    }
    let order: Vec<_> = CODES.iter().map(|known| (known.status, known.code)).collect();
    assert!(order.is_sorted(), "by status, then by name");
    let names: BTreeSet<_> = CODES.iter().map(|known| known.code).collect();
    assert_eq!(names.len(), CODES.len(), "a code has one status and one meaning");
}

/// Every code that an error of these rooms can carry is documented, and each documented one is some error's.
#[test]
fn the_documented_codes_are_those_of_the_source() {
    let mut used = BTreeSet::new();
    for room in HEARD {
        collect(&root().join("src").join(format!("{room}.rs")), &mut used);
        collect(&root().join("src").join(room), &mut used);
    }
    let unheard: BTreeSet<_> = UNHEARD.iter().map(|(code, _)| (*code).to_owned()).collect();
    let documented: BTreeSet<_> = CODES.iter().map(|known| known.code.to_owned()).collect();
    let missing: Vec<_> = used.difference(&documented).filter(|code| !unheard.contains(*code)).collect();
    assert!(missing.is_empty(), "undocumented, add them to src/api/problems.rs: {missing:?}");
    let unused: Vec<_> = documented.difference(&used).collect();
    assert!(unused.is_empty(), "documented, but nothing answers with them: {unused:?}");
    let gone: Vec<_> = unheard.difference(&used).collect();
    assert!(gone.is_empty(), "excused, but nothing answers with them: {gone:?}");
}

/// The document says of every answer that it is whole.
#[test]
fn no_answer_leaves_a_member_out() {
    let mut files = vec![root().join("src/api")];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            assert!(!text.contains("skip_serializing_if"), "{}: send null instead", path.display());
        }
    }
}

/// Adds the codes in a file, or in a folder's files: the first text in kebab-case among the arguments of what makes an error.
fn collect(path: &Path, codes: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            let path = entry.expect("an entry").path();
            if !path.ends_with("tests.rs") && !path.ends_with("conformance") && !path.ends_with("problems.rs") && !path.ends_with("tests") {
                collect(&path, codes);
            }
        }
        return;
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    for maker in [
        "Error::new(",
        "Error::invalid(",
        "Error::conflict(",
        "Problem::new(",
        "fn not_found(",
        "fn internal(",
        "fn insufficient_storage(",
        "fn quota_exceeded(",
        "fn unavailable(",
        "=> (\"token-",
    ] {
        for (at, _) in text.match_indices(maker) {
            let rest = if maker.starts_with("=>") { &text[at..] } else { &text[at + maker.len()..] };
            codes.extend(first_code(&rest[..rest.len().min(rest.floor_char_boundary(260))]));
        }
    }
    for constant in ["BUSY: &str = ", "DISK_FULL: &str = "] {
        for (at, _) in text.match_indices(constant) {
            codes.extend(first_code(&text[at..]));
        }
    }
}

fn first_code(text: &str) -> Option<String> {
    let code = text.split('"').nth(1)?;
    let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    is_code.then(|| code.to_owned())
}

/// Clients and the page are generated from the checked-in document, so that a change of the API is seen in review.
#[test]
fn the_checked_in_document_is_up_to_date() {
    let file: PathBuf = root().join("clients/openapi.json");
    let now = format!("{:#}\n", document());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&file, &now).expect("written");
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == now, "clients/openapi.json is not what the code says: run `scripts/api`, look at what changed, and commit it");
}
