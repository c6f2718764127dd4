//! An edge on a real port, over blobs in memory and a ledger that remembers.

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::{Client, Method, Response};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use theatrum::audit::{Delivery, Kind, Receiver, Sink};
use theatrum::blobs::{Key, Meta};
use theatrum::domain::ids::{SessionId, VersionId, VideoId};
use theatrum::domain::{Error, Result};
use theatrum::edge::{self, Origin, Pieces, Trust};
use theatrum::links::cloudfront::{self, Algorithm, Gate, KeyGroup, PrivateKey};
use theatrum::links::playback::{Grant, Signer, Verifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the resource of a policy begins with.
pub const LINK_ORIGIN: &str = "https://video.example.org";
pub const HOUR: Duration = Duration::from_secs(3600);
pub const PLAYLIST: &str = "720p/playlist.m3u8";
pub const OBJECTS: [&str; 4] = ["master.m3u8", PLAYLIST, "720p/000000-1.m4s", "audio/init-2.mp4"];
const MODIFIED: Duration = Duration::from_millis(1_800_000_000_500);

/// What happened, in order.
type Journal = Arc<Mutex<Vec<&'static str>>>;

pub struct House {
    pub video: VideoId,
    pub version: VersionId,
    pub session: SessionId,
    pub origin: Arc<Shelf>,
    pub ledger: Arc<Ledger>,
    journal: Journal,
    /// Signs links for [`LINK_ORIGIN`], as `K1`.
    pub links: cloudfront::Signer,
    signer: Signer,
    client: Client,
    address: SocketAddr,
}

/// Blobs in memory.
#[derive(Default)]
pub struct Shelf {
    blobs: Mutex<HashMap<String, Bytes>>,
    journal: Journal,
    /// Whether streams end in the middle.
    pub torn: AtomicBool,
}

/// An audit log in memory.
#[derive(Default)]
pub struct Ledger {
    delivered: Mutex<Vec<Noted>>,
    refused: Mutex<Vec<(IpAddr, &'static str)>>,
    journal: Journal,
    /// Whether its disk is full.
    pub broken: AtomicBool,
}

#[derive(Clone, Debug)]
pub struct Noted {
    pub receiver: Receiver,
    pub video: VideoId,
    pub version: VersionId,
    pub object: String,
    pub kind: Kind,
    pub address: IpAddr,
    pub bytes: u64,
}

impl House {
    pub async fn open() -> Self {
        Self::build(|edge| edge, None, false).await
    }

    /// Behind a CDN that judges links by itself.
    pub async fn open_behind_cdn() -> Self {
        Self::build(|edge| edge, None, true).await
    }

    /// With the api's key route beside the edge's, merged before or after it.
    pub async fn open_beside_keys(first: bool) -> Self {
        let answer = |Path((token, _, _, rendition, index)): Path<(String, String, String, String, u32)>| async move {
            format!("{token} {rendition} {index}")
        };
        let keys = Router::new().route("/t/{token}/v/{video}/{version}/{rendition}/keys/{index}", get(answer));
        let keys = keys.route("/v/{video}/{version}/{rendition}/keys/{index}", get(async || "by cookie"));
        Self::build(|edge| if first { keys.merge(edge) } else { edge.merge(keys) }, None, false).await
    }

    /// With other blobs than those in memory.
    pub async fn open_over(blobs: impl Origin + 'static) -> Self {
        Self::build(|edge| edge, Some(Arc::new(blobs)), false).await
    }

    async fn build(routes: impl FnOnce(Router) -> Router, other: Option<Arc<dyn Origin>>, shared_caching: bool) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let signer = Signer::new(key.as_ref(), "k1").expect("a signer");
        let journal = Journal::default();
        let origin = Arc::new(Shelf { journal: journal.clone(), ..Shelf::default() });
        let ledger = Arc::new(Ledger { journal: journal.clone(), ..Ledger::default() });
        let blobs = other.unwrap_or_else(|| origin.clone());
        let (links, gate) = links();
        let trust = Trust { verifier: Arc::new(Verifier::new([signer.public_key()])), gate: Arc::new(gate), shared_caching };
        let state = edge::State::new(blobs, trust, ledger.clone());
        let app = routes(edge::router(state)).into_make_service_with_connect_info::<SocketAddr>();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        let house = Self {
            video: VideoId::new(),
            version: VersionId::new(),
            session: SessionId::new(),
            origin,
            ledger,
            journal,
            links,
            signer,
            client: Client::new(),
            address,
        };
        for (seed, object) in OBJECTS.into_iter().enumerate() {
            let content = (0..5000).map(|at| b'a' + ((at / 7 + seed) % 26) as u8).collect();
            house.origin.put(&house.video, &house.version, object, content);
        }
        house
    }

    pub fn content(&self, object: &str) -> Bytes {
        let key = Key::delivery(&self.video, &self.version, object).expect("a key");
        self.origin.blob(&key).expect("a blob")
    }

    pub fn journal(&self) -> Vec<&'static str> {
        self.journal.lock().expect("the journal").clone()
    }

    pub fn token(&self) -> String {
        self.token_for(&self.video, &self.version, HOUR)
    }

    pub fn token_for(&self, video: &VideoId, version: &VersionId, lifetime: Duration) -> String {
        let grant = Grant { session: self.session.clone(), video: video.clone(), version: version.clone() };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
        self.signer.sign(&grant, lifetime, now.as_millis() as i64).expect("signed").token.into_string()
    }

    pub fn path(&self, token: &str, object: &str) -> String {
        format!("/t/{token}/v/{}/{}/{object}", self.video, self.version)
    }

    pub async fn get(&self, object: &str, headers: &[(&str, &str)]) -> Response {
        self.ask(Method::GET, object, headers).await
    }

    /// With a fresh and valid token.
    pub async fn ask(&self, method: Method, object: &str, headers: &[(&str, &str)]) -> Response {
        self.request(method, &self.path(&self.token(), object), headers).await
    }

    pub async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.expect("an answer")
    }

    /// Sends a request word for word, and gives whatever comes until the connection ends, well or badly.
    pub async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        while let Ok(1..) = stream.read_buf(&mut answer).await {}
        String::from_utf8(answer).expect("text")
    }
}

