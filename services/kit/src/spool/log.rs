//! The writer's side: the segments there are, and the one being written.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::dir::{self, Dir};
use super::frame::{self, Kind};
use super::segment::Segment;
use super::{MAX_RECORD_BYTES, SpoolError};

/// A buffer larger than this is not kept for the next record.
const KEPT_BUFFER: usize = 64 * 1024;

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

/// What was written and not brought to the disk yet.
#[derive(Default)]
pub(super) struct Unsynced {
    /// Oldest first.
    pub(super) files: Vec<(u64, Arc<File>)>,
    /// Whether there is a file that the directory on the disk may not know.
    pub(super) dir: bool,
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
    frame: Vec<u8>,
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
        Ok(Self { dir, limits, sealed, current, file, rotate_at, size, open, unsynced, frame: Vec::new() })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size
    }

    pub(super) fn open_entries(&self) -> usize {
        self.open.len()
    }

    /// Writes a record. True when that started a new segment.
    pub(super) fn append(&mut self, kind: Kind, key: Uuid, record: &[u8]) -> Result<bool, SpoolError> {
        if record.len() > MAX_RECORD_BYTES {
            return Err(SpoolError::TooLarge(record.len()));
        }
        match kind {
            Kind::Begin if self.open.contains_key(&key) => return Err(SpoolError::AlreadyOpen(key)),
            Kind::Note if !self.open.contains_key(&key) => return Ok(false),
            _ => {}
        }
        let size = frame::size(record.len());
        if kind != Kind::End && self.size + size > self.limits.cap {
            return Err(SpoolError::Full);
        }
        let rotated = self.make_room(size);
        frame::encode(&mut self.frame, kind, key, record);
        let written = self.write();
        self.frame.shrink_to(KEPT_BUFFER);
        written?;
        self.record(kind, key, size);
        // A record larger than a segment does not wait for the next one, or it could hold the cap with nothing left
        // to push it out.
        Ok(self.make_room(0) || rotated)
    }

    fn record(&mut self, kind: Kind, key: Uuid, size: u64) {
        self.size += size;
        self.current.bytes += size;
        self.current.readable = self.current.bytes;
        match kind {
            Kind::Begin => {
                self.current.open += 1;
                self.open.insert(key, self.current.number);
            }
            Kind::Note => {}
            Kind::End => {
                self.current.ends += 1;
                let began = self.open.remove(&key);
                if let Some(segment) = began.and_then(|number| self.segment_mut(number)) {
                    segment.open = segment.open.saturating_sub(1);
                }
            }
        }
    }

    /// Writes at the end as far as it is known to be good, so that a write that failed half-way is overwritten by
    /// the next one; what it left is cut off too, or the next `open` does it.
    fn write(&mut self) -> io::Result<()> {
        if let Err(cause) = self.file.write_all_at(&self.frame, self.current.bytes) {
            if let Err(cause) = self.file.set_len(self.current.bytes) {
                tracing::error!(%cause, "half a record could not be cut off the spool");
            }
            return Err(cause);
        }
        if self.unsynced.files.last().is_none_or(|(number, _)| *number != self.current.number) {
            self.unsynced.files.push((self.current.number, Arc::clone(&self.file)));
        }
        Ok(())
    }

    /// Starts a new segment when the current one is full. When that fails the current one grows on, since an outcome
    /// must be taken while there is any way to.
    fn make_room(&mut self, size: u64) -> bool {
        if self.current.bytes == 0 || self.current.bytes + size <= self.rotate_at {
            return false;
        }
        match self.rotate() {
            Ok(()) => true,
            Err(cause) => {
                tracing::error!(%cause, "spool segment not started, the last one grows on");
                self.rotate_at = self.current.bytes + size + self.limits.segment / 8;
                false
            }
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let next = Segment::new(self.current.number + 1, self.current.last());
        self.file = Arc::new(dir::writable(&self.dir.segment(next.number, next.base))?);
        self.unsynced.dir = true;
        self.sealed.push_back(self.current);
        self.current = next;
        self.rotate_at = self.limits.segment;
        Ok(())
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
            self.unsynced.files.retain(|(unsynced, _)| *unsynced != number);
        }
    }

    pub(super) fn is_synced(&self) -> bool {
        self.unsynced.files.is_empty() && !self.unsynced.dir
    }

    /// What was written since it was last taken.
    pub(super) fn take_unsynced(&mut self) -> Unsynced {
        std::mem::take(&mut self.unsynced)
    }

    /// Gives back what could not be synced.
    pub(super) fn put_unsynced(&mut self, mut unsynced: Unsynced) {
        unsynced.files.append(&mut self.unsynced.files);
        unsynced.files.dedup_by_key(|(number, _)| *number);
        unsynced.dir |= self.unsynced.dir;
        self.unsynced = unsynced;
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
