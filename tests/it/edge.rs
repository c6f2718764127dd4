//! The edge, asked over a real connection: what it gives, what it refuses, and what it writes down.

mod house;
mod links;

use crate::support::http::{header, problem};
use bytes::Bytes;
use house::{House, OBJECTS, PLAYLIST};
use reqwest::{Method, Response, StatusCode};
use std::io::Read;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use theatrum::audit::{Kind, Receiver};
use theatrum::blobs::{Blobs, Key};
use theatrum::domain::ids::{VersionId, VideoId};

const SEGMENT: &str = "720p/000000-1.m4s";
const INIT: &str = "audio/init-2.mp4";
const MASTER: &str = "master.m3u8";

async fn body(response: Response) -> Vec<u8> {
    response.bytes().await.expect("a body").to_vec()
}

#[tokio::test]
async fn a_valid_token_gets_every_object_with_its_headers() {
    let house = House::open().await;
    let immutable = "private, max-age=31536000, immutable";
    for (object, content_type, cache_control) in [
        (MASTER, "application/vnd.apple.mpegurl", "private, max-age=60"),
        (PLAYLIST, "application/vnd.apple.mpegurl", "private, max-age=60"),
        (SEGMENT, "video/mp4", immutable),
        (INIT, "audio/mp4", immutable),
    ] {
        let response = house.get(object, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{object}");
        for (name, value) in [
            ("content-type", content_type),
            ("cache-control", cache_control),
            ("content-length", &house.content(object).len().to_string()),
            ("accept-ranges", "bytes"),
            ("last-modified", "Fri, 15 Jan 2027 08:00:00 GMT"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cross-origin-resource-policy", "same-origin"),
            ("content-encoding", ""),
        ] {
            assert_eq!(header(&response, name), value, "{object}: {name}");
        }
        let etag = header(&response, "etag");
        assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
        assert_eq!(body(response).await, house.content(object), "{object}");
    }
}

#[tokio::test]
async fn head_tells_what_get_would_and_sends_nothing() {
    let house = House::open().await;
    for object in OBJECTS {
        let get = house.get(object, &[]).await;
        let head = house.ask(Method::HEAD, object, &[("range", "bytes=0-1")]).await;
        assert_eq!(head.status(), StatusCode::OK);
        for name in ["content-length", "content-type", "etag", "last-modified", "cache-control", "vary"] {
            assert_eq!(header(&head, name), header(&get, name), "{object}: {name}");
        }
        assert!(body(head).await.is_empty());
    }
    assert_eq!(house.ledger.delivered().iter().filter(|noted| noted.bytes == 0).count(), OBJECTS.len());
}

#[tokio::test]
async fn ranges_are_cut_out_of_stored_and_of_held_objects() {
    let house = House::open().await;
    for object in [SEGMENT, PLAYLIST] {
        let content = house.content(object);
        let size = content.len();
        for (range, first, end) in
            [("bytes=0-0", 0, 1), ("bytes=7-4000", 7, 4001), ("bytes=4500-", 4500, size), ("bytes=-9", size - 9, size)]
        {
            let response = house.get(object, &[("range", range)]).await;
            assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{object} {range}");
            assert_eq!(header(&response, "content-range"), format!("bytes {first}-{}/{size}", end - 1));
            assert_eq!(header(&response, "content-length"), (end - first).to_string());
            assert_eq!(body(response).await, content[first..end], "{object} {range}");
            assert_eq!(house.ledger.delivered().last().expect("noted").bytes, (end - first) as u64);
        }
        for range in ["bytes=0-0,5-6", "bytes=5-4", "lines=1-2", "junk"] {
            let response = house.get(object, &[("range", range)]).await;
            assert_eq!(response.status(), StatusCode::OK, "{object} {range}");
            assert_eq!(body(response).await, content);
        }
        let response = house.get(object, &[("range", &format!("bytes={size}-"))]).await;
        assert_eq!(header(&response, "content-range"), format!("bytes */{size}"));
        problem(response, 416, "range-not-satisfiable").await;
    }
}

#[tokio::test]
async fn if_range_continues_only_what_has_not_changed() {
    let house = House::open().await;
    let etag = header(&house.get(SEGMENT, &[]).await, "etag").to_owned();
    for (if_range, status) in [(etag.as_str(), 206), ("Fri, 15 Jan 2027 08:00:00 GMT", 206), ("\"other\"", 200)] {
        let response = house.get(SEGMENT, &[("range", "bytes=1-2"), ("if-range", if_range)]).await;
        assert_eq!(response.status().as_u16(), status, "{if_range}");
    }
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let house = House::open().await;
    for object in OBJECTS {
        let first = house.get(object, &[]).await;
        let (etag, modified) = (header(&first, "etag"), header(&first, "last-modified"));
        let weak = format!("\"x\", W/{etag}");
        for (name, value) in [("if-none-match", etag), ("if-none-match", &weak), ("if-none-match", "*"), ("if-modified-since", modified)] {
            let response = house.get(object, &[(name, value), ("range", "bytes=0-3")]).await;
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{object}: {name}: {value}");
            for kept in ["etag", "cache-control", "vary", "last-modified"] {
                assert_eq!(header(&response, kept), header(&first, kept), "{kept}");
            }
            assert!(body(response).await.is_empty());
            assert_eq!(house.ledger.delivered().last().expect("noted").bytes, 0);
        }
        problem(house.get(object, &[("if-match", "\"x\"")]).await, 412, "precondition-failed").await;
    }
}

#[tokio::test]
async fn playlists_are_zipped_for_those_who_take_it() {
    let house = House::open().await;
    let plain = house.get(PLAYLIST, &[]).await;
    let zipped = house.get(PLAYLIST, &[("accept-encoding", "br, gzip")]).await;
    assert_eq!(header(&zipped, "content-encoding"), "gzip");
    assert_eq!(header(&zipped, "content-type"), "application/vnd.apple.mpegurl");
    assert_eq!(header(&zipped, "vary"), "accept-encoding");
    assert_eq!(header(&plain, "vary"), "accept-encoding");
    assert_ne!(header(&zipped, "etag"), header(&plain, "etag"));
    let etag = header(&zipped, "etag").to_owned();
    let bytes = body(zipped).await;
    let mut unzipped = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unzipped).expect("gzip");
    assert_eq!(unzipped, house.content(PLAYLIST));

    let again = [("accept-encoding", "gzip"), ("if-none-match", etag.as_str())];
    assert_eq!(house.get(PLAYLIST, &again).await.status(), StatusCode::NOT_MODIFIED);
    let other = [("accept-encoding", "identity"), ("if-none-match", etag.as_str())];
    assert_eq!(house.get(PLAYLIST, &other).await.status(), StatusCode::OK);
    let part = house.get(PLAYLIST, &[("accept-encoding", "gzip"), ("range", "bytes=2-9")]).await;
    assert_eq!(body(part).await, bytes[2..10]);

    let segment = house.get(SEGMENT, &[("accept-encoding", "gzip")]).await;
    assert_eq!((header(&segment, "content-encoding"), header(&segment, "vary")), ("", ""));
}

/// A playlist is the same for all, and is never rewritten: the session is in the path alone.
#[tokio::test]
async fn every_viewer_gets_the_same_playlist() {
    let house = House::open().await;
    let mut etags = Vec::new();
    for token in [house.token(), house.token()] {
        let response = house.request(Method::GET, &house.path(&token, PLAYLIST), &[]).await;
        etags.push(header(&response, "etag").to_owned());
        assert_eq!(body(response).await, house.content(PLAYLIST));
    }
    assert_eq!(etags[0], etags[1]);
}

#[tokio::test]
async fn a_replaced_playlist_is_served_at_once() {
    let house = House::open().await;
    let etag = header(&house.get(MASTER, &[("accept-encoding", "gzip")]).await, "etag").to_owned();
    house.origin.put(&house.video, &house.version, MASTER, b"#EXTM3U\n# another\n".to_vec());
    let response = house.get(MASTER, &[("if-none-match", &etag)]).await;
    assert_eq!(body(response).await, b"#EXTM3U\n# another\n");
}

/// Invariant 9, deny by default: without a token for this video and version there is nothing, and each try is counted.
#[tokio::test]
async fn without_a_valid_token_there_is_nothing() {
    let house = House::open().await;
    let token = house.token();
    let (video, version) = (&house.video, &house.version);
    let expired = house.token_for(video, version, Duration::ZERO);
    let other_video = house.token_for(&VideoId::new(), version, house::HOUR);
    let other_version = house.token_for(video, &VersionId::new(), house::HOUR);
    let attempts = [
        ("/t".to_owned(), "token-missing"),
        ("/t/".to_owned(), "token-missing"),
        (house.path("", MASTER), "token-missing"),
        (house.path("x", MASTER), "token-malformed"),
        (house.path(&"x".repeat(5000), MASTER), "token-malformed"),
        (house.path(&format!("{token}x"), MASTER), "token-malformed"),
        (house.path(&expired, SEGMENT), "token-expired"),
        (house.path(&other_video, SEGMENT), "token-other-video"),
        (house.path(&other_version, MASTER), "token-other-video"),
        (format!("/t/{token}"), "token-other-video"),
        (format!("/t/{token}/"), "token-other-video"),
        (format!("/t/{token}/v/{video}"), "token-other-video"),
        (format!("/t/{token}/v/{video}/{version}"), "token-other-video"),
        (format!("/t/{token}//v/{video}/{version}/{MASTER}"), "token-other-video"),
        (format!("/t/{token}/v/{}/{version}/{MASTER}", VideoId::new()), "token-other-video"),
    ];
    for (path, code) in &attempts {
        let document = problem(house.request(Method::GET, path, &[]).await, 403, code).await;
        assert!(!document.to_string().contains(&token), "a refusal repeats no token");
        assert_eq!(house.ledger.refused().last().expect("counted").1, *code);
    }
    assert_eq!(house.ledger.refused().len(), attempts.len());
    assert!(house.ledger.refused().iter().all(|(address, _)| address.is_loopback()));
    assert!(house.ledger.delivered().is_empty());
    assert!(house.origin.untouched());
}

/// Invariant 9, deny by default: no bit of a signature can be turned, even after the true token was seen and remembered.
#[tokio::test]
async fn every_flipped_bit_of_a_signature_is_refused() {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    let house = House::open().await;
    let token = house.token();
    assert_eq!(house.request(Method::GET, &house.path(&token, MASTER), &[]).await.status(), StatusCode::OK);
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let signature = BASE64.decode(signature).expect("base64");
    assert_eq!(signature.len(), 64);
    for bit in 0..signature.len() * 8 {
        let mut flipped = signature.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let path = house.path(&format!("{message}.{}", BASE64.encode(&flipped)), MASTER);
        problem(house.request(Method::GET, &path, &[]).await, 403, "token-signature").await;
    }
    assert_eq!(house.ledger.refused().len(), 512);
    assert_eq!(house.ledger.delivered().len(), 1);
}

#[tokio::test]
async fn what_is_not_there_or_not_for_delivery_is_not_found() {
    let house = House::open().await;
    let absent = ["720p/000009-1.m4s", "720p/playlist.m3u8x", "poster-1", "720p/keys/1", "../x", "%2e%2e/x", "720p//playlist.m3u8"];
    for object in absent {
        let path = house.path(&house.token(), object);
        // Not through a URL parser, which would tidy the path up.
        let answer = house.raw(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{object}: {answer}");
        assert!(answer.contains("\"code\":\"not-found\""), "{object}: {answer}");
        assert_eq!(house.ledger.refused().last().expect("counted").1, "not-found");
    }
    assert!(house.ledger.delivered().is_empty());
}

#[tokio::test]
async fn nothing_can_be_done_but_read() {
    let house = House::open().await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let response = house.ask(method, MASTER, &[]).await;
        assert_eq!(header(&response, "allow"), "GET, HEAD");
        problem(response, 405, "method-not-allowed").await;
    }
    assert!(house.ledger.refused().is_empty());
}

/// Invariant 9, deny by default: without a token no method is told apart from another, and each try is counted.
#[tokio::test]
async fn without_a_valid_token_every_method_is_refused() {
    let house = House::open().await;
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS];
    for method in &methods {
        let answer = house.request(method.clone(), &house.path("x", MASTER), &[]).await;
        assert_eq!(answer.status().as_u16(), 403, "{method}");
    }
    let codes: Vec<&str> = house.ledger.refused().into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["token-malformed"; 7]);
}

