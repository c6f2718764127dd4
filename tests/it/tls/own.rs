//! A server with a certificate of its own: what browsers, players, the command line and strangers get from it.

use crate::support::authority::{Authority, shown, socket};
use crate::support::clips::{PICTURES, clip, play};
use crate::support::http::header;
use crate::support::server::Server;
use reqwest::{Response, StatusCode, Version};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

const NAME: &str = "video.example.org";

/// A server with a certificate for `names`, and these variables besides.
fn open(authority: &Authority, names: &[&str], variables: &[(&str, &str)]) -> Server {
    let mut server = Server::prepare(variables);
    let files = authority.issue(server.scratch(), names);
    server.restart_always(&files.settings());
    server
}

fn redirect(server: &Server) -> String {
    server.announced("redirect_url")
}

async fn get(client: &reqwest::Client, url: &str) -> Response {
    client.get(url).send().await.expect("an answer")
}

/// Tier: `make test`. HTTP/2 where the client can, HTTP/1.1 where not; the S3 endpoint speaks TLS too; nothing answers in plain text.
#[tokio::test]
async fn both_listeners_speak_tls_and_the_page_http2() {
    let authority = Authority::new();
    let server = open(&authority, &["127.0.0.1", "localhost"], &[]);
    assert!(server.url().starts_with("https://127.0.0.1:") && server.s3_url().starts_with("https://127.0.0.1:"));
    let client = authority.client().build().expect("a client");
    let answer = get(&client, &format!("{}/healthz", server.url())).await;
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    assert_eq!(header(&answer, "strict-transport-security"), "", "no name was given, and localhost is everyone's");
    let old = authority.client().http1_only().build().expect("a client");
    assert_eq!(get(&old, &server.url()).await.version(), Version::HTTP_11);
    let s3 = get(&client, &server.s3_url()).await;
    assert_eq!((s3.status(), s3.version()), (StatusCode::FORBIDDEN, Version::HTTP_11));
    for url in [server.url(), server.s3_url()] {
        let plain = reqwest::Client::builder().no_proxy().build().expect("a client");
        assert!(plain.get(url.replace("https", "http")).send().await.is_err(), "{url}");
    }
}

/// Tier: `make test`. A client that is not ours: curl.
#[test]
fn curl_speaks_http2_with_it_and_believes_its_authority() {
    let authority = Authority::new();
    let server = open(&authority, &[NAME], &[]);
    let ca = authority.file(server.scratch());
    let address = server.address();
    let curl = |extra: &[&str]| {
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code} %{http_version}",
        ]);
        command.arg("--resolve").arg(format!("{NAME}:{}:127.0.0.1", address.port())).args(extra);
        let output = command.arg(format!("https://{NAME}:{}/healthz", address.port())).output().expect("curl is installed");
        String::from_utf8(output.stdout).expect("text")
    };
    let ca = ca.to_str().expect("text");
    assert_eq!(curl(&["--cacert", ca]), "200 2");
    assert_eq!(curl(&["--cacert", ca, "--http1.1"]), "200 1.1");
    assert_eq!(curl(&["--cacert", ca, "--tlsv1.2", "--tls-max", "1.2"]), "200 2");
    assert_eq!(curl(&[]), "000 0", "an unknown authority");
}

/// Tier: `make test`. TLS 1.1 and older are refused by the alert that says so (RFC 8446 §6.2: protocol_version is 70); the same greeting with
/// the version of TLS 1.2 is taken.
#[test]
fn old_tls_is_refused() {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    let server = open(&Authority::new(), &[NAME], &[]);
    for url in [server.url(), server.s3_url()] {
        for minor in [0, 1, 2] {
            let answer = told(socket(&url), &greeting(minor));
            assert_eq!((answer.first(), answer.get(5..7)), (Some(&ALERT), Some(&[2, 70][..])), "3.{minor}: {answer:?}");
        }
        assert_eq!(told(socket(&url), &greeting(3)).first(), Some(&HANDSHAKE));
    }
}

