//! What a finding means for those who watch, and what is to be done about it, in words.

use crate::domain::verification::{Outcome, Piece};
use crate::domain::video::RenditionName;
use std::fmt;

/// Where a blob belongs, as far as people care.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub rendition: Option<RenditionName>,
    /// Of a segment: from when, until when, in milliseconds.
    pub span_ms: Option<(u64, u64)>,
}

/// What it means for those who watch that such a blob is damaged.
pub(super) fn means(piece: Piece, place: &Place) -> String {
    let sound = place.rendition.as_ref().is_some_and(|name| *name == RenditionName::audio());
    let name = place.rendition.as_ref().map_or("", RenditionName::as_str);
    let (from, until) = place.span_ms.map_or((Clock(0), Clock(0)), |(from, until)| (Clock(from), Clock(until)));
    match (piece, place.rendition.is_some(), sound) {
        (Piece::Source, ..) => "viewers notice nothing; the original cannot be downloaded, trimmed, or processed again".to_owned(),
        (Piece::Segment, _, true) => format!("there is no sound from {from} to {until}, or the player stops there"),
        (Piece::Segment, ..) => format!("whoever watches {name} sees damage, or the player stops, from {from} to {until}"),
        (Piece::Init, _, true) => "the sound cannot be played: most players refuse the whole video".to_owned(),
        (Piece::Init, ..) => format!("{name} cannot be played at all"),
        (Piece::Poster, ..) => "the video is shown without a picture in lists and before it plays".to_owned(),
        (Piece::Playlist, true, _) => format!("{name} cannot be played, or not as it was made"),
        (Piece::Playlist, false, _) => "nobody can begin to watch the video, or only some of its renditions".to_owned(),
        (Piece::Rows, ..) => "the video may not play to its end, and its playlists cannot be written anew".to_owned(),
        (Piece::Key, ..) => "nobody can watch the video, and nothing of it can be read".to_owned(),
    }
}

/// What is to be done about a finding that has come to `outcome`.
pub(super) fn mend(piece: Piece, outcome: Outcome, cause: Option<&str>) -> Option<String> {
    let elsewhere = "restore the video from a backup, or send its file again: theatrum publish --replace";
    match (outcome, piece) {
        (Outcome::Repaired, _) => None,
        (_, Piece::Source) => Some(format!("it cannot be made again: {elsewhere}")),
        (_, Piece::Key) => Some("restore the keyring and the catalog from a backup".to_owned()),
        (_, Piece::Rows) => Some(format!("it cannot be made again: {elsewhere}")),
        (Outcome::Found, _) => Some("theatrum verify --repair makes it again".to_owned()),
        (Outcome::Lost, _) => Some(format!("its source is damaged too, so it cannot be made again: {elsewhere}")),
        (Outcome::Remaking, _) => Some("the whole video is being made again: verify it once that has replaced this one".to_owned()),
        (Outcome::Failed, _) => Some(match cause {
            Some(cause) => format!("it could not be made again ({cause}): see theatrum dead list, then try again"),
            None => "it could not be made again yet: see theatrum jobs list, then try again".to_owned(),
        }),
    }
}

/// Milliseconds as a player's clock shows them.
struct Clock(u64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000;
        match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
            (0, minutes, seconds) => write!(f, "{minutes}:{seconds:02}"),
            (hours, minutes, seconds) => write!(f, "{hours}:{minutes:02}:{seconds:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_they_would_see_and_when() {
        let place = |name: &str| Place { rendition: RenditionName::parse(name).ok(), span_ms: Some((3_606_000, 3_612_500)) };
        let told = means(Piece::Segment, &place("720p"));
        assert_eq!(told, "whoever watches 720p sees damage, or the player stops, from 1:00:06 to 1:00:12");
        assert!(means(Piece::Segment, &place("audio")).starts_with("there is no sound from 1:00:06"));
        assert_eq!(mend(Piece::Segment, Outcome::Repaired, None), None);
        assert!(mend(Piece::Source, Outcome::Found, None).is_some_and(|text| text.contains("theatrum publish --replace")));
        assert!(mend(Piece::Init, Outcome::Failed, Some("no picture")).is_some_and(|text| text.contains("(no picture)")));
    }
}
