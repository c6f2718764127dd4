//! Who gets what: every route asked by everyone who must not have it (invariant 9), and what is written down of it (invariant 8).

mod cookie;
mod feed;
mod keys;
mod odd;

use crate::support::clips::clip;
use crate::support::http::{Client, header, ok, problem};
use crate::support::publishing::Publishing;
use crate::support::server::Server;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use theatrum::catalog::audit::CountKind;

const NO_ID: &str = "0123456789abcdef0123456789abcdef";

/// A house with a ready video, a refused one, and an open upload and an S3 access key, all the administrator's.
struct House {
    server: Server,
    ready: String,
    refused: String,
    upload: String,
    s3_key: String,
}

/// A route that asks for an access token, and what it answers those who have one: a viewer, and an author of other videos.
struct Route {
    method: Method,
    path: String,
    body: Value,
    viewer: u16,
    author: u16,
}

impl House {
    async fn open() -> Self {
        let server = Server::start();
        let file = clip(server.scratch(), "clip.mp4");
        let ready = Publishing::begin(&server, &file).plays(&server).to_string();
        let page = server.scratch().join("page.mp4");
        std::fs::write(&page, "<!doctype html><title>no video</title>").expect("written");
        let answer = server.publish(&page);
        assert_eq!(answer["state"], "refused", "{answer}");
        let refused = answer["video"].as_str().expect("an id").to_owned();
        let admin = server.client(&server.admin_token());
        let begun = admin.post("/v1/uploads", &json!({"filename": "a.mp4", "size_bytes": 9})).await;
        let made = admin.post("/v1/s3-credentials", &json!({})).await;
        let id = |value: &Value| value.as_str().expect("an id").to_owned();
        Self { ready, refused, upload: id(&begun["upload"]), s3_key: id(&made["access_key_id"]), server }
    }

    /// Every route under `/v1` but `POST /v1/session`.
    fn routes(&self) -> Vec<Route> {
        let Self { ready, refused, upload, s3_key, .. } = self;
        let route =
            |method: &Method, path: String, body: Value, (viewer, author)| Route { method: method.clone(), path, body, viewer, author };
        let (get, post, delete) = (&Method::GET, &Method::POST, &Method::DELETE);
        let (none, begin) = (Value::Null, json!({"filename": "a.mp4", "size_bytes": 1}));
        let parts = json!([{"number": 1, "size_bytes": 9, "sha256": "00".repeat(32)}]);
        vec![
            route(get, "/v1/session".into(), none.clone(), (200, 200)),
            route(delete, "/v1/session".into(), none.clone(), (204, 204)),
            route(post, "/v1/tokens".into(), json!({"role": "admin", "subject": "eve"}), (403, 403)),
            route(get, "/v1/s3-credentials".into(), none.clone(), (403, 200)),
            route(post, "/v1/s3-credentials".into(), json!({"subject": "ada"}), (403, 403)),
            route(delete, format!("/v1/s3-credentials/{s3_key}"), none.clone(), (403, 404)),
            route(post, "/v1/uploads".into(), begin, (403, 201)),
            route(get, format!("/v1/uploads/{upload}"), none.clone(), (404, 404)),
            route(post, format!("/v1/uploads/{upload}/parts"), parts, (404, 404)),
            route(post, format!("/v1/uploads/{upload}/finish"), none.clone(), (404, 404)),
            route(delete, format!("/v1/uploads/{upload}"), none.clone(), (404, 404)),
            route(get, "/v1/videos".into(), none.clone(), (200, 200)),
            route(get, format!("/v1/videos/{ready}"), none.clone(), (200, 200)),
            route(get, format!("/v1/videos/{refused}"), none.clone(), (404, 404)),
            route(get, format!("/v1/videos/{ready}/poster"), none.clone(), (200, 200)),
            route(get, format!("/v1/videos/{refused}/poster"), none.clone(), (404, 404)),
            route(post, format!("/v1/videos/{ready}/playback"), none.clone(), (200, 200)),
            route(post, format!("/v1/videos/{refused}/playback"), none.clone(), (404, 404)),
            route(delete, format!("/v1/videos/{ready}"), none.clone(), (403, 403)),
            route(delete, format!("/v1/videos/{refused}"), none.clone(), (404, 404)),
            route(get, "/v1/collections".into(), none.clone(), (200, 200)),
            route(post, format!("/v1/videos/{ready}/downloads"), json!({"rendition": "audio"}), (403, 403)),
            route(post, format!("/v1/videos/{ready}/downloads"), json!({"rendition": "source"}), (403, 403)),
            route(post, format!("/v1/videos/{refused}/downloads"), json!({"rendition": "source"}), (404, 404)),
            route(get, "/v1/signing-keys".into(), none.clone(), (403, 403)),
            route(post, "/v1/signing-keys".into(), json!({}), (403, 403)),
            route(post, "/v1/signing-keys/K1/activate".into(), none.clone(), (403, 403)),
            route(delete, "/v1/signing-keys/K1".into(), none.clone(), (403, 403)),
            route(post, "/v1/signed-links".into(), json!({"url": "https://h.example/x", "expires_at": 1_900_000_000_000_i64}), (403, 403)),
            route(get, "/v1/changes".into(), none.clone(), (200, 200)),
            route(get, format!("/v1/changes?video={refused}"), none.clone(), (404, 404)),
            route(get, "/v1/jobs".into(), none.clone(), (403, 200)),
            route(get, "/v1/quotas".into(), none.clone(), (200, 200)),
            route(get, "/v1/quotas/users/ada".into(), none.clone(), (403, 403)),
            route(&Method::PUT, "/v1/quotas/users/otto".into(), json!({"limit_bytes": 0}), (403, 403)),
            route(get, "/v1/storage".into(), none.clone(), (403, 403)),
            route(post, "/v1/reconcile".into(), json!({"apply": false}), (403, 403)),
            route(get, "/v1/dead".into(), none.clone(), (403, 403)),
            route(get, format!("/v1/dead/{NO_ID}"), none.clone(), (403, 403)),
            route(post, format!("/v1/dead/{NO_ID}/redrive"), none, (403, 403)),
        ]
    }