/// Invariant 8, audit before bytes: the log has taken note before a single byte is fetched.
#[tokio::test]
async fn a_delivery_is_noted_before_its_bytes_are_fetched() {
    let house = House::open().await;
    assert_eq!(body(house.get(SEGMENT, &[]).await).await, house.content(SEGMENT));
    assert_eq!(house.journal(), ["head", "delivered", "stream"]);
    let noted = house.ledger.delivered();
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].receiver, Receiver::Session(house.session.clone()));
    assert_eq!((&noted[0].video, &noted[0].version), (&house.video, &house.version));
    assert_eq!((noted[0].object.as_str(), noted[0].kind), (SEGMENT, Kind::Segment));
    assert_eq!(noted[0].bytes, house.content(SEGMENT).len() as u64);
    assert!(noted[0].address.is_loopback());
    house.get(INIT, &[]).await;
    house.get(PLAYLIST, &[]).await;
    let kinds: Vec<Kind> = house.ledger.delivered().iter().map(|noted| noted.kind).collect();
    assert_eq!(kinds, [Kind::Segment, Kind::Init, Kind::Playlist]);
}

/// Invariant 8, audit before bytes: what can't be noted is not delivered.
#[tokio::test]
async fn without_the_audit_log_no_byte_leaves() {
    let house = House::open().await;
    house.ledger.broken.store(true, SeqCst);
    for object in OBJECTS {
        for range in ["bytes=0-0", ""] {
            problem(house.get(object, &[("range", range)]).await, 503, "audit-unavailable").await;
        }
        assert_eq!(house.ask(Method::HEAD, object, &[]).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(!house.journal().contains(&"stream"));
    house.ledger.broken.store(false, SeqCst);
    assert_eq!(house.get(SEGMENT, &[]).await.status(), StatusCode::OK);
}

/// The key endpoint lives below the same path and is the api's; the edge's wildcard leaves it alone.
#[tokio::test]
async fn the_key_route_of_the_api_is_not_swallowed() {
    for keys_first in [true, false] {
        let house = House::open_beside_keys(keys_first).await;
        let path = house.path("any-token", "720p/keys/3");
        assert_eq!(body(house.request(Method::GET, &path, &[]).await).await, b"any-token 720p 3");
        assert_eq!(house.get(MASTER, &[]).await.status(), StatusCode::OK);
        assert_eq!(house.get(SEGMENT, &[]).await.status(), StatusCode::OK);
        let (_, path) = path.split_once("any-token").expect("its token");
        assert_eq!(body(house.request(Method::GET, path, &[]).await).await, b"by cookie");
        for beside in ["720p/keys", "720p/keys/", "720p/keys/3/4"] {
            problem(house.get(beside, &[]).await, 404, "not-found").await;
            let (start, _) = path.split_once("/720p").expect("a rendition");
            problem(house.request(Method::GET, &format!("{start}/{beside}"), &[]).await, 403, "signature-missing").await;
        }
        assert_eq!(house.request(Method::GET, "/healthz", &[]).await.status(), StatusCode::NOT_FOUND);
    }
}

/// A blob that ends too early breaks the connection off; a client never takes it for whole.
#[tokio::test]
async fn a_delivery_that_breaks_off_is_no_success() {
    let house = House::open().await;
    house.origin.torn.store(true, SeqCst);
    let path = house.path(&house.token(), SEGMENT);
    let answer = house.raw(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    assert!(body.len() < house.content(SEGMENT).len(), "the promised length never came: {answer}");
}

/// The store that `theatrum serve` uses is an origin like any other.
#[tokio::test]
async fn blobs_on_disk_are_delivered() {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::open(folder.path()).await.expect("a store");
    let house = House::open_over(blobs.clone()).await;
    let key = |object| Key::delivery(&house.video, &house.version, object).expect("a key");
    let segment = Bytes::from(vec![7; 600_000]);
    blobs.put_new(&key(SEGMENT), segment.clone()).await.expect("written");
    blobs.put_playlist(&key(MASTER), Bytes::from_static(b"#EXTM3U\n"), None).await.expect("written");
    assert_eq!(body(house.get(MASTER, &[]).await).await, b"#EXTM3U\n");
    assert_eq!(body(house.get(SEGMENT, &[]).await).await, segment);
    let part = house.get(SEGMENT, &[("range", "bytes=262143-262144")]).await;
    assert_eq!(header(&part, "content-range"), "bytes 262143-262144/600000");
    assert_eq!(body(part).await, [7, 7]);
    problem(house.get("720p/000001-1.m4s", &[]).await, 404, "not-found").await;
}
