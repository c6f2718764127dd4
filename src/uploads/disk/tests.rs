//! The endpoint as clients meet it: real requests to a real listener, a ledger in memory.

mod house;
mod signer;

use super::*;
use crate::uploads::{CHECKSUM_HEADER, PresignedPart};
use futures_util::future::join_all;
use house::{House, ORIGIN, bytes};
use reqwest::Method;
use s3s::auth::S3Auth;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing_subscriber::fmt::MakeWriter;

/// Whatever the reason for refusing, nothing is stored or recorded.
async fn refused(house: &House, response: reqwest::Response, status: u16, code: &str) {
    assert_eq!(response.status().as_u16(), status, "{code}");
    let text = response.text().await.expect("a body");
    assert!(text.contains(&format!("<Code>{code}</Code>")), "{code} in {text}");
    assert_eq!(house.files(), Vec::<std::path::PathBuf>::new(), "{code}");
    assert!(house.ledger.stored().is_empty(), "{code}");
}

#[tokio::test]
async fn an_announced_part_is_stored_encrypted_and_reads_back() {
    let house = House::new().await;
    let text = [bytes(600_000, 1), b"PATIENT-CANARY".to_vec()].concat();
    let part = house.announce(1, &text).await;
    let response = house.put(&part, text.clone()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["etag"], format!("\"{}\"", hex::encode(crate::blobs::Digests::of(&text).md5)));
    assert_eq!(house.read_back().await, text);
    let stored = std::fs::read(&house.files()[0]).expect("one file");
    assert!(!stored.windows(14).any(|window| window == b"PATIENT-CANARY"), "nothing plain at rest");
}

#[tokio::test]
async fn parts_come_in_any_order_and_in_parallel() {
    let house = House::new().await;
    let texts: Vec<_> = (0..12_u8).map(|part| bytes(100_000 + part as usize * 1000, part)).collect();
    let mut requests = Vec::new();
    for (number, text) in (1..13).zip(&texts).rev() {
        requests.push((house.announce(number, text).await, text.clone()));
    }
    let answers = join_all(requests.iter().map(|(part, text)| house.put(part, text.clone()))).await;
    assert!(answers.iter().all(|answer| answer.status() == 200), "{answers:?}");
    assert_eq!(house.read_back().await, texts.concat());
}

#[tokio::test]
async fn a_part_sent_again_takes_the_old_ones_place() {
    let house = House::new().await;
    let text = bytes(70_000, 2);
    for _ in 0..2 {
        let part = house.announce(1, &text).await;
        assert_eq!(house.put(&part, text.clone()).await.status(), 200);
    }
    assert_eq!(house.files().len(), 1);
    assert_eq!(house.read_back().await, text);
}

#[tokio::test]
async fn the_checksum_must_be_sent_as_it_was_signed() {
    let house = House::new().await;
    let text = bytes(1000, 3);
    let part = house.announce(1, &text).await;
    let without = PresignedPart { headers: Default::default(), ..part.clone() };
    refused(&house, house.put(&without, text.clone()).await, 403, "AccessDenied").await;
    let mut wrong = part.clone();
    wrong.headers.insert(CHECKSUM_HEADER.to_owned(), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned());
    refused(&house, house.put(&wrong, text).await, 403, "SignatureDoesNotMatch").await;
}

#[tokio::test]
async fn an_altered_body_is_refused() {
    let house = House::new().await;
    let mut text = bytes(300_000, 4);
    let part = house.announce(1, &text).await;
    text[150_000] ^= 1;
    refused(&house, house.put(&part, text).await, 400, "BadDigest").await;
}

#[tokio::test]
async fn a_body_of_another_length_than_the_rows_is_refused() {
    let house = House::new().await;
    let text = bytes(300_000, 5);
    let part = house.announce(1, &text).await;
    refused(&house, house.put(&part, bytes(300_001, 5)).await, 400, "EntityTooLarge").await;
    refused(&house, house.put(&part, bytes(299_999, 5)).await, 400, "IncompleteBody").await;
    let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>(text)]);
    let chunked = house.request(&part).body(reqwest::Body::wrap_stream(pieces)).send().await.expect("an answer");
    refused(&house, chunked, 411, "MissingContentLength").await;
}

#[tokio::test]
async fn a_part_announced_anew_needs_a_new_url() {
    let house = House::new().await;
    let text = bytes(1000, 6);
    let old = house.announce(1, &text).await;
    house.announce(1, &bytes(1000, 7)).await;
    refused(&house, house.put(&old, text).await, 400, "BadDigest").await;
}

