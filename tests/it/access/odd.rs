//! Odd requests: whatever is asked, and by whatever method, a no is a problem document.

use super::{NO_ID, admin, refusals};
use crate::support::http::{Client, header, problem};
use crate::support::server::Server;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

/// Where `{}` is, something odd comes.
const PATHS: [&str; 40] = [
    "/",
    "/{}",
    "/assets/{}",
    "/healthz",
    "/readyz",
    "/watch/{}",
    "/v1/{}",
    "/v1/dead/{}",
    "/v1/dead/{}/redrive",
    "/v1/changes?video={}",
    "/v1/jobs?state={}",
    "/v1/session/{}",
    "/v1/tokens",
    "/v1/uploads/{}",
    "/v1/uploads/{}/finish",
    "/v1/uploads/{}/parts",
    "/v1/videos?cursor={}",
    "/v1/videos/{}",
    "/v1/videos/{}/playback",
    "/v1/videos/{}/poster",
    "/t/{}",
    "/t/{}/",
    "/t/x/v/y/z/{}",
    "/t/{}/v/y/z/720p/keys/0",
    "/t/x/v/{}/z/720p/keys/0",
    "/t/x/v/y/{}/720p/keys/0",
    "/t/x/v/y/z/{}/keys/0",
    "/t/x/v/y/z/720p/keys/{}",
    "/v/{}",
    "/v/{}/z/master.m3u8",
    "/v/y/{}/720p/keys/0",
    "/v/y/z/720p/keys/{}",
    "/d/{}/source",
    "/d/y/{}/720p.mp4",
    "/d/y/z/{}",
    "/v1/videos/{}/downloads",
    "/v1/signing-keys",
    "/v1/signing-keys/{}",
    "/v1/signing-keys/{}/activate",
    "/v1/signed-links",
];

/// Tier: `make test`. invariant 9: no address and no method slips past the refusals: each is a problem document, below `/t` it is 403, and
/// each 401 and 403 is counted (invariant 8).
#[tokio::test]
async fn every_no_is_a_problem_document() {
    let server = Server::start();
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"];
    let methods = methods.map(|name| Method::from_bytes(name.as_bytes()).expect("a method"));
    let long = "x".repeat(3_000);
    let odd = ["%ff", "%00", "a%2Fb", "%2e%2e%2f", "%F0%9F%8E%AC", "x", NO_ID, &long];
    let clients = [server.anonymous(), admin(&server)];
    let mut refused = 0;
    for path in PATHS {
        let paths = odd.map(|name| path.replace("{}", name));
        let paths = if path.contains("{}") { &paths[..] } else { &paths[..1] };
        for (path, method) in paths.iter().flat_map(|path| methods.iter().map(move |method| (path, method))) {
            for client in &clients {
                let answer = client.send(method.clone(), path, &Value::Null).await;
                let status = answer.status();
                let about = format!("{method} {path}: {status}");
                assert!(!status.is_server_error(), "{about}");
                assert!(!path.starts_with("/t/") || status == 403, "{about}");
                if status.is_client_error() {
                    assert_eq!(header(&answer, "content-type"), "application/problem+json", "{about}");
                    assert_eq!(header(&answer, "cache-control"), "no-store", "{about}");
                    assert!(status != 405 || answer.headers().contains_key("allow"), "{about}");
                }
                refused += i64::from(status == 401 || status == 403);
            }
        }
    }
    assert_eq!(refusals(&server, refused).await, refused);
}

/// Tier: `make test`. Whoever has no access token in the head of a request cannot fill our memory with its body, announced (RFC 9530) or not.
#[tokio::test]
async fn what_strangers_send_is_small() {
    let server = Server::start();
    let stranger = server.anonymous();
    for path in ["/v1/session".to_owned(), format!("/v1/videos/{NO_ID}/embeds/playback")] {
        let token = |size_bytes| json!({"token": "x".repeat(size_bytes)});
        problem(stranger.send(Method::POST, &path, &token(7_000)).await, 401, "token-malformed").await;
        problem(stranger.send(Method::POST, &path, &token(9_000)).await, 413, "body-too-large").await;
        let announced = stranger.request(Method::POST, &path, &token(9_000)).header("content-digest", "sha-256=:AA==:");
        problem(announced.send().await.expect("an answer"), 400, "digest-mismatch").await;
    }
    // What is announced is read before anything else: by everyone's routes, by those of others, and by none.
    let announced = |client: Client, path: &'static str| async move {
        let body = json!({"padding": "x".repeat(9_000)});
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &serde_json::to_vec(&body).expect("json"));
        let digest = format!("sha-256=:{}:", STANDARD.encode(digest));
        client.request(Method::POST, path, &body).header("content-digest", digest).send().await.expect("an answer")
    };
    for path in ["/v1/uploads", "/nowhere"] {
        problem(announced(server.anonymous(), path).await, 400, "digest-mismatch").await;
        problem(announced(server.client("no.such.token"), path).await, 400, "digest-mismatch").await;
    }
    problem(announced(server.client(&server.admin_token()), "/v1/uploads").await, 400, "malformed-body").await;
}
