//! Whether a source's own H.264 becomes the top rendition as it is, and where it may be cut.

use crate::ladder::Rendition;
use crate::probe::{Cadence, Facts, Picture, VideoFacts};
use crate::time::{TICKS_PER_SECOND, ticks_to_seconds};
use crate::timeline::{Mark, Segment, is_silent};
use serde::{Deserialize, Serialize};

/// The longest time between two IDR pictures: x264's default of 250 pictures at 24 a second, and a little.
const MOST_APART_TICKS: i64 = 10 * TICKS_PER_SECOND + TICKS_PER_SECOND / 2;
/// The highest level that players are told to take (Apple's authoring specification, 1.3), times ten.
const MOST_LEVEL: u8 = 52;

/// An IDR picture and all that follow it up to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// When it is shown, in the stream's time base.
    pub pts: i64,
    /// What it takes in the source.
    pub size_bytes: u64,
}

/// What the source's H.264 was found to be, looking at its NAL units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Its IDR pictures.
    pub groups: Vec<Group>,
    /// Its level times ten, by its parameter sets.
    pub level: u8,
    /// Its codec by RFC 6381, by its parameter sets.
    pub codec: String,
}

/// Why a source's picture is encoded instead of copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// Another codec, or a profile or pixel format that browsers do not play.
    #[error("its codec, profile or pixel format is not one that every player takes")]
    Format,
    /// Colours in full range.
    #[error("its colours are in full range")]
    FullRange,
    /// Two fields per picture.
    #[error("it is interlaced")]
    Interlaced,
    /// Pixels that are not square, a picture to be turned, or of an odd number of lines.
    #[error("its picture is to be turned, stretched or cropped")]
    Shape,
    /// Times that must be made anew.
    #[error("its times must be made anew")]
    Times,
    /// Not all of it is there, or not all of it is to be shown.
    #[error("only a part of it is shown")]
    Part,
    /// Its NAL units were not looked at: its header does not say where they are.
    #[error("its header does not say enough")]
    Unseen,
    /// Its IDR pictures are too far apart, or it does not begin with one.
    #[error("its IDR pictures are too far apart")]
    Idrs,
    /// A level above those that players take.
    #[error("its level is too high")]
    Level,
    /// More bits than the rendition may take.
    #[error("it takes more bits than the rendition may")]
    Bits,
    /// A picture that was copied was not what its header promised.
    #[error("it was not what it promised when it was copied")]
    Promise,
}

/// The groups of packets in decode order, of which `is_idr` says whether their first slice is of an IDR picture. `None` unless the first one
/// is, and every picture is shown between its own IDR picture and the next.
pub fn groups(pictures: &[Picture], is_idr: impl Fn(usize) -> bool) -> Option<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    let mut latest = i64::MIN;
    for (index, picture) in pictures.iter().enumerate() {
        let pts = picture.pts?;
        if is_idr(index) {
            if pts <= latest {
                return None;
            }
            groups.push(Group { pts, size_bytes: 0 });
        }
        let group = groups.last_mut().filter(|group| pts >= group.pts)?;
        group.size_bytes = group.size_bytes.saturating_add(picture.size_bytes);
        latest = latest.max(pts);
    }
    Some(groups)
}

/// Whether it is worth looking at the NAL units of a source: all that its header says speaks for copying it.
pub fn invites(facts: &Facts, video: &VideoFacts) -> Result<(), Obstacle> {
    let profile = matches!(&*video.profile, "Baseline" | "Constrained Baseline" | "Main" | "High");
    match () {
        () if video.codec == "h264" && (video.colour.full_range || video.pix_fmt == "yuvj420p") => Err(Obstacle::FullRange),
        () if video.codec != "h264" || !profile || video.pix_fmt != "yuv420p" => Err(Obstacle::Format),
        () if video.interlaced => Err(Obstacle::Interlaced),
        () if video.sar.num != video.sar.den || video.rotation != 0 || video.width % 2 + video.height % 2 > 0 => Err(Obstacle::Shape),
        () if video.cadence != Cadence::Source || !facts.jumps.is_empty() => Err(Obstacle::Times),
        () if facts.truncated || facts.window.is_some() => Err(Obstacle::Part),
        () => Ok(()),
    }
}