    /// Those that replace, trim and embed, and the list of who watches.
    fn routes_of_versions(&self) -> Vec<Route> {
        let Self { ready, refused, .. } = self;
        let route =
            |method: &Method, path: String, body: Value, (viewer, author)| Route { method: method.clone(), path, body, viewer, author };
        let (get, post, delete) = (&Method::GET, &Method::POST, &Method::DELETE);
        let (none, link) = (Value::Null, json!({"subject": "eve", "origin": "https://lms.example"}));
        vec![
            route(get, format!("/v1/videos/{ready}/playback-sessions"), Value::Null, (403, 403)),
            route(get, format!("/v1/videos/{refused}/playback-sessions"), Value::Null, (404, 404)),
            route(post, "/v1/uploads".into(), json!({"filename": "a.mp4", "size_bytes": 1, "replaces": ready}), (403, 403)),
            route(post, "/v1/uploads".into(), json!({"filename": "a.mp4", "size_bytes": 1, "replaces": refused}), (403, 404)),
            route(post, format!("/v1/videos/{ready}/trim"), json!({"in_ms": 1000}), (403, 403)),
            route(post, format!("/v1/videos/{refused}/trim"), json!({"in_ms": 1000}), (404, 404)),
            route(delete, format!("/v1/videos/{ready}/replacement"), none.clone(), (403, 403)),
            route(delete, format!("/v1/videos/{refused}/replacement"), none.clone(), (404, 404)),
            route(get, format!("/v1/videos/{ready}/embedding"), none.clone(), (403, 403)),
            route(get, format!("/v1/videos/{refused}/embedding"), none, (404, 404)),
            route(&Method::PUT, format!("/v1/videos/{ready}/embedding"), json!({"origins": []}), (403, 403)),
            route(&Method::PUT, format!("/v1/videos/{refused}/embedding"), json!({"origins": []}), (404, 404)),
            route(post, format!("/v1/videos/{ready}/embeds"), link.clone(), (403, 403)),
            route(post, format!("/v1/videos/{refused}/embeds"), link, (404, 404)),
        ]
    }

    /// What happened, and where it is sent.
    fn routes_of_events() -> Vec<Route> {
        let none = Value::Null;
        let hook = format!("/v1/webhooks/{NO_ID}");
        let route = |method: Method, path: String, body: Value, status| Route { method, path, body, viewer: status, author: status };
        vec![
            route(Method::GET, "/v1/events".into(), none.clone(), 200),
            route(Method::GET, "/v1/events/stream".into(), none.clone(), 200),
            route(Method::GET, "/v1/webhooks".into(), none.clone(), 403),
            route(Method::POST, "/v1/webhooks".into(), json!({"url": "https://h.example/"}), 403),
            route(Method::GET, hook.clone(), none.clone(), 403),
            route(Method::PATCH, hook.clone(), json!({"disabled": true}), 403),
            route(Method::DELETE, hook.clone(), none.clone(), 403),
            route(Method::GET, format!("{hook}/deliveries"), none.clone(), 403),
            route(Method::POST, format!("{hook}/deliveries/{NO_ID}/redeliver"), none.clone(), 403),
            route(Method::POST, format!("{hook}/test"), none, 403),
        ]
    }

    /// See [`refusals`].
    async fn refusals(&self, least: i64) -> i64 {
        refusals(&self.server, least).await
    }
}

