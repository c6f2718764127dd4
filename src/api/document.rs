//! The OpenAPI document: what the handlers' annotations say, completed by what holds for every route, so that no annotation has to repeat
//! it: who may call, how the caller's mistakes are answered, and the schema of every problem.

use super::problems::{CODES, Known, known};
use axum::Extension;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::openapi::OpenApi;

/// The extension by which a handler names the codes of its own refusals: `extensions(("x-problems" = json!(["not-found"])))`. One that comes with
/// another status than usual is written with it: `"403 token-expired"`.
const OWN_PROBLEMS: &str = "x-problems";
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// The document as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Document(Bytes);

impl Document {
    /// Writes `document` down.
    pub(super) fn new(document: &Value) -> Self {
        Self(document.to_string().into())
    }
}

/// Read this document.
///
/// The OpenAPI 3.1 description of every route, as the running server has them.
#[utoipa::path(get, path = "/openapi.json", operation_id = "read_openapi", tag = "service", security(()),
    responses((status = OK, description = "The document.", body = Value)))]
pub(super) async fn show(Extension(Document(document)): Extension<Document>) -> Response {
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}

/// What the annotations said, completed.
pub(super) fn complete(annotated: &OpenApi) -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(annotated)?;
    document["info"] = info();
    document["tags"] = tags();
    document["security"] = json!([{"token": []}, {"cookie": []}]);
    document["x-problems"] = CODES.iter().map(Known::document).collect();
    document["components"]["schemas"]["Problem"] = problem();
    document["components"]["securitySchemes"] = json!({
        "token": {"type": "http", "scheme": "bearer", "description": "An access token, from `theatrum token issue` or `POST /v1/tokens`."},
        "cookie": {"type": "apiKey", "in": "cookie", "name": super::auth::COOKIE_NAME, "description":
            "The page's session, from `POST /v1/session`. What changes something must come from the page's own origin."},
    });
    for (_, method, operation) in operations(&mut document) {
        complete_operation(method, operation);
    }
    let asked = asked(&mut document);
    for (name, schema) in document["components"]["schemas"].as_object_mut().into_iter().flatten() {
        if !asked.contains(name) {
            require_all(schema);
        }
    }
    Ok(document)
}

/// The names of the schemas that requests are made of.
fn asked(document: &mut Value) -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    let mut found: Vec<String> = operations(document).flat_map(|(_, _, operation)| named(&operation["requestBody"])).collect();
    while let Some(name) = found.pop() {
        if asked.insert(name.clone()) {
            found.extend(named(&document["components"]["schemas"][&name]));
        }
    }
    asked
}

/// The names of the schemas that `value` refers to, at any depth.
fn named(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/components/schemas/"));
            own.map(str::to_owned).into_iter().chain(members.values().flat_map(named)).collect()
        }
        Value::Array(items) => items.iter().flat_map(named).collect(),
        _ => Vec::new(),
    }
}

/// What the server sends is whole: each member is there, and null where there is nothing to say.
fn require_all(schema: &mut Value) {
    if let Some(members) = schema["properties"].as_object() {
        schema["required"] = members.keys().cloned().collect();
    }
    for part in schema.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
        require_all(part);
    }
}

/// Path, method and operation of everything in a document.
pub(super) fn operations(document: &mut Value) -> impl Iterator<Item = (&String, &str, &mut Value)> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let items =
        paths.flat_map(|(path, item)| item.as_object_mut().into_iter().flatten().map(move |(method, op)| (path, method.as_str(), op)));
    items.filter(|(_, method, _)| METHODS.contains(method))
}

fn complete_operation(method: &str, operation: &mut Value) {
    if method == "post" && operation.get("security").is_none() {
        add_header(
            operation,
            "Idempotency-Key",
            "Names this request, by a UUID for example: sent again with the same key within a day, \
            it is carried out once and answered as the first time (`Idempotency-Replayed: true`).",
        );
    }
    complete_conditions(method, operation);
    let implied = implied(method, operation).into_iter().map(|known| (known.status, known));
    let own = operation.as_object_mut().and_then(|operation| operation.remove(OWN_PROBLEMS));
    let own = own.iter().flat_map(|own| own.as_array()).flatten().filter_map(|code| named_problem(code.as_str()?));
    let mut by_status: BTreeMap<u16, Vec<&Known>> = BTreeMap::new();
    for (status, code) in implied.chain(own) {
        let same = by_status.entry(status).or_default();
        if !same.iter().any(|known| known.code == code.code) {
            same.push(code);
        }
    }
    for (status, codes) in by_status {
        operation["responses"][status.to_string()] = refusal(&codes);
    }
}

/// The status and the code that a handler names.
fn named_problem(text: &str) -> Option<(u16, &'static Known)> {
    match text.split_once(' ') {
        Some((status, code)) => Some((status.parse().ok()?, known(code)?)),
        None => known(text).map(|known| (known.status, known)),
    }
}

