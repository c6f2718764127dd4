//! Clients that do not take what is ready for them: what they hold of ours is given back after a while. How long they take for all of it is
//! their affair: progress counts, not completion.

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// What the kernel may hold of a connection before it is on its way. Without such a bound it holds megabytes, and a slow client that takes
/// bytes all the time looks from here like one that takes none until a third of them are gone.
const MOST_UNSENT_BYTES: u32 = 128 * 1024;

/// A socket on which a write that gets nowhere for too long is an error.
pub(super) struct Paced {
    socket: TcpStream,
    patience: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// `socket`, whose other end takes at least one byte in `patience` when there are any.
    pub(super) fn new(socket: TcpStream, patience: Duration) -> Self {
        // Answers are small and waited for.
        let _ = socket.set_nodelay(true);
        if let Err(error) = socket2::SockRef::from(&socket).set_tcp_notsent_lowat(MOST_UNSENT_BYTES) {
            tracing::debug!(%error, "could not bound what a socket holds");
        }
        Self { socket, patience, waiting: None }
    }

    fn timed<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer")))
    }
}

impl AsyncRead for Paced {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.timed(context, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.timed(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// What is under way to the client of one connection. Over HTTP/2 a client may take bytes from the socket and none of an answer (RFC 9113
/// §5.2), so the answers themselves are watched.
#[derive(Default)]
pub(super) struct Progress {
    /// Pieces of answers that are ready and not yet sent.
    waiting: AtomicUsize,
    /// Grows whenever something of them is sent or given up.
    moved: AtomicU64,
}

impl Progress {
    /// Ends when for `patience` something was ready all the time and the client took nothing.
    pub(super) async fn stalled(&self, patience: Duration) {
        let (mut known, mut since) = (0, Instant::now());
        while since.elapsed() < patience {
            sleep(patience / 4).await;
            let moved = self.moved.load(Ordering::Relaxed);
            if moved != known || self.waiting.load(Ordering::Relaxed) == 0 {
                (known, since) = (moved, Instant::now());
            }
        }
    }

    fn moved(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer's body whose pieces are watched.
pub(super) struct Answer<B> {
    body: Pin<Box<B>>,
    progress: Arc<Progress>,
}

impl<B: Body> Answer<B> {
    pub(super) fn new(body: B, progress: Arc<Progress>) -> Self {
        Self { body: Box::pin(body), progress }
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = Piece<B::Data>;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(self.body.as_mut().poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|data| Piece::new(data, self.progress.clone())))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A piece of an answer, from when it is ready until it is sent.
pub(super) struct Piece<D> {
    data: D,
    progress: Arc<Progress>,
}

impl<D> Piece<D> {
    fn new(data: D, progress: Arc<Progress>) -> Self {
        progress.waiting.fetch_add(1, Ordering::Relaxed);
        Self { data, progress }
    }
}

impl<D> Drop for Piece<D> {
    fn drop(&mut self) {
        self.progress.waiting.fetch_sub(1, Ordering::Relaxed);
        self.progress.moved();
    }
}

impl<D: Buf> Buf for Piece<D> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        if count > 0 {
            self.progress.moved();
        }
        self.data.advance(count);
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        if count > 0 {
            self.progress.moved();
        }
        self.data.copy_to_bytes(count)
    }
}
