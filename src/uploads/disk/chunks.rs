//! The body of an aws-chunked request (Amazon S3 API reference, "Signature calculations: transferring payload in multiple chunks") before s3s
//! reads it. s3s 0.14 holds each chunk in memory, of whatever size, and reads eight digits of that size: so chunks that nobody signed are cut
//! into small ones as they come, signed ones must not be large, and each size is written anew.

use super::answer::{CUT_SHORT, MALFORMED, OVERSIZED};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The longest piece of an unsigned chunk.
const PIECE_BYTES: usize = 1 << 20;
/// The largest signed chunk: its signature is over all of it. Clients send 64 KiB to 8 MiB.
const MOST_SIGNED_BYTES: u64 = 16 << 20;
/// The longest line before a chunk: a size and a signature.
const LONGEST_HEAD: usize = 1024;
const LINE_END: &[u8] = b"\r\n";

/// How the chunks of a body are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunking {
    /// The body is no chunks.
    None,
    /// Each chunk has a signature.
    Signed,
    /// None has.
    Unsigned,
}

impl Chunking {
    /// What the headers of a request say.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match headers.get("x-amz-content-sha256").map_or(&[][..], |value| value.as_bytes()) {
            payload if payload.starts_with(b"STREAMING-UNSIGNED-") => Self::Unsigned,
            payload if payload.starts_with(b"STREAMING-") => Self::Signed,
            _ => Self::None,
        }
    }
}

/// A body whose chunks s3s can hold.
pub(super) struct Chunked<B> {
    body: B,
    cutter: Option<Cutter>,
    pieces: VecDeque<Bytes>,
}

impl<B> Chunked<B> {
    /// `body`, sent as `chunking` says.
    pub(super) fn new(body: B, chunking: Chunking) -> Self {
        let cutter = match chunking {
            Chunking::None => None,
            Chunking::Signed | Chunking::Unsigned => Some(Cutter { is_signed: chunking == Chunking::Signed, at: Place::Head(Vec::new()) }),
        };
        Self { body, cutter, pieces: VecDeque::new() }
    }
}

impl<B> Body for Chunked<B>
where
    B: Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Some(cutter) = &mut this.cutter else { return Pin::new(&mut this.body).poll_frame(cx) };
        loop {
            if let Some(piece) = this.pieces.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => return Poll::Ready(cutter.end().err().map(|error| Err(error.into()))),
                Some(frame) => frame?,
            };
            if let Ok(bytes) = frame.into_data() {
                cutter.take(bytes, &mut this.pieces)?;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.cutter.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        if self.cutter.is_none() { self.body.size_hint() } else { http_body::SizeHint::default() }
    }
}

/// Reads chunks as they come, and writes them as they may go on.
struct Cutter {
    is_signed: bool,
    at: Place,
}

/// Where in a body the next byte stands.
enum Place {
    /// In the line before a chunk, of which this has come.
    Head(Vec<u8>),
    /// In a chunk of which so many bytes are to come.
    Data(u64),
    /// Behind a chunk, with so many bytes of the line end to come.
    Behind(usize),
    /// Behind the last chunk.
    Trailers,
}

impl Cutter {
    fn take(&mut self, mut bytes: Bytes, out: &mut VecDeque<Bytes>) -> io::Result<()> {
        while !bytes.is_empty() {
            self.at = match &mut self.at {
                Place::Head(head) => {
                    let line_end = bytes.iter().position(|byte| *byte == b'\n');
                    head.extend_from_slice(&bytes.split_to(line_end.map_or(bytes.len(), |at| at + 1)));
                    if head.len() > LONGEST_HEAD {
                        return Err(malformed());
                    }
                    if line_end.is_none() {
                        return Ok(());
                    }
                    let head = std::mem::take(head);
                    self.begin(&head, out)?
                }
                Place::Data(left) => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(PIECE_BYTES);
                    let piece = bytes.split_to(most.min(bytes.len()));
                    let left = *left - piece.len() as u64;
                    self.go_on(piece, left, out)
                }
                Place::Behind(missing) => {
                    if bytes.split_to(1)[0] != LINE_END[LINE_END.len() - *missing] {
                        return Err(malformed());
                    }
                    if *missing > 1 { Place::Behind(*missing - 1) } else { Place::Head(Vec::new()) }
                }
                Place::Trailers => {
                    out.push_back(std::mem::take(&mut bytes));
                    Place::Trailers
                }
            };
        }
        Ok(())
    }

    /// After the line before a chunk.
    fn begin(&self, head: &[u8], out: &mut VecDeque<Bytes>) -> io::Result<Place> {
        let (size_bytes, signature) = read_head(head).ok_or_else(malformed)?;
        if self.is_signed == signature.is_empty() {
            return Err(malformed());
        }
        if self.is_signed && size_bytes > MOST_SIGNED_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, OVERSIZED));
        }
        if self.is_signed || size_bytes == 0 {
            out.push_back([format!("{size_bytes:x}").as_bytes(), signature, LINE_END].concat().into());
        }
        Ok(if size_bytes == 0 { Place::Trailers } else { Place::Data(size_bytes) })
    }

    /// Within a chunk: an unsigned piece is a chunk of its own.
    fn go_on(&self, piece: Bytes, left: u64, out: &mut VecDeque<Bytes>) -> Place {
        if !self.is_signed {
            out.push_back(format!("{:x}\r\n", piece.len()).into());
        }
        out.push_back(piece);
        if !self.is_signed || left == 0 {
            out.push_back(Bytes::from_static(LINE_END));
        }
        if left == 0 { Place::Behind(LINE_END.len()) } else { Place::Data(left) }
    }

    /// At the end of the body. That no last chunk came is left to be seen by the length and the trailers.
    fn end(&self) -> io::Result<()> {
        match &self.at {
            Place::Trailers => Ok(()),
            Place::Head(head) if head.is_empty() => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, CUT_SHORT)),
        }
    }
}