/// Refusals counted for this machine, once at least `least` are.
pub async fn refusals(server: &Server, least: i64) -> i64 {
    let (catalog, begun) = (server.catalog().await, Instant::now());
    loop {
        let counted = catalog.audit_count(CountKind::Refusal, "127.0.0.1").await.expect("a count");
        if counted >= least {
            return counted;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{counted} of {least} refusals were counted");
        tokio::time::sleep(Duration::from_millis(50)).await; // tidy: polling
    }
}

/// Another last character but one: the last may carry bits that nobody reads.
fn tampered(token: &str) -> String {
    let (start, end) = token.split_at(token.len() - 2);
    let other = if end.starts_with('A') { "B" } else { "A" };
    format!("{start}{other}{}", &end[1..])
}

/// Tier: `make test`. invariant 9: deny by default: every route refuses those without a token, with a broken one, and with too small a
/// role; each refusal is a problem document, and counted (invariant 8).
#[tokio::test]
async fn every_route_refuses_whom_it_must() {
    let house = House::open().await;
    let server = &house.server;
    let (viewer, author) = (server.token("viewer", "vera"), server.token("author", "otto"));
    let mut refused = 0;
    let routes = house.routes().into_iter().chain(house.routes_of_versions()).chain(House::routes_of_events());
    for Route { method, path, body, viewer: to_viewer, author: to_author } in routes {
        problem(server.anonymous().send(method.clone(), &path, &body).await, 401, "token-missing").await;
        problem(server.client(&tampered(&viewer)).send(method.clone(), &path, &body).await, 401, "token-signature").await;
        problem(server.client("nonsense").send(method.clone(), &path, &body).await, 401, "token-malformed").await;
        refused += 3;
        for (client, expected) in [(server.client(&viewer), to_viewer), (server.client(&author), to_author)] {
            let answer = client.send(method.clone(), &path, &body).await;
            assert_eq!(header(&answer, "cache-control"), kept(&path, expected), "{method} {path}");
            match expected {
                403 => drop(problem(answer, 403, "not-allowed").await),
                404 => drop(problem(answer, 404, "not-found").await),
                _ => assert_eq!(answer.status().as_u16(), expected, "{method} {path}"),
            }
            refused += i64::from(matches!(expected, 403 | 404));
        }
    }
    assert_eq!(house.refusals(refused).await, refused);
}

/// What a cache may do with an answer of the API: keep none but a poster, and that only to ask whether it is still the one.
fn kept(path: &str, status: u16) -> &'static str {
    match path {
        _ if status != 200 => "no-store",
        _ if path.ends_with("/poster") => "private, no-cache",
        "/v1/changes" | "/v1/events/stream" => "no-cache",
        _ => "no-store",
    }
}

/// Tier: `make test`. invariant 9: what is open to everyone is this, and no more.
#[tokio::test]
async fn the_public_routes_are_these() {
    let server = Server::start();
    let anyone = server.anonymous();
    let embedded = format!("/embed/{NO_ID}");
    let watched = format!("/watch/{NO_ID}");
    for path in ["/healthz", "/readyz", "/v1/openapi.json", "/", "/signin", "/docs/api", &watched, &embedded] {
        let status = anyone.send(Method::GET, path, &Value::Null).await.status().as_u16();
        assert_eq!(status, 200, "{path}: the page is built by `make test` and by `scripts/web`");
    }
    let exchange = format!("/v1/videos/{NO_ID}/embeds/playback");
    problem(anyone.send(Method::POST, &exchange, &json!({"token": "nonsense"})).await, 401, "token-malformed").await;
    let oembed = format!("/oembed?url={}/watch/{NO_ID}", server.url());
    problem(anyone.send(Method::GET, &oembed, &Value::Null).await, 401, "token-missing").await;
    problem(anyone.send(Method::POST, "/v1/session", &json!({"token": "nonsense"})).await, 401, "token-malformed").await;
    for path in ["/v1", "/v1/nothing", "/v2/videos", "/server.json", "/admin.token", "/catalog.db"] {
        problem(anyone.send(Method::GET, path, &Value::Null).await, 404, unknown(path)).await;
    }
    for path in [
        "/t",
        "/t/",
        "/t/x",
        "/t/x/v/y/z/master.m3u8",
        "/t/x/v/y/z/720p/keys/0",
        "/t//v/y/z/720p/keys/0",
        "/v",
        "/v/",
        "/v/x",
        "/v/y/z/master.m3u8",
        "/v/y/z/720p/keys/0",
        "/d/y/source",
        "/d/y/z/720p.mp4",
    ] {
        let answer = anyone.send(Method::GET, path, &Value::Null).await;
        assert_eq!(answer.status().as_u16(), 403, "{path}");
    }
    let answer = anyone.http.get(server.s3_url()).send().await.expect("an answer");
    assert!(answer.status().is_client_error(), "the S3 endpoint lists nothing: {}", answer.status());
}

