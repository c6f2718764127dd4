//! Where connections come in: TCP, TLS if wished, HTTP, with limits on how many they may be, on how long they may ask for nothing and take
//! nothing, and an orderly end.

mod connection;
mod descriptors;
mod pace;
mod peer;

pub use descriptors::allow_many;
use pace::Paced;
pub use peer::{Peer, Proxies};

use crate::domain::Result;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A socket that takes connections, plain or TLS.
pub struct Listener {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// The same socket, speaking TLS if there is a configuration for it.
    pub fn new(socket: TcpListener, tls: Option<Arc<ServerConfig>>) -> Self {
        Self { socket, tls: tls.map(TlsAcceptor::from) }
    }
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self::new(socket, None)
    }
}

/// What a listener grants its clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more wait unaccepted.
    pub connections: usize,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For the head of a request over HTTP/1.1, and between two requests; over HTTP/2 for the first request.
    pub head: Duration,
    /// For the next request over HTTP/2. A connection that asks for nothing new for so long may finish what runs and then ends.
    pub idle: Duration,
    /// For the next bytes of answers that are ready: a client that takes none of them for so long is dropped.
    pub stalled: Duration,
    /// For running requests, once shutting down.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            handshake: Duration::from_secs(10),
            // Longer than proxies keep an idle connection (nginx: 60 s): they shall end it, not we under their next request.
            head: Duration::from_secs(75),
            idle: Duration::from_secs(300),
            stalled: Duration::from_secs(60),
            drain: Duration::from_secs(5),
        }
    }
}

/// Answers every request on `listener` by `answer` until `shutdown`, then lets running ones finish for a while.
pub async fn serve<A, F, B>(listener: impl Into<Listener>, limits: Limits, answer: A, shutdown: CancellationToken) -> Result<()>
where
    A: Fn(Peer, Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let Listener { socket, tls } = listener.into();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = socket.accept(), if connections.len() < limits.connections => match accepted {
                Ok(accepted) => {
                    connections.spawn(connect(accepted, tls.clone(), limits, answer.clone(), shutdown.clone()));
                }
                Err(error) => {
                    // Out of descriptors or memory, or the client is gone already: let running requests free something.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
    }
    drop(socket);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, drained).await.is_err() {
        tracing::info!("cut off requests that were still running; their clients will send them again");
    }
    Ok(())
}

async fn connect<A, F, B>(
    (stream, address): (TcpStream, SocketAddr),
    tls: Option<TlsAcceptor>,
    limits: Limits,
    answer: A,
    shutdown: CancellationToken,
) where
    A: Fn(Peer, Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let stream = Paced::new(stream, limits.stalled);
    let peer = Peer { address, is_tls: tls.is_some() };
    let ended = match tls {
        None => connection::converse(stream, connection::Version::Http1, peer, limits, answer, shutdown).await,
        Some(tls) => match shutdown.run_until_cancelled(connection::handshake(stream, tls, limits.handshake)).await {
            Some(Ok(Some((stream, version)))) => connection::converse(stream, version, peer, limits, answer, shutdown).await,
            Some(Ok(None)) | None => Ok(()),
            Some(Err(error)) => Err(error.into()),
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "a connection broke");
    }
}

#[cfg(test)]
mod tests;
