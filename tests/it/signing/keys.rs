//! Signing keys over the API and the command line: made, named, put to work, used, revoked.

use super::now_s;
use crate::support::http::{ok, problem};
use crate::support::server::Server;
use reqwest::Method;
use serde_json::{Value, json};
use theatrum::links::cloudfront::Policy;

const NO_VIDEO: &str = "/v/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef/master.m3u8";

/// Runs a command that must succeed; gives what it printed.
fn printed(server: &Server, args: &[&str]) -> String {
    let output = server.cli(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn json_of(server: &Server, args: &[&str]) -> Value {
    serde_json::from_str(&printed(server, args)).expect("json")
}

/// Tier: `make test`. A newcomer's way: make a key, sign a URL and cookies with it, rotate, revoke.
#[tokio::test]
async fn keys_are_made_rotated_and_revoked_by_the_command_line() {
    let server = Server::start();
    let url = format!("{}{NO_VIDEO}", server.url());
    // Whoever is let through is told that there is no such video.
    let verdict = async |url: String| -> String {
        let answer = server.anonymous().http.get(url).send().await.expect("an answer");
        answer.json::<Value>().await.expect("json")["code"].as_str().expect("a code").to_owned()
    };
    let first = printed(&server, &["sign", &url, "--resource", &format!("{}/v/*", server.url())]);
    assert_eq!(verdict(first.clone()).await, "not-found", "a key was made when one was needed");
    let old = json_of(&server, &["keys", "list", "--json"])["signing_keys"][0].clone();
    assert_eq!((&old["active"], &old["algorithm"], &old["has_private_key"]), (&json!(true), &json!("ecdsa"), &json!(true)));
    let new = json_of(&server, &["keys", "create", "--algorithm", "rsa", "--json"]);
    assert_eq!((&new["active"], &new["algorithm"]), (&json!(false), &json!("rsa")));
    let id = new["key_pair_id"].as_str().expect("an id");
    printed(&server, &["keys", "activate", id, "--cloudfront-id", "K2JCJMDEHXQW5F"]);
    let second = printed(&server, &["sign", &url, "--expires-in", "1h", "--not-before", &(now_s() - 9).to_string(), "--ip", "127.0.0.0/8"]);
    assert!(second.contains("&Key-Pair-Id=K2JCJMDEHXQW5F&Hash-Algorithm=SHA256"), "{second}");
    assert_eq!((verdict(first.clone()).await, verdict(second.clone()).await), ("not-found".to_owned(), "not-found".to_owned()));
    printed(&server, &["keys", "revoke", old["key_pair_id"].as_str().expect("an id")]);
    assert_eq!((verdict(first).await, verdict(second).await), ("signature-key".to_owned(), "not-found".to_owned()));
    let cookies = printed(&server, &["sign", &url, "--cookies"]).lines().collect::<Vec<_>>().join("; ");
    let answer = server.anonymous().http.get(&url).header("cookie", cookies).send().await.expect("an answer");
    problem(answer, 404, "not-found").await;
    let table = printed(&server, &["keys", "list"]);
    assert!(table.lines().count() == 2 && table.contains("K2JCJMDEHXQW5F"), "{table}");
    assert!(!server.log().contains("BEGIN PRIVATE KEY"));
}

/// Tier: `make test`. A policy from a file is signed byte for byte, if the gate would take it.
#[tokio::test]
async fn a_policy_is_signed_as_it_is() {
    let server = Server::start();
    let url = format!("{}{NO_VIDEO}", server.url());
    let file = server.scratch().join("policy.json");
    let text = format!(
        "{{ \"Statement\": [ {{\"Resource\":\"{}/*\",\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":{}}}}}}} ] }}\n",
        server.url(),
        now_s() + 60
    );
    std::fs::write(&file, &text).expect("written");
    let path = file.to_str().expect("a path");
    let signed = printed(&server, &["sign", &url, "--policy", path]);
    problem(server.anonymous().http.get(signed).send().await.expect("an answer"), 404, "not-found").await;
    std::fs::write(&file, text.replace("\"Resource\"", "\"Resources\"")).expect("written");
    let refused = server.cli(&["sign", &url, "--policy", path]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("(policy-malformed)"), "{}", String::from_utf8_lossy(&refused.stderr));
}

