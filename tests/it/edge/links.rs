//! The edge under `/v/`: CloudFront's signed URLs and cookies, and nothing without them.

use super::house::{House, LINK_ORIGIN, OBJECTS, PLAYLIST};
use super::{INIT, MASTER, SEGMENT, body};
use crate::support::http::{header, problem};
use reqwest::{Method, Response, StatusCode};
use std::time::{SystemTime, UNIX_EPOCH};
use theatrum::audit::Receiver;
use theatrum::domain::ids::{VersionId, VideoId};
use theatrum::links::cloudfront::Policy;
use theatrum::links::playback;

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs().cast_signed()
}

impl House {
    fn url(&self, object: &str) -> String {
        format!("{LINK_ORIGIN}/v/{}/{}/{object}", self.video, self.version)
    }

    /// A policy for the whole version.
    fn everything(&self) -> Policy {
        Policy::new(self.url("*"), now_s() + 60)
    }

    /// The cookies of a policy, as a header.
    fn cookies(&self, policy: &Policy) -> String {
        let cookies = self.links.cookies(&policy.text()).expect("signed");
        cookies.map(|(name, value)| format!("{name}={value}")).join("; ")
    }

    /// Asks for a signed URL, wherever the house really is.
    async fn follow(&self, signed: &str) -> Response {
        self.request(Method::GET, signed.strip_prefix(LINK_ORIGIN).expect("our own"), &[]).await
    }

    async fn with_cookies(&self, object: &str, cookies: &str) -> Response {
        let url = self.url(object);
        self.request(Method::GET, url.strip_prefix(LINK_ORIGIN).expect("our own"), &[("cookie", cookies)]).await
    }
}

