//! Quotas, as people see and set them.

use super::Storage;
use crate::audit::Entry;
use crate::domain::quota::{Holder, Quota};
use crate::domain::{Error, Result};
use crate::policy::{Action, Actor, decide};
use crate::transaction;

impl Storage {
    /// What everyone has and may have, for those who run the house; the others see what they have themselves.
    pub async fn quotas(&self, actor: &Actor) -> Result<Vec<Quota>> {
        if decide(actor, Action::Operate).permit().is_ok() {
            return self.catalog.quotas().await;
        }
        Ok(vec![self.catalog.quota(&Holder::User(actor.subject.clone())).await?])
    }

    /// What one holder has and may have: their own is everyone's to see, the others' is for those who run the house.
    pub async fn quota(&self, actor: &Actor, holder: &Holder) -> Result<Quota> {
        if *holder != Holder::User(actor.subject.clone()) {
            decide(actor, Action::Operate).permit()?;
        }
        self.catalog.quota(holder).await
    }

    /// Gives a holder a limit (0: none), or, by `None`, the default again, if the quota as it is `is_seen`; with its audit entry in one
    /// transaction. What is there already stays, even above the limit: only new uploads are refused. `None`: it was not as seen.
    pub async fn set_quota(
        &self,
        entry: &Entry,
        holder: &Holder,
        limit_bytes: Option<u64>,
        is_seen: impl Fn(&Quota) -> bool,
    ) -> Result<Option<Quota>> {
        transaction!(self.catalog, |tx| {
            tx.wait_turn().await?;
            if !is_seen(&tx.quota(holder).await?) {
                return Ok::<_, Error>(None);
            }
            tx.set_quota(holder, limit_bytes).await?;
            tx.append_audit(entry).await?;
            tx.quota(holder).await.map(Some)
        })
    }
}