/// Tier: `make test`. invariant 8: what is done with signing keys is in the audit log, and nothing of it happens where that cannot be written.
#[tokio::test]
async fn every_act_with_a_key_is_written_down() {
    let server = Server::start();
    let admin = server.client(&server.admin_token());
    let made = admin.post("/v1/signing-keys", &json!({})).await;
    let id = made["key_pair_id"].as_str().expect("an id");
    for (body, code) in [
        (json!({"algorithm": "dsa"}), "bad-algorithm"),
        (json!({"public_key": "x"}), "bad-public-key"),
        (json!({"public_key": made["public_key"], "algorithm": "rsa"}), "bad-algorithm"),
        (json!({"key_pair_id": "K1"}), "bad-key-pair-id"),
        (json!({"public_key": made["public_key"], "key_pair_id": "K/1"}), "bad-key-pair-id"),
    ] {
        problem(admin.send(Method::POST, "/v1/signing-keys", &body).await, 400, code).await;
    }
    let taken = json!({"public_key": made["public_key"], "key_pair_id": id});
    problem(admin.send(Method::POST, "/v1/signing-keys", &taken).await, 409, "key-pair-id-taken").await;
    let imported = admin.post("/v1/signing-keys", &json!({"public_key": made["public_key"], "key_pair_id": "K1"})).await;
    assert_eq!((&imported["active"], &imported["has_private_key"]), (&json!(false), &json!(false)));
    problem(admin.send(Method::POST, "/v1/signing-keys/K1/activate", &Value::Null).await, 409, "no-private-key").await;
    let link = json!({"url": "https://h.example/x", "expires_at": (now_s() + 60) * 1000});
    admin.post("/v1/signed-links", &link).await;
    for (member, value, code) in
        [("expires_at", json!(1), "bad-lifetime"), ("ip", json!("::1"), "bad-network"), ("url", json!("/x"), "bad-link-url")]
    {
        let mut link = link.clone();
        link[member] = value;
        problem(admin.send(Method::POST, "/v1/signed-links", &link).await, 400, code).await;
    }
    let policy = Policy::new("https://h.example/*".to_owned(), now_s() + 60).text();
    for (member, value) in [("ip", json!("192.0.2.7")), ("not_before", json!(1)), ("resource", json!("https://h.example/*"))] {
        let link = json!({"url": "https://h.example/x", "policy": policy, member: value});
        problem(admin.send(Method::POST, "/v1/signed-links", &link).await, 400, "conditions-beside-policy").await;
    }
    server.make_unwritable("audit").await;
    for (method, path, body) in [
        (Method::POST, "/v1/signing-keys".to_owned(), json!({})),
        (Method::POST, "/v1/signed-links".to_owned(), link),
        (Method::DELETE, format!("/v1/signing-keys/{id}"), Value::Null),
    ] {
        assert!(admin.send(method, &path, &body).await.status().is_server_error(), "{path}");
    }
    server.make_writable("audit").await;
    assert_eq!(admin.get("/v1/signing-keys").await["signing_keys"].as_array().expect("keys").len(), 2, "none was made, none revoked");
    ok(admin.send(Method::DELETE, &format!("/v1/signing-keys/{id}"), &Value::Null).await).await;
    problem(admin.send(Method::DELETE, &format!("/v1/signing-keys/{id}"), &Value::Null).await, 404, "not-found").await;
    let actions: Vec<String> =
        server.catalog().await.audit_entries(None, 100).await.expect("entries").into_iter().rev().map(|entry| entry.action).collect();
    let of_keys: Vec<&str> =
        actions.iter().map(String::as_str).filter(|action| action.starts_with("signing-key") || *action == "link-sign").collect();
    assert_eq!(of_keys, ["signing-key-create", "signing-key-import", "link-sign", "signing-key-revoke"]);
}
