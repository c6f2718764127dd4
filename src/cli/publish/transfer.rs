//! Parts over the wire: hash, declare, put, four at once, each as often as it takes.

use super::patience::Patience;
use super::plan::{self, Part};
use super::progress::{FileProgress, Meter};
use super::source::LocalFile;
use crate::cli::client::{
    Client,
    answers::{PartDeclaration, Upload},
};
use crate::cli::failure::Failure;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A connection that takes no byte and gives no answer for this long is dead.
const STALL_LIMIT: Duration = Duration::from_secs(60);

const METER_EVERY: Duration = Duration::from_millis(200);

/// The transfer of one file's missing parts.
pub(super) struct Transfer<'a> {
    pub(super) client: &'a Client,
    pub(super) file: &'a LocalFile,
    pub(super) upload: &'a Upload,
    pub(super) slots: &'a Semaphore,
    pub(super) progress: &'a FileProgress<'a>,
    pub(super) patience: &'a Patience<'a>,
}

impl Transfer<'_> {
    /// Sends every part that the server lacks or holds with other content.
    pub(super) async fn run(&self) -> Result<(), Failure> {
        if self.upload.part_size_bytes == 0 {
            return Err(Failure::new("not-understood", "the server named no part size: is it a Theatrum of this version?"));
        }
        self.progress.sending_anew();
        let received: BTreeMap<u32, &str> = self.upload.received.iter().map(|part| (part.number, part.sha256.as_str())).collect();
        let parts = plan::parts(self.file.size_bytes(), self.upload.part_size_bytes);
        let sends = stream::iter(parts).map(|part| {
            let theirs = received.get(&part.number).copied();
            async move { self.deliver(&part, theirs).await }
        });
        sends.buffer_unordered(super::PARTS_AT_ONCE).try_collect().await
    }

    async fn deliver(&self, part: &Part, theirs: Option<&str>) -> Result<(), Failure> {
        let _slot = self.slots.acquire().await.map_err(|_| Failure::new("interrupted", "the upload was called off"))?;
        let mut theirs = theirs.map(str::to_owned);
        let mut is_first = true;
        self.patience
            .keep_trying(async || {
                // Of the last attempt the answer may have been lost, and not the part.
                if !std::mem::take(&mut is_first) {
                    theirs = self.received(part.number).await?;
                }
                // A fresh hash and a fresh URL each time: whichever was stale, it no longer is.
                self.attempt(part, theirs.as_deref()).await
            })
            .await
    }

    /// The digest of the part that the server holds by this number now, if it holds one.
    async fn received(&self, number: u32) -> Result<Option<String>, Failure> {
        let upload = self.client.upload(&self.upload.upload).await?;
        Ok(upload.received.into_iter().find(|part| part.number == number).map(|part| part.sha256))
    }

    async fn attempt(&self, part: &Part, theirs: Option<&str>) -> Result<(), Failure> {
        let ours = self.file.hash(part).await?;
        if theirs == Some(ours.as_str()) {
            self.progress.skipped(part.size_bytes());
            return Ok(());
        }
        let declared = PartDeclaration { number: part.number, size_bytes: part.size_bytes(), sha256: ours.clone() };
        let tickets = self.client.declare_parts(&self.upload.upload, &[declared]).await?;
        let ticket = tickets.into_iter().find(|ticket| ticket.number == part.number);
        let ticket = ticket.ok_or_else(|| Failure::new("not-understood", "the server gave a part no URL"))?;
        let meter = self.progress.meter();
        let body = self.file.body(part, meter.counter());
        let sent = tokio::select! {
            sent = self.client.put_part(&ticket, part.size_bytes(), body) => sent,
            stalled = watch(&meter) => Err(stalled),
        };
        // A file that changes below its own body breaks the connection: the change is the news.
        self.file.check_unchanged()?;
        match sent {
            // What we have is still what we announced: the line has altered it, however often it does.
            Err(failure) if failure.code() == "BadDigest" && self.file.hash(part).await? == ours => {
                return Err(failure.with_retryable(true));
            }
            sent => sent?,
        }
        meter.keep();
        Ok(())
    }
}

/// Counts bytes as they leave; ends when none has for too long.
async fn watch(meter: &Meter) -> Failure {
    let mut ticks = tokio::time::interval(METER_EVERY);
    let mut moved = Instant::now();
    while moved.elapsed() < STALL_LIMIT {
        ticks.tick().await;
        if meter.count() {
            moved = Instant::now();
        }
    }
    Failure::new("unreachable", "the storage takes no more bytes").with_retryable(true)
}