/// Whether the source's picture can be the rendition `top`.
pub(crate) fn may_be(facts: &Facts, video: &VideoFacts, top: &Rendition) -> Result<(), Obstacle> {
    invites(facts, video)?;
    let look = video.look.as_ref().map_err(|obstacle| *obstacle)?;
    if (video.width, video.height) != (top.width, top.height) {
        return Err(Obstacle::Shape);
    }
    if look.level > MOST_LEVEL {
        return Err(Obstacle::Level);
    }
    let starts: Vec<i64> = look.groups.iter().map(|group| video.time_base.ticks(group.pts)).collect();
    let ends = starts.iter().skip(1).copied().chain([video.end_ticks()]);
    let begins = starts.first().copied().is_some_and(|first| Some(first) == video.start_ticks());
    if !begins || starts.iter().zip(ends).any(|(start, end)| end - start > MOST_APART_TICKS) {
        return Err(Obstacle::Idrs);
    }
    let bits: u64 = look.groups.iter().map(|group| group.size_bytes.saturating_mul(8)).fold(0, u64::saturating_add);
    let seconds = ticks_to_seconds((video.end_ticks() - starts[0]).max(1));
    if bits as f64 / seconds > f64::from(top.maxrate_kbps) * 1000.0 {
        return Err(Obstacle::Bits);
    }
    Ok(())
}

