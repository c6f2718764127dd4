//! The source's side of the door: any bytes of a file that may lie anywhere, read only as far as the program reads.

use super::range::{self, Wanted};
use super::{Body, Room, Trouble, status};
use crate::domain::{Error, ErrorKind, Result};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE};
use hyper::{Method, Request, Response, StatusCode};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A file to be read by a sandboxed program.
pub trait Source: Send + Sync {
    /// Its length, which does not change.
    fn size_bytes(&self) -> u64;

    /// Exactly the bytes of `range`, which lies within the size, in pieces of any length. The stream is polled only as the program reads, and
    /// dropped when it reads elsewhere. An error ends the run as a failure of ours ([`crate::worker::ffmpeg`]).
    fn read(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>>;
}

/// Answers GET and HEAD.
pub(super) fn answer(room: &Arc<Room>, request: &Request<Incoming>) -> Response<Body> {
    let size_bytes = room.source.size_bytes();
    let header = request.headers().get(RANGE).and_then(|value| value.to_str().ok());
    let (code, range) = match range::parse(header, size_bytes) {
        Wanted::Whole => (StatusCode::OK, 0..size_bytes),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => return unsatisfiable(size_bytes),
    };
    let mut response = status(code);
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if code == StatusCode::PARTIAL_CONTENT {
        headers.insert(CONTENT_RANGE, text(format!("bytes {}-{}/{size_bytes}", range.start, range.end - 1)));
    }
    if request.method() == Method::GET && !range.is_empty() {
        *response.body_mut() = body(room, range);
    }
    response
}

fn unsatisfiable(size_bytes: u64) -> Response<Body> {
    let mut response = status(StatusCode::RANGE_NOT_SATISFIABLE);
    response.headers_mut().insert(CONTENT_RANGE, text(format!("bytes */{size_bytes}")));
    response
}

fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).expect("digits and punctuation make a header value")
}

/// One reader's place in the source.
struct Reading {
    room: Arc<Room>,
    pieces: BoxStream<'static, Result<Bytes>>,
    left_bytes: u64,
}

fn body(room: &Arc<Room>, range: Range<u64>) -> Body {
    let left_bytes = range.end - range.start;
    let reading = Reading { room: Arc::clone(room), pieces: room.source.read(range), left_bytes };
    StreamBody::new(stream::try_unfold(reading, Reading::next)).boxed_unsync()
}

impl Reading {
    async fn next(mut self) -> io::Result<Option<(Frame<Bytes>, Self)>> {
        if self.left_bytes == 0 {
            return Ok(None);
        }
        let piece = {
            let _waiting = self.room.activity.wait();
            tokio::select! {
                () = self.room.ended.cancelled() => return Err(io::Error::other("the program has ended")),
                piece = self.pieces.next() => piece,
            }
        };
        let mut piece = match piece {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Err(self.broken(error)),
            None => return Err(self.broken(ends_early(self.left_bytes))),
        };
        piece.truncate(usize::try_from(self.left_bytes).unwrap_or(usize::MAX));
        self.left_bytes -= piece.len() as u64;
        self.room.activity.count_read(piece.len());
        Ok(Some((Frame::data(piece), self)))
    }

    /// Makes the run end with this error, and the answer break off.
    fn broken(&self, error: Error) -> io::Error {
        let told = io::Error::other(error.chain());
        self.room.fail(Trouble::Source(error));
        told
    }
}

fn ends_early(missing_bytes: u64) -> Error {
    Error::new(ErrorKind::Internal, "source-short", format!("the source ended {missing_bytes} bytes before its length"))
}
