//! The outputs' side of the door: what the program writes goes piece by piece to whoever waits for it, counted and limited.

use super::{Activity, Trouble};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Something the program may write, once, under `/out/{name}`.
#[derive(Debug)]
pub struct Output {
    /// A plain word: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Takes the bytes as they come; while it is full the program waits. It is closed when the output or the run ends.
    pub sender: mpsc::Sender<Bytes>,
    /// The run is stopped when the output grows beyond this.
    pub max_bytes: u64,
}

/// What became of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// How many bytes were handed on.
    pub size_bytes: u64,
    /// Whether the program wrote it to its end and closed it.
    pub complete: bool,
}

#[derive(Debug)]
struct Place {
    written: Written,
    /// Gone once the program has opened the output.
    output: Option<Output>,
}

/// All outputs of a run.
#[derive(Debug)]
pub(super) struct Outputs {
    places: Mutex<Vec<Place>>,
    left_bytes: AtomicU64,
}

/// An output that is being written.
pub(super) struct Writing<'a> {
    outputs: &'a Outputs,
    output: Output,
}

impl Outputs {
    /// Room for `outputs`, of `max_bytes` together.
    pub(super) fn new(outputs: Vec<Output>, max_bytes: u64) -> Self {
        let place =
            |output: Output| Place { written: Written { name: output.name.clone(), size_bytes: 0, complete: false }, output: Some(output) };
        Self { places: Mutex::new(outputs.into_iter().map(place).collect()), left_bytes: AtomicU64::new(max_bytes) }
    }

    /// The output of that name, if it was declared and not opened before.
    pub(super) fn open(&self, name: &str) -> Option<Writing<'_>> {
        let output = self.places().iter_mut().find(|place| place.written.name == name)?.output.take()?;
        Some(Writing { outputs: self, output })
    }

    /// What became of each; an output that was never opened is let go.
    pub(super) fn written(&self) -> Vec<Written> {
        let mut places = self.places();
        places.iter_mut().for_each(|place| place.output = None);
        places.iter().map(|place| place.written.clone()).collect()
    }

    /// Takes `length` from what all outputs may still write.
    fn spend(&self, length: u64) -> bool {
        self.left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(length)).is_ok()
    }

    fn record(&self, name: &str, change: impl FnOnce(&mut Written)) {
        if let Some(place) = self.places().iter_mut().find(|place| place.written.name == name) {
            change(&mut place.written);
        }
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing<'_> {
    /// Hands on the body of a request. An error without trouble is the program's own breaking off.
    pub(super) async fn take_in(self, mut body: Incoming, activity: &Activity) -> Result<(), Option<Trouble>> {
        let Self { outputs, output: Output { name, sender, max_bytes } } = self;
        let mut size_bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|_| None)?.into_data() else { continue };
            size_bytes += piece.len() as u64;
            if size_bytes > max_bytes || !outputs.spend(piece.len() as u64) {
                return Err(Some(Trouble::Overflow(name)));
            }
            activity.beat();
            let _waiting = activity.wait();
            if sender.send(piece).await.is_err() {
                return Err(Some(Trouble::Unread(name)));
            }
            outputs.record(&name, |written| written.size_bytes = size_bytes);
        }
        outputs.record(&name, |written| written.complete = true);
        Ok(())
    }
}
