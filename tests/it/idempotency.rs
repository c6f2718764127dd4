//! `Idempotency-Key`: what is sent twice is carried out once.

use crate::support::authority::Authority;
use crate::support::http::{Client, header, ok, problem};
use crate::support::postgres::fresh_database;
use crate::support::server::Server;
use reqwest::{Method, Response, Version};
use serde_json::{Value, json};
use std::time::Duration;
use theatrum::catalog::Catalog;

async fn post(client: &Client, path: &str, key: &str, body: &Value) -> Response {
    client.request(Method::POST, path, body).header("idempotency-key", key).send().await.expect("an answer")
}

fn upload() -> Value {
    json!({"filename": "a.mp4", "size_bytes": 9})
}

async fn uploads(catalog: &Catalog) -> i64 {
    let rows = catalog.fetch_all("SELECT COUNT(*) AS uploads FROM uploads", Vec::new()).await.expect("rows");
    rows[0].int("uploads").expect("a count")
}

/// Tier: `make test`. The same request with the same key is answered as before; another request, caller or route with it is not.
#[tokio::test]
async fn a_key_stands_for_one_request_of_one_caller() {
    let server = Server::start();
    let (ada, bob) = (server.client(&server.token("author", "ada")), server.client(&server.token("author", "bob")));
    let first = post(&ada, "/v1/uploads", "\"k-1\"", &upload()).await;
    assert_eq!((first.status().as_u16(), header(&first, "idempotency-replayed")), (201, ""));
    let first = ok(first).await;
    let again = post(&ada, "/v1/uploads", "k-1", &upload()).await;
    assert_eq!((again.status().as_u16(), header(&again, "idempotency-replayed")), (201, "true"));
    assert_eq!(header(&again, "content-type"), "application/json");
    assert_eq!(ok(again).await, first);
    let other = json!({"filename": "b.mp4", "size_bytes": 9});
    problem(post(&ada, "/v1/uploads", "k-1", &other).await, 422, "idempotency-key-reused").await;
    assert_ne!(ok(post(&bob, "/v1/uploads", "k-1", &upload()).await).await, first, "another's key is another key");
    let viewer = server.client(&server.token("viewer", "ada"));
    problem(post(&viewer, "/v1/uploads", "k-1", &upload()).await, 403, "not-allowed").await;
    problem(post(&server.anonymous(), "/v1/uploads", "k-1", &upload()).await, 401, "token-missing").await;
    problem(post(&ada, "/v1/uploads", "a key", &upload()).await, 400, "bad-idempotency-key").await;
    assert_eq!(uploads(&server.catalog().await).await, 2);
    let replays = server.catalog().await.audit_entries(None, 100).await.expect("entries");
    assert_eq!(replays.iter().filter(|entry| entry.action == "replay" && entry.actor == "ada").count(), 1, "invariant 8: {replays:?}");
}

/// Tier: `make test`. A refusal had no effect, so the same key may try again; and no secret lies plain in the key's row.
#[tokio::test]
async fn a_refusal_is_decided_anew_and_a_secret_is_kept_sealed() {
    let server = Server::start();
    let admin = server.client(&server.admin_token());
    problem(post(&admin, "/v1/tokens", "k", &json!({"role": "king", "subject": "eve"})).await, 400, "bad-role").await;
    let wanted = json!({"role": "viewer", "subject": "eve"});
    let issued = ok(post(&admin, "/v1/tokens", "k", &wanted).await).await;
    assert_eq!(ok(post(&admin, "/v1/tokens", "k", &wanted).await).await, issued, "the same token");
    let token = issued["token"].as_str().expect("a token");
    let row = server.catalog().await.fetch_all("SELECT answer FROM idempotency", Vec::new()).await.expect("rows");
    let kept = row[0].text("answer").expect("an answer");
    assert!(!kept.is_empty() && !kept.contains(token), "invariant 6");
    for file in ["catalog.db", "catalog.db-wal"] {
        let bytes = std::fs::read(server.data().join(file)).unwrap_or_default();
        assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()), "{file} holds the token");
    }
}