fn unknown(path: &str) -> &'static str {
    if path.starts_with("/v1") { "unknown-route" } else { "not-found" }
}

/// Tier: `make test`. invariant 8: who may watch is decided and written down, whatever the decision; the deny names the caller.
#[tokio::test]
async fn each_decision_to_play_is_in_the_audit_log() {
    let house = House::open().await;
    let server = &house.server;
    let viewer = server.client(&server.token("viewer", "vera"));
    let playback = viewer.send(Method::POST, &format!("/v1/videos/{}/playback", house.ready), &Value::Null).await;
    assert_eq!(header(&playback, "cache-control"), "no-store");
    assert!(ok(playback).await["playback_url"].is_string());
    let refused = &house.refused;
    problem(viewer.send(Method::POST, &format!("/v1/videos/{refused}/playback"), &Value::Null).await, 404, "not-found").await;
    problem(viewer.send(Method::DELETE, &format!("/v1/videos/{refused}"), &Value::Null).await, 404, "not-found").await;
    problem(viewer.send(Method::DELETE, &format!("/v1/videos/{}", house.ready), &Value::Null).await, 403, "not-allowed").await;
    let catalog = server.catalog().await;
    let mut decisions = Vec::new();
    for video in [&house.ready, refused] {
        let entries = catalog.audit_entries(Some(video), 100).await.expect("entries");
        decisions.extend(entries.into_iter().filter(|entry| entry.actor == "vera").map(|entry| (entry.action, entry.decision)));
    }
    let expected = [("delete", "deny"), ("playback", "allow"), ("delete", "deny"), ("playback", "deny")];
    assert_eq!(decisions, expected.map(|(action, decision)| (action.to_owned(), decision.to_owned())));
}

/// Tier: `make test`. An author learns that a job of theirs failed, and an operator why: causes name paths and hosts.
#[tokio::test]
async fn the_causes_of_a_failure_are_for_operators() {
    let house = House::open().await;
    let (server, video) = (&house.server, &house.ready);
    let chain = "could not read the source: /srv/secret/part-1: no such file";
    let mut rows = server.rows().await;
    let spoil = sqlx::query("UPDATE jobs SET last_error = $1, stderr_tail = '/srv/secret' WHERE video_id = $2").bind(chain).bind(video);
    spoil.execute(&mut rows).await.expect("spoilt");
    sqlx::query("UPDATE videos SET owner = 'otto' WHERE id = $1").bind(video).execute(&mut rows).await.expect("given");
    for (role, expected) in [("author", "could not read the source"), ("admin", chain)] {
        let answer = server.client(&server.token(role, "otto")).get(&format!("/v1/jobs?video={video}")).await;
        let jobs = answer["jobs"].as_array().expect("jobs");
        assert!(!jobs.is_empty() && jobs.iter().all(|job| job["last_error"] == expected), "{answer}");
        assert_eq!(answer.to_string().contains("secret"), role == "admin");
    }
}

/// Tier: `make test`. invariant 8: whoever sees a still of a video is in the audit log first, by name, also when they had it already.
#[tokio::test]
async fn each_poster_is_counted_before_it_is_shown() {
    let house = House::open().await;
    let server = &house.server;
    let viewer = server.client(&server.token("viewer", "vera"));
    let path = format!("/v1/videos/{}/poster", house.ready);
    let catalog = server.catalog().await;
    let seen = async || catalog.audit_count(CountKind::Poster, "vera").await.expect("a count");
    assert_eq!(seen().await, 0);
    let first = viewer.send(Method::GET, &path, &Value::Null).await;
    assert_eq!((first.status().as_u16(), seen().await), (200, 1), "durable before the bytes");
    let etag = header(&first, "etag").to_owned();
    assert!(first.bytes().await.expect("a picture").starts_with(&[0xff, 0xd8]), "a JPEG");
    let token = server.token("viewer", "vera");
    let again = || viewer.http.get(format!("{}{path}", server.url())).bearer_auth(&token).header("if-none-match", &etag).send();
    assert_eq!(again().await.expect("an answer").status().as_u16(), 304);
    let begun = Instant::now();
    while seen().await != 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", seen().await);
        tokio::time::sleep(Duration::from_millis(50)).await; // tidy: polling
    }
    server.make_unwritable("audit_counts").await;
    assert_eq!(again().await.expect("an answer").status().as_u16(), 304, "no picture is sent, so nothing has to be durable first");
    problem(server.client(&server.token("viewer", "otto")).send(Method::GET, &path, &Value::Null).await, 503, "audit-unavailable").await;
}

/// An administrator's client.
fn admin(server: &Server) -> Client {
    server.client(&server.admin_token())
}
