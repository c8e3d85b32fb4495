//! The writer's side: the segments there are, and the one being written.

mod writes;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use foldhash::HashMap;
use uuid::Uuid;

use super::dir::{self, Dir};
use super::segment::Segment;
use super::tail::Tail;
use super::unsynced::Unsynced;

/// Limits of a spool, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) segment: u64,
    pub(super) cap: u64,
}

/// What a reader finds when it has read a segment as far as it knew.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The segment can now be read up to here.
    Grown(u64),
    /// It is done; this one is next.
    Moved(Segment),
    /// There is nothing more yet.
    CaughtUp,
}

/// All segments, oldest first, and which entries are open. The last segment is the one being written.
pub(super) struct Log {
    dir: Arc<Dir>,
    limits: Limits,
    sealed: VecDeque<Segment>,
    current: Segment,
    file: Arc<File>,
    /// The size at which to try to start the next segment.
    rotate_at: u64,
    size: u64,
    /// The segment that each open entry began in.
    open: HashMap<Uuid, u64>,
    unsynced: Unsynced,
    /// What follows the last record that is known to be written.
    tail: Tail,
    /// Whether a segment was sealed that nobody has looked at to delete it.
    rotated: bool,
}

impl Log {
    /// Goes on with segments that were read back: the last of `segments` is written on, unless outcomes must be
    /// numbered from a higher `base` than it ends with.
    pub(super) fn new(
        dir: Arc<Dir>,
        limits: Limits,
        segments: Vec<Segment>,
        base: u64,
        open: HashMap<Uuid, u64>,
    ) -> io::Result<Self> {
        let mut sealed = VecDeque::from(segments);
        let size = sealed.iter().map(|segment| segment.bytes).sum();
        let current = match sealed.pop_back() {
            Some(last) if last.last() >= base => last,
            Some(last) => {
                sealed.push_back(last);
                Segment::new(last.number + 1, base)
            }
            None => Segment::new(1, base),
        };
        let file = Arc::new(dir::writable(&dir.segment(current.number, current.base))?);
        let unsynced = Unsynced { files: Vec::new(), dir: true };
        let rotate_at = limits.segment;
        let (tail, rotated) = (Tail::default(), false);
        Ok(Self { dir, limits, sealed, current, file, rotate_at, size, open, unsynced, tail, rotated })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size
    }

    pub(super) fn open_entries(&self) -> usize {
        self.open.len()
    }

    /// Where the next record goes.
    fn end(&self) -> u64 {
        self.current.bytes + self.tail.len()
    }

    /// Starts a new segment when the current one is full. When that fails the current one grows on, since an outcome
    /// must be taken while there is any way to.
    fn make_room(&mut self, size: u64) {
        if self.end() == 0 || self.end() + size <= self.rotate_at {
            return;
        }
        if let Err(cause) = self.rotate() {
            tracing::error!(%cause, "spool segment not started, the last one grows on");
            self.rotate_at = self.end() + size + self.limits.segment / 8;
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.write_tail()?;
        let next = Segment::new(self.current.number + 1, self.current.last());
        self.file = Arc::new(dir::writable(&self.dir.segment(next.number, next.base))?);
        self.unsynced.dir = true;
        self.sealed.push_back(self.current);
        self.current = next;
        self.rotate_at = self.limits.segment;
        self.rotated = true;
        Ok(())
    }

    /// Whether a segment was sealed since this was last asked.
    pub(super) fn take_rotated(&mut self) -> bool {
        std::mem::take(&mut self.rotated)
    }

    /// Outcomes after `acked` that can be read.
    pub(super) fn lag(&self, acked: u64) -> u64 {
        self.segments().map(|segment| segment.after(acked)).sum()
    }

    /// What a reader that has passed `passed` outcomes and read segment `number` up to `limit` does next. A segment
    /// that was deleted is done.
    pub(super) fn progress(&self, number: u64, limit: u64, passed: u64) -> Progress {
        match self.segments().find(|segment| segment.number == number) {
            Some(segment) if segment.readable > limit => return Progress::Grown(segment.readable),
            _ if number >= self.current.number => return Progress::CaughtUp,
            _ => {}
        }
        let next = self.sealed.iter().find(|segment| segment.number > number && segment.after(passed) > 0);
        Progress::Moved(*next.unwrap_or(&self.current))
    }

    /// Notes that a segment cannot be read beyond an offset, up to which it holds outcomes until number `passed`.
    pub(super) fn give_up(&mut self, number: u64, offset: u64, passed: u64) -> io::Result<()> {
        if number == self.current.number {
            self.rotate()?;
        }
        if let Some(segment) = self.segment_mut(number) {
            segment.readable = segment.readable.min(offset);
            segment.ends = segment.ends.min(passed.saturating_sub(segment.base));
        }
        Ok(())
    }

    pub(super) fn holds(&self, number: u64) -> bool {
        self.segments().any(|segment| segment.number == number)
    }

    /// The oldest segment, when nobody needs it any more. The current one is always needed.
    ///
    /// Only ever the oldest: were a later one deleted first, an entry's beginning could outlive its end and the next
    /// `open` would take it for unfinished.
    pub(super) fn spent(&self, acked: u64) -> Option<(u64, PathBuf)> {
        let oldest = self.sealed.front().filter(|segment| segment.is_spent(acked))?;
        Some((oldest.number, self.dir.segment(oldest.number, oldest.base)))
    }

    /// Forgets the oldest segment, whose file was deleted.
    pub(super) fn forget(&mut self, number: u64) {
        if let Some(oldest) = self.sealed.pop_front_if(|segment| segment.number == number) {
            self.size = self.size.saturating_sub(oldest.bytes);
            self.unsynced.forget(number);
        }
    }

    pub(super) fn is_synced(&self) -> bool {
        self.unsynced.is_empty()
    }

    /// What was written since it was last taken.
    pub(super) fn take_unsynced(&mut self) -> Unsynced {
        std::mem::take(&mut self.unsynced)
    }

    /// Gives back what could not be synced.
    pub(super) fn put_unsynced(&mut self, unsynced: Unsynced) {
        self.unsynced.put_back(unsynced);
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.sealed.iter().chain([&self.current])
    }

    fn segment_mut(&mut self, number: u64) -> Option<&mut Segment> {
        // Entries are short against segments, so the one asked for is near the end.
        std::iter::once(&mut self.current)
            .chain(self.sealed.iter_mut().rev())
            .find(|segment| segment.number == number)
    }
}