async fn race(server: &Server, catalog: &Catalog) {
    let ada = server.client(&server.token("author", "ada"));
    for round in 0..10 {
        let key = format!("race-{round}");
        let body = upload();
        let answers = futures_util::future::join_all((0..8).map(|_| post(&ada, "/v1/uploads", &key, &body))).await;
        let mut begun = Vec::new();
        for answer in answers {
            match answer.status().as_u16() {
                201 => begun.push(ok(answer).await["upload"].clone()),
                _ => {
                    assert_eq!(header(&answer, "retry-after"), "1");
                    problem(answer, 409, "idempotency-in-progress").await;
                }
            }
        }
        assert!(!begun.is_empty() && begun.iter().all(|upload| *upload == begun[0]), "{begun:?}");
        assert_eq!(uploads(catalog).await, round + 1, "one effect each");
    }
}

/// Tier: `make test`. Of eight at once with one key one has an effect, on SQLite.
#[tokio::test]
async fn of_many_at_once_one_has_an_effect() {
    let server = Server::start();
    race(&server, &server.catalog().await).await;
}

/// Tier: `make test`. Of eight at once with one key one has an effect, on PostgreSQL.
#[tokio::test]
async fn of_many_at_once_one_has_an_effect_on_postgres() {
    let url = fresh_database().await;
    let server = Server::start_with(&[("THEATRUM_CATALOG__URL", &url)]);
    race(&server, &Catalog::open_postgres(&url).await.expect("a catalog")).await;
}

/// Tier: `make test`. The server dies when the upload is in its row and nobody has heard of it: the same request gives that very upload.
#[tokio::test]
async fn a_crash_between_effect_and_answer_makes_no_second_effect() {
    let mut server = Server::prepare(&[]);
    server.restart(&[("THEATRUM_FAILPOINT", "begun")]);
    let ada = server.client(&server.token("author", "ada"));
    let lost = ada.request(Method::POST, "/v1/uploads", &upload()).header("idempotency-key", "k").send().await;
    assert!(lost.is_err(), "{lost:?}");
    server.wait_killed(Duration::from_secs(20));
    server.restart(&[]);
    let catalog = server.catalog().await;
    assert_eq!(uploads(&catalog).await, 1);
    let ada = server.client(&server.token("author", "ada"));
    problem(post(&ada, "/v1/uploads", "k", &upload()).await, 409, "idempotency-in-progress").await;
    // As if the lease of the former life were over.
    sqlx::query("UPDATE idempotency SET lease_until = 0").execute(&mut server.rows().await).await.expect("ended");
    let begun = ok(post(&ada, "/v1/uploads", "k", &upload()).await).await;
    assert_eq!(uploads(&catalog).await, 1);
    let found = catalog.fetch_all("SELECT id FROM uploads", Vec::new()).await.expect("rows");
    assert_eq!(begun["upload"], found[0].text("id").expect("an id"));
}

/// Tier: `make test`. Sent again over another version of HTTP, or by another name of the server, it is the same request.
#[tokio::test]
async fn a_key_holds_over_every_way_to_the_server() {
    let authority = Authority::new();
    let mut server = Server::prepare(&[]);
    let files = authority.issue(server.scratch(), &["127.0.0.1", "localhost"]);
    server.restart_always(&files.settings());
    let (new, old) = (authority.client().build().expect("a client"), authority.client().http1_only().build().expect("a client"));
    let other = server.url().replace("127.0.0.1", "localhost");
    let named = authority.client().resolve("localhost", server.address()).build().expect("a client");
    let token = server.token("author", "ada");
    let send = async |client: &reqwest::Client, url: &str| {
        let request = client.post(format!("{url}/v1/uploads")).bearer_auth(&token).header("idempotency-key", "k").json(&upload());
        let answer = request.send().await.expect("an answer");
        (answer.version(), ok(answer).await)
    };
    let first = send(&new, &server.url()).await;
    assert_eq!(first.0, Version::HTTP_2);
    assert_eq!(send(&old, &server.url()).await, (Version::HTTP_11, first.1.clone()));
    assert_eq!(send(&named, &other).await, first);
}
