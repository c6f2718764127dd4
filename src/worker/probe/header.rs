//! An MP4's header, read straight from the source: most files say in a few megabytes what ffprobe learns by reading all of them.

use crate::blobs::Source;
use crate::domain::Result;
use crate::worker::source::bytes;
use theatrum_media::probe::{BOX_HEAD_BYTES, Index, MAX_MOOV_BYTES, box_head};

/// Boxes looked at before giving up: a whole file has a handful, a fragmented one thousands.
const MOST_BOXES: usize = 64;

/// The index of a source whose header says enough.
pub(super) async fn index(source: &Source) -> Result<Option<Index>> {
    let (mut at, end) = (0, source.size_bytes());
    for _ in 0..MOST_BOXES {
        let head = bytes(source, at..end.min(at.saturating_add(BOX_HEAD_BYTES))).await?;
        let Some(found) = box_head(&head, end - at) else { return Ok(None) };
        if &found.kind == b"moov" {
            let body = at + found.head_bytes..at + found.size_bytes;
            if body.end - body.start > MAX_MOOV_BYTES {
                return Ok(None);
            }
            return Ok(Index::read(&bytes(source, body).await?));
        }
        at += found.size_bytes;
        if at >= end {
            break;
        }
    }
    Ok(None)
}
