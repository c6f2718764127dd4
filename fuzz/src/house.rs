//! Targets of the house: what the S3 endpoint and the use cases of uploads are asked, and the links that the edge is shown.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use http::{HeaderMap, HeaderValue, Uri};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};
use theatrum::audit::Log;
use theatrum::blobs::Blobs;
use theatrum::catalog::Catalog;
use theatrum::domain::access_key::Prefix;
use theatrum::domain::role::Role;
use theatrum::domain::upload::Request;
use theatrum::domain::{ErrorKind, quota};
use theatrum::doorbell::Doorbell;
use theatrum::ingest::{self, Declared, Inbox, Ingest, Ledger};
use theatrum::keys::Keys;
use theatrum::kms::{Keyring, Kms};
use theatrum::library::{Caller, Credentials};
use theatrum::links::cloudfront::{Algorithm, Gate, KeyGroup, PrivateKey, Signer};
use theatrum::links::playback;
use theatrum::listen::Proxies;
use theatrum::policy::Actor;
use theatrum::storage::{self, Reserve, Storage};
use theatrum::uploads::{self, Presigner, disk};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// A target's name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 2] = [("uploads", uploads), ("links", links)];

const ORIGIN: &str = "https://video.example.org";
const NOW_S: i64 = 1_800_000_000;
/// An answer that takes longer is none.
const LONGEST: Duration = Duration::from_secs(20);
/// A house is left for a new one after so many requests: what they made would slow down those after them.
const MOST_REQUESTS: u32 = 1000;