/// Segments that begin at IDR pictures, shown at `idrs`: each as near to `target` ticks as they allow. `marks` are all pictures, `sound_end` is
/// where the sound ends, if there is any.
pub(crate) fn segments(idrs: &[i64], marks: &[Mark], duration_ticks: i64, target: i64, sound_end: Option<i64>) -> Vec<Segment> {
    let mut cuts = vec![0];
    let later = idrs.iter().skip(1).copied();
    for (idr, next) in later.clone().zip(later.skip(1).chain([duration_ticks])) {
        let start = cuts.last().copied().unwrap_or(0);
        let (short, long, left) = (target - (idr - start), (next - start) - target, duration_ticks - idr);
        // Here, unless the next one is nearer, and not where hardly anything is left.
        if short <= long && left >= target / 4 && !(left < target && is_silent(sound_end, idr)) {
            cuts.push(idr);
        }
    }
    let ends = cuts.iter().skip(1).copied().chain([duration_ticks.max(1)]);
    let before = |ticks: i64| marks.partition_point(|mark| mark.ticks < ticks);
    let segment =
        |(&start_ticks, end_ticks)| Segment { start_ticks, end_ticks, pictures: (before(end_ticks) - before(start_ticks)) as u32 };
    cuts.iter().zip(ends).map(segment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::probe::tests_support::{facts, video};

    /// Ten minutes at 25 pictures a second with an IDR picture every `gap` milliseconds.
    fn source(gap: i64) -> Facts {
        let mut video = video(1280, 720);
        let times: Vec<i64> = (0..15_000).map(|number| number * 40).collect();
        video.end_pts = 600_000;
        let groups = times.iter().filter(|&pts| pts % gap == 0).map(|&pts| Group { pts, size_bytes: 100 * gap.unsigned_abs() });
        video.look = Ok(Look { groups: groups.collect(), level: 40, codec: "avc1.640028".to_owned() });
        (video.pictures.0, video.solid.0) = (times.clone(), times);
        facts(video)
    }

    #[test]
    fn segments_begin_at_idr_pictures_about_six_seconds_apart() {
        for (gap, longest, shortest) in [(2000, 6, 6), (5000, 5, 5), (4000, 4, 4), (10_000, 10, 10), (480, 6, 5), (7000, 7, 5)] {
            let plan = Plan::new(&source(gap), 2);
            let made = plan.video.unwrap();
            assert_eq!(made.copied.as_ref().map(|top| &*top.name), Some("720p"));
            assert_eq!(made.renditions.iter().map(|rendition| &*rendition.name).collect::<Vec<_>>(), ["360p", "480p"]);
            let lengths: Vec<i64> = plan.segments.iter().map(|segment| segment.duration_ticks() / TICKS_PER_SECOND).collect();
            assert_eq!((lengths.iter().max(), lengths.iter().min()), (Some(&longest), Some(&shortest)), "{gap}");
            assert!(plan.segments.iter().all(|segment| segment.start_ticks % (gap * 90) == 0), "{gap}");
            assert_eq!(plan.segments.iter().map(|segment| u64::from(segment.pictures)).sum::<u64>(), 15_000);
        }
    }

    #[test]
    fn what_may_not_be_copied_is_encoded_and_it_is_said_why() {
        let changed = |change: fn(&mut Facts, &mut VideoFacts)| {
            let mut facts = source(2000);
            let mut video = facts.video.take().unwrap();
            change(&mut facts, &mut video);
            facts.video = Some(video);
            let made = Plan::new(&facts, 2).video.unwrap();
            assert!(made.copied.is_none() && made.renditions.len() == 3);
            made.obstacle.unwrap()
        };
        assert_eq!(changed(|_, video| video.codec = "hevc".to_owned()), Obstacle::Format);
        assert_eq!(changed(|_, video| video.profile = "High 10".to_owned()), Obstacle::Format);
        assert_eq!(changed(|_, video| video.pix_fmt = "yuvj420p".to_owned()), Obstacle::FullRange);
        assert_eq!(changed(|_, video| video.pix_fmt = "yuv422p".to_owned()), Obstacle::Format);
        assert_eq!(changed(|_, video| video.colour.full_range = true), Obstacle::FullRange);
        assert_eq!(changed(|_, video| video.interlaced = true), Obstacle::Interlaced);
        assert_eq!(changed(|_, video| video.rotation = 180), Obstacle::Shape);
        assert_eq!(changed(|_, video| video.height = 719), Obstacle::Shape);
        assert_eq!(changed(|facts, _| facts.truncated = true), Obstacle::Part);
        assert_eq!(changed(|_, video| video.look = Err(Obstacle::Unseen)), Obstacle::Unseen);
        assert_eq!(changed(|_, video| video.look.as_mut().unwrap().level = 60), Obstacle::Level);
        assert_eq!(changed(|_, video| video.look.as_mut().unwrap().groups[7].size_bytes = 1 << 30), Obstacle::Bits);
        assert_eq!(changed(|_, video| drop(video.look.as_mut().unwrap().groups.drain(8..13))), Obstacle::Idrs);
        assert_eq!(changed(|_, video| drop(video.look.as_mut().unwrap().groups.drain(..1))), Obstacle::Idrs);
        assert_eq!(changed(|_, video| video.look.as_mut().unwrap().groups.truncate(290)), Obstacle::Idrs);
    }

    #[test]
    fn pictures_belong_to_the_idr_picture_before_them() {
        let picture = |pts| Picture { pts: Some(pts), dts: Some(pts), duration: 1, size_bytes: 10, key: false, discard: false };
        let pictures: Vec<Picture> = [0, 3, 1, 2, 4, 7, 5].into_iter().map(picture).collect();
        let found = groups(&pictures, |index| [0, 4].contains(&index)).unwrap();
        assert_eq!(found, [Group { pts: 0, size_bytes: 40 }, Group { pts: 4, size_bytes: 30 }]);
        assert_eq!(groups(&pictures, |index| index == 4), None, "it does not begin with one");
        assert_eq!(groups(&pictures, |index| [0, 2].contains(&index)), None, "shown after the next one");
        assert_eq!(groups(&pictures, |index| [0, 5].contains(&index)), None, "shown before its own");
    }
}
