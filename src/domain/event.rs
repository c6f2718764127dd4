//! Events: what happened to a video, written in the transaction that made it happen.

/// The kinds of event, as webhooks and streams name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every part is durable and the probe is queued.
    UploadFinished,
    /// A viewer may start watching.
    VideoPlayable,
    /// Every rendition is published.
    VideoReady,
    /// The source cannot become a video.
    VideoRefused,
    /// Its title or collection is another.
    VideoEdited,
    /// The video and its keys are gone.
    VideoDeleted,
    /// A job became a dead letter.
    JobDead,
}

impl Kind {
    /// The dotted name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UploadFinished => "upload.finished",
            Self::VideoPlayable => "video.playable",
            Self::VideoReady => "video.ready",
            Self::VideoRefused => "video.refused",
            Self::VideoEdited => "video.edited",
            Self::VideoDeleted => "video.deleted",
            Self::JobDead => "job.dead",
        }
    }
}