/// A signed link or cookie, or a playback token: whatever is let through was signed, for this, and is not over.
pub fn links(data: &[u8]) {
    static SIGNED: LazyLock<(Signer, Gate, playback::Verifier)> = LazyLock::new(signed);
    let (signer, gate, verifier) = &*SIGNED;
    let Some((&knobs, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let ask = |target: &str, cookie: &str| {
        let (Ok(uri), Ok(cookie)) = (target.parse::<Uri>(), HeaderValue::from_str(cookie)) else { return None };
        gate.admit(&uri, &HeaderMap::from_iter([(http::header::COOKIE, cookie)]), address, NOW_S * 1000).ok()
    };
    match knobs % 4 {
        // A policy that is signed, whatever it says: by cookies and by a URL, which are one.
        0 => {
            let cookies = signer.cookies(&text).expect("signed");
            let cookie = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            let url = signer.url_with_policy(&format!("{ORIGIN}/v/a/b/c.m4s"), &text).expect("signed");
            let by_cookie = ask("/v/a/b/c.m4s", &cookie);
            assert_eq!(by_cookie.is_some(), ask(&url, "").is_some());
            if by_cookie.is_some() {
                let policy: serde_json::Value = serde_json::from_str(&text).expect("only JSON is a policy");
                let statement = &policy["Statement"][0];
                assert!(statement["Condition"]["DateLessThan"]["AWS:EpochTime"].as_i64().expect("an end") > NOW_S, "{text}");
                assert!(statement["Resource"].is_string(), "{text}");
            }
        }
        1 => assert_eq!(ask(&format!("/v/a/b/c.m4s?{text}"), ""), None, "nobody signed {text}"),
        2 => assert_eq!(ask("/v/a/b/c.m4s", &text), None, "nobody signed {text}"),
        _ => assert!(verifier.verify(&text, NOW_S * 1000).is_err(), "nobody signed {text}"),
    }
}

fn signed() -> (Signer, Gate, playback::Verifier) {
    let key = PrivateKey::generate(Algorithm::Ecdsa).expect("a key");
    let gate = Gate::new(vec![ORIGIN.to_owned()], true);
    gate.trust(KeyGroup::new([("K1".to_owned(), Arc::new(key.public_key().expect("a public key")))]));
    let token_key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let tokens = playback::Signer::new(token_key.as_ref(), "k1").expect("a signer");
    (Signer::new(key, "K1"), gate, playback::Verifier::new([tokens.public_key()]))
}

/// What someone with a key of the inbox may send, and what the API is told of an upload: each gets an answer, and none is our own failure.
pub fn uploads(data: &[u8]) {
    thread_local!(static HOUSE: RefCell<Option<House>> = const { RefCell::new(None) });
    let [mode, route, rest @ ..] = data else { return };
    HOUSE.with_borrow_mut(|house| {
        if house.as_ref().is_some_and(|house| house.requests >= MOST_REQUESTS) {
            *house = None;
        }
        let house = house.get_or_insert_with(House::open);
        house.requests += 1;
        match mode % 3 {
            0 => house.announce(rest),
            1 => house.send_signed(*route, rest),
            _ => house.send(rest),
        }
    });
}

/// The S3 endpoint over a real catalog and real blobs, and the use cases of uploads.
struct House {
    ingest: Ingest,
    address: SocketAddr,
    key: (String, String),
    /// An upload in parts that was begun.
    upload_id: String,
    requests: u32,
    shutdown: CancellationToken,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl House {
    fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let (ingest, credentials, keyring) = runtime.block_on(rooms(folder.path()));
        let actor = Actor { subject: "ada".to_owned(), role: Role::Author };
        let caller = Caller { actor, address: "192.0.2.7".to_owned(), request_id: None };
        let made = runtime.block_on(credentials.create(&caller, None, Prefix::parse("").expect("no prefix"))).expect("a key");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let endpoint = disk::Endpoint {
            blobs: ingest.blobs.clone(),
            keys: ingest.keys.clone(),
            ledger: Arc::new(Ledger(ingest.clone())),
            credentials: keyring.s3_credentials().clone(),
            gate: Arc::new(credentials),
            inbox: Some(Arc::new(Inbox(ingest.clone())) as Arc<dyn uploads::Inbox>),
            allowed_origins: vec![ORIGIN.to_owned()],
            proxies: Proxies::default(),
            patience: disk::Patience::default(),
        };
        let shutdown = CancellationToken::new();
        runtime.spawn(disk::serve(listener, endpoint, shutdown.clone()));
        let key = (made.key.id.to_string(), made.secret.to_string());
        let mut house = Self { ingest, address, key, upload_id: String::new(), requests: 0, shutdown, runtime, _folder: folder };
        let begun = house.exchange(&house.signed("POST", "/inbox/parts.mp4", "uploads=", "UNSIGNED-PAYLOAD", "", b""), false);
        let (_, rest) = begun.split_once("<UploadId>").unwrap_or_else(|| panic!("no upload in parts: {begun}"));
        house.upload_id = rest.split('<').next().unwrap_or_default().to_owned();
        house
    }

    /// `POST /v1/uploads` and what is declared of its parts, from the JSON's members on.
    fn announce(&self, json: &[u8]) {
        let Ok(asked) = serde_json::from_slice::<serde_json::Value>(json) else { return };
        let (filename, title) = (asked["filename"].as_str().unwrap_or("a.mp4"), asked["title"].as_str());
        let size_bytes = asked["size_bytes"].as_u64().unwrap_or(1);
        let Ok(request) = Request::new(filename, title, size_bytes, 1 << 50) else { return };
        let parts = asked["parts"].as_array().into_iter().flatten().map(|part| Declared {
            number: part["number"].as_u64().unwrap_or(1),
            size_bytes: part["size_bytes"].as_u64().unwrap_or(size_bytes),
            sha256: part["sha256"].as_str().unwrap_or_default().to_owned(),
        });
        let parts: Vec<Declared> = parts.collect();
        self.runtime.block_on(async {
            let upload = match self.ingest.begin("ada", request).await {
                Ok(upload) => upload,
                Err(error) => return assert!(error.kind() != ErrorKind::Internal, "{}", error.chain()),
            };
            if let Err(error) = self.ingest.declare(&upload.id, &parts).await {
                assert!(error.kind() != ErrorKind::Internal, "{}", error.chain());
            }
            self.ingest.abort(&upload.id).await.expect("an open upload can be aborted");
        });
    }

    /// A request that its sender signed: `key \0 header lines \0 body`.
    fn send_signed(&self, route: u8, rest: &[u8]) {
        let mut parts = rest.splitn(3, |&byte| byte == 0);
        let (key, lines, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let name: String = key.iter().take(200).map(|&byte| escaped(byte)).collect();
        let upload = &self.upload_id;
        let (method, path, query) = match route % 8 {
            0 => ("PUT", format!("/inbox/{name}"), String::new()),
            1 => ("PUT", "/inbox/parts.mp4".to_owned(), format!("partNumber=1&uploadId={upload}")),
            2 => ("POST", "/inbox/parts.mp4".to_owned(), format!("uploadId={upload}")),
            3 => ("POST", "/inbox".to_owned(), "delete=".to_owned()),
            4 => ("GET", "/inbox".to_owned(), format!("list-type=2&prefix={name}")),
            5 => ("POST", format!("/inbox/{name}"), "uploads=".to_owned()),
            6 => ("GET", "/inbox/parts.mp4".to_owned(), format!("uploadId={upload}&part-number-marker={name}")),
            _ => ("DELETE", format!("/inbox/{name}"), format!("uploadId={upload}")),
        };
        let hash = hex::encode(digest(&SHA256, body));
        let payload = match route / 8 % 4 {
            0 => "UNSIGNED-PAYLOAD",
            1 => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            2 => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            _ => &hash,
        };
        let lines = String::from_utf8_lossy(lines);
        let allowed = |line: &&str| line.contains(':') && line.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && !is_own(line);
        let lines: String = lines.lines().filter(allowed).take(20).map(|line| format!("{line}\r\n")).collect();
        self.check(&self.exchange(&self.signed(method, &path, &query, payload, &lines, body), false));
    }

    /// Bytes as they are.
    fn send(&self, bytes: &[u8]) {
        let answer = self.exchange(bytes, true);
        // What is no request may be answered by silence.
        if !answer.is_empty() {
            self.check(&answer);
        }
    }

    fn check(&self, answer: &str) {
        let status: u16 = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0);
        assert!((100..500).contains(&status) || status == 501, "our own failure: {answer}");
    }

    /// Sends all, and reads to the end. Whoever `hangs_up` may be left without an answer, and one who does not must have said how much comes.
    fn exchange(&self, bytes: &[u8], hangs_up: bool) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the endpoint listens");
        stream.set_read_timeout(Some(LONGEST)).expect("a limit");
        // Whoever was refused may be hung up on while it sends.
        let _ = stream.write_all(bytes);
        if hangs_up {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        let (mut answer, begun) = (Vec::new(), SystemTime::now());
        let _ = stream.read_to_end(&mut answer);
        assert!(begun.elapsed().unwrap_or_default() < LONGEST, "no answer within {LONGEST:?}");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A request with a signature in its head (AWS Signature Version 4).
    fn signed(&self, method: &str, path: &str, query: &str, payload: &str, lines: &str, body: &[u8]) -> Vec<u8> {
        let (time, host) = (timestamp(), self.address);
        let (day, scope) = (&time[..8], format!("{}/us-east-1/s3/aws4_request", &time[..8]));
        let names = "host;x-amz-content-sha256;x-amz-date";
        let canonical =
            format!("{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{time}\n\n{names}\n{payload}");
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(digest(&SHA256, canonical.as_bytes())));
        let hmac = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec();
        let secret = format!("AWS4{}", self.key.1).into_bytes();
        let key = [day, "us-east-1", "s3", "aws4_request"].iter().fold(secret, |key, text| hmac(&key, text));
        let signature = hex::encode(hmac(&key, &to_sign));
        let credential = format!("{}/{scope}", self.key.0);
        let head = format!(
            "{method} {path}{}{query} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\nx-amz-date: {time}\r\n\
             x-amz-content-sha256: {payload}\r\n{lines}\
             authorization: AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={signature}\r\n\r\n",
            if query.is_empty() { "" } else { "?" },
            body.len(),
        );
        [head.as_bytes(), body].concat()
    }
}

async fn rooms(folder: &std::path::Path) -> (Ingest, Credentials, Keyring) {
    let open = || Keyring::open_or_create(&folder.join("keyring.json")).expect("a keyring");
    let kms = Kms::Local(Arc::new(open()));
    let catalog = Catalog::open_sqlite(&folder.join("catalog.db")).await.expect("a catalog");
    let blobs = Blobs::open(&folder.join("blobs")).await.expect("blobs");
    let limits = storage::Limits { reserve: Reserve::default(), quotas: quota::Defaults::default(), orphan_age: Duration::ZERO };
    let ingest = Ingest {
        storage: Storage::new(catalog.clone(), blobs.clone(), limits),
        catalog: catalog.clone(),
        blobs,
        keys: Keys::new(kms.clone()),
        presigner: Arc::new(Presigner::new("http://127.0.0.1:9", open().s3_credentials()).expect("a presigner")),
        doorbell: Doorbell::default(),
        limits: ingest::Limits {
            max_size_bytes: 1 << 50,
            part_size_bytes: 8 << 20,
            lifetime: Duration::from_secs(3600),
            url_lifetime: Duration::from_secs(60),
        },
    };
    let credentials = Credentials { catalog: catalog.clone(), kms, audit: Arc::new(Log::new(catalog)), open: true };
    (ingest, credentials, open())
}

/// A header that the request has already, or that would change what a body is.
fn is_own(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        &*name,
        "host"
            | "connection"
            | "content-length"
            | "transfer-encoding"
            | "x-amz-date"
            | "x-amz-content-sha256"
            | "authorization"
            | "expect"
            | "upgrade"
    ) || name.is_empty()
}

/// A character of a path as it is signed.
fn escaped(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
}

/// `20261121T101127Z`, by the civil calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
fn timestamp() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let (days, second) = (now.div_euclid(86_400) + 719_468, now.rem_euclid(86_400));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}
