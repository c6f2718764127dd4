//! Whatever checksum a client sends, in whatever way, is compared before the object is taken (invariant 10).

use super::signed::{Payload, Request, put, send, told};
use crate::support::s3::{Access, arrived, noise, source_bytes, videos};
use crate::support::server::Server;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use theatrum::domain::checksum::{Algorithm, Scope};
use theatrum::uploads::checksum::{Hasher, whole};

const SIZE_BYTES: usize = 150_000;
const PART_BYTES: usize = 5 << 20;

type Headers<'a> = &'a [(&'a str, &'a str)];

fn value(algorithm: Algorithm, bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    STANDARD.encode(hasher.value())
}

async fn object(access: &Access, headers: Headers<'_>, payload: Payload<'_>, body: &[u8]) -> Result<String, String> {
    told(send(access, &Request { method: Method::PUT, key: "a.bin", query: &[], headers, payload, body }).await).await
}

/// Tier: `make test`. invariant 10: no checksum, no blob: five algorithms × header, signed trailer, unsigned trailer × right and wrong.
#[tokio::test]
async fn every_checksum_is_compared_however_it_is_sent() {
    let mut server = Server::start_with(&[super::KEEP_REFUSED]);
    let access = server.access("ada", "");
    let body = std::fs::read(noise(server.scratch(), "a.bin", SIZE_BYTES)).expect("reads");
    let mut taken = 0;
    for algorithm in Algorithm::ALL {
        let (right, wrong, name) = (value(algorithm, &body), value(algorithm, b"another"), algorithm.header());
        let ways: [(Headers<'_>, Payload<'_>, bool); 7] = [
            (&[(name, &right)], Payload::Whole, true),
            (&[(name, &wrong)], Payload::Whole, false),
            (&[(name, &right)], Payload::Signed(None), true),
            (&[], Payload::Signed(Some((name, &right))), true),
            (&[], Payload::Signed(Some((name, &wrong))), false),
            (&[], Payload::Unsigned(name, &right), true),
            (&[], Payload::Unsigned(name, &wrong), false),
        ];
        for (headers, payload, agrees) in ways {
            let answer = object(&access, headers, payload, &body).await;
            assert_eq!(
                answer.as_ref().map(drop).map_err(String::as_str),
                if agrees { Ok(()) } else { Err("400 BadDigest") },
                "{payload:?}"
            );
            taken += usize::from(agrees);
        }
    }
    let catalog = server.catalog().await;
    assert_eq!(videos(&catalog).await.len(), taken);
    let video = arrived(&catalog, None, "a").await;
    server.kill();
    assert!(source_bytes(&server, &catalog, &video.id).await == body, "chunks were put together as they were cut");
}

/// Tier: `make test`. invariant 10: no checksum, no blob: S3's code for each way in which a body can disagree with what was said of it.
#[tokio::test]
async fn each_disagreement_has_its_code() {
    let server = Server::start();
    let access = server.access("ada", "");
    let body = vec![7; SIZE_BYTES];
    let md5 = STANDARD.encode(theatrum::blobs::Digests::of(&body).md5);
    let crc32 = value(Algorithm::Crc32, &body);
    let (crc32_header, zeros) = (Algorithm::Crc32.header(), "0".repeat(64));
    let ways: [(Headers<'_>, Payload<'_>, &str); 9] = [
        (&[("content-md5", &md5)], Payload::Claimed(&zeros), "400 XAmzContentSHA256Mismatch"),
        (&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], Payload::Whole, "400 BadDigest"),
        (&[("content-md5", "AAAA")], Payload::Whole, "400 InvalidDigest"),
        (&[(crc32_header, "AAAA")], Payload::Whole, "400 InvalidRequest"),
        (&[(crc32_header, &crc32), ("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")], Payload::Whole, "400 InvalidRequest"),
        (&[("x-amz-sdk-checksum-algorithm", "SHA256")], Payload::Whole, "400 InvalidRequest"),
        (&[], Payload::Forgotten(crc32_header), "400 MalformedTrailerError"),
        (&[("if-match", "\"a\"")], Payload::Whole, "404 NoSuchKey"),
        (&[("content-md5", &md5), ("if-none-match", "*")], Payload::Whole, ""),
    ];
    for (headers, payload, code) in ways {
        let answer = object(&access, headers, payload, &body).await;
        assert_eq!(answer.err().unwrap_or_default(), code, "{headers:?} {payload:?}");
    }
    for (key, code) in
        [("a%07.bin", "400 InvalidArgument"), (&*"x".repeat(300), "400 InvalidArgument"), (&*"x".repeat(1025), "400 KeyTooLongError")]
    {
        assert_eq!(put(&access, key, &body, &[]).await.expect_err("refused"), code, "{key}");
    }
    assert_eq!(put(&access, "empty.bin", b"", &[]).await.expect_err("refused"), "400 InvalidRequest");
    put(&access, "a/folder/", b"", &[]).await.expect("a folder is fine, and nothing");
    assert_eq!(videos(&server.catalog().await).await.len(), 1);
}

