//! Who may do what. Everything that is not allowed here is denied (invariant 9).

use crate::domain::role::Role;
use crate::domain::video::{State, Video};
use crate::domain::{Error, ErrorKind, Result};

/// Someone with valid credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The person or machine.
    pub subject: String,
    /// What they may do.
    pub role: Role,
}

/// What an actor attempts.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// Begin an upload.
    Upload,
    /// Use an upload of this owner: send parts, finish, abort.
    UseUpload(&'a str),
    /// List videos; the listing is limited to what the actor may see.
    List,
    /// See a video's state.
    See(&'a Video),
    /// Play a video, or go on playing it.
    Watch(&'a Video),
    /// Download a rendition of a video; the operator says whether those who may watch it may do this too.
    DownloadRendition {
        /// The video.
        video: &'a Video,
        /// What the operator says.
        viewers_may: bool,
    },
    /// Download the original file of a video.
    DownloadSource(&'a Video),
    /// Give a video another title or collection.
    Edit(&'a Video),
    /// Delete a video.
    Delete(&'a Video),
    /// Replace a video's source, or trim it.
    Replace(&'a Video),
    /// Say where a video may be embedded, and make links for those places.
    Embed(&'a Video),
    /// See who watches a video, and end their sessions.
    KeepSessions(&'a Video),
    /// List jobs; the listing is limited to the actor's own videos.
    ListJobs,
    /// See and redrive dead letters.
    Operate,
    /// Make access tokens.
    IssueToken,
    /// Have an S3 access key of one's own, and put objects into the inbox with it.
    UseInbox,
    /// List and revoke the S3 access keys of this owner, or make one for them.
    KeepAccessKeys(&'a str),
    /// Make, name, use and revoke the keys that sign links.
    ManageKeys,
}

/// What the policy says, with a stable code for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go ahead.
    Allow(&'static str),
    /// No.
    Deny(&'static str),
}

impl Decision {
    /// `allow` or `deny`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Deny(_) => "deny",
        }
    }

    /// Why.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Allow(reason) | Self::Deny(reason) => reason,
        }
    }

    /// `Forbidden` when denied.
    pub fn permit(self) -> Result<()> {
        match self {
            Self::Allow(_) => Ok(()),
            Self::Deny(_) => Err(Error::new(ErrorKind::Forbidden, "not-allowed", "your role does not allow this: ask an administrator")),
        }
    }
}

/// Decides whether `actor` may attempt `action`.
pub fn decide(actor: &Actor, action: Action<'_>) -> Decision {
    if actor.role == Role::Admin {
        return Decision::Allow("admin");
    }
    let is_author = actor.role == Role::Author;
    let owns = |owner: &str| is_author && owner == actor.subject;
    match action {
        Action::List => Decision::Allow("signed-in"),
        Action::Upload | Action::ListJobs | Action::UseInbox if is_author => Decision::Allow("author"),
        Action::UseUpload(owner) | Action::KeepAccessKeys(owner) if owns(owner) => Decision::Allow("owner"),
        Action::See(video)
        | Action::Watch(video)
        | Action::Edit(video)
        | Action::Delete(video)
        | Action::Replace(video)
        | Action::Embed(video)
        | Action::KeepSessions(video)
            if owns(&video.owner) =>
        {
            Decision::Allow("owner")
        }
        Action::DownloadRendition { video, .. } | Action::DownloadSource(video) if owns(&video.owner) => Decision::Allow("owner"),
        Action::DownloadRendition { video, viewers_may: true } if video.state == State::Ready => Decision::Allow("published"),
        Action::See(video) | Action::Watch(video) if video.is_playable() => Decision::Allow("published"),
        _ => Decision::Deny("role"),
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    //! A video made by hand.
    use super::*;
    use crate::domain::ids::VideoId;
    use crate::domain::video::Stage;

    /// A video of `owner` in `state`.
    pub(crate) fn video(owner: &str, state: State) -> Video {
        Video {
            id: VideoId::new(),
            owner: owner.into(),
            title: "t".into(),
            collection: None,
            state,
            stage: Stage::Done,
            percent: 0,
            version: None,
            created_at: 0,
            playable_at: None,
            ready_at: None,
            duration_ms: None,
            width: None,
            height: None,
            truncated: false,
            poster_epoch: None,
            refusal: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tests_support::video;
    use super::*;

    fn actor(subject: &str, role: Role) -> Actor {
        Actor { subject: subject.into(), role }
    }

    /// invariant 9: deny by default: the whole matrix, spelled out.
    #[test]
    fn every_role_may_do_exactly_this() {
        let (own, others_ready, others_new) =
            (video("ada", State::Processing), video("bob", State::Ready), video("bob", State::Processing));
        let others_playable = Video { playable_at: Some(1), ..video("bob", State::Processing) };
        let others_failed = Video { playable_at: Some(1), ..video("bob", State::Failed) };
        let rows = [
            (Action::Upload, [true, true, false]),
            (Action::UseUpload("ada"), [true, true, false]),
            (Action::UseUpload("bob"), [true, false, false]),
            (Action::List, [true, true, true]),
            (Action::See(&own), [true, true, false]),
            (Action::See(&others_ready), [true, true, true]),
            (Action::See(&others_new), [true, false, false]),
            (Action::See(&others_playable), [true, true, true]),
            (Action::See(&others_failed), [true, false, false]),
            (Action::Watch(&own), [true, true, false]),
            (Action::Watch(&others_ready), [true, true, true]),
            (Action::Watch(&others_new), [true, false, false]),
            (Action::Watch(&others_playable), [true, true, true]),
            (Action::Watch(&others_failed), [true, false, false]),
            (Action::DownloadRendition { video: &others_playable, viewers_may: true }, [true, false, false]),
            (Action::Edit(&own), [true, true, false]),
            (Action::Edit(&others_ready), [true, false, false]),
            (Action::Delete(&own), [true, true, false]),
            (Action::Delete(&others_ready), [true, false, false]),
            (Action::Replace(&own), [true, true, false]),
            (Action::Replace(&others_ready), [true, false, false]),
            (Action::Embed(&own), [true, true, false]),
            (Action::Embed(&others_ready), [true, false, false]),
            (Action::KeepSessions(&own), [true, true, false]),
            (Action::KeepSessions(&others_ready), [true, false, false]),
            (Action::DownloadRendition { video: &own, viewers_may: false }, [true, true, false]),
            (Action::DownloadRendition { video: &others_ready, viewers_may: false }, [true, false, false]),
            (Action::DownloadRendition { video: &others_ready, viewers_may: true }, [true, true, true]),
            (Action::DownloadRendition { video: &others_new, viewers_may: true }, [true, false, false]),
            (Action::DownloadSource(&own), [true, true, false]),
            (Action::DownloadSource(&others_ready), [true, false, false]),
            (Action::ManageKeys, [true, false, false]),
            (Action::ListJobs, [true, true, false]),
            (Action::Operate, [true, false, false]),
            (Action::IssueToken, [true, false, false]),
            (Action::UseInbox, [true, true, false]),
            (Action::KeepAccessKeys("ada"), [true, true, false]),
            (Action::KeepAccessKeys("bob"), [true, false, false]),
        ];
        for (action, allowed) in rows {
            for (role, allowed) in Role::ALL.into_iter().zip(allowed) {
                let decision = decide(&actor("ada", role), action);
                assert_eq!(decision.permit().is_ok(), allowed, "{role} {action:?}");
            }
        }
    }
}
