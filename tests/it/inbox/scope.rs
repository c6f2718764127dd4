//! Who may do what in the inbox, and what is written down of it (invariants 8 and 9).

use super::signed::{Payload, Request, begin_multipart, put as put_signed, send, send_form, told};
use crate::access::refusals;
use crate::support::http::{Client, ok, problem};
use crate::support::s3::{Program, arrived, noise, videos};
use crate::support::server::Server;
use reqwest::Method;
use serde_json::{Value, json};

type Query<'a> = &'a [(&'a str, &'a str)];

const PUT: &[&str] = &["s3api", "put-object", "--bucket"];

fn put<'a>(bucket: &'a str, key: &'a str, file: &'a str) -> Vec<&'a str> {
    [PUT, &[bucket, "--key", key, "--body", file]].concat()
}

/// Tier: `make test`. invariant 9: deny by default: a key opens its own folder of the inbox, and nothing else; the house's own credentials do
/// not open the inbox. Each refusal is counted (invariant 8), and what came in is in the audit log.
#[tokio::test]
async fn a_key_is_good_for_its_folder_of_the_inbox_only() {
    let server = Server::start();
    let file = noise(server.scratch(), "a.bin", 1_000);
    let file = file.to_str().expect("utf-8");
    let access = server.access("ada", "cardiology");
    for (bucket, key, code) in [
        ("inbox", "a.bin", "AccessDenied"),
        ("inbox", "cardiologyx/a.bin", "AccessDenied"),
        ("uploads", "cardiology/a.bin", "AccessDenied"),
        ("other", "cardiology/a.bin", "NoSuchBucket"),
    ] {
        let told = access.refused(Program::Aws2, &put(bucket, key, file));
        assert!(told.contains(code), "{bucket}/{key}: {told}");
    }
    access.done(Program::Aws2, &put("inbox", "cardiology/a.bin", file));
    let catalog = server.catalog().await;
    let video = arrived(&catalog, Some("cardiology"), "a").await;
    let entries = catalog.audit_entries(Some(video.id.as_str()), 100).await.expect("entries");
    let ingest = entries.iter().find(|entry| entry.action == "inbox-ingest").expect("an entry");
    assert_eq!((ingest.actor.as_str(), ingest.object.as_deref(), ingest.decision.as_str()), ("ada", Some(&*access.id), "allow"));
    let keyring: Value = serde_json::from_str(&std::fs::read_to_string(server.data().join("keyring.json")).expect("reads")).expect("json");
    let house =
        access.with_pair(keyring["s3_access_key_id"].as_str().expect("text"), keyring["s3_secret_access_key"].as_str().expect("text"));
    assert!(house.refused(Program::Aws2, &put("inbox", "cardiology/a.bin", file)).contains("AccessDenied"));
    assert_eq!(videos(&catalog).await.len(), 1);
    assert!(refusals(&server, 4).await >= 4);
}

