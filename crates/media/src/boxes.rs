//! Reading and writing ISO base media boxes by hand, where every length is doubted.

/// A reader over bytes that gives `None` instead of reading past the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    /// Version and flags of a full box.
    pub fn version_flags(&mut self) -> Option<(u8, u32)> {
        let word = self.u32()?;
        Some(((word >> 24) as u8, word & 0x00ff_ffff))
    }

    /// The next child box: kind and body. `None` at the end or when its length is impossible.
    pub fn child(&mut self) -> Option<(&'a [u8], Cursor<'a>)> {
        let size = self.u32()? as usize;
        let kind = self.take(4)?;
        let body = match size {
            0 => self.0.len(),
            1 => usize::try_from(self.u64()?).ok()?.checked_sub(16)?,
            _ => size.checked_sub(8)?,
        };
        Some((kind, Cursor(self.take(body)?)))
    }

    /// The first child of the given kind.
    pub fn find(mut self, kind: &[u8; 4]) -> Option<Cursor<'a>> {
        while let Some((found, body)) = self.child() {
            if found == kind {
                return Some(body);
            }
        }
        None
    }

    /// Descends through boxes, first of each kind.
    pub fn path(self, kinds: &[&[u8; 4]]) -> Option<Cursor<'a>> {
        kinds.iter().try_fold(self, |at, kind| at.find(kind))
    }
}

/// Appends a box whose body `write` appends.
pub(crate) fn write_box(out: &mut Vec<u8>, kind: &[u8; 4], write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    write(out);
    let size = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}
