//! A running endpoint with a client, and the ledger it asks.

use super::super::*;
use crate::blobs::{Digests, Key, Source};
use crate::domain::access_key::AccessKey;
use crate::domain::ids::{UploadId, VideoId};
use crate::kms::{Keyring, Kms};
use crate::uploads::{ExpectedPart, PresignedPart, Presigner, StoredPart};
use async_trait::async_trait;
use futures_util::TryStreamExt;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub(super) const ORIGIN: &str = "https://video.example.org";

/// One upload's rows.
#[derive(Default)]
pub(super) struct TestLedger(Mutex<Rows>);

#[derive(Default)]
struct Rows {
    closed: bool,
    fails: bool,
    expected: BTreeMap<(UploadId, u32), ExpectedPart>,
    stored: BTreeMap<u32, StoredPart>,
}

impl TestLedger {
    pub(super) fn close(&self) {
        self.rows().closed = true;
    }

    pub(super) fn fail(&self) {
        self.rows().fails = true;
    }

    pub(super) fn stored(&self) -> BTreeMap<u32, StoredPart> {
        self.rows().stored.clone()
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, Rows> {
        self.0.lock().expect("no test panics while it holds the rows")
    }
}

#[async_trait]
impl Ledger for TestLedger {
    async fn expected(&self, upload: &UploadId, number: u32) -> Result<ExpectedPart> {
        if self.rows().fails {
            return Err(Error::unavailable("the catalog did not answer", "the ledger's disk is gone"));
        }
        self.rows().expected.get(&(upload.clone(), number)).cloned().ok_or_else(|| Error::not_found("no such part"))
    }

    async fn received(&self, _upload: &UploadId, number: u32, stored: &StoredPart) -> Result<Option<Key>> {
        let mut rows = self.rows();
        if rows.closed {
            return Err(Error::conflict("finished", "the upload is finished"));
        }
        Ok(rows.stored.insert(number, stored.clone()).map(|old| old.key))
    }
}

/// Nobody but the house has credentials; who asks for them meets a catalog that is away, if the ledger's is.
struct NobodysGate(Arc<TestLedger>);

#[async_trait]
impl Gate for NobodysGate {
    async fn secret(&self, _id: &str) -> Result<Option<Zeroizing<String>>> {
        if self.0.rows().fails {
            return Err(Error::unavailable("the catalog did not answer", "the gate's disk is gone"));
        }
        Ok(None)
    }

    async fn sender(&self, id: &str) -> Result<AccessKey> {
        Err(Error::not_found(format!("there is no access key {id}")))
    }

    async fn refused(&self, _address: IpAddr, _reason: &'static str) {}
}

/// The endpoint, its upload and everything around it.
pub(super) struct House {
    folder: TempDir,
    blobs: Blobs,
    keys: Keys,
    presigner: Presigner,
    server: JoinHandle<Result<()>>,
    root_key_wrapped: String,
    pub(super) credentials: S3Credentials,
    pub(super) address: String,
    pub(super) client: reqwest::Client,
    pub(super) ledger: Arc<TestLedger>,
    pub(super) shutdown: CancellationToken,
    pub(super) video: VideoId,
    pub(super) upload: UploadId,
}

impl House {
    pub(super) async fn new() -> Self {
        Self::with_patience(Patience::default()).await
    }

    /// Who knows people's keys.
    pub(super) fn gate(&self) -> Arc<dyn Gate> {
        Arc::new(NobodysGate(self.ledger.clone()))
    }

