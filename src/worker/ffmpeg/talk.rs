//! What a program prints: its standard output line by line, of its standard error only the end.

use super::{Error, Result, reader_gone};
use crate::worker::door::Activity;
use crate::worker::sandbox::Process;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Read at once, and thus the size of a batch of lines.
const READ_BYTES: usize = 64 << 10;
/// A longer line is cut: no tag of a file may fill our memory.
const LINE_BYTES: usize = 64 << 10;
/// What is kept of standard error.
const TAIL_BYTES: usize = 4 << 10;

/// The two listeners; they stop when this is dropped.
pub(super) struct Talk {
    stdout: AbortOnDropHandle<Result<()>>,
    stderr: AbortOnDropHandle<Result<()>>,
    tail: Arc<Mutex<Tail>>,
}

impl Talk {
    /// Starts listening.
    pub(super) fn listen(process: &mut Process, lines: Option<mpsc::Sender<Vec<String>>>, activity: &Arc<Activity>) -> io::Result<Self> {
        let (stdout, stderr) = process.take_pipes();
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else { return Err(io::Error::other("its output is not piped")) };
        let (stdout, stderr) = (ChildStdout::from_std(stdout)?, ChildStderr::from_std(stderr)?);
        let tail = Arc::new(Mutex::new(Tail::default()));
        Ok(Self {
            stdout: AbortOnDropHandle::new(tokio::spawn(pass_lines(stdout, lines, Arc::clone(activity)))),
            stderr: AbortOnDropHandle::new(tokio::spawn(keep_tail(stderr, Arc::clone(&tail)))),
            tail,
        })
    }

    /// Returns when both are read to their ends and every line was taken.
    pub(super) async fn end(&mut self) -> Result<()> {
        let joined = |error| Error::internal("a listener to the sandboxed program failed", error);
        (&mut self.stdout).await.map_err(joined)??;
        (&mut self.stderr).await.map_err(joined)?
    }

    /// The last words so far, cleaned.
    pub(super) fn tail(&self) -> String {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).text()
    }
}

async fn pass_lines(mut pipe: impl AsyncRead + Unpin, to: Option<mpsc::Sender<Vec<String>>>, activity: Arc<Activity>) -> Result<()> {
    let mut lines = Lines::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let length = pipe.read(&mut buffer).await.map_err(super::lost)?;
        activity.beat();
        let Some(to) = &to else {
            if length == 0 {
                return Ok(());
            }
            continue;
        };
        let batch = if length == 0 { lines.last().into_iter().collect() } else { lines.split(&buffer[..length]) };
        if !batch.is_empty() {
            let _waiting = activity.wait();
            to.send(batch).await.map_err(|_| reader_gone("stdout"))?;
        }
        if length == 0 {
            return Ok(());
        }
    }
}

/// Does not beat: a program that only complains makes no progress.
async fn keep_tail(mut pipe: impl AsyncRead + Unpin, tail: Arc<Mutex<Tail>>) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match pipe.read(&mut buffer).await.map_err(super::lost)? {
            0 => return Ok(()),
            length => tail.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..length]),
        }
    }
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
struct Lines {
    started: Vec<u8>,
}

impl Lines {
    /// The lines that end in `bytes`, without their ends.
    fn split(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        let unfinished = pieces.next_back().unwrap_or_default();
        let mut lines = Vec::new();
        for piece in pieces {
            self.append(piece);
            lines.push(self.take());
        }
        self.append(unfinished);
        lines
    }

    /// What was begun and not ended.
    fn last(&mut self) -> Option<String> {
        (!self.started.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let line = std::mem::take(&mut self.started);
        String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned()
    }

    fn append(&mut self, piece: &[u8]) {
        let room = LINE_BYTES.saturating_sub(self.started.len());
        self.started.extend_from_slice(&piece[..piece.len().min(room)]);
    }
}

/// The end of a stream of bytes.
#[derive(Debug, Default)]
struct Tail {
    bytes: VecDeque<u8>,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        self.bytes.drain(..self.bytes.len().saturating_sub(TAIL_BYTES));
    }

    /// As text that is safe on a terminal and in a log.
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect();
        String::from_utf8_lossy(&bytes).chars().filter(|c| *c == '\n' || !c.is_control()).collect::<String>().trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let mut lines = Lines::default();
        assert_eq!(lines.split(b"one\r\ntw"), ["one"]);
        assert_eq!(lines.split(b"o\n\nthree"), ["two", ""]);
        assert_eq!(lines.last().as_deref(), Some("three"));
        assert_eq!(lines.last(), None);
    }

    #[test]
    fn an_endless_line_is_cut_and_the_next_is_not() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert!(lines.split(&[b'x'; READ_BYTES]).is_empty());
        }
        assert_eq!(lines.split(b"x\nshort\n").iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES, 5]);
    }

    #[test]
    fn the_tail_is_the_end_without_control_characters() {
        let mut tail = Tail::default();
        tail.push(&vec![b'a'; 2 * TAIL_BYTES]);
        tail.push(b"progress\rred \x1b[31malert\x07\n\xff");
        let text = tail.text();
        assert!(text.ends_with("aprogress\nred [31malert\n\u{fffd}"), "{text:?}");
        assert!(tail.bytes.len() <= TAIL_BYTES);
    }
}
