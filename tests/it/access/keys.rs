//! The key endpoint: decided anew each time, and written down before a key leaves.

use super::{House, admin, tampered};
use crate::support::clips::clip;
use crate::support::http::{Client, header, ok, problem};
use crate::support::publishing::Publishing;
use crate::support::server::Server;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use theatrum::domain::ids::VideoId;

/// A session of a viewer with a video: where its objects are.
struct Session {
    client: Client,
    base: String,
}

impl Session {
    async fn open(server: &Server, video: &str) -> Self {
        let client = server.client(&server.token("viewer", "vera"));
        let playback = client.post(&format!("/v1/videos/{video}/playback"), &Value::Null).await;
        let url = playback["playback_url"].as_str().expect("a url");
        let path = url.strip_prefix(&server.url()).expect("our own");
        Self { client: server.anonymous(), base: path.strip_suffix("/master.m3u8").expect("a master").to_owned() }
    }

    async fn get(&self, object: &str) -> Response {
        self.client.send(Method::GET, &format!("{}/{object}", self.base), &Value::Null).await
    }

    async fn key(&self) -> Response {
        self.get("audio/keys/0").await
    }

    fn token(&self) -> &str {
        self.base.split('/').nth(2).expect("a token")
    }

    /// The same objects, asked for with another token.
    fn with_token(&self, client: Client, token: &str) -> Self {
        Self { client, base: self.base.replace(self.token(), token) }
    }
}

/// The decisions about keys in the audit log but those for who published and tried it, oldest first: who, what, why.
async fn decisions(server: &Server, video: &str) -> Vec<(String, String, String)> {
    let entries = server.catalog().await.audit_entries(Some(video), 1_000).await.expect("entries");
    let keys = entries.into_iter().rev().filter(|entry| entry.action == "key" && entry.actor != "admin");
    keys.map(|entry| (entry.actor, entry.decision, entry.reason)).collect()
}

fn decided(decision: &str, reason: &str) -> (String, String, String) {
    ("vera".to_owned(), decision.to_owned(), reason.to_owned())
}

/// Tier: `make test`. invariant 8: each key is written down; what may be kept by whom is said of every object.
#[tokio::test]
async fn each_key_has_its_entry_and_each_object_its_cache_rule() {
    let house = House::open().await;
    let session = Session::open(&house.server, &house.ready).await;
    for fetched in 1..=3 {
        let key = session.key().await;
        assert_eq!((key.status().as_u16(), header(&key, "cache-control")), (200, "no-store"));
        assert_eq!(key.bytes().await.expect("a key").len(), 16);
        assert_eq!(decisions(&house.server, &house.ready).await, vec![decided("allow", "published"); fetched]);
    }
    let immutable = "private, max-age=31536000, immutable";
    let playlist = session.get("audio/playlist.m3u8").await;
    assert_eq!(header(&playlist, "cache-control"), "private, max-age=60");
    let text = playlist.text().await.expect("text");
    assert!(text.contains("URI=\"keys/0\""), "{text}");
    for name in text.lines().filter(|line| line.ends_with(".m4s")) {
        assert_eq!(header(&session.get(&format!("audio/{name}")).await, "cache-control"), immutable);
    }
    for wrong in ["audio/keys/x", "audio/keys/-1", "audio/keys/99999999999", "AUDIO/keys/0", "720p..%2f/keys/0"] {
        assert!([400, 404].contains(&session.get(wrong).await.status().as_u16()), "{wrong}");
    }
}

/// Tier: `make test`. invariant 9: a token opens its own video only, and only unchanged; an access token opens none.
#[tokio::test]
async fn another_token_opens_nothing() {
    let house = House::open().await;
    let server = &house.server;
    let file = clip(server.scratch(), "other.mp4");
    let other = Publishing::begin(server, &file).plays(server).to_string();
    let (session, others) = (Session::open(server, &house.ready).await, Session::open(server, &other).await);
    for (token, code) in [
        (others.token().to_owned(), "token-other-video"),
        (tampered(session.token()), "token-signature"),
        (server.admin_token(), "token-signature"),
        ("nonsense".to_owned(), "token-malformed"),
    ] {
        let stranger = session.with_token(server.anonymous(), &token);
        for object in ["audio/keys/0", "master.m3u8", "audio/playlist.m3u8"] {
            problem(stranger.get(object).await, 403, code).await;
        }
    }
    house.refusals(12).await;
    assert_eq!(decisions(server, &house.ready).await, []);
}

