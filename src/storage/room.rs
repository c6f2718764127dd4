//! Room: what is free, what is promised, and what new uploads must leave.

use super::Storage;
use crate::blobs::Space;
use crate::catalog::Tx;
use crate::catalog::room::Promised;
use crate::domain::collection;
use crate::domain::ids::VideoId;
use crate::domain::quota::Holder;
use crate::domain::size::size;
use crate::domain::upload::Upload;
use crate::domain::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::OwnedMutexGuard;

/// Parts of uploads that were begun may use the reserve, but for an eighth: without that, no row could be written any more, and no deletion.
const FLOOR_OF_RESERVE: u64 = 8;

/// What new uploads must leave free: the smaller of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserve {
    /// So many bytes,
    pub bytes: u64,
    /// or so many hundredths of the disk.
    pub percent: u64,
}

impl Reserve {
    /// The reserve on a disk of `total_bytes`.
    pub fn of(&self, total_bytes: u64) -> u64 {
        self.bytes.min((total_bytes / 100).saturating_mul(self.percent))
    }
}

/// How full the disk is, and is going to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The disk.
    pub space: Space,
    /// What new uploads must leave of it.
    pub reserve_bytes: u64,
    /// What will yet be written.
    pub promised: Promised,
}

impl Room {
    /// What will yet be written: parts that have not come, and renditions. Those of sources that are not probed are taken to be as large as
    /// their sources.
    pub fn promised_bytes(&self) -> u64 {
        let Promised { uploads_bytes, declared_bytes, unprobed_bytes, versions_bytes } = self.promised;
        [uploads_bytes, declared_bytes, unprobed_bytes, versions_bytes].into_iter().fold(0, u64::saturating_add)
    }

    /// The largest upload that may begin.
    pub fn largest_upload_bytes(&self) -> u64 {
        self.space.free_bytes.saturating_sub(self.promised_bytes()).saturating_sub(self.reserve_bytes) / 2
    }

    /// `OutOfSpace` (`insufficient-storage`) when a new upload of `size_bytes` and the renditions made of it would leave less than the reserve.
    pub fn admit(&self, size_bytes: u64) -> Result<()> {
        let most = self.largest_upload_bytes();
        if size_bytes <= most {
            return Ok(());
        }
        let (wanted, most) = (size(size_bytes), size(most));
        let remedy = "delete videos, or ask whoever runs the server for a larger disk";
        Err(Error::insufficient_storage(format!("the server has no room for this file of {wanted}, only for one of {most}; {remedy}")))
    }
}

/// The right to begin an upload, held until its row is there: of two that begin at once, the second sees what the first was promised.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedMutexGuard<()>);

/// Room that is kept for a part while it comes.
#[derive(Debug)]
pub struct Coming {
    size_bytes: u64,
    all_bytes: Arc<AtomicU64>,
}

impl Coming {
    /// Keeps room, and tells how much others keep.
    fn new(size_bytes: u64, all_bytes: &Arc<AtomicU64>) -> (Self, u64) {
        let others_bytes = all_bytes.fetch_add(size_bytes, Ordering::Relaxed);
        (Self { size_bytes, all_bytes: all_bytes.clone() }, others_bytes)
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.all_bytes.fetch_sub(self.size_bytes, Ordering::Relaxed);
    }
}

impl Storage {
    /// Waits for its turn and asks whether a new upload of `size_bytes` may begin: see [`Room::admit`]. One process owns the local store, so
    /// one lock makes the question and the row that follows a single step.
    pub async fn room_for(&self, size_bytes: u64) -> Result<Turn> {
        let turn = self.turn().await;
        self.admit(&turn, size_bytes).await?;
        Ok(turn)
    }

    /// Waits for its turn, to ask afterwards: for whoever must first find out how much to ask for.
    pub async fn turn(&self) -> Turn {
        Turn(self.begins.clone().lock_owned().await)
    }

