//! A signer of requests (AWS Signature Version 4, in headers), written from the specification: it sends bodies in chunks, with trailers, and
//! everything else that the clients at hand never send.

use crate::support::s3::Access;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder, Response};
use std::collections::BTreeMap;
use std::time::SystemTime;

const CHUNK_BYTES: usize = 64 * 1024;

/// How a body is sent, and what is signed of it.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// As it is, signed by its digest.
    Whole,
    /// As it is, and said to have this digest.
    Claimed(&'a str),
    /// In signed chunks (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD`, with `-TRAILER` where there is one).
    Signed(Option<(&'a str, &'a str)>),
    /// In plain chunks with a trailer (`STREAMING-UNSIGNED-PAYLOAD-TRAILER`).
    Unsigned(&'a str, &'a str),
    /// As the one before, but the announced trailer does not come.
    Forgotten(&'a str),
}

/// A request for an object.
pub struct Request<'a> {
    /// Its method.
    pub method: Method,
    /// The object's key, of plain characters.
    pub key: &'a str,
    /// Sorted, of plain characters.
    pub query: &'a [(&'a str, &'a str)],
    /// Besides those that the signature needs.
    pub headers: &'a [(&'a str, &'a str)],
    /// How the body goes.
    pub payload: Payload<'a>,
    /// The body.
    pub body: &'a [u8],
}

struct Signing {
    time: String,
    scope: String,
    key: Vec<u8>,
}

impl Signing {
    fn new(access: &Access) -> Self {
        let time = timestamp(SystemTime::now());
        let day = &time[..8];
        let secret = format!("AWS4{}", access.secret).into_bytes();
        let key = [day, "us-east-1", "s3", "aws4_request"].iter().fold(secret, |key, text| mac(&key, text));
        Self { scope: format!("{day}/us-east-1/s3/aws4_request"), time, key }
    }

    fn sign(&self, kind: &str, rest: &str) -> String {
        hex::encode(mac(&self.key, &format!("AWS4-HMAC-SHA256{kind}\n{}\n{}\n{rest}", self.time, self.scope)))
    }
}

/// Puts an object with these headers besides; gives what the server says against it.
pub async fn put(access: &Access, key: &str, body: &[u8], headers: &[(&str, &str)]) -> Result<(), String> {
    told(send(access, &Request { method: Method::PUT, key, query: &[], headers, payload: Payload::Whole, body }).await).await.map(drop)
}

/// Begins an object `a.bin` in parts; gives its upload.
pub async fn begin_multipart(access: &Access) -> String {
    let query = [("uploads", "")];
    let request = Request { method: Method::POST, key: "a.bin", query: &query, headers: &[], payload: Payload::Whole, body: b"" };
    let begun = told(send(access, &request).await).await.expect("begun");
    begun.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once("</UploadId>")).expect("an id").0.to_owned()
}

/// The text of an answer, or its status and S3's code.
pub async fn told(answer: Response) -> Result<String, String> {
    let (status, text) = (answer.status(), answer.text().await.expect("text"));
    if status.is_success() {
        return Ok(text);
    }
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map_or("", |(code, _)| code);
    Err(format!("{} {code}", status.as_u16()))
}

/// Signs a request and sends it.
pub async fn send(access: &Access, request: &Request<'_>) -> Response {
    let (sent, signing, signature) = sign(access, request, request.body.len());
    let wire = body(request, &signing, signature);
    sent.header("content-length", wire.len()).body(wire).send().await.expect("an answer")
}

/// Signs a request and sends it with `wire` for a body, of so many bytes, which says of itself that it holds `size_bytes` in chunks.
pub async fn send_wire(access: &Access, request: &Request<'_>, size_bytes: usize, (wire_bytes, wire): (usize, reqwest::Body)) -> Response {
    let (sent, ..) = sign(access, request, size_bytes);
    sent.header("content-length", wire_bytes).body(wire).send().await.expect("an answer")
}