#[tokio::test]
async fn only_uploads_that_take_parts_take_parts() {
    let house = House::new().await;
    let text = bytes(1000, 8);
    let part = house.announce(1, &text).await;
    house.ledger.close();
    refused(&house, house.put(&part, text.clone()).await, 404, "NoSuchUpload").await;
    let unknown = house.sign(9, &text).await;
    refused(&house, house.put(&unknown, text).await, 404, "NoSuchUpload").await;
}

#[tokio::test]
async fn a_tampered_url_is_refused() {
    let house = House::new().await;
    let text = bytes(1000, 9);
    let mut part = house.announce(1, &text).await;
    house.announce(2, &text).await;
    part.url = part.url.replace("partNumber=1", "partNumber=2");
    refused(&house, house.put(&part, text).await, 403, "SignatureDoesNotMatch").await;
}

#[tokio::test]
async fn a_client_that_sends_everything_before_it_listens_hears_the_refusal() {
    let house = House::new().await;
    let text = bytes(20_000_000, 9);
    let mut part = house.announce(1, &text).await;
    part.url = part.url.replace("partNumber=1", "partNumber=2");
    let mut stream = house.raw_put(&part, text.len()).await;
    stream.write_all(&text).await.expect("sent to the end");
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.expect("an answer");
    assert!(answer[..read].starts_with(b"HTTP/1.1 403"), "{}", String::from_utf8_lossy(&answer[..read]));
}

#[tokio::test]
async fn a_url_lives_as_long_as_it_says_and_a_week_at_most() {
    let house = House::new().await;
    let text = bytes(1000, 10);
    house.announce(1, &text).await;
    let hours_ago = |hours: u64| std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
    let cases = [
        (hours_ago(2), "3600", 403, "AccessDenied"),
        (hours_ago(0), "604801", 400, "AuthorizationQueryParametersError"),
        (hours_ago(0), "0", 400, "AuthorizationQueryParametersError"),
        (hours_ago(0), "4294967296", 400, "AuthorizationQueryParametersError"),
    ];
    for (signed_at, expires_s, status, code) in cases {
        let part = signer::sign(&house, 1, &text, signed_at, expires_s);
        refused(&house, house.put(&part, text.clone()).await, status, code).await;
    }
    let part = signer::sign(&house, 1, &text, hours_ago(2), "604800");
    assert_eq!(house.put(&part, text).await.status(), 200, "an independent signer agrees");
}

#[tokio::test]
async fn old_signatures_and_forms_are_refused() {
    let house = House::new().await;
    let url = house.object_url();
    let get = |url: String| house.client.get(url);
    let old_query = get(format!("{url}?AWSAccessKeyId=a&Expires=99999999999&Signature=b")).send().await.expect("an answer");
    refused(&house, old_query, 400, "InvalidRequest").await;
    let old_header = get(url.clone()).header("authorization", "AWS a:b").send().await.expect("an answer");
    refused(&house, old_header, 400, "InvalidRequest").await;
    let field = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\na\r\n--x--\r\n";
    for url in [url, format!("http://{}/inbox", house.address)] {
        for form in ["multipart/form-data; boundary=x", "Multipart/form-data; boundary=x", "MULTIPART/FORM-DATA;boundary=x"] {
            let answer = house.client.post(&url).header("content-type", form).body(field).send().await;
            refused(&house, answer.expect("an answer"), 501, "NotImplemented").await;
        }
    }
}

#[tokio::test]
async fn everything_else_is_denied() {
    let house = House::new().await;
    let url = house.object_url();
    for (method, url) in [
        (Method::GET, url.clone()),
        (Method::PUT, url.clone()),
        (Method::DELETE, url.clone()),
        (Method::GET, url.replace(house.upload.as_str(), "")),
        (Method::POST, format!("{url}?uploadId={}", house.upload)),
        (Method::PUT, format!("{url}?partNumber=1&uploadId={}", house.upload)),
    ] {
        let answer = house.client.request(method, &url).send().await.expect("an answer");
        refused(&house, answer, 403, "AccessDenied").await;
    }
    let signed = signer::sign_object(&house, "GET");
    refused(&house, house.client.get(signed).send().await.expect("an answer"), 501, "NotImplemented").await;
    let signed = signer::sign_object(&house, "PUT");
    refused(&house, house.client.put(signed).body("x").send().await.expect("an answer"), 501, "NotImplemented").await;
}

