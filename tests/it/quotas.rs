//! Quotas, as people meet them: set by an administrator, seen by whom they are for, and felt where a file comes in.

use crate::support::clips::clip;
use crate::support::http::{ok, problem};
use crate::support::server::Server;
use reqwest::Method;
use serde_json::{Value, json};

fn begin(size_bytes: u64, collection: &str) -> Value {
    json!({"filename": "a.mp4", "size_bytes": size_bytes, "collection": collection})
}

/// Tier: `make test`. A limit holds for what is begun from then on, by whatever way; whoever deletes, or gives up an upload, has room again.
#[tokio::test]
async fn a_quota_is_felt_where_a_file_comes_in() {
    let server = Server::start_with(&[("THEATRUM_QUOTAS__COLLECTION_BYTES", "5000")]);
    let (admin, otto) = (server.client(&server.admin_token()), server.client(&server.token("author", "otto")));
    let set = server.cli(&["quotas", "set", "--user", "otto", "1kB", "--json"]);
    assert_eq!(set.status.code(), Some(0), "{}", String::from_utf8_lossy(&set.stderr));
    let first = otto.post("/v1/uploads", &begin(600, "Anatomy")).await;
    let refused = problem(otto.send(Method::POST, "/v1/uploads", &begin(401, "Anatomy")).await, 507, "quota-exceeded").await;
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("the quota of otto is 0.98 KiB, 600 B of it in use")), "{refused}");
    let second = otto.post("/v1/uploads", &begin(400, "Anatomy")).await;
    let own = otto.get("/v1/quotas").await;
    let quota = json!({"kind": "user", "name": "otto", "used_bytes": 1000, "limit_bytes": 1000, "is_default": false});
    assert_eq!(own, json!({ "quotas": [quota] }), "their own, and nobody else's");
    problem(otto.send(Method::POST, "/v1/uploads", &begin(1, "Anatomy")).await, 507, "quota-exceeded").await;
    ok(otto.send(Method::DELETE, &format!("/v1/uploads/{}", second["upload"].as_str().expect("an id")), &Value::Null).await).await;
    otto.post("/v1/uploads", &begin(400, "Anatomy")).await;
    // The collection has a limit by default, which holds for everyone.
    let refused = problem(admin.send(Method::POST, "/v1/uploads", &begin(4001, "Anatomy")).await, 507, "quota-exceeded").await;
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("the quota of collection Anatomy")), "{refused}");
    let anatomy = ok(admin.send(Method::PUT, "/v1/quotas/collections/Anatomy", &json!({"limit_bytes": 0})).await).await;
    assert_eq!((&anatomy["limit_bytes"], &anatomy["used_bytes"]), (&Value::Null, &json!(1000)));
    admin.post("/v1/uploads", &begin(4001, "Anatomy")).await;
    let entries = server.catalog().await.audit_entries(None, 1_000).await.expect("entries");
    let set: Vec<_> = entries.iter().filter(|entry| entry.action == "quota-set").filter_map(|entry| entry.object.as_deref()).collect();
    assert!(set.contains(&"user otto 1000") && set.contains(&"collection Anatomy 0"), "{set:?}");
    assert!(first["upload"].is_string());
}

/// Tier: `make test`. The command line lists and sets, says what is wrong, and publishing over a quota fails with the sentence of the server.
#[tokio::test]
async fn the_command_line_says_what_a_quota_forbids() {
    let server = Server::start();
    let file = clip(server.scratch(), "clip.mp4");
    let folder = ["quotas", "set", "--collection", "Cardiology/2026", "1kB"];
    assert!(server.cli(&folder).status.success());
    let published = server.command(&["publish", "--collection", "Cardiology/2026"]).arg(&file).output().expect("it runs");
    let complaint = String::from_utf8(published.stderr).expect("text");
    assert_eq!(published.status.code(), Some(1), "{complaint}");
    assert!(
        complaint.contains("the quota of collection Cardiology/2026 is 0.98 KiB") && complaint.contains("(quota-exceeded)"),
        "{complaint}"
    );
    let listed = String::from_utf8(server.cli(&["quotas", "list"]).stdout).expect("text");
    assert!(listed.contains("collection  Cardiology/2026  0 B"), "{listed}");
    assert!(server.cli(&["quotas", "set", "--collection", "Cardiology/2026", "default"]).status.success());
    assert_eq!(server.publish(&file)["state"], "ready");
    let nonsense = server.cli(&["quotas", "set", "--user", "", "1kB"]);
    assert_eq!(nonsense.status.code(), Some(1));
    assert_eq!(server.cli(&["quotas", "set", "--user", "otto", "0"]).status.code(), Some(2));
}
