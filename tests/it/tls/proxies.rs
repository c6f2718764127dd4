//! Behind a proxy: whose word is believed about who asks, and over what.

use crate::support::clips::clip;
use crate::support::http::header;
use crate::support::server::Server;
use reqwest::{Response, StatusCode};
use serde_json::json;
use sqlx::Row;
use theatrum::catalog::audit::CountKind;

const PUBLIC: (&str, &str) = ("THEATRUM_SERVER__PUBLIC_URL", "https://video.example.org");
const PROXY: (&str, &str) = ("THEATRUM_SERVER__TRUSTED_PROXIES", "127.0.0.0/8");
/// What a client wrote itself, and what the proxy added.
const FORWARDED: &str = "203.0.113.66, 198.51.100.7";

async fn sign_in(server: &Server, headers: &[(&str, &str)]) -> Response {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.post(format!("{}/v1/session", server.url())).json(&json!({"token": server.admin_token()}));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.expect("an answer")
}

async fn address_of(server: &Server, action: &str) -> String {
    let sql = "SELECT address FROM audit WHERE action = $1 ORDER BY seq DESC LIMIT 1";
    sqlx::query(sql).bind(action).fetch_one(&mut server.rows().await).await.expect("a row").get("address")
}

/// Tier: `make test`. invariant 8: the audit log has the client's address, as the proxy says, wherever it writes one: sign-ins, sessions, keys,
/// refusals of the api and of the edge.
#[tokio::test]
async fn the_audit_log_has_the_clients_address_behind_a_proxy() {
    let server = Server::start_with(&[PUBLIC, PROXY]);
    assert_eq!(sign_in(&server, &[("x-forwarded-for", FORWARDED)]).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(address_of(&server, "sign-in").await, "198.51.100.7");

    let answer = server.publish(&clip(server.scratch(), "a.mp4"));
    let video = answer["video"].as_str().expect("an id");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let ask = async |request: reqwest::RequestBuilder| request.header("x-forwarded-for", FORWARDED).send().await.expect("an answer");
    let session = ask(client.post(format!("{}/v1/videos/{video}/playback", server.url())).bearer_auth(server.admin_token())).await;
    assert_eq!(address_of(&server, "playback").await, "198.51.100.7");
    let playback_url = session.json::<serde_json::Value>().await.expect("json")["playback_url"].as_str().expect("a url").to_owned();
    let path = playback_url.strip_prefix("https://video.example.org").expect("the public url decides");
    let base = format!("{}{}", server.url(), path.strip_suffix("/master.m3u8").expect("a master playlist"));
    let key = ask(client.get(format!("{base}/audio/keys/0"))).await;
    assert_eq!(key.status(), StatusCode::OK);
    assert_eq!(address_of(&server, "key").await, "198.51.100.7");

    assert_eq!(ask(client.get(format!("{}/v1/videos", server.url()))).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask(client.get(format!("{}/t/x/v/y/z/master.m3u8", server.url()))).await.status(), StatusCode::FORBIDDEN);
    let mut server = server;
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait_end(std::time::Duration::from_secs(20)), Some(0), "{}", server.log());
    let catalog = server.catalog().await;
    assert_eq!(catalog.audit_count(CountKind::Refusal, "198.51.100.7").await.expect("a count"), 2);
    assert_eq!(catalog.audit_count(CountKind::Refusal, "127.0.0.1").await.expect("a count"), 0);
}

/// Tier: `make test`. invariant 8: nobody else can write an address into the audit log.
#[tokio::test]
async fn a_stranger_is_not_believed() {
    let server = Server::start_with(&[("THEATRUM_SERVER__TRUSTED_PROXIES", "192.0.2.0/24, 2001:db8::1")]);
    sign_in(&server, &[("x-forwarded-for", FORWARDED)]).await;
    assert_eq!(address_of(&server, "sign-in").await, "127.0.0.1");
}

/// Tier: `make test`. Where a proxy speaks TLS, links are https, cookies are for it alone, and HSTS is sent to whom it says came by HTTPS.
#[tokio::test]
async fn a_proxy_that_speaks_tls_for_us_is_enough() {
    let server = Server::start_with(&[PUBLIC, PROXY, ("THEATRUM_TLS__HSTS_MAX_AGE", "2d")]);
    let secure = sign_in(&server, &[("x-forwarded-proto", "https")]).await;
    assert_eq!(header(&secure, "strict-transport-security"), "max-age=172800");
    assert!(header(&secure, "set-cookie").ends_with("; Secure"));
    for headers in [&[][..], &[("x-forwarded-proto", "http")]] {
        assert_eq!(header(&sign_in(&server, headers).await, "strict-transport-security"), "", "{headers:?}");
    }
}