    pub(super) async fn with_patience(patience: Patience) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keyring = Keyring::open_or_create(&folder.path().join("keyring.json")).expect("a keyring");
        let credentials = keyring.s3_credentials().clone();
        let keys = Keys::new(Kms::Local(Arc::new(keyring)));
        let blobs = Blobs::open(&folder.path().join("blobs")).await.expect("a store");
        let (video, ledger, shutdown) = (VideoId::new(), Arc::new(TestLedger::default()), CancellationToken::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let endpoint = Endpoint {
            blobs: blobs.clone(),
            keys: keys.clone(),
            ledger: ledger.clone(),
            credentials: credentials.clone(),
            gate: Arc::new(NobodysGate(ledger.clone())),
            inbox: None,
            allowed_origins: vec![ORIGIN.to_owned()],
            proxies: Proxies::default(),
            patience,
        };
        Self {
            folder,
            blobs,
            presigner: Presigner::new(&format!("http://{address}"), &credentials).expect("a presigner"),
            server: tokio::spawn(serve(listener, endpoint, shutdown.clone())),
            root_key_wrapped: keys.make(&video).await.expect("a key").1,
            keys,
            credentials,
            address,
            client: reqwest::Client::new(),
            ledger,
            shutdown,
            video,
            upload: UploadId::new(),
        }
    }

    /// Announces part `number` with the size and digest of `text`, and gives the request that stores it.
    pub(super) async fn announce(&self, number: u32, text: &[u8]) -> PresignedPart {
        let expected = ExpectedPart {
            size_bytes: text.len() as u64,
            sha256: Digests::of(text).sha256,
            video: self.video.clone(),
            root_key_wrapped: self.root_key_wrapped.clone(),
            hold: None,
        };
        self.ledger.rows().expected.insert((self.upload.clone(), number), expected);
        self.sign(number, text).await
    }

    pub(super) async fn sign(&self, number: u32, text: &[u8]) -> PresignedPart {
        let sha256 = Digests::of(text).sha256;
        self.presigner.part(&self.upload, number, &sha256, Duration::from_secs(600)).await.expect("a url")
    }

    pub(super) fn request(&self, part: &PresignedPart) -> reqwest::RequestBuilder {
        let request = self.client.put(&part.url);
        part.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    pub(super) async fn put(&self, part: &PresignedPart, body: Vec<u8>) -> reqwest::Response {
        self.request(part).body(body).send().await.expect("an answer")
    }

    /// A connection on which the head of the request was sent, and nothing of its body.
    pub(super) async fn raw_put(&self, part: &PresignedPart, content_length: usize) -> TcpStream {
        let target = part.url.split_once(&self.address).expect("an absolute url").1;
        let mut head = format!("PUT {target} HTTP/1.1\r\nhost: {}\r\ncontent-length: {content_length}\r\n", self.address);
        for (name, value) in &part.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(&self.address).await.expect("connected");
        stream.write_all(format!("{head}\r\n").as_bytes()).await.expect("sent");
        stream
    }

    pub(super) fn object_url(&self) -> String {
        format!("http://{}/uploads/{}", self.address, self.upload)
    }

    /// The upload's plaintext, through a source.
    pub(super) async fn read_back(&self) -> Vec<u8> {
        let root = self.keys.open(&self.video, &self.root_key_wrapped).await.expect("the key");
        let parts = self.ledger.stored().into_values().map(|part| (part.key, part.digests.size_bytes));
        let source = Source::new(self.blobs.clone(), root, parts);
        let pieces: Vec<_> = source.read(0..source.size_bytes()).try_collect().await.expect("reads");
        pieces.concat()
    }

    /// Every file in the blob store, finished or not.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![self.folder.path().join("blobs")]);
        while let Some(folder) = folders.pop() {
            // A folder may vanish while it is looked at.
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
            }
        }
        files
    }

    /// Waits until `condition` holds; a test that waits for ten seconds has failed.
    pub(super) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let holds = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(2)).await; // tidy: polling
            }
        };
        tokio::time::timeout(Duration::from_secs(10), holds).await.expect("the condition holds in time");
    }

    pub(super) async fn stopped(self) {
        self.server.await.expect("no panic").expect("a clean end");
    }
}

pub(super) fn bytes(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|i| (i % 251) as u8 ^ seed).collect()
}
