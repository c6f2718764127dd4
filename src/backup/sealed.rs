//! Lines of JSON, compressed and then encrypted into a file: the form in which rows leave the house.
//!
//! The frames are those of the blobs (`blobs::frames`), under the snapshot's key and bound to the name in the depot. The file is ciphertext
//! from its first byte (invariant 6) and has no name on our disk.

use crate::blobs::frames::{FRAME_BYTES, HEADER_BYTES, Opener, Sealer, plain_size, sealed_size};
use crate::depot::{Depot, Name};
use crate::domain::{Error, Result};
use crate::keys::RootKey;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use futures_util::TryStreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::ReaderStream;

/// Lines that are read before anyone asks for them.
const LINES_AHEAD: usize = 256;

/// A sealed file as the manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Its size.
    pub size_bytes: u64,
    /// Of the ciphertext, hexadecimal.
    pub sha256: String,
    /// Lines in it.
    pub lines: u64,
}

/// Takes lines.
pub(super) struct Writer {
    gzip: GzEncoder<Sealing>,
    lines: u64,
}

/// A finished file of lines, without a name on our disk.
pub(super) struct Lines {
    file: File,
    name: Name,
    key: RootKey,
    /// What the manifest says of it.
    pub piece: Piece,
}

struct Sealing {
    file: File,
    sealer: Sealer,
    sealed: Vec<u8>,
}

impl Writer {
    /// An empty file that will be known as `name`.
    pub(super) fn new(key: &RootKey, name: &Name) -> Result<Self> {
        let file = tempfile::tempfile().map_err(no_scratch)?;
        let sealing = Sealing { file, sealer: Sealer::at(key, &name.to_string())?, sealed: Vec::new() };
        Ok(Self { gzip: GzEncoder::new(sealing, Compression::fast()), lines: 0 })
    }

    /// Appends a line.
    pub(super) fn write(&mut self, line: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.gzip, line).map_err(io::Error::from).map_err(no_scratch)?;
        self.gzip.write_all(b"\n").map_err(no_scratch)?;
        self.lines += 1;
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(self, key: &RootKey, name: &Name) -> Result<Lines> {
        let Sealing { mut file, sealer, mut sealed } = self.gzip.finish().map_err(no_scratch)?;
        sealer.finish(&mut sealed)?;
        file.write_all(&sealed).map_err(no_scratch)?;
        let (size_bytes, sha256) = digest(&mut file).map_err(no_scratch)?;
        Ok(Lines { file, name: name.clone(), key: key.clone(), piece: Piece { size_bytes, sha256, lines: self.lines } })
    }
}

impl Write for Sealing {
    fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.sealer.push(plain, &mut self.sealed).map_err(io::Error::other)?;
        self.file.write_all(&self.sealed)?;
        self.sealed.clear();
        Ok(plain.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Fetches the file from the depot; `Invalid` (`backup-damaged`) when it is not what the manifest says.
    pub(super) async fn fetch(depot: &Depot, key: &RootKey, name: &Name, piece: &Piece) -> Result<Self> {
        let mut file = tempfile::tempfile().map_err(no_scratch)?;
        let mut pieces = depot.stream(name).await.map_err(|error| lost(depot, name, error))?;
        while let Some(bytes) = pieces.try_next().await? {
            file.write_all(&bytes).map_err(no_scratch)?;
        }
        let (size_bytes, sha256) = digest(&mut file).map_err(no_scratch)?;
        if (size_bytes, &sha256) != (piece.size_bytes, &piece.sha256) {
            return Err(damaged(depot, name));
        }
        Ok(Self { file, name: name.clone(), key: key.clone(), piece: piece.clone() })
    }

    /// Writes the file to the depot.
    pub(super) async fn send(&self, depot: &Depot) -> Result<()> {
        let file = self.rewound()?;
        let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file), 1 << 18).map_err(no_scratch);
        depot.put_stream(&self.name, pieces).await
    }

    /// Reads the lines from the first.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<Reader<T>> {
        let mut file = self.rewound()?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header).map_err(no_scratch)?;
        let opener = Opener::at(&self.key, &self.name.to_string(), &header, plain_size(self.piece.size_bytes)?)?;
        let opening = Opening { file, opener, index: 0, plain: Bytes::new() };
        Ok(Reader {
            lines: BufReader::new(GzDecoder::new(opening)),
            left: self.piece.lines,
            line: Vec::new(),
            kind: std::marker::PhantomData,
        })
    }

    /// The lines from the first, read and opened on a thread of its own.
    pub(super) fn stream<T: DeserializeOwned + Send + 'static>(&self) -> Result<ReceiverStream<Result<T>>> {
        let lines = self.read::<T>()?;
        let (sender, receiver) = tokio::sync::mpsc::channel(LINES_AHEAD);
        tokio::task::spawn_blocking(move || {
            for line in lines {
                let is_last = line.is_err();
                if sender.blocking_send(line).is_err() || is_last {
                    return;
                }
            }
        });
        Ok(ReceiverStream::new(receiver))
    }

    fn rewound(&self) -> Result<File> {
        let mut file = self.file.try_clone().map_err(no_scratch)?;
        file.seek(SeekFrom::Start(0)).map_err(no_scratch)?;
        Ok(file)
    }
}

