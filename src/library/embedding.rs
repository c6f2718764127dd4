//! Embedding: on which sites a video may be shown in a frame, links for the people of such a site, and what the frame plays.

use super::{Caller, Library, Playback};
use crate::audit::Entry;
use crate::catalog::embeddings::Embedding;
use crate::domain::ids::VideoId;
use crate::domain::origin::{Origin, Permitted};
use crate::domain::role::Role;
use crate::domain::video::Video;
use crate::domain::{Error, ErrorKind, Result};
use crate::links::embed::{Grant, Minted, Minter};
use crate::policy::{Action, Actor, Decision, decide};
use crate::transaction;
use std::sync::Arc;
use std::time::Duration;

/// The most sites that one video may be embedded on.
const MOST_ORIGINS: usize = 20;
const MAX_SUBJECT_CHARS: usize = 128;
/// How long a link lives unless told otherwise.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
const SHORTEST_LIFETIME: Duration = Duration::from_secs(10);

/// What embedding needs besides the rows.
#[derive(Clone, Debug)]
pub struct Embeds {
    /// Makes and verifies embed tokens.
    pub minter: Arc<Minter>,
    /// The operator's list.
    pub permitted: Permitted,
    /// The longest that an embed link lives.
    pub max_link_lifetime: Duration,
}

/// Whom a link is for.
#[derive(Clone, Debug)]
pub struct LinkFor<'a> {
    /// The person, as the site knows them.
    pub subject: &'a str,
    /// The site.
    pub origin: &'a str,
    /// How long the link lives; absent: five minutes.
    pub lifetime: Option<Duration>,
}

/// Who calls without credentials of their own, from where.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The client's network address.
    pub address: String,
    /// The request's id.
    pub request_id: Option<String>,
}

impl Library {
    /// Where a video may be embedded, for those who decide it.
    pub async fn embedding(&self, caller: &Caller, id: &VideoId) -> Result<Embedding> {
        let video = self.catalog.video(id).await?;
        self.permit(caller, "embedding", &video, decide(&caller.actor, Action::Embed(&video))).await?;
        self.catalog.embedding(id).await
    }

    /// Says where a video may be embedded from now on. `Invalid` for what is no origin (`bad-origin`), for one that the operator does not
    /// permit (`origin-not-permitted`), and for too many (`too-many-origins`). With `seen`, only if that is what holds now: `None` says that
    /// it is not, and that nothing was changed.
    pub async fn set_embedding(
        &self,
        caller: &Caller,
        id: &VideoId,
        (origins, oembed): (&[String], bool),
        seen: Option<&Embedding>,
    ) -> Result<Option<Embedding>> {
        let video = self.catalog.video(id).await?;
        let decision = decide(&caller.actor, Action::Embed(&video));
        self.permit(caller, "embedding", &video, decision).await?;
        if origins.len() > MOST_ORIGINS {
            return Err(Error::invalid("too-many-origins", format!("a video may be embedded on at most {MOST_ORIGINS} sites")));
        }
        let mut parsed = origins.iter().map(|origin| self.permitted_origin(origin)).collect::<Result<Vec<_>>>()?;
        parsed.sort();
        parsed.dedup();
        let said = Embedding { origins: parsed, oembed };
        let object = said.origins.iter().map(Origin::as_str).collect::<Vec<_>>().join(" ");
        let entry = Entry { video: Some(id.to_string()), object: Some(object), ..caller.entry("embedding", decision) };
        let is_said = transaction!(self.catalog, |tx| {
            if let Some(seen) = seen
                && *seen != tx.embedding(id).await?
            {
                return Ok::<_, Error>(false);
            }
            tx.set_embedding(id, &said).await?;
            tx.append_audit(&entry).await?;
            Ok(true)
        })?;
        Ok(is_said.then_some(said))
    }

    fn permitted_origin(&self, text: &str) -> Result<Origin> {
        let origin = Origin::parse(text)?;
        if self.embeds.permitted.permits(&origin) {
            return Ok(origin);
        }
        let message = format!("the operator of this server does not permit embedding on {origin}: ask for it in embedding.origins");
        Err(Error::invalid("origin-not-permitted", message))
    }

    /// The sites on which a video may be in a frame now: those chosen for it, as far as the operator permits them still.
    pub async fn frame_origins(&self, id: &VideoId) -> Result<Vec<Origin>> {
        let chosen = self.catalog.embedding(id).await?.origins;
        Ok(chosen.into_iter().filter(|origin| self.embeds.permitted.permits(origin)).collect())
    }