/// A ClientHello of TLS 3.`minor` (RFC 5246 §7.4.1.2), without newer versions in an extension.
fn greeting(minor: u8) -> Vec<u8> {
    // Groups x25519 and P-256; uncompressed points; signatures by ECDSA P-256 and RSA with SHA-256.
    let extensions = [&[0, 10, 0, 6, 0, 4, 0, 0x1d, 0, 0x17][..], &[0, 11, 0, 2, 1, 0], &[0, 13, 0, 6, 0, 4, 4, 3, 4, 1]];
    let extensions = extensions.concat();
    // No session; ECDHE-ECDSA with AES-128 by GCM and by CBC; no compression.
    let body = [&[3, minor][..], &[7; 32], &[0, 0, 4, 0xc0, 0x2b, 0xc0, 0x09, 1, 0, 0], &[size(&extensions)], &extensions].concat();
    let message = [&[1, 0, 0, size(&body)][..], &body].concat();
    [&[22, 3, 1, 0, size(&message)][..], &message].concat()
}

fn size(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).expect("short")
}

fn told(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    stream.write_all(bytes).expect("sent");
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).expect("a record");
    answer.to_vec()
}

/// Tier: `make test`. Who never ends a handshake is cut off, and meanwhile nobody waits for them.
#[tokio::test]
async fn a_handshake_that_does_not_go_on_holds_up_nobody() {
    let server = open(&Authority::new(), &[NAME], &[]);
    let silent: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(server.address()).expect("a connection")).collect();
    shown(server.address(), NAME).await;
    let is_cut = |mut stream: TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        stream.read(&mut [0; 1]).map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |count| count == 0)
    };
    let cut = tokio::task::spawn_blocking(move || silent.into_iter().all(is_cut));
    assert!(cut.await.expect("no panic"));
}

/// Tier: `make test`. Plain HTTP leads to the same place by HTTPS; HSTS is sent by HTTPS only.
#[tokio::test]
async fn plain_http_leads_to_https() {
    let authority = Authority::new();
    let public = format!("https://{NAME}");
    let server = open(&authority, &[NAME], &[("THEATRUM_SERVER__PUBLIC_URL", &public), ("THEATRUM_TLS__REDIRECT_LISTEN", "127.0.0.1:0")]);
    let client = authority.client().resolve(NAME, server.address()).build().expect("a client");
    for path in ["/", "/watch/0199?t=5&x=%20y", "/v1/session", "/t/a/v/b/c/master.m3u8"] {
        let answer = client.post(format!("{}{path}", redirect(&server))).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT, "{path}");
        assert_eq!(header(&answer, "location"), format!("{public}{path}"));
        assert_eq!(header(&answer, "strict-transport-security"), "");
    }
    let unknown = get(&client, &format!("{}/.well-known/acme-challenge/x", redirect(&server))).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let secure = get(&client, &format!("https://{NAME}:{}/healthz", server.address().port())).await;
    assert_eq!(header(&secure, "strict-transport-security"), "max-age=31536000");
    let refused = get(&client, &format!("https://{NAME}:{}/v1/videos", server.address().port())).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(header(&refused, "strict-transport-security"), "max-age=31536000", "on every answer");
}

/// Tier: `make test`. The cookie is for HTTPS, and the page may change things over HTTP/2, which has no `Host`.
#[tokio::test]
async fn the_page_signs_in_over_http2() {
    let authority = Authority::new();
    let server = open(&authority, &["127.0.0.1", "localhost"], &[]);
    let client = authority.client().build().expect("a client");
    let page = format!("https://localhost:{}", server.address().port());
    let signed_in =
        client.post(format!("{page}/v1/session")).json(&json!({"token": server.admin_token()})).send().await.expect("an answer");
    assert_eq!((signed_in.status(), signed_in.version()), (StatusCode::NO_CONTENT, Version::HTTP_2));
    let cookie = header(&signed_in, "set-cookie").to_owned();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let pair = cookie.split(';').next().expect("a pair");
    for (origin, status) in [(page.as_str(), StatusCode::CREATED), ("https://evil.example", StatusCode::FORBIDDEN)] {
        let begin = client.post(format!("{page}/v1/uploads")).json(&json!({"filename": "a.mp4", "size_bytes": 1}));
        let answer = begin.header("cookie", pair).header("origin", origin).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{origin}");
    }
    let policy = get(&client, &page).await;
    assert!(header(&policy, "content-security-policy").contains(&format!("connect-src 'self' {};", server.s3_url())));
}