/// Tier: `make test`. Cookies, and a custom policy repeated on every URL, open the whole stream.
#[tokio::test]
async fn a_wildcard_opens_every_object_of_its_version() {
    let house = House::open().await;
    let policy = house.everything();
    for object in OBJECTS {
        let by_cookies = house.with_cookies(object, &house.cookies(&policy)).await;
        assert_eq!((by_cookies.status(), header(&by_cookies, "cache-control").starts_with("private")), (StatusCode::OK, true));
        assert_eq!(body(by_cookies).await, house.content(object), "{object}");
        let signed = house.links.url_with_policy(&house.url(object), &policy.text()).expect("signed");
        assert_eq!(body(house.follow(&signed).await).await, house.content(object), "{object}");
    }
    let ranged = house.request(Method::GET, &house.path_of(SEGMENT), &[("cookie", &house.cookies(&policy)), ("range", "bytes=3-5")]).await;
    assert_eq!(ranged.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(body(ranged).await, house.content(SEGMENT)[3..6]);
}

impl House {
    fn path_of(&self, object: &str) -> String {
        self.url(object).strip_prefix(LINK_ORIGIN).expect("our own").to_owned()
    }
}

/// Tier: `make test`. A canned policy covers one object; of a playlist that is nothing worth having, and the code says what to use instead.
#[tokio::test]
async fn a_canned_policy_opens_a_segment_and_no_playlist() {
    let house = House::open().await;
    let signed = |object: &str| house.links.url(&house.url(object), now_s() + 60).expect("signed");
    for object in [SEGMENT, INIT] {
        assert_eq!(body(house.follow(&signed(object)).await).await, house.content(object), "{object}");
    }
    for object in [MASTER, PLAYLIST] {
        let document = problem(house.follow(&signed(object)).await, 403, "canned-policy-playlist").await;
        let detail = document["detail"].as_str().expect("a text");
        assert!(detail.contains("cookies") && detail.contains("wildcard"), "{detail}");
    }
}

/// Tier: `make test`. invariant 9: deny by default: each way to be refused has its code, and each is counted (invariant 8).
#[tokio::test]
async fn whoever_has_no_valid_link_is_refused_and_counted() {
    let house = House::open().await;
    let policy = house.everything();
    let signed = |object: &str| house.links.url_with_policy(&house.url(object), &policy.text()).expect("signed");
    let other =
        |video: &str, version: &str| house.links.url(&format!("{LINK_ORIGIN}/v/{video}/{version}/{SEGMENT}"), now_s() + 9).expect("signed");
    let (video, version) = (house.video.as_str(), house.version.as_str());
    let attempts = [
        (format!("{LINK_ORIGIN}/v"), 403, "signature-missing"),
        (format!("{LINK_ORIGIN}/v/"), 403, "signature-missing"),
        (format!("{LINK_ORIGIN}/v//{video}/{version}/{MASTER}"), 403, "signature-missing"),
        (format!("{LINK_ORIGIN}/v/{video}"), 403, "signature-missing"),
        (house.url(MASTER), 403, "signature-missing"),
        (format!("{}?Expires=1", house.url(MASTER)), 403, "signature-malformed"),
        (signed(MASTER).replace("Key-Pair-Id=K1", "Key-Pair-Id=K9"), 403, "signature-key"),
        (signed(MASTER).replace("&Hash-Algorithm=SHA256", ""), 403, "signature-weak-hash"),
        (signed(MASTER).replace(version, VersionId::new().as_str()), 403, "policy-resource"),
        (format!("{}x", signed(MASTER)), 403, "signature-hash"),
        (house.links.url(&house.url(SEGMENT), now_s() - 1).expect("signed"), 403, "policy-expired"),
        (signed("720p/000009-1.m4s"), 404, "not-found"),
        (signed("720p/keys/1"), 404, "not-found"),
        (other(video, VersionId::new().as_str()), 404, "not-found"),
        (other(VideoId::new().as_str(), version), 404, "not-found"),
        (other("x", "y"), 404, "not-found"),
    ];
    for (url, status, code) in &attempts {
        problem(house.follow(url).await, *status, code).await;
        assert_eq!(house.ledger.refused().last().expect("counted").1, *code);
    }
    problem(house.with_cookies(MASTER, "CloudFront-Policy=x; theatrum_playback=y").await, 403, "signature-malformed").await;
    // The session's cookie is no link.
    problem(house.with_cookies(MASTER, &format!("{}={}", playback::COOKIE, house.token())).await, 403, "signature-missing").await;
    assert_eq!(house.ledger.refused().len(), attempts.len() + 2);
    assert!(house.ledger.delivered().is_empty());
    for method in [Method::POST, Method::DELETE, Method::OPTIONS] {
        problem(house.request(method.clone(), &house.path_of(MASTER), &[]).await, 403, "signature-missing").await;
        let answer = house.request(method, &house.path_of(MASTER), &[("cookie", &house.cookies(&policy))]).await;
        problem(answer, 405, "method-not-allowed").await;
    }
}

/// Tier: `make test`. invariant 8: deliveries are counted by key pair and resource, and by the session where its cookie comes along.
#[tokio::test]
async fn deliveries_are_counted_for_whom_the_edge_can_tell() {
    let house = House::open().await;
    let policy = house.everything();
    let link = Receiver::Link { key_pair_id: "K1".to_owned(), resource: policy.resource.clone() };
    let signed = house.links.url(&house.url(SEGMENT), now_s() + 60).expect("signed");
    house.follow(&signed).await;
    let cookies = house.cookies(&policy);
    let beside = |token: &str| format!("{cookies}; {}={token}", playback::COOKIE);
    let foreign = house.token_for(&house.video, &VersionId::new(), super::house::HOUR);
    for cookies in [cookies.clone(), beside(&foreign), beside("nonsense"), beside(&house.token())] {
        assert_eq!(house.with_cookies(MASTER, &cookies).await.status(), StatusCode::OK);
    }
    let receivers: Vec<Receiver> = house.ledger.delivered().into_iter().map(|noted| noted.receiver).collect();
    let canned = Receiver::Link { key_pair_id: "K1".to_owned(), resource: house.url(SEGMENT) };
    assert_eq!(receivers, [canned, link.clone(), link.clone(), link, Receiver::Session(house.session.clone())]);
}

/// Tier: `make test`. Where a CDN judges links by itself it may keep what it is given, under `/v/` and there alone.
#[tokio::test]
async fn behind_a_cdn_the_answers_may_be_kept() {
    let house = House::open_behind_cdn().await;
    let cookies = house.cookies(&house.everything());
    for (object, kept) in [(MASTER, "public, max-age=60"), (SEGMENT, "public, max-age=31536000, immutable")] {
        assert_eq!(header(&house.with_cookies(object, &cookies).await, "cache-control"), kept);
        assert!(header(&house.get(object, &[]).await, "cache-control").starts_with("private"));
    }
    problem(house.with_cookies(MASTER, "").await, 403, "signature-missing").await;
}
