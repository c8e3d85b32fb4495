//! What was written and not brought to the disk yet.

use std::fs::File;
use std::sync::Arc;

/// Segment files, oldest first, and whether the directory has to be brought to the disk as well.
#[derive(Default)]
pub(super) struct Unsynced {
    pub(super) files: Vec<(u64, Arc<File>)>,
    /// Whether there is a file that the directory on the disk may not know.
    pub(super) dir: bool,
}

impl Unsynced {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && !self.dir
    }

    /// Notes a write to the newest segment.
    pub(super) fn add(&mut self, number: u64, file: &Arc<File>) {
        if self.files.last().is_none_or(|(last, _)| *last != number) {
            self.files.push((number, Arc::clone(file)));
        }
    }

    /// Puts back what was taken earlier and could not be synced.
    pub(super) fn put_back(&mut self, mut earlier: Self) {
        earlier.files.append(&mut self.files);
        earlier.files.dedup_by_key(|(number, _)| *number);
        earlier.dir |= self.dir;
        *self = earlier;
    }

    /// Forgets a segment that was deleted.
    pub(super) fn forget(&mut self, number: u64) {
        self.files.retain(|(unsynced, _)| *unsynced != number);
    }
}
