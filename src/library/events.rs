//! The log of events, as far as someone may read it.

use super::Library;
use crate::catalog::outbox::{Audience, Event, Reading};
use crate::domain::Result;
use crate::domain::event::Kind;
use crate::domain::role::Role;
use crate::policy::{Action, Actor, decide};

impl Library {
    /// At most `limit` events after the one numbered `after`, oldest first, of these kinds (empty: all). Administrators read all; owners those of
    /// their videos; everyone what is for viewers, of videos that they may see or could see before they were deleted.
    pub async fn events(&self, actor: &Actor, after: i64, kinds: &[Kind], limit: u64) -> Result<Vec<Event>> {
        decide(actor, Action::List).permit()?;
        let audience = match actor.role {
            Role::Admin => Audience::Everyones,
            Role::Author => Audience::Viewer(Some(actor.subject.clone())),
            Role::Viewer => Audience::Viewer(None),
        };
        self.catalog.read_events(&Reading { after, kinds: kinds.to_vec(), audience, limit }).await
    }
}
