//! How records come into the segment being written: accepted, written by their callers, made known.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use uuid::Uuid;

use super::Log;
use crate::spool::SpoolError;
use crate::spool::append::Place;
use crate::spool::frame::Kind;
use crate::spool::tail::Pending;

impl Log {
    /// Whether a record can be accepted now, or its caller has to wait until a writer is back.
    pub(in crate::spool) fn accepts(&self) -> bool {
        self.tail.is_open()
    }

    /// Gives a record its place, which the caller has to write and then to report by `finished`. None for a note or a
    /// cancellation that nobody needs.
    pub(in crate::spool) fn accept(
        &mut self,
        kind: Kind,
        key: Uuid,
        frame: &[u8],
    ) -> Result<Option<Place>, SpoolError> {
        match kind {
            Kind::Begin if self.opens(key) => return Err(SpoolError::AlreadyOpen(key)),
            Kind::Note | Kind::Cancel if !self.opens(key) => return Ok(None),
            _ => {}
        }
        let size = frame.len() as u64;
        let may_wait = matches!(kind, Kind::Begin | Kind::Note);
        if may_wait && self.size + self.tail.len() + size > self.limits.cap {
            return Err(SpoolError::Full);
        }
        self.make_room(size);
        let along = if self.tail.is_empty() { None } else { Some([self.tail.bytes(), frame].concat()) };
        self.tail.push(kind, key, frame);
        let (segment, offset, end) = (self.current.number, self.current.bytes, self.end());
        Ok(Some(Place { file: Arc::clone(&self.file), segment, offset, end, along }))
    }

    fn opens(&self, key: Uuid) -> bool {
        self.tail.opens(key).unwrap_or_else(|| self.open.contains_key(&key))
    }

    /// The writer of a place is back. One that failed has to `learn` what became of its record.
    pub(in crate::spool) fn finished(&mut self, place: &Place, written: bool) {
        self.tail.finished(written);
        if !written {
            return;
        }
        // A segment that was sealed since then is known to be written.
        if place.segment == self.current.number {
            self.publish(place.end);
        }
        // A record larger than a segment does not wait for the next one, or it could hold the cap with nothing left
        // to push it out.
        self.make_room(0);
    }

    /// Whether a record is there though its own writer failed. None while others write who may have it too.
    pub(in crate::spool) fn learn(&mut self, place: &Place) -> Option<bool> {
        if !self.tail.is_quiet() {
            return None;
        }
        if !self.tail.is_empty() {
            self.give_up_tail();
        }
        Some(self.tail.learn(place.segment, place.end))
    }

    /// Gives up what all have failed to write. The next records overwrite what is left of it; it is cut off too, or
    /// the next `open` does it.
    fn give_up_tail(&mut self) {
        self.tail.give_up(self.current.number, self.current.bytes);
        if let Err(cause) = self.file.set_len(self.current.bytes) {
            tracing::error!(%cause, "half a record could not be cut off the spool");
        }
    }

    /// Writes for those who are about to, so that the segment can be sealed.
    pub(super) fn write_tail(&mut self) -> io::Result<()> {
        if !self.tail.is_empty() {
            self.file.write_all_at(self.tail.bytes(), self.current.bytes)?;
            self.publish(self.end());
        }
        Ok(())
    }

    /// Makes known what is written, which is the segment up to `end`.
    fn publish(&mut self, end: u64) {
        while self.current.bytes < end
            && let Some(record) = self.tail.pop()
        {
            self.record(&record);
        }
        self.unsynced.add(self.current.number, &self.file);
    }

    fn record(&mut self, record: &Pending) {
        self.size += record.size;
        self.current.bytes += record.size;
        self.current.readable = self.current.bytes;
        match record.kind {
            Kind::Begin => {
                self.current.open += 1;
                self.open.insert(record.key, self.current.number);
            }
            Kind::Note => {}
            Kind::End | Kind::Cancel => {
                self.current.ends += u64::from(record.kind == Kind::End);
                let began = self.open.remove(&record.key);
                if let Some(segment) = began.and_then(|number| self.segment_mut(number)) {
                    segment.open = segment.open.saturating_sub(1);
                }
            }
        }
    }
}