/// Tier: `make test`. invariant 10: no checksum, no blob: the checksum of a whole object in parts is compared: of its bytes, or of the checksums
/// of its parts.
#[tokio::test]
async fn the_checksum_of_the_whole_is_compared() {
    let server = Server::start();
    let access = server.access("ada", "");
    let parts = [vec![1; PART_BYTES], vec![2; 1_000]];
    let bytes = parts.concat();
    let mut taken = 0;
    for algorithm in Algorithm::ALL {
        for scope in [Scope::Composite, Scope::FullObject] {
            let created = create(&access, algorithm, scope).await;
            if !algorithm.allows(scope) {
                assert_eq!(created.expect_err("refused"), "400 InvalidRequest", "{algorithm:?} {scope:?}");
                continue;
            }
            let upload = created.expect("created");
            let values = parts.each_ref().map(|part| value(algorithm, part));
            for (number, part) in (1..).zip(&parts) {
                send_part(&access, &upload, number, part, algorithm).await;
            }
            let sizes: Vec<_> = values.iter().zip(&parts).map(|(value, part)| (value.as_str(), part.len() as u64)).collect();
            let right = whole(algorithm, scope, &sizes).expect("a value");
            if scope == Scope::FullObject {
                assert_eq!(right, value(algorithm, &bytes));
            }
            let wrong = value(algorithm, b"another");
            assert_eq!(complete(&access, &upload, &parts, (algorithm, &wrong)).await.expect_err("refused"), "400 BadDigest");
            for _ in 0..2 {
                let answer = complete(&access, &upload, &parts, (algorithm, &right)).await.expect("complete, and the same again");
                assert!(answer.contains("-2&quot;") || answer.contains("-2\""), "{answer}");
            }
            taken += 1;
        }
    }
    assert_eq!(videos(&server.catalog().await).await.len(), taken);
}

async fn create(access: &Access, algorithm: Algorithm, scope: Scope) -> Result<String, String> {
    let headers = [("x-amz-checksum-algorithm", algorithm.as_str()), ("x-amz-checksum-type", scope.as_str())];
    let query = [("uploads", "")];
    let request = Request { method: Method::POST, key: "a.bin", query: &query, headers: &headers, payload: Payload::Whole, body: b"" };
    let text = told(send(access, &request).await).await?;
    let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once("</UploadId>")).expect("an id").0;
    Ok(id.to_owned())
}

async fn send_part(access: &Access, upload: &str, number: u32, part: &[u8], algorithm: Algorithm) {
    let (number, value) = (number.to_string(), value(algorithm, part));
    let query = [("partNumber", number.as_str()), ("uploadId", upload)];
    let payload = Payload::Unsigned(algorithm.header(), &value);
    let request = Request { method: Method::PUT, key: "a.bin", query: &query, headers: &[], payload, body: part };
    told(send(access, &request).await).await.expect("taken");
}

async fn complete(access: &Access, upload: &str, parts: &[Vec<u8>], (algorithm, value): (Algorithm, &str)) -> Result<String, String> {
    let list: String = (1..)
        .zip(parts)
        .map(|(number, part)| {
            let etag = hex::encode(theatrum::blobs::Digests::of(part).md5);
            format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag></Part>")
        })
        .collect();
    let body = format!("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{list}</CompleteMultipartUpload>");
    let (query, headers) = ([("uploadId", upload)], [(algorithm.header(), value)]);
    let request =
        Request { method: Method::POST, key: "a.bin", query: &query, headers: &headers, payload: Payload::Whole, body: body.as_bytes() };
    told(send(access, &request).await).await
}
