//! Certificates from Pebble, the ACME server that Let's Encrypt tests clients with: it comes and looks, as the real one does.

use crate::support::authority::{believing, shown, socket};
use crate::support::pebble::{Pebble, Site};
use crate::support::ports::free_ports;
use crate::support::server::Server;
use reqwest::StatusCode;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const NAME: &str = "video.theatrum.test";
const WITHIN: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(90 * 86_400);

/// A server that asks an ACME server for a certificate, which is not there at first: it tries again, here because it is told to.
async fn open(challenge: &str, lifetime: Duration) -> (Server, Pebble) {
    let site = Site::new();
    let public = format!("https://{NAME}");
    let mut server = Server::prepare(&[
        ("THEATRUM_SERVER__PUBLIC_URL", &public),
        ("THEATRUM_TLS__REDIRECT_LISTEN", "127.0.0.1:0"),
        ("THEATRUM_TLS__ACME__ENABLED", "true"),
        ("THEATRUM_TLS__ACME__CONTACT", "it@theatrum.test"),
        ("THEATRUM_TLS__ACME__CHALLENGE", challenge),
    ]);
    let pebble = begin(&mut server, site, lifetime).await;
    (server, pebble)
}

/// Begins a life of `server` with the ACME server of `site`, and opens that.
async fn begin(server: &mut Server, site: Site, lifetime: Duration) -> Pebble {
    let (directory, ca_file) = (site.directory(), site.ca_file(server.scratch()));
    server.restart_always(&[("THEATRUM_TLS__ACME__DIRECTORY", &directory), ("THEATRUM_TLS__ACME__CA_FILE", &ca_file)]);
    until("the first failure", server, async || server.log().contains(&format!("{directory} gave no certificate"))).await;
    let http_port = socket(&server.announced("redirect_url")).port();
    let pebble = site.open(server.scratch(), http_port, server.address().port(), lifetime).await;
    server.signal(Signal::HUP);
    pebble
}

async fn until(what: &str, server: &Server, mut done: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < WITHIN, "{what} did not happen:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await; // tidy: polling
    }
}

async fn leaf(server: &Server) -> CertificateDer<'static> {
    shown(server.address(), NAME).await.1
}

/// Waits for an answer that a browser would believe.
async fn until_believed(server: &Server, pebble: &Pebble) {
    let client = believing(&pebble.root().await).resolve(NAME, server.address()).build().expect("a client");
    let url = format!("https://{NAME}:{}/healthz", server.address().port());
    until("a certificate", server, async || client.get(&url).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)).await;
}

fn is_private(path: &Path) -> bool {
    path.metadata().expect("a file").permissions().mode() & 0o077 == 0
}

/// Tier: `make test`. By http-01: a certificate, and another before it ends, while every connection is served and the command line is at home.
#[tokio::test]
async fn http_01_gets_a_certificate_and_renews_it() {
    let (server, pebble) = open("http-01", Duration::from_secs(15)).await;
    assert!(server.cli(&["videos", "list"]).status.success(), "there is a certificate from the beginning");
    until_believed(&server, &pebble).await;
    let first = leaf(&server).await;
    until("the renewal", &server, async || leaf(&server).await != first).await;
    until_believed(&server, &pebble).await;
    assert!(server.cli(&["videos", "list"]).status.success());
    let folder = server.data().join("tls/acme");
    assert!(is_private(&folder) && is_private(&folder.join("account.json")) && is_private(&folder.join("certificate.pem")));
    let plain = believing(&pebble.root().await).build().expect("a client");
    let redirect = plain.get(format!("{}/watch/x?y", server.announced("redirect_url"))).send().await.expect("an answer");
    assert_eq!(redirect.status(), StatusCode::PERMANENT_REDIRECT, "the challenge's path alone is exempt");
}

/// Tier: `make test`. By tls-alpn-01, which needs no port but its own; the next life begins with the certificate of the last.
#[tokio::test]
async fn tls_alpn_01_gets_a_certificate_that_outlives_the_process() {
    let (mut server, pebble) = open("tls-alpn-01", LONG).await;
    until_believed(&server, &pebble).await;
    let first = leaf(&server).await;
    server.restart(&[]);
    assert_eq!(leaf(&server).await, first);
    until_believed(&server, &pebble).await;
    let mut doctor = server.command(&["doctor"]);
    let said = String::from_utf8(doctor.envs(server.variables()).output().expect("the command line runs").stdout).expect("text");
    assert!(said.contains(&format!("a certificate for {NAME}, good for 89 more days")), "{said}");
}

/// Tier: `make test`. The certificate of one ACME server is replaced when the settings name another, long before its time, and shown until then.
#[tokio::test]
async fn a_certificate_of_another_acme_server_is_replaced_at_once() {
    let (mut server, staging) = open("tls-alpn-01", LONG).await;
    until_believed(&server, &staging).await;
    let first = leaf(&server).await;
    drop(staging);
    let site = Site::new();
    let production = begin(&mut server, site, LONG).await;
    until_believed(&server, &production).await;
    assert_ne!(leaf(&server).await, first);
    server.restart(&[]);
    until_believed(&server, &production).await;
}

/// Tier: `make test`. An ACME server that cannot reach us says why, and the log repeats it.
#[tokio::test]
async fn what_the_acme_server_does_not_believe_is_in_the_log() {
    let site = Site::new();
    let directory = site.directory();
    let mut server = Server::prepare(&[
        ("THEATRUM_TLS__ACME__ENABLED", "true"),
        ("THEATRUM_TLS__ACME__DIRECTORY", &directory),
        ("THEATRUM_TLS__ACME__DOMAINS", NAME),
    ]);
    let ca_file = site.ca_file(server.scratch());
    let [closed] = free_ports();
    let _pebble = site.open(server.scratch(), closed, closed, LONG).await;
    server.restart_always(&[("THEATRUM_TLS__ACME__CA_FILE", &ca_file)]);
    until("the refusal", &server, async || server.log().contains("no certificate from the ACME server")).await;
    assert!(server.log().contains("Failed to connect to 127.0.0.1"), "{}", server.log());
    assert!(server.cli(&["videos", "list"]).status.success());
}