/// The size of a chunk, and what stands behind it in its line: `;chunk-signature=…` or nothing.
fn read_head(head: &[u8]) -> Option<(u64, &[u8])> {
    let line = head.strip_suffix(LINE_END)?;
    let (digits, rest) = line.split_at(line.iter().position(|byte| *byte == b';').unwrap_or(line.len()));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let size_bytes = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some((size_bytes, rest))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = ";chunk-signature=aa";

    /// What goes on of a body that comes in these pieces.
    fn cut(is_signed: bool, pieces: impl IntoIterator<Item = Bytes>) -> io::Result<Vec<Bytes>> {
        let (mut cutter, mut out) = (Cutter { is_signed, at: Place::Head(Vec::new()) }, VecDeque::new());
        pieces.into_iter().try_for_each(|piece| cutter.take(piece, &mut out))?;
        cutter.end()?;
        Ok(out.into())
    }

    fn text(is_signed: bool, body: &str) -> Result<String, String> {
        let bytewise = body.bytes().map(|byte| Bytes::copy_from_slice(&[byte]));
        let (whole, bytewise) = (cut(is_signed, [Bytes::copy_from_slice(body.as_bytes())]), cut(is_signed, bytewise));
        assert_eq!(
            whole.as_ref().map(drop).map_err(ToString::to_string),
            bytewise.map(drop).map_err(|error| error.to_string()),
            "{body:?}"
        );
        whole.map(|pieces| String::from_utf8(pieces.concat()).expect("text")).map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_are_written_anew_and_everything_else_stays() {
        let trailer = "x-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        for (body, expected) in [
            (format!("3\r\nabc\r\n0\r\n{trailer}"), format!("3\r\nabc\r\n0\r\n{trailer}")),
            (format!("00000000000000003\r\nabc\r\n0000000000\r\n{trailer}"), format!("3\r\nabc\r\n0\r\n{trailer}")),
            ("A\r\n0123456789\r\n".to_owned(), "a\r\n0123456789\r\n".to_owned()),
        ] {
            assert_eq!(text(false, &body), Ok(expected));
        }
        let signed = format!("0000000003{SIGNATURE}\r\nabc\r\n0{SIGNATURE}\r\n{trailer}");
        assert_eq!(text(true, &signed), Ok(format!("3{SIGNATURE}\r\nabc\r\n0{SIGNATURE}\r\n{trailer}")));
    }

    #[test]
    fn what_is_not_chunked_is_refused() {
        for (is_signed, body, expected) in [
            (false, "3\r\nabcd\r\n".to_owned(), MALFORMED),
            (false, "x\r\n".to_owned(), MALFORMED),
            (false, "\r\n".to_owned(), MALFORMED),
            (false, "+3\r\nabc\r\n".to_owned(), MALFORMED),
            (false, "3\nabc\r\n".to_owned(), MALFORMED),
            (false, "1ffffffffffffffff\r\n".to_owned(), MALFORMED),
            (false, format!("3{SIGNATURE}\r\nabc\r\n"), MALFORMED),
            (true, "3\r\nabc\r\n".to_owned(), MALFORMED),
            (false, "0".repeat(LONGEST_HEAD + 1), MALFORMED),
            (true, format!("1000001{SIGNATURE}\r\n"), OVERSIZED),
            (true, format!("100000001{SIGNATURE}\r\n"), OVERSIZED),
            (false, "3\r\nab".to_owned(), CUT_SHORT),
            (false, "3\r\nabc\r".to_owned(), CUT_SHORT),
            (false, "3".to_owned(), CUT_SHORT),
        ] {
            assert_eq!(text(is_signed, &body), Err(expected.to_owned()), "{body:?}");
        }
    }

    /// Five GiB in one chunk, a size of nine digits: nothing that goes on is larger than what came, or than a MiB.
    #[test]
    fn one_huge_chunk_goes_on_in_small_ones() {
        const SIZE_BYTES: usize = 5 << 30;
        let piece = Bytes::from(vec![7; 3 << 20]);
        let mut cutter = Cutter { is_signed: false, at: Place::Head(Vec::new()) };
        let (mut out, mut passed) = (VecDeque::new(), 0);
        cutter.take(Bytes::from(format!("{SIZE_BYTES:x}\r\n")), &mut out).expect("a head");
        assert!(out.is_empty(), "it waits for bytes");
        for at in (0..SIZE_BYTES).step_by(piece.len()) {
            cutter.take(piece.slice(..piece.len().min(SIZE_BYTES - at)), &mut out).expect("bytes");
            while let Some(head) = out.pop_front() {
                let (data, end) = (out.pop_front().expect("bytes"), out.pop_front().expect("a line end"));
                assert_eq!(head, Bytes::from(format!("{:x}\r\n", data.len())));
                assert!(data.len() <= PIECE_BYTES && end == LINE_END);
                passed += data.len();
            }
        }
        cutter.take(Bytes::from_static(b"\r\n0\r\n\r\n"), &mut out).expect("the end");
        cutter.end().expect("complete");
        assert_eq!((passed, Vec::from(out).concat()), (SIZE_BYTES, b"0\r\n\r\n".to_vec()));
    }
}