/// What conditions do for an operation: see `conditional.rs`.
fn complete_conditions(method: &str, operation: &mut Value) {
    let gives_json = !operation["responses"]["200"]["content"]["application/json"].is_null();
    if method == "get" && gives_json {
        add_header(operation, "If-None-Match", "The `ETag` of what the caller has: 304 if it is that still.");
        operation["responses"]["200"]["headers"]["ETag"] = json!({"schema": {"type": "string"}, "description": "Names this state of it."});
        operation["responses"]["304"] = json!({"description": "It is what `If-None-Match` names."});
    }
    if matches!(method, "put" | "patch" | "delete") {
        add_header(operation, "If-Match", "The `ETag` of what the caller saw by GET: 412 if it is something else by now.");
    }
}

/// Adds an optional request header.
fn add_header(operation: &mut Value, name: &str, description: &str) {
    let header = json!({"name": name, "in": "header", "required": false, "schema": {"type": "string"}, "description": description});
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.push(header),
        None => operation["parameters"] = json!([header]),
    }
}

/// The codes that every operation of its form may answer with.
fn implied(method: &str, operation: &Value) -> Vec<&'static Known> {
    let mut codes = vec!["internal", "unavailable", "catalog-busy", "disk-full"];
    if operation.get("security").is_none() {
        codes.extend(["token-missing", "token-malformed", "token-signature", "token-expired"]);
        if method != "get" {
            codes.push("cross-origin");
        }
        if matches!(method, "put" | "patch" | "delete") {
            codes.push("precondition-failed");
        }
        if method == "post" {
            codes.extend([
                "bad-idempotency-key",
                "idempotency-in-progress",
                "idempotency-answer-lost",
                "idempotency-key-reused",
                "audit-unavailable",
            ]);
        }
    }
    let parameters = operation["parameters"].as_array();
    let takes = |place: &str| parameters.is_some_and(|all| all.iter().any(|parameter| parameter["in"] == place));
    if takes("path") {
        codes.extend(["malformed-path", "malformed-id"]);
    }
    if takes("query") {
        codes.push("malformed-query");
    }
    if operation.get("requestBody").is_some() {
        codes.extend(["malformed-body", "body-too-large", "not-json", "nul-in-text"]);
    }
    codes.into_iter().filter_map(known).collect()
}

fn refusal(codes: &[&Known]) -> Value {
    let names: Vec<&str> = codes.iter().map(|known| known.code).collect();
    let lines: Vec<String> = codes.iter().map(|known| format!("- `{}`: {} {}", known.code, known.meaning, known.next)).collect();
    let schema = json!({"allOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "object", "properties": {"code": {"enum": names}}}]});
    json!({"description": lines.join("\n"), "content": {"application/problem+json": {"schema": schema}}})
}

fn info() -> Value {
    json!({
        "title": "Theatrum",
        "version": env!("CARGO_PKG_VERSION"),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        "description": "Upload, process and play videos. JSON in and out, snake_case; times (`*_at`) are epoch milliseconds. \
            Whoever is refused gets a problem document (RFC 9457) with a stable `code`.",
    })
}

fn tags() -> Value {
    [
        ("session", "Signing in, and tokens for people and machines."),
        ("uploads", "How a file comes in: begin, declare parts, send them to their URLs, finish."),
        ("inbox", "Access keys for S3 clients, which put files into the bucket `inbox`; each becomes a video."),
        ("videos", "The library: list, look, play, delete."),
        ("operation", "Jobs and dead letters, for those who run the house."),
        ("storage", "The disk: quotas, room, what lies on it that nobody needs, and whether the rest is what was written."),
        ("playback", "What players ask for."),
        ("embedding", "Frames on other sites: where they may be, who may watch in them, and oEmbed."),
        ("events", "What happened: the log, and webhooks."),
        ("service", "The server itself."),
    ]
    .map(|(name, description)| json!({"name": name, "description": description}))
    .into_iter()
    .collect()
}

/// RFC 9457 §3.1, with our members.
fn problem() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut members = Map::new();
    members.insert("type".into(), json!({"const": "about:blank", "description": "Always `about:blank`: go by `code`."}));
    members.insert("title".into(), text("The HTTP status in words."));
    members.insert("status".into(), json!({"type": "integer", "description": "The HTTP status."}));
    members.insert("code".into(), text("Stable and kebab-case: what a program goes by."));
    members.insert("detail".into(), text("What happened, to what, and what to do next."));
    members.insert("request_id".into(), text("Names the request in the server's log; also in the header `x-request-id`."));
    json!({"type": "object", "description": "Why a request was refused (RFC 9457). Some codes bring members of their own.",
        "required": ["type", "title", "status", "code", "detail", "request_id"], "properties": members})
}

#[cfg(test)]
mod tests;
