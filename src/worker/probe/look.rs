//! A look at the NAL units of H.264 that may be copied: which pictures are IDR pictures is read, not believed.

use crate::blobs::Source;
use crate::domain::Result;
use crate::worker::source::bytes;
use theatrum_media::copy::{self, Look, Obstacle};
use theatrum_media::nal::{self, Head};
use theatrum_media::probe::{Facts, H264, Index};
use theatrum_media::time::Rational;

/// As much as is read of a picture at once: delimiter, parameter sets and timing fit, an encoder's signature is passed over.
const HEAD_BYTES: u64 = 256;
/// Units before the first slice.
const MOST_UNITS: usize = 32;
/// Looking more often than every two seconds finds no better places to cut.
const APART: Rational = Rational { num: 19, den: 10 };

/// What the source's H.264 is, if all else speaks for copying it.
pub(super) async fn look(source: &Source, index: &Index, facts: &Facts) -> Result<Result<Look, Obstacle>> {
    let Some(video) = &facts.video else { return Ok(Err(Obstacle::Unseen)) };
    if let Err(obstacle) = copy::invites(facts, video) {
        return Ok(Err(obstacle));
    }
    let Some(h264) = index.h264(video.stream, source.size_bytes()) else { return Ok(Err(Obstacle::Unseen)) };
    let mut idrs = vec![false; h264.pictures.len()];
    for candidate in h264.candidates(APART.rescale(1, video.time_base)) {
        idrs[candidate] = is_idr(source, &h264, candidate).await?;
    }
    let groups = copy::groups(&h264.pictures, |index| idrs[index]);
    Ok(groups.map(|groups| Look { groups, level: h264.level, codec: h264.codec }).ok_or(Obstacle::Idrs))
}

async fn is_idr(source: &Source, h264: &H264, picture: usize) -> Result<bool> {
    let place = h264.places[picture];
    let mut skip = 0;
    for _ in 0..MOST_UNITS {
        let start = place.offset + skip;
        let end = (place.offset + place.size_bytes).min(start + HEAD_BYTES);
        if start >= end {
            break;
        }
        match nal::head(&bytes(source, start..end).await?, skip) {
            Head::Idr => return Ok(true),
            Head::Other | Head::Malformed => break,
            Head::Further(next) => skip = next,
        }
    }
    Ok(false)
}
