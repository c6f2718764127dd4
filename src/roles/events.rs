//! How events leave the house: what the API and the deliveries of webhooks are made of.

use super::House;
use crate::config;
use crate::domain::Result;
use crate::kms::Kms;
use crate::library::Webhooks;
use crate::notify::{self, Courier};
use crate::transaction;
use std::sync::Arc;

impl House {
    /// The use cases of webhooks.
    pub(super) fn webhooks(&self) -> Webhooks {
        let config::Webhooks { rules, secret_overlap, .. } = &self.config.webhooks;
        Webhooks {
            catalog: self.parts.catalog.clone(),
            kms: Kms::Local(self.parts.keyring.clone()),
            audit: self.parts.audit.clone(),
            doorbell: self.parts.doorbell.clone(),
            rules: Arc::new(rules.clone()),
            overlap: *secret_overlap,
        }
    }

    /// Signs and posts messages.
    pub(super) fn courier(&self) -> Courier {
        let config::Webhooks { rules, timeout, .. } = &self.config.webhooks;
        Courier::new(Kms::Local(self.parts.keyring.clone()), Arc::new(rules.clone()), *timeout)
    }

    /// Deliveries, as this life of the node begins: those that its former life had under way are due.
    pub(super) async fn notify(&self) -> Result<notify::State> {
        let owner = self.folder.owner();
        transaction!(self.parts.catalog, |tx| tx.forget_former_deliveries(self.folder.node(), &owner).await)?;
        let config::Webhooks { first_pause, longest_pause, give_up_after, keep_events, .. } = self.config.webhooks;
        Ok(notify::State {
            catalog: self.parts.catalog.clone(),
            audit: self.parts.audit.clone(),
            doorbell: self.parts.doorbell.clone(),
            courier: self.courier(),
            owner,
            limits: notify::Limits { first_pause, longest_pause, give_up_after, keep_events },
        })
    }
}