fn sign(access: &Access, request: &Request<'_>, size_bytes: usize) -> (RequestBuilder, Signing, String) {
    let signing = Signing::new(access);
    let host = access.endpoint.trim_start_matches("http://");
    let mut headers = BTreeMap::from([("host".to_owned(), host.to_owned()), ("x-amz-date".to_owned(), signing.time.clone())]);
    headers.extend(request.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let (claim, trailer) = match request.payload {
        Payload::Whole => (hash(request.body), None),
        Payload::Claimed(claim) => (claim.to_owned(), None),
        Payload::Signed(None) => ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD".to_owned(), None),
        Payload::Signed(Some((name, _))) => ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER".to_owned(), Some(name)),
        Payload::Unsigned(name, _) | Payload::Forgotten(name) => ("STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(), Some(name)),
    };
    if claim.starts_with("STREAMING-") {
        headers.insert("x-amz-decoded-content-length".to_owned(), size_bytes.to_string());
        headers.insert("content-encoding".to_owned(), "aws-chunked".to_owned());
    }
    headers.extend(trailer.map(|name| ("x-amz-trailer".to_owned(), name.to_owned())));
    headers.insert("x-amz-content-sha256".to_owned(), claim.clone());
    let names = headers.keys().cloned().collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let query = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let path = format!("/inbox/{}", request.key);
    let canonical = format!("{}\n{path}\n{query}\n{lines}\n{names}\n{claim}", request.method);
    let signature = signing.sign("", &hash(canonical.as_bytes()));
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={names}, Signature={signature}", access.id, signing.scope);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut sent =
        client.request(request.method.clone(), format!("{}{path}?{query}", access.endpoint)).header("authorization", authorization);
    for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
        sent = sent.header(name, value);
    }
    (sent, signing, signature)
}

/// Sends a form with a file, by a policy that is signed for it (Amazon S3 API reference, "Browser-based uploads using POST").
pub async fn send_form(access: &Access, content_type: &str, key: &str, file: &str) -> Response {
    let signing = Signing::new(access);
    let (credential, time) = (format!("{}/{}", access.id, signing.scope), signing.time.as_str());
    let known = [("key", key), ("x-amz-algorithm", "AWS4-HMAC-SHA256"), ("x-amz-credential", credential.as_str()), ("x-amz-date", time)];
    let mut conditions = vec![serde_json::json!({"bucket": "inbox"})];
    conditions.extend(known.iter().map(|(name, value)| serde_json::json!({ *name: value })));
    let policy = serde_json::json!({"expiration": "2099-01-01T00:00:00.000Z", "conditions": conditions}).to_string();
    let policy = STANDARD.encode(policy);
    let signature = hex::encode(mac(&signing.key, &policy));
    let mut form = String::new();
    for (name, value) in known.into_iter().chain([("policy", policy.as_str()), ("x-amz-signature", signature.as_str())]) {
        form.push_str(&format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
    }
    form.push_str(&format!("--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n{file}\r\n--x--\r\n"));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let sent = client.post(format!("{}/inbox", access.endpoint)).header("content-type", format!("{content_type}; boundary=x"));
    sent.header("x-amz-decoded-content-length", file.len()).body(form).send().await.expect("an answer")
}

/// The body as it goes over the wire (Amazon S3 API reference, "Signature calculations: transferring payload in multiple chunks").
fn body(request: &Request<'_>, signing: &Signing, seed: String) -> Vec<u8> {
    let (is_signed, trailer) = match request.payload {
        Payload::Whole | Payload::Claimed(_) => return request.body.to_vec(),
        Payload::Signed(trailer) => (true, trailer),
        Payload::Unsigned(name, value) => (false, Some((name, value))),
        Payload::Forgotten(_) => (false, None),
    };
    let (mut wire, mut previous) = (Vec::new(), seed);
    for chunk in request.body.chunks(CHUNK_BYTES).chain([&[][..]]) {
        wire.extend_from_slice(format!("{:x}", chunk.len()).as_bytes());
        if is_signed {
            previous = signing.sign("-PAYLOAD", &format!("{previous}\n{}\n{}", hash(b""), hash(chunk)));
            wire.extend_from_slice(format!(";chunk-signature={previous}").as_bytes());
        }
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(chunk);
        if !chunk.is_empty() {
            wire.extend_from_slice(b"\r\n");
        }
    }
    if let Some((name, value)) = trailer {
        wire.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
        if is_signed {
            let signature = signing.sign("-TRAILER", &format!("{previous}\n{}", hash(format!("{name}:{value}\n").as_bytes())));
            wire.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
        }
    }
    wire.extend_from_slice(b"\r\n");
    wire
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// `20261121T101127Z`, by way of an HTTP date: `Sat, 21 Nov 2026 10:11:27 GMT`.
fn timestamp(time: SystemTime) -> String {
    let text = httpdate::fmt_http_date(time);
    let [_, day, month, year, clock, _] = text.split(' ').collect::<Vec<_>>().try_into().expect("six pieces");
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = 1 + months.iter().position(|name| *name == month).expect("a month");
    format!("{year}{month:02}{day}T{}Z", clock.replace(':', ""))
}