/// Tier: `make test`. From the file to the picture over TLS: the command line knows its own server by the certificate that it shows, and any
/// other by THEATRUM_CA_FILE.
#[test]
fn a_film_is_published_and_played_over_tls() {
    let authority = Authority::new();
    let server = open(&authority, &[NAME, "127.0.0.1"], &[]);
    let url = server.publish_ready(&clip(server.scratch(), "a.mp4"));
    assert!(url.starts_with(&server.url()), "{url}");
    assert_eq!(play(&url), PICTURES);

    let ca = authority.file(server.scratch());
    let list = |ca: Option<&std::path::Path>| {
        let mut command = server.command(&["videos", "list", "--json"]);
        command.env_remove("THEATRUM_DATA").env("THEATRUM_URL", server.url()).env("THEATRUM_TOKEN", server.admin_token());
        command.envs(ca.map(|ca| ("THEATRUM_CA_FILE", ca)));
        command.output().expect("the command line runs")
    };
    assert!(list(Some(&ca)).status.success());
    let stranger = list(None);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("UnknownIssuer"), "{stranger:?}");
    let missing = list(Some(&server.scratch().join("none.pem")));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("THEATRUM_CA_FILE"), "{missing:?}");
}

/// Tier: `make test`. A certificate for other names is no obstacle for the command line of the same data folder, nor is one that has ended;
/// doctor says what is wrong with it.
#[test]
fn the_own_server_is_known_whatever_its_certificate_says() {
    let public = format!("https://{NAME}");
    let variables = [("THEATRUM_SERVER__PUBLIC_URL", public.as_str()), ("THEATRUM_TLS__REDIRECT_LISTEN", "127.0.0.1:0")];
    let server = open(&Authority::new(), &["other.example.org"], &variables);
    assert!(server.cli(&["videos", "list"]).status.success());
    assert!(server.log().contains("the certificate is not for this host"), "{}", server.log());
    let mut doctor = server.command(&["doctor", "--json"]);
    let report = doctor.envs(server.variables()).output().expect("the command line runs");
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).expect("json");
    let of =
        |name: &str| report["checks"].as_array().expect("checks").iter().filter(|check| check["name"] == name).cloned().collect::<Vec<_>>();
    let said = of("tls");
    assert_eq!((said.len(), &said[0]["status"], &said[1]["status"]), (2, &json!("ok"), &json!("fail")), "{report}");
    assert!(said[0]["found"].as_str().expect("text").contains("other.example.org"), "{report}");
    assert!(said[1]["found"].as_str().expect("text").contains(NAME), "{report}");
    let leads = format!("{}/ leads to {public}/", redirect(&server));
    assert_eq!(of("redirect")[0]["found"], leads, "{report}");
}

/// Tier: `make test`. What cannot work is said at start, with what to do.
#[test]
fn a_wrong_certificate_is_named_at_start() {
    let authority = Authority::new();
    for (broken, said) in [("key", "does not fit"), ("missing", "cannot read the certificate"), ("encrypted", "is encrypted")] {
        let mut server = Server::prepare(&[]);
        let files = authority.issue(server.scratch(), &[NAME]);
        match broken {
            "key" => std::fs::write(&files.key, authority.sign(&[NAME]).1).expect("written"),
            "missing" => std::fs::remove_file(&files.certificate).expect("there"),
            _ => std::fs::write(&files.key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n")
                .expect("written"),
        }
        server.spawn(&files.settings());
        assert_eq!(server.wait_end(Duration::from_secs(20)), Some(1), "{broken}");
        assert!(
            server.log().contains(said) && server.log().contains(files.key.parent().and_then(|f| f.to_str()).expect("text")),
            "{}",
            server.log()
        );
    }
}
