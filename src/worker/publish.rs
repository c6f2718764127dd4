//! Publishing: playlists from the rows, then one compare-and-set that makes the video ready.

use super::attempt::{Attempt, Failed};
use super::playlists::Made;
use crate::blobs::{Key, Prefix};
use crate::catalog::Catalog;
use crate::catalog::versions::{Publication, Version};
use crate::domain::event::Kind as EventKind;
use crate::domain::ids::{VersionId, VideoId};
use crate::domain::job::{Kind, NewJob};
use crate::domain::{Error, Result};
use crate::failpoint;
use crate::transaction;
use bytes::Bytes;
use futures_util::StreamExt;
use theatrum_media::plan::Plan;
use theatrum_media::probe::{Code, Refusal, enough_decoded};

/// The job that publishes a version: nothing is more urgent.
pub(super) fn job(video: &VideoId, version: &VersionId) -> NewJob {
    NewJob { kind: Kind::Publish, payload: "{}".to_owned(), video: video.clone(), version: Some(version.clone()), priority: 0, weight: 1 }
}

/// Runs the job.
pub(super) async fn run(attempt: &Attempt<'_>) -> Result<(), Failed> {
    failpoint::hit("publishing");
    let id = attempt.version()?;
    let catalog = &attempt.state.catalog;
    let version = catalog.version(id).await?;
    if version.pictures_expected > 0 && !enough_decoded(version.pictures_expected, version.pictures_decoded) {
        return Err(Refusal::from(Code::Undecodable).into());
    }
    let plan: Plan = serde_json::from_str(&version.plan).map_err(|error| Error::internal("a version's plan cannot be read", error))?;
    let poster = Poster::of(catalog, &attempt.job.video, id).await?;
    let made = Made::read(catalog, id, &plan).await?;
    for (key, text) in made.playlists(&attempt.job.video, id)? {
        put(attempt, &key, text).await?;
    }
    // Before the job settles: after a kill in the middle the next attempt sweeps again.
    sweep(attempt, id, |key| made.is_orphan(key) || poster.is_orphan(key)).await;
    failpoint::hit("publish");
    announce(attempt, &version).await?;
    failpoint::hit("published");
    Ok(())
}

/// Deletes what attempts that were fenced off left beside the version's own blobs: nobody points at it, and every other job has settled.
/// A disk that fails here does not hold up the publication.
async fn sweep(attempt: &Attempt<'_>, version: &VersionId, is_orphan: impl Fn(&Key) -> bool) {
    let blobs = &attempt.state.blobs;
    let mut present = blobs.list_prefix(&Prefix::Version(attempt.job.video.clone(), version.clone()));
    while let Some(found) = present.next().await {
        let swept = match found {
            Ok((key, _)) if is_orphan(&key) => blobs.delete(&key).await,
            found => found.map(drop),
        };
        if let Err(error) = swept {
            tracing::warn!(%version, cause = %error.chain(), "could not sweep the orphans of a version");
        }
    }
}

/// The one transaction that makes the video ready, or switches it to this version, with its events and its audit entry (invariant 3).
async fn announce(attempt: &Attempt<'_>, version: &Version) -> Result<()> {
    let video = &attempt.job.video;
    let has_holes = version.pictures_decoded < version.pictures_expected;
    let keep_ms = i64::try_from(attempt.state.limits.keep_superseded.as_millis()).unwrap_or(i64::MAX);
    transaction!(attempt.state.catalog, |tx| {
        tx.settle(&attempt.lease).await?;
        let is_first_playable = tx.mark_playable(video, &version.id).await?;
        let (events, reason): (&[EventKind], _) = match tx.publish_version(&version.id, video, has_holes, keep_ms).await? {
            Publication::None => return Ok(()),
            Publication::First if is_first_playable => (&[EventKind::VideoPlayable, EventKind::VideoReady], "complete"),
            Publication::First => (&[EventKind::VideoReady], "complete"),
            Publication::Replacement => (&[EventKind::VideoReplaced], "replacement"),
        };
        for event in events {
            tx.append_event(*event, video, "{}").await?;
        }
        tx.append_audit(&attempt.entry("publish", reason)).await
    })
}

/// Writes a playlist in place of the one that grew, or that an earlier attempt left. Whoever read the rows before the last job settled may still
/// be about to let it grow; from then on nobody is.
async fn put(attempt: &Attempt<'_>, key: &Key, text: String) -> Result<()> {
    let (blobs, bytes) = (&attempt.state.blobs, Bytes::from(text));
    loop {
        let present = blobs.find(key).await?.map(|bytes| crate::blobs::ETag::of(&bytes));
        match blobs.put_playlist(key, bytes.clone(), present.as_ref()).await {
            Err(error) if error.code() == "playlist-changed" => {}
            put => return put.map(drop),
        }
    }
}

/// Which posters are the version's.
struct Poster {
    adopted: Option<i64>,
    /// Whoever writes a poster from now on does so under a higher epoch.
    settled: i64,
}

impl Poster {
    /// A dead poster job may be redriven at any time: what that writes is none of the orphans, though no row points at it yet.
    async fn of(catalog: &Catalog, video: &VideoId, version: &VersionId) -> Result<Self> {
        let settled = catalog.settled_epoch(video, version, Kind::Stills).await?;
        // Read last: what settled before is adopted by now.
        Ok(Self { adopted: catalog.poster_epoch(version).await?, settled })
    }

    fn is_orphan(&self, key: &Key) -> bool {
        let Key::Poster { epoch, .. } = key else { return false };
        let epoch = epoch.cast_signed();
        epoch <= self.settled && self.adopted != Some(epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{LONG_MS, catalog, claim, version};
    use super::*;
    use crate::catalog::jobs::{Failure, Lease};

    /// invariant 2: a poster is swept when its epoch is over and no row adopted it; one that a redriven job may be writing is not.
    #[tokio::test]
    async fn a_poster_is_an_orphan_once_nobody_can_adopt_it() {
        let (_folder, catalog) = catalog().await;
        let version = version(&catalog, &[Kind::Stills]).await;
        let orphans = async || {
            let poster = Poster::of(&catalog, &version.video, &version.id).await.expect("rows");
            let key = |epoch| Key::Poster { video: version.video.clone(), version: version.id.clone(), epoch };
            (0..6).filter(|epoch| poster.is_orphan(&key(*epoch))).collect::<Vec<u64>>()
        };
        let buried = Failure { error: "no room".to_owned(), stderr_tail: None };
        for (epoch, while_running, when_dead) in [(1, vec![0], vec![0, 1]), (2, vec![0, 1], vec![0, 1, 2])] {
            let job = claim(&catalog, LONG_MS).await;
            assert_eq!((job.epoch, orphans().await), (epoch, while_running));
            transaction!(catalog, |tx| tx.bury(&Lease::of(&job), &buried).await).expect("buried");
            assert_eq!(orphans().await, when_dead);
            transaction!(catalog, |tx| tx.redrive(&job.id).await).expect("redriven");
            assert_eq!(orphans().await, when_dead);
        }
        let job = claim(&catalog, LONG_MS).await;
        transaction!(catalog, |tx| {
            tx.settle(&Lease::of(&job)).await?;
            tx.set_poster(&version.video, &version.id, job.epoch).await
        })
        .expect("settled");
        assert_eq!(orphans().await, [0, 1, 2], "epoch 3 is the poster");
    }
}
