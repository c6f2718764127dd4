//! Following a video through its processing by server-sent events, across broken connections.

use super::Wait;
use super::patience::Patience;
use super::report::Timings;
use super::upload::Publication;
use crate::cli::client::answers::Video;
use crate::cli::client::events::Event;
use crate::cli::failure::Failure;
use crate::domain::ids::VideoId;
use crate::domain::video::State;

impl Publication<'_> {
    /// Follows `video` until it is what the publisher waits for or will never be; none if it was deleted.
    pub(super) async fn follow(&self, video: &VideoId, timings: &mut Timings) -> Result<Option<Video>, Failure> {
        let patience: &Patience<'_> = self.patience;
        let followed = patience.keep_trying(async || self.follow_once(video, timings).await).await;
        match followed {
            Err(failure) if failure.is_not_found() => Ok(None),
            followed => followed,
        }
    }

    async fn follow_once(&self, video: &VideoId, timings: &mut Timings) -> Result<Option<Video>, Failure> {
        let mut events = self.run.client.events(video).await?;
        loop {
            let event = events.next().await?;
            self.patience.succeeded();
            match event {
                Event::Removed => return Ok(None),
                Event::Changed(now) if now.video != *video => {}
                Event::Changed(now) => {
                    let now = self.concerned(*now);
                    self.progress.processing(&now);
                    timings.note(&now, self.run.elapsed_ms());
                    if is_end(&now, self.run.wait) {
                        // Asked once more: an answer has a digest, an event has none.
                        let now = self.concerned(self.run.client.video(video).await?);
                        if is_end(&now, self.run.wait) {
                            return Ok(Some(now));
                        }
                    }
                }
            }
        }
    }

    /// What of the video this publication is about: all of it, or what is to replace its source.
    fn concerned(&self, video: Video) -> Video {
        if self.run.about.replaces.is_some() { video.as_replaced() } else { video }
    }
}

fn is_end(video: &Video, wait: Wait) -> bool {
    video.state != State::Processing || (wait == Wait::Playable && video.playable)
}
