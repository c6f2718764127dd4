//! One connection: the handshake, then HTTP until one side has had enough.

use super::pace::{Answer, Paced, Progress};
use super::{Limits, Peer};
use crate::tls::{ACME_TLS, H2};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// Requests at once on one HTTP/2 connection: a player's few, with much to spare (RFC 9113 §6.5.2 asks for a hundred at least).
const MOST_STREAMS: u32 = 128;
/// Streams that a client opened and took back before they were looked at; more end the connection (CVE-2023-44487, rapid reset).
const MOST_UNSEEN_RESETS: usize = 20;
/// Streams that a client made us take back; more end the connection (CVE-2025-8671).
const MOST_PROVOKED_RESETS: usize = 256;
/// All header fields of a request. Playback tokens and cookies are some hundred bytes.
const MOST_HEADER_BYTES: u32 = 32 * 1024;
/// A client that is gone without a word is found out by pings.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);
const STALLED: &str = "the client takes nothing of its answers";

/// The HTTP version of a connection, known before its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// Agrees with the client on keys and an HTTP version. `None` for an ACME server, which has seen what it wanted (RFC 8737 §3).
pub(super) async fn handshake(stream: Paced, tls: TlsAcceptor, within: Duration) -> io::Result<Option<(TlsStream<Paced>, Version)>> {
    let shaken = async {
        let mut stream = tls.accept(stream).await?;
        let protocol = stream.get_ref().1.alpn_protocol();
        if protocol == Some(ACME_TLS) {
            stream.shutdown().await?;
            return Ok(None);
        }
        let version = if protocol == Some(H2) { Version::Http2 } else { Version::Http1 };
        Ok(Some((stream, version)))
    };
    tokio::time::timeout(within, shaken).await.map_err(io::Error::from)?
}

/// Answers the requests of one connection until it ends, or `shutdown` has let the last of them finish.
pub(super) async fn converse<S, A, F, B>(
    stream: S,
    version: Version,
    peer: Peer,
    limits: Limits,
    answer: A,
    shutdown: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Peer, Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let (heard, progress) = (Arc::new(AtomicU64::new(0)), Arc::new(Progress::default()));
    let (hears, watched) = (heard.clone(), progress.clone());
    let service = service_fn(move |request| {
        hears.fetch_add(1, Ordering::Relaxed);
        let (answered, watched) = (answer(peer, request), watched.clone());
        async move { Ok::<_, Infallible>(answered.await.map(|body| Answer::new(body, watched))) }
    });
    let builder = builder(version, limits.head);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let silence = pin!(silence(version, &heard, limits));
    let mut stalled = pin!(progress.stalled(limits.stalled));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stalled.as_mut() => return Err(STALLED.into()),
        () = shutdown.cancelled() => {}
        silent = silence => match silent {
            Silent::FromTheFirst => return Ok(()),
            Silent::AtLast => {}
        },
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection => ended,
        () = stalled => Err(STALLED.into()),
    }
}

fn builder(version: Version, head: Duration) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = match version {
        Version::Http1 => builder.http1_only(),
        Version::Http2 => builder.http2_only(),
    };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_pending_accept_reset_streams(MOST_UNSEEN_RESETS)
        .max_local_error_reset_streams(MOST_PROVOKED_RESETS)
        .max_header_list_size(MOST_HEADER_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN);
    builder
}

enum Silent {
    FromTheFirst,
    AtLast,
}

/// Ends when the client of an HTTP/2 connection has asked for nothing new for too long. HTTP/1.1 watches over that itself.
async fn silence(version: Version, heard: &AtomicU64, limits: Limits) -> Silent {
    if version == Version::Http1 {
        return std::future::pending().await;
    }
    tokio::time::sleep(limits.head).await;
    let mut known = heard.load(Ordering::Relaxed);
    if known == 0 {
        return Silent::FromTheFirst;
    }
    loop {
        tokio::time::sleep(limits.idle).await;
        let now = heard.load(Ordering::Relaxed);
        if now == known {
            return Silent::AtLast;
        }
        known = now;
    }
}
