//! Schemathesis over the whole API: whatever is sent, the answer is one that the OpenAPI document describes, and never a 5xx.
//!
//! The stream of events is left out, for it never ends; `access::feed` has it.

use crate::support::clips::clip;
use crate::support::publishing::Publishing;
use crate::support::server::Server;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance";

/// Where `scripts/setup test` puts it.
fn installed() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/tools/schemathesis");
    assert!(folder.join("schemathesis").is_dir(), "schemathesis is not in {}: run `make setup`", folder.display());
    folder
}

/// What the server is asked about: a published video, an open upload, and a token that never reaches a command line.
async fn configuration(server: &Server) -> PathBuf {
    let video = Publishing::begin(server, &clip(server.scratch(), "clip.mp4")).plays(server);
    let admin = server.client(&server.admin_token());
    let begun = admin.post("/v1/uploads", &json!({"filename": "a.mp4", "size_bytes": 9})).await;
    let upload = begun["upload"].as_str().expect("an id");
    let operation = |path: &str, id: &str| format!("[[operations]]\ninclude-path = \"{path}\"\nparameters = {{ id = [\"{id}\"] }}\n");
    let mut text = format!(
        "[headers]\nAuthorization = \"Bearer {}\"\n\n[[operations]]\ninclude-path = \"/v1/changes\"\nenabled = false\n\n[[operations]]\ninclude-path = \"/v1/events/stream\"\nenabled = false\n",
        server.admin_token()
    );
    // What deletes them is asked about others, or the rest would find nothing.
    for path in ["/v1/videos/{id}/poster", "/v1/videos/{id}/playback"] {
        text.push_str(&operation(path, video.as_str()));
    }
    for path in ["/v1/uploads/{id}/parts", "/v1/uploads/{id}/finish"] {
        text.push_str(&operation(path, upload));
    }
    // The one 5xx that a specification asks for (oEmbed 1.0 §2.3.4.1: 501 for another format) is looked for in `embed`.
    text.push_str("[[operations]]\ninclude-path = \"/oembed\"\nparameters = { \"query.format\" = [\"json\"] }\n");
    let file = server.scratch().join("schemathesis.toml");
    std::fs::write(&file, text).expect("written");
    file
}

/// Asks for `seconds`, at most `examples` of each operation; panics with what Schemathesis says unless it is content.
async fn ask(seconds: u32, examples: u32) {
    // Small files only: there is room for any number of them, and 507 is no answer to look for.
    let server = Server::start_with(&[("THEATRUM_UPLOADS__MAX_SIZE_BYTES", "1048576")]);
    let configuration = configuration(&server).await;
    let mut command = Command::new("/usr/bin/python3");
    command
        .env("PYTHONPATH", installed())
        .current_dir(server.scratch())
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(configuration);
    command.arg("run").arg(format!("{}/v1/openapi.json", server.url()));
    command.args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--no-shrink", "--max-failures", "5", "--warnings", "off"]);
    command.args(["--max-time", &seconds.to_string(), "--max-examples", &examples.to_string(), "--request-timeout", "10", "--no-color"]);
    let output = tokio::task::spawn_blocking(move || command.output().expect("python3 runs")).await.expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(said.contains("generated"), "it asked something:\n{said}");
}

/// Tier: `make test`. A bounded look at every operation.
#[tokio::test]
async fn every_answer_is_one_that_the_document_describes() {
    ask(60, 15).await;
}

/// Tier: `make test-all`. The same for ten minutes.
#[tokio::test]
#[ignore = "takes ten minutes"]
async fn every_answer_is_one_that_the_document_describes_for_long() {
    ask(600, 500).await;
}
