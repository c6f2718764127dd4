//! A certificate that changes below a running server.

use crate::support::authority::{Authority, shown};
use crate::support::clips::clip;
use crate::support::server::Server;
use reqwest::Version;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use std::fs;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NAME: &str = "video.example.org";
const WITHIN: Duration = Duration::from_secs(30);

async fn leaf(server: &Server) -> CertificateDer<'static> {
    shown(server.address(), NAME).await.1
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < WITHIN, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(100)).await; // tidy: polling
    }
}

/// Tier: `make test`. New files are taken up while connections made before go on; a pair that does not fit changes nothing and is named; the
/// command line is at home all the time.
#[tokio::test]
async fn a_new_certificate_is_taken_up_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let mut server = Server::prepare(&[]);
    let files = authority.issue(server.scratch(), &[NAME]);
    server.restart_always(&files.settings());
    let first = leaf(&server).await;

    let (mut kept, _) = shown(server.address(), NAME).await;
    let client = authority.client().resolve(NAME, server.address()).build().expect("a client");
    let events = client.get(format!("https://{NAME}:{}/v1/changes", server.address().port())).bearer_auth(server.admin_token());
    let mut events = events.send().await.expect("a stream");
    assert_eq!(events.version(), Version::HTTP_2);

    authority.issue(server.scratch(), &[NAME]);
    until("the new certificate", async || leaf(&server).await != first).await;
    let second = leaf(&server).await;
    assert!(server.cli(&["videos", "list"]).status.success(), "the command line knows the new one");
    assert!(server.log().contains("shows the new certificate"), "{}", server.log());

    // Both connections were made under the first certificate.
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    kept.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let published = server.publish(&clip(server.scratch(), "a.mp4"));
    let video = published["video"].as_str().expect("an id");
    let told = async {
        let mut told = String::new();
        while !told.contains(video) {
            told.push_str(&String::from_utf8_lossy(&events.chunk().await.expect("a stream").expect("no end")));
        }
    };
    tokio::time::timeout(WITHIN, told).await.expect("the event in time");

    fs::write(&files.key, authority.sign(&[NAME]).1).expect("written");
    until("the complaint", async || server.log().contains("the new certificate cannot be used; the one before stays")).await;
    assert!(server.log().contains("does not fit"), "{}", server.log());
    assert_eq!(leaf(&server).await, second);
    assert!(server.cli(&["videos", "list"]).status.success());

    authority.issue(server.scratch(), &[NAME]);
    server.signal(Signal::HUP);
    until("the third certificate", async || leaf(&server).await != second).await;
    assert!(server.is_alive());
}