impl Shelf {
    pub fn put(&self, video: &VideoId, version: &VersionId, object: &str, content: Vec<u8>) {
        let key = Key::delivery(video, version, object).expect("a key");
        self.blobs.lock().expect("the blobs").insert(key.path(), content.into());
    }

    /// Whether nobody has asked it for anything.
    pub fn untouched(&self) -> bool {
        self.journal.lock().expect("the journal").is_empty()
    }

    fn blob(&self, key: &Key) -> Result<Bytes> {
        self.blobs.lock().expect("the blobs").get(&key.path()).cloned().ok_or_else(|| Error::not_found("there is no such blob"))
    }

    fn happened(&self, what: &'static str) {
        self.journal.lock().expect("the journal").push(what);
    }
}

#[async_trait]
impl Origin for Shelf {
    async fn head(&self, key: &Key) -> Result<Meta> {
        self.happened("head");
        Ok(Meta { size_bytes: self.blob(key)?.len() as u64, modified: SystemTime::UNIX_EPOCH + MODIFIED })
    }

    async fn read(&self, key: &Key) -> Result<Bytes> {
        self.happened("read");
        self.blob(key)
    }

    fn stream(&self, key: &Key, range: Range<u64>) -> Pieces {
        self.happened("stream");
        let asked = self.blob(key).expect("head found it").slice(range.start as usize..range.end as usize);
        let mut pieces: Vec<Result<Bytes>> = asked.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        if self.torn.load(SeqCst) {
            pieces.pop();
            pieces.push(Err(Error::unavailable("could not read a blob", "the disk is gone")));
        }
        futures_util::stream::iter(pieces).boxed()
    }
}

impl Ledger {
    pub fn delivered(&self) -> Vec<Noted> {
        self.delivered.lock().expect("the ledger").clone()
    }

    pub fn refused(&self) -> Vec<(IpAddr, &'static str)> {
        self.refused.lock().expect("the ledger").clone()
    }
}

/// A signer of links, and a gate that trusts it.
fn links() -> (cloudfront::Signer, Gate) {
    let key = PrivateKey::generate(Algorithm::Ecdsa).expect("a key");
    let gate = Gate::new(vec![LINK_ORIGIN.to_owned()], false);
    gate.trust(KeyGroup::new([("K1".to_owned(), Arc::new(key.public_key().expect("a public key")))]));
    (cloudfront::Signer::new(key, "K1"), gate)
}

#[async_trait]
impl Sink for Ledger {
    async fn delivered(&self, delivery: &Delivery<'_>) -> Result<()> {
        if self.broken.load(SeqCst) {
            return Err(Error::internal("could not write the ledger", "no space left on device"));
        }
        self.journal.lock().expect("the journal").push("delivered");
        self.delivered.lock().expect("the ledger").push(Noted {
            receiver: delivery.receiver.clone(),
            video: delivery.video.clone(),
            version: delivery.version.clone(),
            object: delivery.object.to_owned(),
            kind: delivery.kind,
            address: delivery.address,
            bytes: delivery.bytes,
        });
        Ok(())
    }

    async fn refused(&self, address: IpAddr, reason: &'static str) {
        self.refused.lock().expect("the ledger").push((address, reason));
    }
}