/// Tier: `make test`. invariant 9: a key's folder holds for every operation, wherever the request says the object's name: its holder's other
/// key has another.
#[tokio::test]
async fn a_folder_holds_for_every_operation() {
    let server = Server::start();
    let (wide, narrow) = (server.access("ada", ""), server.access("ada", "cardiology"));
    put_signed(&wide, "a.bin", b"some bytes", &[]).await.expect("taken");
    let upload = begin_multipart(&wide).await;
    let (of_upload, part) = ([("uploadId", upload.as_str())], [("partNumber", "1"), ("uploadId", upload.as_str())]);
    let list = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"x\"</ETag></Part></CompleteMultipartUpload>";
    let operations: [(Method, Query<'_>, &[u8]); 8] = [
        (Method::PUT, &[], b"x"),
        (Method::POST, &[("uploads", "")], b""),
        (Method::PUT, &part, b"x"),
        (Method::POST, &of_upload, list),
        (Method::GET, &of_upload, b""),
        (Method::DELETE, &of_upload, b""),
        (Method::HEAD, &[], b""),
        (Method::DELETE, &[], b""),
    ];
    for (method, query, body) in operations {
        let request = Request { method: method.clone(), key: "a.bin", query, headers: &[], payload: Payload::Whole, body };
        let code = if method == Method::HEAD { "403 " } else { "403 AccessDenied" };
        assert_eq!(told(send(&narrow, &request).await).await, Err(code.to_owned()), "{method} {query:?}");
    }
    let delete = "Objects=[{Key=a.bin},{Key=cardiology/a.bin}]";
    let deleted = narrow.done(Program::Aws2, &["s3api", "delete-objects", "--bucket", "inbox", "--delete", delete]);
    let deleted: Value = serde_json::from_str(&deleted).expect("json");
    assert_eq!((&deleted["Deleted"][0]["Key"], &deleted["Errors"][0]["Key"]), (&json!("cardiology/a.bin"), &json!("a.bin")), "{deleted}");
    assert_eq!(deleted["Errors"][0]["Code"], "AccessDenied");
    let head = Request { method: Method::HEAD, key: "a.bin", query: &[], headers: &[], payload: Payload::Whole, body: b"" };
    told(send(&wide, &head).await).await.expect("its receipt is there still");
    let listing = ["s3api", "list-multipart-uploads", "--bucket", "inbox"];
    assert!(wide.done(Program::Aws2, &listing).contains(&upload));
    assert!(!narrow.done(Program::Aws2, &listing).contains(&upload));
}

/// Tier: `make test`. invariant 9: no form comes in, however its type is spelled and whoever signed it: its key would be in the body, where no
/// prefix is looked at, and s3s would hold the file in memory.
#[tokio::test]
async fn no_form_comes_in() {
    let server = Server::start();
    let access = server.access("ada", "cardiology");
    for content_type in ["multipart/form-data", "Multipart/form-data", "multipart/Form-Data"] {
        for key in ["a.bin", "cardiology/a.bin"] {
            let answer = send_form(&access, content_type, key, "some bytes").await;
            assert_eq!(told(answer).await, Err("501 NotImplemented".to_owned()), "{content_type} {key}");
        }
    }
    assert_eq!(videos(&server.catalog().await).await.len(), 0);
}

/// Tier: `make test`. invariant 9: another person's transfer is not there: not to be listed, continued, completed or given up.
#[tokio::test]
async fn nobody_sees_anothers_transfers() {
    let server = Server::start();
    let (ada, bob) = (server.access("ada", ""), server.access("bob", ""));
    let ids = ["--bucket", "inbox", "--key", "a.bin"];
    let begun = ada.done(Program::Aws2, &[&["s3api", "create-multipart-upload"][..], &ids].concat());
    let begun: Value = serde_json::from_str(&begun).expect("json");
    let upload = begun["UploadId"].as_str().expect("an id");
    let of = |operation: &'static str| [&["s3api", operation][..], &ids, &["--upload-id", upload]].concat();
    let file = noise(server.scratch(), "part.bin", 10);
    let part = ["--part-number", "1", "--body", file.to_str().expect("utf-8")];
    let complete = ["--multipart-upload", "Parts=[{ETag=x,PartNumber=1}]"];
    for arguments in [
        of("list-parts"),
        of("abort-multipart-upload"),
        [&of("upload-part")[..], &part].concat(),
        [&of("complete-multipart-upload")[..], &complete].concat(),
    ] {
        let told = bob.refused(Program::Aws2, &arguments);
        assert!(told.contains("NoSuchUpload"), "{arguments:?}: {told}");
    }
    let listing = ["s3api", "list-multipart-uploads", "--bucket", "inbox"];
    assert!(!bob.done(Program::Aws2, &listing).contains(upload));
    assert!(ada.done(Program::Aws2, &listing).contains(upload));
    ada.done(Program::Aws2, &of("abort-multipart-upload"));
    assert!(!ada.done(Program::Aws2, &listing).contains(upload));
}

/// Tier: `make test`. invariant 9: an author sees and revokes their own keys, an administrator everyone's; secrets are shown once and lie
/// wrapped (invariant 6).
#[tokio::test]
async fn keys_are_their_owners() {
    let server = Server::start();
    let (ada, bob) = (server.client(&server.token("author", "ada")), server.client(&server.token("author", "bob")));
    let admin = server.client(&server.admin_token());
    let made = ada.post("/v1/s3-credentials", &json!({"prefix": "a/b"})).await;
    let (id, secret) = (made["access_key_id"].as_str().expect("an id"), made["secret_access_key"].as_str().expect("a secret"));
    assert_eq!((&made["subject"], &made["role"], &made["prefix"]), (&json!("ada"), &json!("author"), &json!("a/b/")));
    let ids = async |client: &Client| {
        let list = client.get("/v1/s3-credentials").await;
        assert!(!list.to_string().contains(secret));
        list["credentials"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|key| key["access_key_id"].as_str().expect("an id").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!((ids(&ada).await, ids(&bob).await, ids(&admin).await), (vec![id.to_owned()], vec![], vec![id.to_owned()]));
    for file in ["catalog.db", "catalog.db-wal"] {
        let bytes = std::fs::read(server.data().join(file)).expect("reads");
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{file} holds a plain secret");
    }
    let path = format!("/v1/s3-credentials/{id}");
    problem(bob.send(Method::DELETE, &path, &Value::Null).await, 404, "not-found").await;
    problem(ada.send(Method::POST, "/v1/s3-credentials", &json!({"prefix": "../"})).await, 400, "bad-prefix").await;
    problem(ada.send(Method::DELETE, "/v1/s3-credentials/AKIA", &Value::Null).await, 400, "malformed-access-key").await;
    ok(admin.send(Method::DELETE, &path, &Value::Null).await).await;
    problem(ada.send(Method::DELETE, &path, &Value::Null).await, 404, "not-found").await;
    let entries = server.catalog().await.audit_entries(None, 100).await.expect("entries");
    let about: Vec<_> = entries.iter().filter(|entry| entry.object.as_deref().is_some_and(|object| object.starts_with(id))).collect();
    let told: Vec<_> = about.iter().map(|entry| (entry.actor.as_str(), entry.action.as_str(), entry.decision.as_str())).collect();
    for expected in [("ada", "s3-key-create", "allow"), ("bob", "s3-key-revoke", "deny"), ("admin", "s3-key-revoke", "allow")] {
        assert!(told.contains(&expected), "{expected:?} in {told:?}");
    }
}

/// Tier: `make test`. A closed inbox opens to no key, and none is made.
#[tokio::test]
async fn a_closed_inbox_takes_nothing() {
    let mut server = Server::start();
    let access = server.access("ada", "");
    server.restart(&[("THEATRUM_INBOX__ENABLED", "false")]);
    let access = access.at(server.s3_url());
    assert!(access.refused(Program::Aws2, &["s3", "ls"]).contains("InvalidAccessKeyId"));
    let admin = server.client(&server.admin_token());
    problem(admin.send(Method::POST, "/v1/s3-credentials", &json!({})).await, 409, "inbox-closed").await;
}
