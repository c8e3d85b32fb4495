//! What is known about one segment file.

/// A segment file. `base` and `ends` number the outcomes: the segment holds those after `base`, up to `base + ends`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Outcomes ever written before this segment.
    pub(super) base: u64,
    /// Outcomes that can be read in it.
    pub(super) ends: u64,
    /// Its size on disk.
    pub(super) bytes: u64,
    /// Up to where it can be read: all of it, unless it is corrupt.
    pub(super) readable: u64,
    /// Entries that began here and are still open.
    pub(super) open: usize,
}

impl Segment {
    pub(super) fn new(number: u64, base: u64) -> Self {
        Self { number, base, ends: 0, bytes: 0, readable: 0, open: 0 }
    }

    /// The number of its last outcome.
    pub(super) fn last(&self) -> u64 {
        self.base + self.ends
    }

    /// Outcomes in it that come after `acked`.
    pub(super) fn after(&self, acked: u64) -> u64 {
        self.last().saturating_sub(acked.max(self.base))
    }

    /// True when nobody needs it any more, given that everybody has acknowledged `acked`.
    pub(super) fn is_spent(&self, acked: u64) -> bool {
        self.open == 0 && self.after(acked) == 0
    }
}