/// Gives lines.
pub(super) struct Reader<T> {
    lines: BufReader<GzDecoder<Opening>>,
    left: u64,
    line: Vec<u8>,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Iterator for Reader<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        self.line.clear();
        let read = self.lines.read_until(b'\n', &mut self.line);
        match read {
            Ok(0) if self.left == 0 => None,
            Ok(0) => Some(Err(unreadable("it ends too early"))),
            Ok(_) => {
                self.left = self.left.saturating_sub(1);
                // serde_json's text may quote what it could not read.
                Some(
                    serde_json::from_slice(&self.line)
                        .map_err(|error| unreadable(format!("line {}, column {}", error.line(), error.column()))),
                )
            }
            Err(error) => Some(Err(unreadable(error))),
        }
    }
}

struct Opening {
    file: File,
    opener: Opener,
    index: u64,
    plain: Bytes,
}

impl Read for Opening {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.plain.is_empty() {
            let frame_bytes = sealed_size(FRAME_BYTES as u64) - HEADER_BYTES as u64;
            let mut sealed = Vec::new();
            (&self.file).take(frame_bytes).read_to_end(&mut sealed)?;
            if sealed.is_empty() {
                return Ok(0);
            }
            self.plain = self.opener.open(self.index, BytesMut::from(sealed.as_slice())).map_err(io::Error::other)?;
            self.index += 1;
        }
        let count = buffer.len().min(self.plain.len());
        buffer[..count].copy_from_slice(&self.plain.split_to(count));
        Ok(count)
    }
}

/// Size and SHA-256 of a whole file.
fn digest(file: &mut File) -> io::Result<(u64, String)> {
    file.seek(SeekFrom::Start(0))?;
    let (mut context, mut size_bytes, mut buffer) = (Context::new(&SHA256), 0, vec![0; 1 << 18]);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((size_bytes, hex::encode(context.finish())));
        }
        context.update(&buffer[..count]);
        size_bytes += count as u64;
    }
}

fn no_scratch(error: io::Error) -> Error {
    let message = "the temporary folder cannot be used: make room there, or name another one by TMPDIR";
    Error::unavailable(message, error)
}

fn unreadable(cause: impl Into<crate::domain::error::Cause>) -> Error {
    Error::invalid("backup-damaged", "a file of the backup cannot be read: take another snapshot (--snapshot)").with_source(cause)
}

/// An object of the snapshot is not what it was.
pub(super) fn damaged(depot: &Depot, name: &Name) -> Error {
    let message = format!("{depot}/{name} was altered since it was written: take another snapshot (--snapshot; --list names them)");
    Error::invalid("backup-damaged", message)
}

fn lost(depot: &Depot, name: &Name, error: Error) -> Error {
    match error.kind() {
        crate::domain::ErrorKind::NotFound => {
            let message = format!("{depot}/{name} is gone: take another snapshot (--snapshot; --list names them)");
            Error::invalid("backup-damaged", message).with_source(error)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::Place;
    use crate::domain::ids::SnapshotId;
    use std::os::unix::fs::FileExt;

    fn written(lines: u64) -> (Lines, Name, RootKey) {
        let (name, key) = (Name::Rows(SnapshotId::new()), RootKey::new([7; 32]));
        let mut writer = Writer::new(&key, &name).expect("a writer");
        for line in 0..lines {
            writer
                .write(&format!("patient {line} {}", hex::encode(line.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())))
                .expect("written");
        }
        (writer.finish(&key, &name).expect("finished"), name, key)
    }

    #[tokio::test]
    async fn lines_come_back_from_the_depot_and_no_byte_may_differ() {
        let folder = tempfile::tempdir().expect("a folder");
        let depot = Depot::open(&Place::Folder(folder.path().to_owned())).expect("a depot");
        for count in [0, 1, 20_000] {
            let (lines, name, key) = written(count);
            lines.send(&depot).await.expect("sent");
            let fetched = Lines::fetch(&depot, &key, &name, &lines.piece).await.expect("fetched");
            let texts = fetched.read::<String>().expect("opens").collect::<Result<Vec<_>>>().expect("reads");
            assert_eq!(texts.len() as u64, count);
            assert_eq!(fetched.read::<String>().expect("opens again").count() as u64, count);
            let path = folder.path().join(name.to_string());
            let mut stored = std::fs::read(&path).expect("there");
            assert!(!stored.windows(7).any(|window| window == b"patient"), "invariant 6: nothing plain at rest");
            let middle = stored.len() / 2;
            stored[middle] ^= 1;
            std::fs::write(&path, stored).expect("written");
            let error = Lines::fetch(&depot, &key, &name, &lines.piece).await.err().expect("altered");
            assert_eq!(error.code(), "backup-damaged");
            assert!(error.message().contains(&name.to_string()), "{error}");
        }
    }

    #[test]
    fn a_file_under_another_name_or_key_does_not_open() {
        let (lines, name, key) = written(10);
        let other = Lines {
            file: lines.file.try_clone().expect("a file"),
            name: Name::Rows(SnapshotId::new()),
            key: key.clone(),
            piece: lines.piece.clone(),
        };
        assert!(other.read::<String>().expect("a header").next().expect("an answer").is_err());
        lines.file.write_all_at(&[0xff], 40).expect("written");
        let same = Lines { file: lines.file, name, key, piece: lines.piece };
        assert!(same.read::<String>().expect("a header").next().expect("an answer").is_err());
    }
}
