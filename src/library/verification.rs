//! Verifications: asked for here, carried out by a worker.

use super::{Caller, Library};
use crate::audit::Entry;
use crate::catalog::verifications::NewVerification;
use crate::domain::ids::{VerificationId, VideoId};
use crate::domain::role::Role;
use crate::domain::verification::Verification;
use crate::domain::{Error, Result};
use crate::policy::{Action, Actor, decide};
use crate::transaction;

impl Library {
    /// Asks for a verification of one video, for its owner, or of all, for administrators; one that `repairs` has made again what can be.
    /// `Conflict` (`verifying`) when one of all runs already.
    pub async fn begin_verification(&self, caller: &Caller, id: Option<&VideoId>, repairs: bool) -> Result<Verification> {
        let decision = match id {
            Some(id) => {
                let video = self.catalog.video(id).await?;
                let decision = decide(&caller.actor, Action::Verify(&video));
                self.permit(caller, "verify", &video, decision).await?;
                decision
            }
            None => decide(&caller.actor, Action::Operate),
        };
        decision.permit()?;
        let object = if repairs { "repair" } else { "look" };
        let entry = Entry { video: id.map(ToString::to_string), object: Some(object.to_owned()), ..caller.entry("verify", decision) };
        let new = NewVerification { actor: caller.actor.subject.clone(), video: id.cloned(), repairs };
        let begun = transaction!(self.catalog, |tx| {
            let begun = tx.insert_verification(&new).await?;
            tx.append_audit(&entry).await?;
            Ok::<_, Error>(begun)
        })?;
        self.doorbell.ring_verify();
        self.catalog.verification(&begun).await
    }

    /// A verification: for administrators, and for whoever asked for it.
    pub async fn verification(&self, actor: &Actor, id: &VerificationId) -> Result<Verification> {
        let verification = self.catalog.verification(id).await?;
        let is_theirs = actor.role == Role::Author && verification.actor == actor.subject;
        if is_theirs || decide(actor, Action::Operate).permit().is_ok() {
            return Ok(verification);
        }
        Err(Error::hidden(format!("there is no verification {id}")))
    }

    /// At most `limit` verifications, newest first, after `before`: for administrators all, for authors those that they asked for.
    pub async fn verifications(&self, actor: &Actor, before: Option<&VerificationId>, limit: u64) -> Result<Vec<Verification>> {
        let is_operator = decide(actor, Action::Operate).permit().is_ok();
        if !is_operator {
            // Whoever has no videos has none to verify.
            decide(actor, Action::Upload).permit()?;
        }
        self.catalog.verifications((!is_operator).then_some(actor.subject.as_str()), before, limit).await
    }
}
