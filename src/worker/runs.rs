//! Long jobs settle as they go: what they make is adopted in runs of segments, and whoever takes up such a job begins behind them.

use super::attempt::Attempt;
use super::ending::lease_lost;
use super::growth;
use super::segments::{Writer, Written, adopt, init_sha256};
use super::source::Material;
use crate::catalog::versions::{Init, Segment};
use crate::domain::Result;
use crate::domain::ids::VersionId;
use crate::domain::video::RenditionName;
use crate::failpoint;
use crate::transaction;
use std::mem;
use theatrum_media::cmaf::{self, PackagedSegment};

/// Segments in the first run: someone waits for them. Each run is twice as long as the one before.
const SHORTEST: usize = 1;
/// Segments in a run at most.
const LONGEST: usize = 40;

/// What a long job makes of its one rendition.
#[derive(Debug)]
pub(super) struct Runs<'a> {
    attempt: &'a Attempt<'a>,
    version: &'a VersionId,
    material: &'a Material,
    pub rendition: RenditionName,
    /// Where a worker may be killed in tests.
    failpoint: &'static str,
    /// Segments that an attempt before this one has had adopted: they are taken as they are.
    adopted: u64,
    /// Of the init segment that was adopted, hexadecimal.
    init: Option<String>,
    /// Written with the first run, and adopted with it.
    new_init: Option<Init>,
    segments: Vec<Segment>,
    run: usize,
}

/// The parameter sets are others than those of what was adopted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OtherInit;

impl<'a> Runs<'a> {
    /// Goes on where the last attempt ended.
    pub async fn resume(
        attempt: &'a Attempt<'a>,
        version: &'a VersionId,
        material: &'a Material,
        rendition: RenditionName,
        failpoint: &'static str,
    ) -> Result<Self> {
        let catalog = &attempt.state.catalog;
        let adopted = catalog.segments_adopted(version, &rendition).await?;
        let init = catalog.inits(version).await?.into_iter().find(|(name, _)| *name == rendition).map(|(_, init)| init.sha256);
        let (new_init, segments) = (None, Vec::new());
        Ok(Self { attempt, version, material, rendition, failpoint, adopted, init, new_init, segments, run: SHORTEST })
    }

    /// Writes what is new of `packaged`, and has it adopted once it is a run (invariant 2: fenced as the job's end is).
    pub async fn take(&mut self, init: cmaf::Init, packaged: Vec<PackagedSegment>) -> Result<Result<(), OtherInit>> {
        let digest = init_sha256(&init);
        if self.init.as_ref().is_some_and(|known| *known != digest) {
            return Ok(Err(OtherInit));
        }
        let (attempt, writer) = (self.attempt, self.writer());
        let new: Vec<_> = packaged.into_iter().filter(|segment| u64::from(segment.index) >= self.adopted).collect();
        if new.is_empty() {
            return Ok(Ok(()));
        }
        let segments = attempt.or_discard(writer.segments(new, &digest)).await?;
        let new_init = if self.init.is_none() { Some(attempt.or_discard(writer.init(init)).await?) } else { None };
        self.segments.extend(segments);
        self.new_init = new_init.or(self.new_init.take());
        self.init = Some(digest);
        if self.segments.len() >= self.run {
            self.adopt_run().await?;
            self.run = (self.run * 2).min(LONGEST);
        }
        Ok(Ok(()))
    }

    fn writer(&self) -> Writer<'a> {
        Writer { attempt: self.attempt, version: self.version, rendition: self.rendition.clone(), root: &self.material.root }
    }

    async fn adopt_run(&mut self) -> Result<()> {
        let written = [self.written()];
        failpoint::hit(self.failpoint);
        let lease_ms = self.attempt.state.limits.lease_ms();
        transaction!(self.attempt.state.catalog, |tx| {
            if !tx.heartbeat(&self.attempt.lease, lease_ms, self.attempt.percent()).await? {
                return Err(lease_lost("its segments came too late"));
            }
            adopt(&mut tx, self.version, &written).await
        })?;
        self.attempt.keep();
        growth::grow(self.attempt, self.version, &self.material.plan).await;
        Ok(())
    }

    fn written(&mut self) -> Written {
        Written { rendition: self.rendition.clone(), init: self.new_init.take(), segments: mem::take(&mut self.segments) }
    }

    /// What is left, to be adopted in the transaction that settles the job.
    pub fn rest(mut self) -> Written {
        self.written()
    }
}
