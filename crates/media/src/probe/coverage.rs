//! How much of a source is really there: packets against the index, bytes against the header, never the claimed duration.

use super::refusal::{Code, Refusal};
use super::scan::Packets;
use super::sniff::Container;

/// Decides whether the file is whole (`false`), cut but at least half there (`true`: publish, marked truncated), or refused.
/// `promised` is the index's packet count of the stream that matters, `found` the whole packets of it that were read.
pub(super) fn is_truncated(
    container: Container,
    size_bytes: u64,
    packets: &Packets,
    promised: Option<u64>,
    found: u64,
) -> Result<bool, Refusal> {
    let declared = container.declared_bytes.filter(|&bytes| bytes > size_bytes);
    // An edit list may leave packets out of a whole file: fewer than promised proves nothing unless bytes are missing too.
    let missing_bytes = packets.cut_short || declared.is_some();
    let (there, whole) = match (promised, declared) {
        _ if !missing_bytes => return Ok(false),
        (Some(promised), _) => (found, promised),
        (None, Some(declared)) => (size_bytes, declared),
        (None, None) => return Ok(true),
    };
    match () {
        () if there >= whole => Ok(false),
        () if enough_decoded(whole, there) => Ok(true),
        () => Err(Code::MostlyMissing.into()),
    }
}

/// Whether at least half of `expected` was got: asked once more when publishing, with the pictures planned and the pictures decoded.
/// Less is refused as [`Code::Undecodable`].
pub fn enough_decoded(expected: u64, got: u64) -> bool {
    got > 0 && u128::from(got) * 2 >= u128::from(expected)
}

#[cfg(test)]
mod tests {
    use super::super::sniff::Demuxer;
    use super::*;

    fn verdict(declared_bytes: Option<u64>, cut_short: bool, promised: Option<u64>, found: u64) -> Result<bool, Code> {
        let container = Container { demuxer: Demuxer::Mov, declared_bytes };
        let packets = Packets { cut_short, ..Packets::default() };
        is_truncated(container, 1000, &packets, promised, found).map_err(|refusal| refusal.code)
    }

    #[test]
    fn half_is_enough_and_less_is_not() {
        assert_eq!(verdict(None, true, Some(75), 43), Ok(true));
        assert_eq!(verdict(None, true, Some(745), 5), Err(Code::MostlyMissing));
        assert_eq!(verdict(Some(5000), false, Some(30), 30), Ok(false), "a box longer than the file, all packets there");
        assert_eq!(verdict(Some(1900), false, None, 9), Ok(true));
        assert_eq!(verdict(Some(2100), false, None, 9), Err(Code::MostlyMissing));
        assert_eq!(verdict(Some(900), false, Some(100), 20), Ok(false), "an edit list shows a fifth of a whole file");
    }

    #[test]
    fn nothing_decoded_is_never_enough() {
        assert!(!enough_decoded(0, 0) && !enough_decoded(3, 1) && enough_decoded(4, 2));
    }
}
