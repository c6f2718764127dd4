//! Slow, silent and greedy clients, and clients that are served while the listener ends.

mod stalled;

use super::*;
use crate::tls::{Certificates, H2, HTTP_1_1, Pair, server_config};
use bytes::Bytes;
use http_body_util::Full;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Far shorter than people need, far longer than this machine does.
const SHORT: Duration = Duration::from_millis(300);
/// Long enough for what must happen to have happened.
const LONG: Duration = Duration::from_secs(10);
/// More than the buffers between us and a client hold.
const LARGE_BYTES: usize = 4 * 1024 * 1024;
const PING: &[u8] = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

struct House {
    address: SocketAddr,
    roots: RootCertStore,
    asked: Arc<Notify>,
    shutdown: CancellationToken,
    server: JoinHandle<Result<()>>,
    _folder: tempfile::TempDir,
}

impl House {
    /// A listener that answers `pong` after `pause`, and at `/large` with [`LARGE_BYTES`].
    async fn open(limits: Limits, with_tls: bool, pause: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        let certificates = certificates(folder.path(), &made.cert.pem(), &made.signing_key.serialize_pem());
        let tls = with_tls.then(|| server_config(certificates, &[H2, HTTP_1_1]).expect("a configuration"));
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, shutdown) = (socket.local_addr().expect("bound"), CancellationToken::new());
        let asked = Arc::new(Notify::new());
        let tells = asked.clone();
        let answer = move |_, request: Request<Incoming>| {
            tells.notify_one();
            let large = request.uri().path() == "/large";
            let body = if large { Bytes::from_static(&[b'x'; LARGE_BYTES]) } else { Bytes::from_static(b"pong") };
            async move {
                // Work that takes a while.
                let _over = tokio::time::timeout(pause, std::future::pending::<()>()).await;
                Response::new(Full::new(body))
            }
        };
        let server = tokio::spawn(serve(Listener::new(socket, tls), limits, answer, shutdown.clone()));
        Self { address, roots, asked, shutdown, server, _folder: folder }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    fn client(&self) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder().no_proxy().resolve("a.example", self.address);
        builder.tls_danger_accept_invalid_certs(true)
    }

    fn url(&self) -> String {
        format!("https://a.example:{}/", self.address.port())
    }

    async fn connect_tls(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut config = ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("a.example").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, self.connect().await).await.expect("a handshake")
    }
}

fn certificates(folder: &Path, certificate: &str, key: &str) -> Arc<Certificates> {
    let paths = [folder.join("c.pem"), folder.join("k.pem")];
    std::fs::write(&paths[0], certificate).expect("written");
    std::fs::write(&paths[1], key).expect("written");
    Arc::new(Certificates::new(Pair::read(&paths[0], &paths[1]).expect("a pair"), folder.join("pins.pem")).expect("pins"))
}

/// Reads until the other side ends; gives what came and how long it took.
async fn until_the_end(stream: &mut (impl AsyncReadExt + Unpin)) -> (Vec<u8>, Duration) {
    let (mut came, begun) = (Vec::new(), Instant::now());
    // An end without goodbye is one, too.
    let _ended = tokio::time::timeout(LONG, stream.read_to_end(&mut came)).await.expect("an end in time");
    (came, begun.elapsed())
}

fn limits() -> Limits {
    Limits { handshake: SHORT, head: SHORT, idle: SHORT, ..Limits::default() }
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_cut() {
    let house = House::open(Limits { head: LONG, ..limits() }, true, Duration::ZERO).await;
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = house.connect().await;
        stream.write_all(begun).await.expect("sent");
        let (came, took) = until_the_end(&mut stream).await;
        assert!(came.is_empty() && took >= SHORT, "{came:?} {took:?}");
    }
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    for with_tls in [false, true] {
        let house = House::open(limits(), with_tls, Duration::ZERO).await;
        let (came, took) = if with_tls {
            let mut stream = house.connect_tls(HTTP_1_1).await;
            stream.write_all(b"GET / HT").await.expect("sent");
            until_the_end(&mut stream).await
        } else {
            let mut stream = house.connect().await;
            stream.write_all(b"GET / HT").await.expect("sent");
            until_the_end(&mut stream).await
        };
        assert!(!came.starts_with(b"HTTP/1.1 200") && took >= SHORT, "{came:?} {took:?}");
    }
}

