//! The audit log: who asked for what, and what they got.

mod log;

use crate::domain::Result;
use crate::domain::ids::{SessionId, VersionId, VideoId};
use async_trait::async_trait;
use std::fmt;
use std::net::IpAddr;

pub use crate::catalog::audit::Entry;
pub use log::Log;

/// What kind of object an edge delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A master or media playlist.
    Playlist,
    /// The initialisation segment of a rendition.
    Init,
    /// A media segment.
    Segment,
}

impl Kind {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Playlist => "playlist",
            Self::Init => "init",
            Self::Segment => "segment",
        }
    }
}

/// To whom an edge delivers, as far as it can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// A viewer's session.
    Session(SessionId),
    /// Whoever holds a link signed by this key pair for this resource: such links cannot tell viewers apart.
    Link {
        /// The key pair's name.
        key_pair_id: String,
        /// The URL, or the pattern of URLs, that it signed for.
        resource: String,
    },
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(session) => session.fmt(f),
            Self::Link { key_pair_id, resource } => write!(f, "{key_pair_id} {resource}"),
        }
    }
}

/// One answer that an edge is about to give to a viewer who may have it.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// To whom.
    pub receiver: &'a Receiver,
    /// The video.
    pub video: &'a VideoId,
    /// The version.
    pub version: &'a VersionId,
    /// The object's path within the version, such as `720p/000003-1.m4s`.
    pub object: &'a str,
    /// Its kind.
    pub kind: Kind,
    /// The address of the connection.
    pub address: IpAddr,
    /// The bytes of the object that will leave: 0 for HEAD and for "you have it already".
    pub bytes: u64,
}

/// The end of the audit log that an edge may write to. It can only be appended to.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Counts a delivery. When this returns `Ok`, the first access of its receiver in this minute is durable; the edge
    /// sends no byte before. On any error the edge sends none at all (invariant 8).
    async fn delivered(&self, delivery: &Delivery<'_>) -> Result<()>;

    /// Counts a refusal by address and reason, a stable code such as `token-expired`. Refusals leave nothing, so the
    /// answer waits for no disk: the sink aggregates, bounds and reports its own failures.
    async fn refused(&self, address: IpAddr, reason: &'static str);
}
