//! Bodies in chunks of sizes that clients seldom send: the Rust and the Go SDK send all of a body as one, and anybody may send anything.

use super::signed::{Payload, Request, send_wire, told};
use crate::support::s3::{Access, arrived, noise, source_bytes, videos};
use crate::support::server::Server;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Body, Method};
use std::io::{Error, Write};
use theatrum::domain::checksum::Algorithm;
use theatrum::uploads::checksum::Hasher;

const MIB: usize = 1 << 20;

/// The CRC32 of these pieces, base64.
pub fn crc32(pieces: impl Iterator<Item = Vec<u8>>) -> String {
    let mut hasher = Hasher::new(Algorithm::Crc32);
    pieces.for_each(|piece| hasher.update(&piece));
    STANDARD.encode(hasher.value())
}

/// Sends `wire` as `key`, in plain chunks that are said to hold `size_bytes`.
async fn send(access: &Access, key: &str, size_bytes: usize, wire: (usize, Body)) -> Result<String, String> {
    let payload = Payload::Unsigned("x-amz-checksum-crc32", "");
    let request = Request { method: Method::PUT, key, query: &[], headers: &[], payload, body: b"" };
    told(send_wire(access, &request, size_bytes, wire).await).await
}

async fn send_text(access: &Access, size_bytes: usize, wire: Vec<u8>) -> Result<String, String> {
    send(access, "a.bin", size_bytes, (wire.len(), wire.into())).await
}

/// The most memory that the server has had, in KiB.
fn peak_kib(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Tier: `make test`. A body of one chunk, as SDKs send it, goes through the server in pieces: it takes no memory for what it is sent.
#[tokio::test]
async fn one_large_chunk_is_not_held_in_memory() {
    const PIECES: usize = 256;
    let server = Server::start_with(&[super::KEEP_REFUSED]);
    let access = server.access("ada", "");
    let piece = std::fs::read(noise(server.scratch(), "piece.bin", MIB)).expect("reads");
    let checksum = crc32((0..PIECES).map(|_| piece.clone()));
    let head = format!("{:x}\r\n", PIECES * MIB).into_bytes();
    let tail = format!("\r\n0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n").into_bytes();
    let wire_bytes = head.len() + PIECES * MIB + tail.len();
    let pieces = [head].into_iter().chain((0..PIECES).map(move |_| piece.clone())).chain([tail]).map(Ok::<_, Error>);
    let before = peak_kib(&server);
    let answer = send(&access, "large.bin", PIECES * MIB, (wire_bytes, Body::wrap_stream(futures_util::stream::iter(pieces)))).await;
    answer.expect("taken");
    let grown = peak_kib(&server) - before;
    assert!(grown < 96 * 1024, "it took {grown} KiB for a chunk of {PIECES} MiB");
    arrived(&server.catalog().await, None, "large").await;
}

/// Tier: `make test`. A size may be written in any number of digits; what is not chunked as it says is refused in words, and leaves nothing.
#[tokio::test]
async fn sizes_are_read_whole_and_nonsense_is_refused() {
    let mut server = Server::start_with(&[super::KEEP_REFUSED]);
    let access = server.access("ada", "");
    let body = std::fs::read(noise(server.scratch(), "a.bin", 70_000)).expect("reads");
    let checksum = crc32([body.clone()].into_iter());
    let wire = |head: &str, tail: &str| {
        let mut wire = head.as_bytes().to_vec();
        wire.write_all(&body).expect("memory");
        wire.extend_from_slice(tail.as_bytes());
        wire
    };
    let trailer = format!("x-amz-checksum-crc32:{checksum}");
    let many = "x-amz-meta-a:b\r\n".repeat(101);
    for (head, tail, said) in [
        ("11170\r\n", "\r\n0\r\nno trailer\r\n\r\n".to_owned(), "400 InvalidRequest"),
        ("11170\r\n", format!("\r\n0\r\n{many}{trailer}\r\n\r\n"), "400 InvalidRequest"),
        ("11170\r\n", format!("\r\n0\r\n{}\r\n\r\n", "x".repeat(17 << 10)), "400 InvalidRequest"),
        ("1116f\r\n", format!("\r\n0\r\n{trailer}\r\n\r\n"), "400 InvalidRequest"),
        ("size\r\n", format!("\r\n0\r\n{trailer}\r\n\r\n"), "400 InvalidRequest"),
        ("100011170\r\n", format!("\r\n0\r\n{trailer}\r\n\r\n"), "400 EntityTooLarge"),
    ] {
        assert_eq!(send_text(&access, body.len(), wire(head, &tail)).await, Err(said.to_owned()), "{head:?} {tail:.40?}");
    }
    assert_eq!(videos(&server.catalog().await).await.len(), 0);
    let told = send_text(&access, body.len(), wire("0000000000011170\r\n", &format!("\r\n000000000\r\n{trailer}\r\n\r\n"))).await;
    told.expect("taken");
    let catalog = server.catalog().await;
    let video = arrived(&catalog, None, "a").await;
    server.kill();
    assert!(source_bytes(&server, &catalog, &video.id).await == body);
}
