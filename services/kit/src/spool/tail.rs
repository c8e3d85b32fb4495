//! Records that have a place in the segment and are not known to be written yet. Pure.
//!
//! Whoever writes, writes the whole tail as it was when its own record joined it, so a record may be written several
//! times over, with the same bytes at the same place. That is the point: nobody has to wait for a writer that has
//! lost its processor, and what is written never has a hole before it.

use std::collections::VecDeque;

use uuid::Uuid;

use super::frame::Kind;

/// When this many bytes are here, nothing joins them: each writer copies what is here already, and that is to stay
/// small. A larger buffer is not kept either.
const ENOUGH: usize = 64 * 1024;

/// What is remembered of a record until it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) kind: Kind,
    pub(super) key: Uuid,
    /// The bytes it takes on disk.
    pub(super) size: u64,
}

/// The records, oldest first, and how many threads are at work on them.
#[derive(Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    records: VecDeque<Pending>,
    /// Threads that have added a record and not come back from writing it.
    writers: usize,
    /// Threads whose write failed and that have not learned yet whether another one wrote their record.
    failed: usize,
    /// From where on records were given up, as segment and offset, until all have learned it.
    lost: Option<(u64, u64)>,
}

impl Tail {
    /// The frames, one after the other.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether a record may be added. Not while a thread waits to learn what became of its own either, because what
    /// all have failed to write is given up.
    pub(super) fn is_open(&self) -> bool {
        self.failed == 0 && self.bytes.len() < ENOUGH
    }

    /// Adds a record that the caller is going to write.
    pub(super) fn push(&mut self, kind: Kind, key: Uuid, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.records.push_back(Pending { kind, key, size: frame.len() as u64 });
        self.writers += 1;
    }

    /// Takes off the oldest record, because it is written.
    pub(super) fn pop(&mut self) -> Option<Pending> {
        let oldest = self.records.pop_front()?;
        self.bytes.drain(..usize::try_from(oldest.size).unwrap_or(usize::MAX).min(self.bytes.len()));
        self.bytes.shrink_to(ENOUGH);
        Some(oldest)
    }

    /// Whether the entry will be open when all this is written; none when nothing here begins or ends it.
    pub(super) fn opens(&self, key: Uuid) -> Option<bool> {
        let last = self.records.iter().rfind(|record| record.key == key && record.kind != Kind::Note)?;
        Some(last.kind == Kind::Begin)
    }

    /// A writer is back. One that failed has to ask by `learn` what became of its record.
    pub(super) fn finished(&mut self, written: bool) {
        self.writers = self.writers.saturating_sub(1);
        self.failed += usize::from(!written);
    }

    /// True when nobody is left who may still write what is here.
    pub(super) fn is_quiet(&self) -> bool {
        self.writers == 0
    }

    /// Gives up what is here, which starts at an offset in a segment.
    pub(super) fn give_up(&mut self, segment: u64, offset: u64) {
        self.bytes.clear();
        self.records.clear();
        self.lost = Some((segment, offset));
    }

    /// Tells a writer that failed whether its record is there all the same. To be asked once by each.
    pub(super) fn learn(&mut self, segment: u64, end: u64) -> bool {
        let there = self.lost.is_none_or(|(lost, from)| segment != lost || end <= from);
        self.failed = self.failed.saturating_sub(1);
        if self.failed == 0 {
            self.lost = None;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn the_last_record_that_begins_or_ends_an_entry_tells_whether_it_opens() {
        let mut tail = Tail::default();
        tail.push(Kind::Begin, key(2), b"other");
        assert_eq!(tail.opens(key(1)), None);
        for (kind, opens) in
            [(Kind::Begin, true), (Kind::Note, true), (Kind::End, false), (Kind::Note, false)]
        {
            tail.push(kind, key(1), b"frame");
            assert_eq!(tail.opens(key(1)), Some(opens));
        }
    }

    #[test]
    fn nothing_joins_a_large_tail_and_its_buffer_is_not_kept() {
        let mut tail = Tail::default();
        tail.push(Kind::End, key(1), b"small");
        assert!(tail.is_open());
        tail.push(Kind::End, key(2), &vec![1; 4 * ENOUGH]);
        assert!(!tail.is_open());
        tail.push(Kind::End, key(3), b"after");
        let sizes: Vec<_> = std::iter::from_fn(|| tail.pop()).map(|record| record.size).collect();
        assert_eq!(sizes, [5, 4 * ENOUGH as u64, 5]);
        assert!(tail.is_open() && tail.is_empty());
        assert_eq!(tail.len(), 0);
        assert!(tail.bytes.capacity() < 2 * ENOUGH);
    }

    #[test]
    fn all_who_failed_learn_it_before_anything_joins() {
        let mut tail = Tail::default();
        for n in 0..3 {
            tail.push(Kind::End, key(n), b"frame");
            assert!(!tail.is_quiet());
        }
        for written in [false, true, false] {
            tail.finished(written);
        }
        assert!(tail.is_quiet());
        tail.pop();
        tail.give_up(7, 5);
        assert!(!tail.is_open() && tail.is_empty());
        assert!(tail.learn(7, 5), "it ends where the loss begins");
        assert!(!tail.is_open());
        assert!(!tail.learn(7, 15));
        assert!(tail.is_open());
        for written in [false, false] {
            tail.push(Kind::End, key(4), b"frame");
            tail.finished(written);
            assert!(tail.learn(7, 15), "an earlier loss is not held against it");
        }
    }
}