    /// Makes a link by which one person of a site may watch a video in its frame there (invariant 8: it is in the audit log before it
    /// leaves). `Conflict` (`origin-not-listed`) when the video may not be embedded on that site.
    pub async fn embed_link(&self, caller: &Caller, id: &VideoId, link: &LinkFor<'_>) -> Result<(Grant, Minted)> {
        let video = self.catalog.video(id).await?;
        let decision = decide(&caller.actor, Action::Embed(&video));
        self.permit(caller, "embed-link", &video, decision).await?;
        let origin = Origin::parse(link.origin)?;
        if !self.frame_origins(id).await?.contains(&origin) {
            let message = format!("the video may not be embedded on {origin}: allow that first");
            return Err(Error::conflict("origin-not-listed", message));
        }
        let grant = Grant { video: id.clone(), origin, subject: subject(link.subject)?, issued_by: caller.actor.subject.clone() };
        let lifetime = self.link_lifetime(link.lifetime)?;
        let object = format!("{} at {}", grant.subject, grant.origin);
        self.audit.append(&Entry { video: Some(id.to_string()), object: Some(object), ..caller.entry("embed-link", decision) }).await?;
        let minted = self.embeds.minter.mint(&grant, lifetime, super::now_ms())?;
        Ok((grant, minted))
    }

    fn link_lifetime(&self, wanted: Option<Duration>) -> Result<Duration> {
        let most = self.embeds.max_link_lifetime;
        match wanted {
            None => Ok(DEFAULT_LIFETIME.min(most)),
            Some(wanted) if (SHORTEST_LIFETIME..=most).contains(&wanted) => Ok(wanted),
            Some(_) => {
                let message = format!("an embed link lives {} to {} s", SHORTEST_LIFETIME.as_secs(), most.as_secs());
                Err(Error::invalid("bad-lifetime", message))
            }
        }
    }

    /// Opens a playback session for whoever holds an embed token: as a viewer, under the name the site gave. Decided and written down as
    /// every other session is (invariant 8). `Unauthorized` without a valid token for this video, `Forbidden` when it may not be embedded
    /// on the token's site any more.
    pub async fn watch_embedded(&self, visitor: Visitor, id: &VideoId, token: &str) -> Result<Playback> {
        let grant = self.embeds.minter.verify(token, id, super::now_ms())?;
        let video = self.catalog.video(id).await?;
        let actor = Actor { subject: grant.subject, role: Role::Viewer };
        let caller = Caller { actor, address: visitor.address, request_id: visitor.request_id };
        let object = format!("embedded on {} by {}", grant.origin, grant.issued_by);
        if !self.frame_origins(id).await?.contains(&grant.origin) {
            let decision = Decision::Deny("origin-not-allowed");
            self.audit.append(&Entry { video: Some(id.to_string()), object: Some(object), ..caller.entry("playback", decision) }).await?;
            let message = "this video may not be shown on this site any more: ask its owner";
            return Err(Error::new(ErrorKind::Forbidden, "origin-not-allowed", message));
        }
        let decision = decide(&caller.actor, Action::Watch(&video));
        self.permit(&caller, "playback", &video, decision).await?;
        self.open_session(&caller, &video, decision, Some(object)).await
    }

    /// The video behind an oEmbed request: for those who are signed in one that they may see, for anybody else one whose owner lets it
    /// be known; in both cases only what may be embedded somewhere. `NotFound`, or `Unauthorized` for those who might learn more by
    /// signing in, whether it is there or not.
    pub async fn oembed(&self, actor: Option<&Actor>, id: &VideoId) -> Result<Video> {
        let private = || Error::new(ErrorKind::Unauthorized, "token-missing", "this video is not public: send an access token");
        let nothing = || Error::not_found("nothing can be embedded from this address");
        let found = match actor {
            Some(actor) => self.see(actor, id).await?,
            None => self.catalog.video(id).await.map_err(|error| if error.kind() == ErrorKind::NotFound { private() } else { error })?,
        };
        let is_open = found.is_playable() && !self.frame_origins(id).await?.is_empty();
        match actor {
            Some(_) if is_open => Ok(found),
            Some(_) => Err(nothing()),
            None if is_open && self.catalog.embedding(id).await?.oembed => Ok(found),
            None => Err(private()),
        }
    }
}

fn subject(text: &str) -> Result<String> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= MAX_SUBJECT_CHARS && !text.chars().any(char::is_control);
    let malformed = || {
        let message = format!("the subject must have 1 to {MAX_SUBJECT_CHARS} characters and no control characters");
        Error::invalid("bad-subject", message)
    };
    fits.then(|| text.to_owned()).ok_or_else(malformed)
}