#[tokio::test]
async fn an_http2_client_that_asks_for_nothing_is_cut() {
    let house = House::open(limits(), true, Duration::ZERO).await;
    for begun in [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        let mut stream = house.connect_tls(H2).await;
        stream.write_all(begun).await.expect("sent");
        let (_, took) = until_the_end(&mut stream).await;
        assert!(took >= SHORT, "{took:?}");
    }
}

/// CVE-2023-44487, rapid reset: requests that are taken back at once cost us more than their client.
#[tokio::test]
async fn a_flood_of_requests_that_are_taken_back_ends_the_connection() {
    const GOAWAY: u8 = 7;
    const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];
    let house = House::open(Limits { head: LONG, idle: LONG, ..limits() }, true, Duration::ZERO).await;
    let mut stream = house.connect_tls(H2).await;
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // GET https://a.example/ by the static table of HPACK (RFC 7541 appendix A).
    let head = [&[0x82, 0x87, 0x84, 0x01, 9][..], b"a.example"].concat();
    for number in (1..2_000u32).step_by(2) {
        flood
            .extend([&[0, 0, 14, 1, 5][..], &number.to_be_bytes(), &head, &[0, 0, 4, 3, 0], &number.to_be_bytes(), &[0, 0, 0, 8]].concat());
    }
    stream.write_all(&flood).await.expect("sent");
    let (came, _) = until_the_end(&mut stream).await;
    let mut frames = &came[..];
    let mut farewell = None;
    while let [a, b, c, kind, rest @ ..] = frames {
        let size = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let payload = &rest[5..5 + size];
        if *kind == GOAWAY {
            farewell = Some(payload[4..8].to_vec());
        }
        frames = &rest[5 + size..];
    }
    assert_eq!(farewell.as_deref(), Some(&ENHANCE_YOUR_CALM[..]));
}

#[tokio::test]
async fn an_http2_connection_outlives_its_idle_time_while_something_runs() {
    let house = House::open(limits(), true, SHORT * 5).await;
    let client = house.client().build().expect("a client");
    let answer = client.get(house.url()).send().await.expect("an answer");
    assert_eq!((answer.version(), answer.text().await.expect("text")), (http::Version::HTTP_2, "pong".to_owned()));
}

#[tokio::test]
async fn more_connections_than_allowed_wait() {
    let house = House::open(Limits { connections: 1, head: LONG, ..limits() }, false, Duration::ZERO).await;
    let mut first = house.connect().await;
    first.write_all(PING).await.expect("sent");
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.expect("an answer");
    let mut second = house.connect().await;
    second.write_all(PING).await.expect("sent");
    assert!(tokio::time::timeout(SHORT, second.read_exact(&mut answer)).await.is_err(), "the first is still there");
    drop(first);
    tokio::time::timeout(LONG, second.read_exact(&mut answer)).await.expect("its turn").expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn what_runs_is_finished_at_the_end_and_what_idles_is_not_waited_for() {
    for protocol in [H2, HTTP_1_1] {
        let house = House::open(Limits { head: LONG, idle: LONG, ..limits() }, true, SHORT).await;
        let _idle = house.connect_tls(protocol).await;
        let client = if protocol == H2 { house.client() } else { house.client().http1_only() }.build().expect("a client");
        let asked = tokio::spawn(client.get(house.url()).send());
        house.asked.notified().await;
        house.shutdown.cancel();
        let answer = asked.await.expect("no panic").expect("an answer");
        assert_eq!(answer.text().await.expect("text"), "pong");
        drop(client);
        let ended = tokio::time::timeout(LONG, house.server).await;
        ended.expect("an end in time").expect("no panic").expect("a good end");
    }
}
