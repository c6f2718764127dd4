//! A request body that is lent to s3s: its owner gets back what was not read, and nobody waits for it forever.

use super::answer::STALLED;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The borrower's side. Fails with `TimedOut` when no bytes come for a while.
pub(super) struct Lent {
    body: Arc<Mutex<Incoming>>,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
}

/// The owner's side.
pub(super) struct Kept(Lent);

impl Lent {
    /// Lends `body` to someone who waits `idle` at most for its next bytes.
    pub(super) fn new(body: Incoming, idle: Duration) -> (Self, Kept) {
        let body = Arc::new(Mutex::new(body));
        let side = |body| Self { body, idle, deadline: Box::pin(tokio::time::sleep(idle)) };
        (side(body.clone()), Kept(side(body)))
    }

    fn body(&self) -> MutexGuard<'_, Incoming> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut *self.body()).poll_frame(cx);
        if let Poll::Ready(frame) = polled {
            let next = Instant::now() + self.idle;
            self.deadline.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(Box::new(io::Error::new(io::ErrorKind::TimedOut, STALLED)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

impl Kept {
    /// Reads and forgets what is left, up to `limit_bytes` and no longer than `within`.
    pub(super) async fn discard(mut self, limit_bytes: u64, within: Duration) {
        let discarding = async {
            let mut seen_bytes = 0;
            while seen_bytes < limit_bytes {
                let Some(Ok(frame)) = self.0.frame().await else { return };
                seen_bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
            }
        };
        // Whether all of it came or not, the connection is done with.
        let _ = tokio::time::timeout(within, discarding).await;
    }
}
