//! Adding a record: a place for it under the lock, the write outside, and then what is known by it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use uuid::Uuid;

use super::frame::{self, Kind};
use super::shared::Shared;
use super::{MAX_RECORD_BYTES, SpoolError};

/// Where a record is to be written, and what must be written along with it.
pub(super) struct Place {
    pub(super) file: Arc<File>,
    /// The segment's number.
    pub(super) segment: u64,
    /// Where to write: everything before it is written.
    pub(super) offset: u64,
    /// Where the record ends.
    pub(super) end: u64,
    /// All that lies between, with the record itself last; none when that is the record alone.
    pub(super) along: Option<Vec<u8>>,
}

impl Place {
    /// Writes the record's frame, and those before it that may still be missing.
    pub(super) fn write(&self, frame: &[u8]) -> io::Result<()> {
        self.file.write_all_at(self.along.as_deref().unwrap_or(frame), self.offset)
    }
}

impl Shared {
    /// Writes a record, which is in the page cache when this returns.
    ///
    /// The write is a system call, and on its way back the kernel may give the processor to another thread for
    /// milliseconds. So the lock is not held meanwhile, and nobody waits for a writer: the next one writes what is
    /// still missing as well.
    pub(super) fn append(&self, kind: Kind, key: Uuid, record: &[u8]) -> Result<(), SpoolError> {
        if record.len() > MAX_RECORD_BYTES {
            return Err(SpoolError::TooLarge(record.len()));
        }
        let frame = frame::encode(kind, key, record);
        let Some(place) = self.accept(kind, key, &frame)? else { return Ok(()) };
        let written = place.write(&frame);
        let rotated = self.settle(&place, written)?;
        if kind == Kind::End {
            self.ended.notify_waiters();
        }
        if rotated {
            self.clean_unless_busy();
        }
        Ok(())
    }

    fn accept(&self, kind: Kind, key: Uuid, frame: &[u8]) -> Result<Option<Place>, SpoolError> {
        let mut log = self.log.lock();
        while !log.accepts() {
            self.settled.wait(&mut log);
        }
        log.accept(kind, key, frame)
    }

    /// Makes a write known. One that failed waits for those under way, since they may hold its record too. True when
    /// a segment was sealed.
    pub(super) fn settle(&self, place: &Place, written: io::Result<()>) -> io::Result<bool> {
        let mut log = self.log.lock();
        log.finished(place, written.is_ok());
        self.settled.notify_all();
        if let Err(cause) = written {
            let there = loop {
                match log.learn(place) {
                    Some(there) => break there,
                    None => self.settled.wait(&mut log),
                }
            };
            self.settled.notify_all();
            if !there {
                return Err(cause);
            }
        }
        Ok(log.take_rotated())
    }
}
