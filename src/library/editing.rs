//! Editing: what a video is called, and where it is.

use super::{Caller, Library};
use crate::audit::Entry;
use crate::domain::collection::Name;
use crate::domain::event::Kind as EventKind;
use crate::domain::ids::VideoId;
use crate::domain::video::Placing;
use crate::domain::{Error, Result};
use crate::policy::{Action, decide};
use crate::transaction;

/// What is to change; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Another title.
    pub title: Option<String>,
    /// Another collection; `Some(None)` for none.
    pub collection: Option<Option<Name>>,
}

impl Library {
    /// Changes a video's title or collection. With `seen`, only if that is what the video has now: `false` says that it has not, and that
    /// nothing was changed. `OutOfSpace` (`quota-exceeded`) when the quota of the other collection has no room for the video.
    pub async fn edit(&self, caller: &Caller, id: &VideoId, changes: &Changes, seen: Option<&Placing>) -> Result<bool> {
        let video = self.catalog.video(id).await?;
        let decision = decide(&caller.actor, Action::Edit(&video));
        self.permit(caller, "edit", &video, decision).await?;
        let entry = Entry { video: Some(id.to_string()), ..caller.entry("edit", decision) };
        let edited = transaction!(self.catalog, |tx| {
            if changes.collection.is_some() {
                tx.wait_turn().await?;
            }
            let now = tx.placing(id).await?;
            if seen.is_some_and(|seen| *seen != now) {
                return Ok::<_, Error>(false);
            }
            let title = changes.title.clone().unwrap_or(now.title);
            let collection = changes.collection.clone().unwrap_or_else(|| now.collection.clone());
            if let Some(other) = collection.as_ref().filter(|other| now.collection.as_ref() != Some(other)) {
                self.storage.within_quota_of(&mut tx, other, id).await?;
            }
            tx.place(id, &Placing { title, collection }).await?;
            tx.append_event(EventKind::VideoEdited, id, "{}").await?;
            tx.append_audit(&entry).await?;
            Ok(true)
        })?;
        if edited {
            self.doorbell.video_changed(id);
        }
        Ok(edited)
    }
}
