//! Signing in by the page's cookie.

use crate::support::http::{header, problem};
use crate::support::server::Server;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::json;

const ABROAD: &str = "https://elsewhere.example";

/// Tier: `make test`. The cookie is out of reach for scripts and other sites, works for our own page, and is taken back.
#[tokio::test]
async fn a_cookie_signs_in_our_own_page_only() {
    let server = Server::start();
    let (url, token) = (server.url(), server.token("author", "ada"));
    let http = Client::builder().no_proxy().build().expect("a client");
    let answer = http.post(format!("{url}/v1/session")).json(&json!({ "token": token })).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 204);
    assert_eq!(header(&answer, "cache-control"), "no-store");
    let cookie = header(&answer, "set-cookie").to_owned();
    let (pair, flags) = cookie.split_once("; ").expect("flags");
    assert_eq!(pair, format!("theatrum_session={token}"));
    let flags: Vec<&str> = flags.split("; ").collect();
    for flag in ["Path=/v1", "HttpOnly", "SameSite=Strict"] {
        assert!(flags.contains(&flag), "{flag} is not in {flags:?}");
    }
    assert!(!flags.contains(&"Secure"), "the page is open over plain http here");

    let with_cookie = |method: Method, path: &str| http.request(method, format!("{url}{path}")).header("cookie", pair);
    let status = async |request: RequestBuilder| request.send().await.expect("an answer").status().as_u16();
    let begin = || with_cookie(Method::POST, "/v1/uploads").json(&json!({"filename": "a.mp4", "size_bytes": 1}));
    assert_eq!(status(with_cookie(Method::GET, "/v1/session")).await, 200);
    assert_eq!(status(begin().header("origin", &url)).await, 201);
    for request in [begin(), begin().header("origin", ABROAD), begin().header("origin", "null"), begin().header("origin", server.s3_url())]
    {
        problem(request.send().await.expect("an answer"), 403, "cross-origin").await;
    }
    problem(with_cookie(Method::DELETE, "/v1/session").send().await.expect("an answer"), 403, "cross-origin").await;
    let signed_out = with_cookie(Method::DELETE, "/v1/session").header("origin", &url).send().await.expect("an answer");
    assert_eq!(signed_out.status().as_u16(), 204);
    let cookie = header(&signed_out, "set-cookie");
    assert!(cookie.starts_with("theatrum_session=; ") && cookie.contains("Max-Age=0"), "{cookie}");
}

/// Tier: `make test`. Over TLS the cookie never travels in clear.
#[tokio::test]
async fn a_cookie_of_a_tls_site_is_secure() {
    let server = Server::start_with(&[("THEATRUM_SERVER__PUBLIC_URL", "https://video.example")]);
    let answer = server.anonymous().send(Method::POST, "/v1/session", &json!({ "token": server.admin_token() })).await;
    assert!(header(&answer, "set-cookie").ends_with("; Secure"));
}
