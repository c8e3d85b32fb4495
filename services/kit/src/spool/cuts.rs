//! Where batches end that were cut and not acknowledged yet, kept in a small file.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::dir::writable;

/// Batches that may be open at a time.
pub(super) const MAX_CUTS: usize = 16;
const SLOT: usize = 8 * (1 + MAX_CUTS) + 4;

/// The ends of the open batches, oldest first.
#[derive(Debug)]
pub(super) struct Cuts {
    file: File,
    ends: VecDeque<u64>,
}

impl Cuts {
    /// Reads back what an earlier process has cut after `acked`. Nothing when the file is torn: batches are then cut
    /// anew.
    pub(super) fn open(path: &Path, acked: u64) -> io::Result<Self> {
        let file = writable(path)?;
        let mut slot = [0; SLOT];
        let whole = file.metadata()?.len() >= SLOT as u64;
        if whole {
            file.read_exact_at(&mut slot, 0)?;
        }
        let mut ends = unpack(&slot).filter(|_| whole).unwrap_or_default();
        ends.retain(|end| *end > acked);
        Ok(Self { file, ends })
    }

    /// The ends, oldest first.
    pub(super) fn ends(&self) -> impl Iterator<Item = u64> {
        self.ends.iter().copied()
    }

    /// Keeps one more end. Like an acknowledged position it is written in place and not synced.
    ///
    /// # Errors
    /// When there are [`MAX_CUTS`] already, or it cannot be written; nothing is kept then.
    pub(super) fn push(&mut self, end: u64) -> io::Result<()> {
        if self.ends.len() >= MAX_CUTS {
            return Err(io::Error::other("too many batches are open"));
        }
        self.ends.push_back(end);
        let written = self.file.write_all_at(&pack(&self.ends), 0);
        if written.is_err() {
            self.ends.pop_back();
        }
        written
    }

    /// Forgets the ends up to a position that was acknowledged. The file may say more: those are told apart by the
    /// position.
    pub(super) fn forget(&mut self, acked: u64) {
        while self.ends.pop_front_if(|end| *end <= acked).is_some() {}
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.ends.clear();
    }
}

/// How many, each, and a checksum over both.
fn pack(ends: &VecDeque<u64>) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    let numbers = std::iter::once(ends.len() as u64).chain(ends.iter().copied());
    for (place, number) in slot.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let checksum = crc32fast::hash(&slot[..SLOT - 4]).to_le_bytes();
    slot[SLOT - 4..].copy_from_slice(&checksum);
    slot
}

fn unpack(slot: &[u8; SLOT]) -> Option<VecDeque<u64>> {
    let mut numbers =
        slot[..SLOT - 4].chunks_exact(8).filter_map(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let count = usize::try_from(numbers.next()?).ok()?;
    let ends: VecDeque<u64> = numbers.take(count).collect();
    (pack(&ends) == *slot).then_some(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_come_back_unless_they_were_acknowledged_or_the_file_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cuts");
        let mut cuts = Cuts::open(&path, 0).unwrap();
        for end in [10, 25, 30] {
            cuts.push(end).unwrap();
        }
        let ends = |acked| Cuts::open(&path, acked).unwrap().ends().collect::<Vec<_>>();
        assert_eq!(ends(0), [10, 25, 30]);
        assert_eq!(ends(10), [25, 30]);
        assert!(ends(40).is_empty());
        cuts.forget(25);
        cuts.push(31).unwrap();
        assert_eq!(ends(0), [30, 31]);

        let whole = std::fs::read(&path).unwrap();
        for (cut, bent) in [(whole.len() - 1, 0), (whole.len(), 9)] {
            let mut torn = whole[..cut].to_vec();
            torn[9] ^= bent;
            std::fs::write(&path, &torn).unwrap();
            assert!(ends(0).is_empty());
        }
    }

    #[test]
    fn no_more_are_kept_than_fit() {
        let dir = tempfile::tempdir().unwrap();
        let mut cuts = Cuts::open(&dir.path().join("cuts"), 0).unwrap();
        for end in 1..=MAX_CUTS as u64 {
            cuts.push(end).unwrap();
        }
        assert!(cuts.push(99).is_err());
        cuts.forget(1);
        cuts.push(99).unwrap();
        assert_eq!(cuts.ends().last(), Some(99));
    }
}
