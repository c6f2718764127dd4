//! A bad network between a client and its server: connections are cut, reset, closed on one side, held up, and bits of them flipped.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CHUNK_BYTES: usize = 64 << 10;
/// Of a hundred messages, those that something happens to: a request, an answer.
const TROUBLED_MESSAGES: u32 = 6;

/// What can happen to bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection ends in the middle of a chunk, on both sides.
    Cut,
    /// As above, without a farewell.
    Reset,
    /// No more comes this way; the other way stays open.
    HalfClose,
    /// Nothing moves for seconds, then it goes on.
    Stall,
    /// Everything comes a little later.
    Delay,
    /// One bit is another.
    Flip,
}

/// Flips are what a checksum of TCP's is too weak for; they come most often here, and the faults in turn, so that each comes.
const DECK: [Fault; 8] = [Fault::Cut, Fault::Reset, Fault::HalfClose, Fault::Stall, Fault::Delay, Fault::Flip, Fault::Flip, Fault::Flip];

/// The network: one way to each of two listeners. Good until it is told otherwise.
pub struct Network {
    weather: Arc<Weather>,
    ways: [Way; 2],
}

struct Way {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
}

struct Weather {
    is_bad: AtomicBool,
    /// Bytes of one message between two faults, on average.
    calm_bytes: f64,
    luck: Mutex<Luck>,
}

struct Luck {
    random: StdRng,
    deck: Vec<Fault>,
    happened: BTreeMap<Fault, usize>,
}

impl Network {
    /// A network in which a long message comes `calm_bytes` far, on average, before something happens.
    /// It lives on other threads of the runtime than its caller, who may wait.
    pub async fn new(random: &mut StdRng, calm_bytes: u64) -> Self {
        let luck = Luck { random: StdRng::seed_from_u64(random.random()), deck: Vec::new(), happened: BTreeMap::new() };
        let weather = Arc::new(Weather { is_bad: AtomicBool::new(false), calm_bytes: calm_bytes as f64, luck: Mutex::new(luck) });
        let ways = [Way::open(weather.clone()).await, Way::open(weather.clone()).await].map(|way| way.expect("a free port"));
        Self { weather, ways }
    }

    /// Where the page and the API are reached, and where the S3 endpoint.
    pub fn urls(&self) -> [String; 2] {
        [0, 1].map(|way| format!("http://{}", self.ways[way].address))
    }

    /// Leads to a server's page and API, and to its S3 endpoint.
    pub fn lead_to(&self, urls: [String; 2]) {
        for (way, url) in self.ways.iter().zip(urls) {
            let target = url.strip_prefix("http://").and_then(|address| address.parse().ok()).expect("an address");
            *way.target.lock().expect("no panic before") = Some(target);
        }
    }

    /// Makes it bad, or good again.
    pub fn set_bad(&self, is_bad: bool) {
        self.weather.is_bad.store(is_bad, SeqCst);
    }

    /// What has happened so far.
    pub fn happened(&self) -> BTreeMap<Fault, usize> {
        self.weather.luck.lock().expect("no panic before").happened.clone()
    }
}

impl Way {
    async fn open(weather: Arc<Weather>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, target) = (listener.local_addr()?, Arc::new(Mutex::new(None)));
        let way = Self { address, target: target.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let target: Option<SocketAddr> = *target.lock().expect("no panic before");
                let weather = weather.clone();
                // However it ends: whoever is at either end finds out.
                tokio::spawn(async move { weather.carry(client, target.ok_or(ErrorKind::ConnectionRefused)?).await });
            }
        });
        Ok(way)
    }
}

impl Weather {
    async fn carry(&self, mut client: TcpStream, target: SocketAddr) -> Result<()> {
        let mut server = TcpStream::connect(target).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let speaker = Mutex::new(None);
        let ended = {
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
            let there = self.pump("request", &speaker, &mut from_client, &mut to_server);
            let back = self.pump("answer", &speaker, &mut from_server, &mut to_client);
            tokio::try_join!(there, back)
        };
        if ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset) {
            // RST instead of FIN.
            for stream in [client, server] {
                stream.set_zero_linger()?;
            }
        }
        Ok(())
    }

    /// Carries one direction to its end; an error ends the other one too.
    async fn pump(
        &self,
        direction: &'static str,
        speaker: &Mutex<Option<&'static str>>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let size = from.read(&mut chunk).await?;
            if size == 0 {
                return to.shutdown().await;
            }
            let begins = speaker.lock().expect("no panic before").replace(direction) != Some(direction);
            let Some((fault, at)) = self.fault(begins, size) else {
                to.write_all(&chunk[..size]).await?;
                continue;
            };
            match fault {
                Fault::Flip => chunk[at] ^= 1 << (at % 8),
                // A network that stands still, and nothing to wait for: these are the fault.
                Fault::Stall => tokio::time::sleep(Duration::from_millis(1_000 + at as u64 % 2_000)).await, // tidy: polling
                Fault::Delay => tokio::time::sleep(Duration::from_millis(at as u64 % 200)).await,           // tidy: polling
                Fault::Cut | Fault::Reset | Fault::HalfClose => {
                    to.write_all(&chunk[..at]).await?;
                    if fault != Fault::HalfClose {
                        return Err(if fault == Fault::Cut { ErrorKind::BrokenPipe } else { ErrorKind::ConnectionReset }.into());
                    }
                    to.shutdown().await?;
                    return discard(from, &mut chunk).await;
                }
            }
            to.write_all(&chunk[..size]).await?;
        }
    }

    /// What happens to the next `size` bytes, if anything, and to which of them.
    fn fault(&self, begins: bool, size: usize) -> Option<(Fault, usize)> {
        if !self.is_bad.load(SeqCst) {
            return None;
        }
        let Luck { random, deck, happened } = &mut *self.luck.lock().expect("no panic before");
        let at_begin = begins && random.random_ratio(TROUBLED_MESSAGES, 100);
        if !at_begin && !random.random_bool((size as f64 / self.calm_bytes).min(1.0)) {
            return None;
        }
        if deck.is_empty() {
            deck.extend(DECK);
            deck.shuffle(random);
        }
        let fault = deck.pop()?;
        *happened.entry(fault).or_default() += 1;
        Some((fault, random.random_range(0..size)))
    }
}

/// Whoever still sends is not to notice before it wants an answer.
async fn discard(from: &mut (impl AsyncRead + Unpin), chunk: &mut [u8]) -> Result<()> {
    while from.read(chunk).await? > 0 {}
    Err(Error::from(ErrorKind::BrokenPipe))
}