    /// Asks, in one's turn, whether `size_bytes` more may come that nobody was promised: see [`Room::admit`].
    pub async fn admit(&self, _turn: &Turn, size_bytes: u64) -> Result<()> {
        match self.room().await? {
            Some(room) => room.admit(size_bytes),
            None => Ok(()),
        }
    }

    /// The room as it is; `None` for a store that has no end. Rows first: a part that comes in between counts twice, never not at all.
    pub async fn room(&self) -> Result<Option<Room>> {
        let promised = self.catalog.promised().await?;
        let room = |space: Space| Room { space, reserve_bytes: self.limits.reserve.of(space.total_bytes), promised };
        Ok(self.blobs.space().await?.map(room))
    }

    /// Room for a part of `size_bytes` of an upload that was begun: it was promised, so the reserve is there for it. Parts that come at once are
    /// counted together, each whole until it is there. `Unavailable` (`disk-full`) when others have filled the disk meanwhile.
    pub async fn room_for_part(&self, size_bytes: u64) -> Result<Coming> {
        let (coming, others_bytes) = Coming::new(size_bytes, &self.coming_bytes);
        let Some(space) = self.blobs.space().await? else { return Ok(coming) };
        let floor = self.limits.reserve.of(space.total_bytes) / FLOOR_OF_RESERVE;
        if size_bytes <= space.free_bytes.saturating_sub(floor).saturating_sub(others_bytes) {
            return Ok(coming);
        }
        Err(Error::disk_full("the server's disk is full; the upload goes on where it stopped once there is room"))
    }

    /// Asks, in the transaction that will insert it and has waited for its turn ([`Tx::wait_turn`]), whether the quotas of its owner and its
    /// collection leave room for `upload`.
    pub async fn within_quotas(&self, tx: &mut Tx, upload: &Upload) -> Result<()> {
        let owner = Holder::User(upload.owner.clone());
        for holder in std::iter::once(owner).chain(upload.collection.clone().map(Holder::Collection)) {
            tx.quota(&holder).await?.admit(upload.size_bytes, &self.limits.quotas)?;
        }
        Ok(())
    }

    /// Asks, in the transaction that moves it and has waited for its turn, whether the quota of `collection` leaves room for `video`.
    pub async fn within_quota_of(&self, tx: &mut Tx, collection: &collection::Name, video: &VideoId) -> Result<()> {
        let counted_bytes = tx.counted_bytes(video).await?;
        tx.quota(&Holder::Collection(collection.clone())).await?.admit(counted_bytes, &self.limits.quotas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_reserve_is_the_smaller_of_the_two() {
        let reserve = Reserve { bytes: GIB, percent: 5 };
        for (total, kept) in [(0, 0), (1 << 26, (1 << 26) / 100 * 5), (10 * GIB, 10 * GIB / 100 * 5), (100 * GIB, GIB), (u64::MAX, GIB)] {
            assert_eq!(reserve.of(total), kept, "{total}");
        }
        assert_eq!(Reserve { bytes: 0, percent: 5 }.of(GIB), 0);
    }

    #[test]
    fn a_new_upload_leaves_the_reserve_and_all_that_was_promised() {
        let space = Space { total_bytes: 1000, free_bytes: 500 };
        let promised = Promised { uploads_bytes: 40, declared_bytes: 60, unprobed_bytes: 50, versions_bytes: 50 };
        let room = Room { space, reserve_bytes: 100, promised };
        assert_eq!((room.promised_bytes(), room.largest_upload_bytes()), (200, 100));
        assert!(room.admit(100).is_ok());
        let error = room.admit(101).expect_err("too much");
        assert_eq!(error.code(), "insufficient-storage");
        insta::assert_snapshot!(error.message(), @"the server has no room for this file of 101 B, only for one of 100 B; delete videos, or ask whoever runs the server for a larger disk");
        let full = Room { space: Space { free_bytes: 0, ..space }, ..room };
        assert!(full.admit(1).is_err() && full.largest_upload_bytes() == 0);
    }
}
