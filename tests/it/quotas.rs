//! Quotas, as people meet them: set by an administrator, seen by whom they are for, and felt where a file comes in.

use crate::inbox::chunks::crc32;
use crate::inbox::signed::{Payload, Request, begin_multipart, send, send_wire, told};
use crate::support::clips::clip;
use crate::support::http::{ok, problem};
use crate::support::s3::parts;
use crate::support::server::Server;
use crate::support::waiting::wait_for;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

fn begin(size_bytes: u64, collection: &str) -> Value {
    json!({"filename": "a.mp4", "size_bytes": size_bytes, "collection": collection})
}

/// Tier: `make test`. A limit holds for what is begun from then on; whoever deletes, or gives up an upload, has room again.
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
    assert_eq!(own, json!({ "quotas": [quota], "next_cursor": null }), "their own, and nobody else's");
    assert_eq!(otto.get("/v1/quotas/users/otto").await, quota);
    problem(otto.send(Method::GET, "/v1/quotas/collections/Anatomy", &Value::Null).await, 403, "not-allowed").await;
    assert_eq!(admin.get("/v1/quotas/collections/Anatomy").await["used_bytes"], 1000);
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

/// Tier: `make test`. A limit holds by whatever way a file comes in: an object of the inbox, a part of one, a part that takes another's place, a
/// replacement, a video that is moved.
#[tokio::test]
async fn no_way_leads_past_a_quota() {
    let server = Server::start();
    let client = server.client(&server.admin_token());
    let limit = async |path: &str, bytes: u64| {
        ok(client.send(Method::PUT, &format!("/v1/quotas/{path}"), &json!({ "limit_bytes": bytes })).await).await;
    };
    let published = server.publish(&clip(server.scratch(), "clip.mp4"));
    assert_eq!(published["state"], "ready", "{published}");
    let video = published["video"].as_str().expect("an id");
    let path = format!("/v1/videos/{video}");
    limit("users/admin", 1).await;
    limit("collections/Anatomy", 1).await;
    let replacement = json!({"filename": "b.mp4", "size_bytes": 1, "replaces": video});
    problem(client.send(Method::POST, "/v1/uploads", &replacement).await, 507, "quota-exceeded").await;
    let refused = problem(client.send(Method::PATCH, &path, &json!({"collection": "Anatomy"})).await, 507, "quota-exceeded").await;
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("the quota of collection Anatomy")), "{refused}");
    assert_eq!(client.get(&path).await["collection"], Value::Null);
    limit("collections/Anatomy", 100 << 20).await;
    ok(client.send(Method::PATCH, &path, &json!({"collection": "Anatomy"})).await).await;
    limit("collections/Anatomy", 1).await;
    ok(client.send(Method::PATCH, &path, &json!({"title": "stays", "collection": "Anatomy"})).await).await;

    let access = server.access("ada", "");
    limit("users/ada", 1_000).await;
    let over = Err("403 QuotaExceeded".to_owned());
    let put = async |query: &[(&str, &str)], body: &[u8]| {
        let request = Request { method: Method::PUT, key: "a.bin", query, headers: &[], payload: Payload::Whole, body };
        told(send(&access, &request).await).await
    };
    assert_eq!(put(&[], &[7; 1_001]).await, over);
    let upload = begin_multipart(&access).await;
    assert_eq!(put(&[("partNumber", "1"), ("uploadId", &upload)], &[7; 1_001]).await, over);
    put(&[("partNumber", "1"), ("uploadId", &upload)], &[7; 10]).await.expect("room");
    assert_eq!(put(&[("partNumber", "2"), ("uploadId", &upload)], &[7; 991]).await, over);
    assert_eq!(put(&[("partNumber", "1"), ("uploadId", &upload)], &[7; 1_001]).await, over);
    put(&[("partNumber", "1"), ("uploadId", &upload)], &[7; 1_000]).await.expect("it takes the other's place");
}

/// Tier: `make test`. A part that takes another's place counts once it is there: when others have taken the room meanwhile, it is refused then,
/// and leaves no blob.
#[tokio::test]
async fn a_part_that_was_let_in_is_asked_again_when_it_is_there() {
    let server = Server::start();
    let (client, access) = (server.client(&server.admin_token()), server.access("ada", ""));
    let limit = async |bytes: u64| ok(client.send(Method::PUT, "/v1/quotas/users/ada", &json!({ "limit_bytes": bytes })).await).await;
    limit(2_000).await;
    let upload = begin_multipart(&access).await;
    let query = [("partNumber", "1"), ("uploadId", upload.as_str())];
    let request = Request { method: Method::PUT, key: "a.bin", query: &query, headers: &[], payload: Payload::Whole, body: &[7; 1_000] };
    told(send(&access, &request).await).await.expect("room");
    let body = [8; 1_500];
    let tail = format!("\r\n0\r\nx-amz-checksum-crc32:{}\r\n\r\n", crc32([body.to_vec()].into_iter()));
    let (head, rest) = ([b"5dc\r\n", &body[..700]].concat(), [&body[700..], tail.as_bytes()].concat());
    let wire_bytes = head.len() + rest.len();
    let (go, gone) = tokio::sync::oneshot::channel();
    let later = async move { gone.await.map(|()| rest).map_err(std::io::Error::other) };
    let wire = stream::once(async { Ok(head) }).chain(stream::once(later));
    let request = Request { payload: Payload::Unsigned("x-amz-checksum-crc32", ""), body: b"", ..request };
    let sent = send_wire(&access, &request, body.len(), (wire_bytes, reqwest::Body::wrap_stream(wire)));
    let meanwhile = async {
        wait_for(&server, "the part comes", async || (parts(&server).len() == 2).then_some(())).await;
        limit(1_200).await;
        go.send(()).expect("it waits");
    };
    let (answer, ()) = tokio::join!(sent, meanwhile);
    assert_eq!(told(answer).await, Err("403 QuotaExceeded".to_owned()));
    let left = parts(&server);
    assert_eq!(left.len(), 1, "{left:?}");
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
