//! Events: what happened to a video, written in the transaction that made it happen.

use super::{Error, Result};

/// An enum of kinds, each with its dotted name.
macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)+) => {
        /// The kinds of event, as webhooks and streams name them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($(#[$doc])* $variant,)+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The dotted name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

kinds! {
    /// Every part is durable and the probe is queued.
    UploadFinished = "upload.finished",
    /// A viewer may start watching.
    VideoPlayable = "video.playable",
    /// It is published, with all renditions that could be made.
    VideoReady = "video.ready",
    /// It is published without renditions that could not be made: its payload names them.
    VideoDegraded = "video.degraded",
    /// A rendition that was left out was made after all: new sessions see it.
    VideoRepaired = "video.repaired",
    /// A replacement was published: from now on it is what plays.
    VideoReplaced = "video.replaced",
    /// A replacement's source cannot become a video; the version before plays on.
    ReplacementRefused = "replacement.refused",
    /// A replacement was called off; the version before plays on.
    ReplacementCancelled = "replacement.cancelled",
    /// The source cannot become a video.
    VideoRefused = "video.refused",
    /// Its title or collection is another.
    VideoEdited = "video.edited",
    /// The video and its keys are gone.
    VideoDeleted = "video.deleted",
    /// A job became a dead letter.
    JobDead = "job.dead",
}

impl Kind {
    /// Reads the name back; an unknown one is `Invalid`.
    pub fn parse(word: &str) -> Result<Self> {
        let known = Self::ALL.iter().copied().find(|kind| kind.as_str() == word);
        let all = || Self::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
        known.ok_or_else(|| Error::invalid("unknown-word", format!("{word:?} is none of: {}", all())))
    }

    /// Whether everyone who may see the video hears of it. The others are about how it is made, for its owner and administrators.
    pub fn is_for_viewers(self) -> bool {
        match self {
            Self::VideoPlayable | Self::VideoReady | Self::VideoReplaced | Self::VideoEdited | Self::VideoDeleted => true,
            Self::VideoDegraded | Self::VideoRepaired => true,
            Self::UploadFinished | Self::ReplacementRefused | Self::ReplacementCancelled | Self::VideoRefused | Self::JobDead => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()).expect("own name"), *kind);
        }
        assert_eq!(Kind::parse("video.watched").expect_err("none of ours").code(), "unknown-word");
    }
}
