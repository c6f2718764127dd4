//! Letting playlists grow while a version is made, and saying when it can be watched.
//!
//! Whoever has had segments adopted does it, at once. Nothing depends on it: what a killed worker left undone the next segments bring about, or
//! publishing. A playlist has one writer at a time by compare-and-set: its tag is read before the rows are, so whoever wins has seen at least as
//! much as the one before (invariant 2), and rows of which some job is still due, so that none takes the place of a playlist that is whole.

use super::State;
use super::attempt::Attempt;
use super::ending::entry;
use super::playlists::{Made, Run};
use crate::blobs::{ETag, Key};
use crate::catalog::versions::Growing;
use crate::domain::Result;
use crate::domain::event::Kind as EventKind;
use crate::domain::ids::VersionId;
use crate::failpoint;
use crate::transaction;
use bytes::Bytes;
use theatrum_media::pace::Pace;
use theatrum_media::plan::Plan;
use theatrum_media::playlist::{PlaylistType, segments_listed};

/// How often to begin anew when others let the same playlist grow; each of them has done what is left undone here.
const TRIES: usize = 3;

/// Lets the playlists of the job's version grow by what was adopted. What goes wrong is logged: the job has done its work.
pub(super) async fn grow(attempt: &Attempt<'_>, version: &VersionId, plan: &Plan) {
    let growth = Growth { attempt, version, plan };
    for _ in 0..TRIES {
        match growth.once().await {
            Err(error) if error.code() == "playlist-changed" => {}
            Ok(()) => return,
            Err(error) => return tracing::warn!(%version, cause = %error.chain(), "a growing playlist could not be written"),
        }
    }
}

struct Growth<'a> {
    attempt: &'a Attempt<'a>,
    version: &'a VersionId,
    plan: &'a Plan,
}

/// The playlists that are there.
struct Present(Vec<(Key, Bytes)>);

impl Present {
    fn text(&self, key: &Key) -> Option<&Bytes> {
        self.0.iter().find(|(at, _)| at == key).map(|(_, text)| text)
    }

    fn tag(&self, key: &Key) -> Option<ETag> {
        self.text(key).map(|text| ETag::of(text))
    }
}

impl Growth<'_> {
    async fn once(&self) -> Result<()> {
        let catalog = &self.attempt.state.catalog;
        let present = self.present().await?;
        let made = Made::read(catalog, self.version, self.plan).await?;
        let Some(growing) = transaction!(catalog, |tx| tx.growing(self.version).await)? else { return Ok(()) };
        let runs = made.runs()?;
        for run in &runs {
            let key = run.key(&self.attempt.job.video, self.version);
            self.extend(&key, run, &present).await?;
        }
        if !growing.playable && self.outruns_play(&made, &runs, growing) {
            self.open(&made, &present).await?;
        }
        Ok(())
    }

    async fn present(&self) -> Result<Present> {
        let State { catalog, blobs, .. } = self.attempt.state;
        let (video, version) = (&self.attempt.job.video, self.version);
        let mut keys = vec![Key::MasterPlaylist { video: video.clone(), version: version.clone() }];
        for rendition in catalog.renditions(version).await? {
            keys.push(Key::MediaPlaylist { video: video.clone(), version: version.clone(), rendition: rendition.name });
        }
        let mut present = Vec::new();
        for key in keys {
            present.extend(blobs.find(&key).await?.map(|text| (key, text)));
        }
        Ok(Present(present))
    }

    /// What was taken back of a rendition stays in its playlist until all of it is there: nothing else is promised of one that grows.
    async fn extend(&self, key: &Key, run: &Run<'_>, present: &Present) -> Result<()> {
        if run.segments.len() <= present.text(key).map_or(0, |text| segments_listed(text)) {
            return Ok(());
        }
        let text = run.playlist(self.plan.target_duration_s(), PlaylistType::Event)?;
        failpoint::hit("grow");
        self.attempt.state.blobs.put_playlist(key, Bytes::from(text), present.tag(key).as_ref()).await.map(drop)
    }

    /// Whether sound and the lowest rendition are there, and are going to be for whoever begins now.
    fn outruns_play(&self, made: &Made<'_>, runs: &[Run<'_>], growing: Growing) -> bool {
        let sound = runs.iter().find(|run| run.is_sound()).map(Run::length_ticks);
        let lowest = made.lowest().and_then(|name| runs.iter().find(|run| run.name == name)).map(Run::length_ticks);
        let picture = self.plan.video.as_ref();
        if made.has_sound() && sound.is_none() || picture.is_some() && lowest.is_none() {
            return false;
        }
        let both = sound.into_iter().chain(lowest).min().unwrap_or(0);
        // Of the first chunk the lowest rendition is made by itself; how fast all of them come shows only later.
        let first_chunk = picture.and_then(|video| video.chunks.first()).map_or(0, |chunk| chunk.end_ticks());
        let speed = match picture {
            Some(video) if both <= first_chunk => video.speed_of_all(self.attempt.state.limits.slots),
            _ => 1.0,
        };
        let pace = Pace { made: both as f64, elapsed: growing.elapsed_ms as f64 * 90.0, whole: self.plan.duration_ticks as f64 };
        pace.outruns_play(speed)
    }

    /// Writes the master playlist, then says that the video can be watched, with its event and its audit entry.
    async fn open(&self, made: &Made<'_>, present: &Present) -> Result<()> {
        let (state, video) = (self.attempt.state, &self.attempt.job.video);
        let Some(text) = made.growing_master()? else { return Ok(()) };
        let key = Key::MasterPlaylist { video: video.clone(), version: self.version.clone() };
        state.blobs.put_playlist(&key, Bytes::from(text), present.tag(&key).as_ref()).await?;
        failpoint::hit("playable");
        transaction!(state.catalog, |tx| {
            if tx.mark_playable(video, self.version).await? {
                tx.append_event(EventKind::VideoPlayable, video, "{}").await?;
                tx.append_audit(&entry(&self.attempt.job, "playable", "growing")).await?;
            }
            Ok(())
        })
    }
}