/// Tier: `make test`. One session is revoked by the owner of the video or an administrator, and gets no key from then on; another goes on.
/// invariant 8: who revoked whose is written down, each time.
#[tokio::test]
async fn a_session_is_revoked_alone() {
    let house = House::open().await;
    let (server, video) = (&house.server, &house.ready);
    let (kept, revoked) = (Session::open(server, video).await, Session::open(server, video).await);
    let list = server.cli(&["sessions", "list", video, "--json"]);
    let list: Value = serde_json::from_slice(&list.stdout).expect("json");
    // Newest first; the administrator who published it tried it too.
    let of_vera: Vec<&Value> = list["sessions"].as_array().expect("a list").iter().filter(|session| session["subject"] == "vera").collect();
    assert_eq!(of_vera.len(), 2, "{list}");
    assert!(of_vera.iter().all(|session| session["revoked_at"].is_null() && session["video"] == *video), "{list}");
    let id = of_vera[0]["session"].as_str().expect("an id");
    let (delete, path) = (Method::DELETE, format!("/v1/playback-sessions/{id}"));
    let otto = server.client(&server.token("author", "otto"));
    problem(otto.send(delete.clone(), &path, &Value::Null).await, 403, "not-allowed").await;
    assert_eq!(revoked.key().await.status().as_u16(), 200);
    for _ in 0..2 {
        let told = server.cli(&["sessions", "revoke", id, "--json"]);
        let told: Value = serde_json::from_slice(&told.stdout).expect("json");
        assert_eq!(told, json!({"session": id, "state": "revoked"}));
        problem(revoked.key().await, 403, "session-ended").await;
    }
    assert_eq!(kept.key().await.status().as_u16(), 200);
    let refused = decisions(server, video).await;
    assert_eq!(refused[1..], [decided("deny", "session-revoked"), decided("deny", "session-revoked"), decided("allow", "published")]);
    let entries = server.catalog().await.audit_entries(Some(video), 1_000).await.expect("entries");
    let told = entries.iter().filter(|entry| entry.action == "playback-revoke" && entry.object.as_deref() == Some("vera"));
    let told: Vec<(&str, &str)> = told.map(|entry| (entry.actor.as_str(), entry.decision.as_str())).collect();
    assert_eq!(told.len(), 2, "{entries:?}");
    assert!(told.iter().all(|told| *told == ("admin", "allow")), "{told:?}");
    let shown = String::from_utf8(server.cli(&["sessions", "list", video]).stdout).expect("text");
    assert!(shown.lines().any(|line| line.starts_with(id) && line.trim_end().ends_with("UTC")), "{shown}");
    let unknown = server.cli(&["sessions", "revoke", super::NO_ID]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
}

/// Tier: `make test`. invariant 6: a deleted video's key is gone, and so are its blobs; a valid token gets neither.
#[tokio::test]
async fn a_deleted_video_has_no_key() {
    let house = House::open().await;
    let (server, video) = (&house.server, &house.ready);
    let session = Session::open(server, video).await;
    assert_eq!(session.key().await.status().as_u16(), 200);
    let path = format!("/v1/videos/{video}");
    ok(admin(server).send(Method::DELETE, &path, &Value::Null).await).await;
    problem(session.key().await, 403, "session-ended").await;
    let expected = [decided("allow", "published"), decided("deny", "video-gone")];
    assert_eq!(decisions(server, video).await, expected);
    problem(admin(server).send(Method::GET, &path, &Value::Null).await, 404, "not-found").await;
    let (catalog, id) = (server.catalog().await, VideoId::parse(video).expect("an id"));
    assert!(catalog.wrapped_root_key(&id).await.is_err(), "the root key is shredded");
    let events = catalog.events(&id).await.expect("events");
    assert_eq!(events.iter().filter(|event| event.kind == "video.deleted").count(), 1);
    let folders = ["videos", "sources", "sidecars"].map(|kind| server.data().join("blobs").join(kind).join(video));
    let begun = Instant::now();
    while folders.iter().any(|folder| folder.exists()) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await; // tidy: polling
    }
    problem(session.get("master.m3u8").await, 404, "not-found").await;
}

/// Tier: `make test`. invariant 8: without its audit entry there is no key, and no playlist or session either; with it there is again.
#[tokio::test]
async fn without_the_audit_log_no_key_leaves() {
    let house = House::open().await;
    let server = &house.server;
    let session = Session::open(server, &house.ready).await;
    server.make_unwritable("audit").await;
    server.make_unwritable("audit_counts").await;
    problem(session.key().await, 503, "audit-unavailable").await;
    problem(session.get("master.m3u8").await, 503, "audit-unavailable").await;
    let playback = admin(server).send(Method::POST, &format!("/v1/videos/{}/playback", house.ready), &Value::Null).await;
    assert!(playback.status().is_server_error(), "{}", playback.status());
    let sign_in = server.anonymous().send(Method::POST, "/v1/session", &serde_json::json!({ "token": server.admin_token() })).await;
    assert!(sign_in.status().is_server_error() && header(&sign_in, "set-cookie").is_empty(), "{}", sign_in.status());
    server.make_writable("audit").await;
    server.make_writable("audit_counts").await;
    assert_eq!(session.key().await.status().as_u16(), 200);
    assert_eq!(session.get("master.m3u8").await.status().as_u16(), 200);
    assert_eq!(decisions(server, &house.ready).await, [decided("allow", "published")]);
}

/// Tier: `make test`. invariant 8: a catalog that somebody else keeps locked makes nobody wait for long, and lets no key out.
#[tokio::test]
async fn a_locked_catalog_is_said_soon() {
    let house = House::open().await;
    let session = Session::open(&house.server, &house.ready).await;
    let mut lock = house.server.rows().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut lock).await.expect("locked");
    let begun = Instant::now();
    problem(session.key().await, 503, "audit-unavailable").await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    sqlx::query("ROLLBACK").execute(&mut lock).await.expect("unlocked");
    assert_eq!(session.key().await.status().as_u16(), 200);
}