#[tokio::test]
async fn a_connection_broken_halfway_leaves_nothing() {
    let house = House::new().await;
    let text = bytes(2_000_000, 11);
    let part = house.announce(1, &text).await;
    let mut stream = house.raw_put(&part, text.len()).await;
    stream.write_all(&text[..1_000_000]).await.expect("sent");
    house.until(|house| !house.files().is_empty()).await;
    drop(stream);
    house.until(|house| house.files().is_empty()).await;
    assert!(house.ledger.stored().is_empty());
    assert_eq!(house.put(&part, text).await.status(), 200, "the same url serves the second try");
}

#[tokio::test]
async fn a_stalled_client_is_told_and_let_go() {
    let house = House::with_patience(Patience { body_idle: Duration::from_millis(200), ..Patience::default() }).await;
    let part = house.announce(1, &bytes(1000, 12)).await;
    let mut stream = house.raw_put(&part, 1000).await;
    stream.write_all(b"only the beginning").await.expect("sent");
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.expect("an answer");
    assert!(String::from_utf8_lossy(&answer[..read]).contains("RequestTimeout"));
    house.until(|house| house.files().is_empty()).await;
}

#[tokio::test]
async fn a_page_may_upload_if_its_origin_is_allowed() {
    let house = House::new().await;
    let preflight = async |origin: &str| {
        let request = house.client.request(Method::OPTIONS, house.object_url()).header("origin", origin);
        let request = request.header("access-control-request-method", "PUT");
        request.header("access-control-request-headers", "x-amz-checksum-sha256").send().await.expect("an answer")
    };
    let allowed = preflight(ORIGIN).await;
    assert_eq!(allowed.status(), 204);
    assert_eq!(allowed.headers()["access-control-allow-origin"], ORIGIN);
    assert_eq!(allowed.headers()["access-control-allow-methods"], "PUT");
    let headers = allowed.headers()["access-control-allow-headers"].to_str().expect("text");
    assert!(headers.contains("x-amz-checksum-sha256") && headers.contains("content-type"));
    let denied = preflight("https://evil.example").await;
    assert_eq!((denied.status().as_u16(), denied.headers().get("access-control-allow-origin")), (403, None));

    let text = bytes(1000, 13);
    let part = house.announce(1, &text).await;
    let stored = house.request(&part).header("origin", ORIGIN).body(text).send().await.expect("an answer");
    assert_eq!((stored.status().as_u16(), stored.headers()["access-control-allow-origin"].to_str().ok()), (200, Some(ORIGIN)));
    assert!(stored.headers()["access-control-expose-headers"].to_str().expect("text").contains("etag"));
}

#[tokio::test]
async fn shutting_down_lets_the_running_request_finish() {
    let house = House::new().await;
    let text = bytes(500_000, 14);
    let part = house.announce(1, &text).await;
    let mut stream = house.raw_put(&part, text.len()).await;
    stream.write_all(&text[..400_000]).await.expect("sent");
    house.until(|house| !house.files().is_empty()).await;
    house.shutdown.cancel();
    stream.write_all(&text[400_000..]).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer, then the end");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    house.stopped().await;
}

/// Everything that is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_signature_is_logged_at_any_level() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let house = House::new().await;
    let mut text = bytes(1000, 15);
    let part = house.announce(1, &text).await;
    assert_eq!(house.put(&part, text.clone()).await.status(), 200);
    text[0] ^= 1;
    house.put(&part, text).await;
    let mut tampered = part.clone();
    tampered.url = tampered.url.replace("partNumber=1", "partNumber=2");
    house.put(&tampered, bytes(1000, 15)).await;
    let log = String::from_utf8_lossy(&log.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    assert!(log.contains("refused a part"), "our own log goes on: {log}");
    assert!(!log.contains("s3s::") && !log.contains("Signature="), "{log}");
}

/// What goes wrong on our side of s3s is told by our own log, with its cause; the client hears neither.
#[tokio::test]
async fn a_catalog_that_is_away_is_told_in_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let house = House::new().await;
    let text = bytes(1000, 16);
    let part = house.announce(1, &text).await;
    house.ledger.fail();
    refused(&house, house.put(&part, text).await, 503, "ServiceUnavailable").await;
    // As s3s asks it.
    let guard = Guard::new(house.credentials.clone(), house.gate(), true, tracing::dispatcher::get_default(Dispatch::clone));
    let asked = guard.get_secret_key("THEATRUMU0123456789A").with_subscriber(Dispatch::none()).await;
    assert_eq!(asked.expect_err("nobody knows").code().as_str(), "ServiceUnavailable");
    let log = String::from_utf8_lossy(&log.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    for cause in ["the ledger's disk is gone", "the gate's disk is gone"] {
        assert!(log.contains("ERROR") && log.contains(cause), "{cause}: {log}");
    }
}
