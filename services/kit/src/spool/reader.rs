//! The consumer's side: outcomes in order, from its position on.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::SpoolError;
use super::consumer::Consumer;
use super::frame::Kind;
use super::frames::{Frames, Next};
use super::lag::LagHandle;
use super::log::Progress;
use super::segment::Segment;
use super::shared::Shared;

/// A consumer's place in the spool. A new reader starts after what the consumer has acknowledged.
pub struct Reader {
    shared: Arc<Shared>,
    consumer: usize,
    /// The last outcome delivered.
    delivered: u64,
    cursor: Option<Cursor>,
}

/// A place in a segment file.
struct Cursor {
    number: u64,
    frames: Frames,
    /// The last outcome gone by.
    passed: u64,
}

enum Step {
    Outcome(Bytes),
    Other,
    CaughtUp,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, name: &str) -> Result<Self, SpoolError> {
        let consumer = shared.consumers.iter().position(|consumer| consumer.name() == name);
        let consumer = consumer.ok_or_else(|| SpoolError::UnknownConsumer(name.to_owned()))?;
        let delivered = shared.consumers[consumer].acked();
        Ok(Self { shared, consumer, delivered, cursor: None })
    }

    /// The next outcomes, `max` at most and at least one, and the position after them for `ack`. Waits until there is
    /// one. What was delivered does not come again from this reader. Cancel-safe: a call that is dropped has
    /// delivered nothing.
    ///
    /// It returns as soon as there is something; a consumer that works better on large batches waits a little before
    /// it calls again. The records of a batch share the memory they were read into.
    ///
    /// # Errors
    /// [`SpoolError::Io`] when the spool cannot be read; the next call tries the same place again.
    pub async fn next(&mut self, max: usize) -> Result<(Vec<Bytes>, u64), SpoolError> {
        let records = self.next_as(max, |_, record| record).await?;
        Ok((records, self.delivered))
    }

    /// The same, with each record's own position.
    pub(super) async fn next_placed(&mut self, max: usize) -> Result<Vec<(u64, Bytes)>, SpoolError> {
        self.next_as(max, |position, record| (position, record)).await
    }

    /// The same without waiting: none when nothing more was written.
    pub(super) fn placed_now(&mut self, max: usize) -> Result<Vec<(u64, Bytes)>, SpoolError> {
        self.available(max, |position, record| (position, record))
    }

    /// A file of this consumer's own in the spool's directory.
    pub(super) fn file(&self, extension: &str) -> PathBuf {
        self.shared.dir.of_consumer(self.me().name(), extension)
    }

    /// The last position this consumer has acknowledged.
    pub(super) fn acked(&self) -> u64 {
        self.me().acked()
    }

    async fn next_as<T>(&mut self, max: usize, form: fn(u64, Bytes) -> T) -> Result<Vec<T>, SpoolError> {
        let shared = Arc::clone(&self.shared);
        loop {
            // Made before looking, so that an outcome written in between is not missed.
            let ended = shared.ended.notified();
            let records = self.available(max.max(1), form)?;
            if !records.is_empty() {
                return Ok(records);
            }
            ended.await;
        }
    }

    /// Stores that everything up to `position` was handled and need not come again; an older position than the one
    /// stored changes nothing. Survives the death of the process. Deletes segments that nobody needs any more.
    ///
    /// # Errors
    /// [`SpoolError::NotDelivered`] when this reader has not come that far, [`SpoolError::Io`] when the position
    /// cannot be stored; records may then come again after a restart.
    pub fn ack(&mut self, position: u64) -> Result<(), SpoolError> {
        if position > self.delivered {
            return Err(SpoolError::NotDelivered(position));
        }
        Ok(self.shared.ack(self.me(), position)?)
    }

    /// Outcomes written and not yet acknowledged by this consumer.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let acked = self.me().acked();
        self.shared.log.lock().lag(acked)
    }

    /// Tells the lag while this reader is at work elsewhere.
    #[must_use]
    pub fn lag_handle(&self) -> LagHandle {
        LagHandle { shared: Arc::downgrade(&self.shared), consumer: self.consumer }
    }

    fn me(&self) -> &Consumer {
        &self.shared.consumers[self.consumer]
    }

    /// What can be had now. Reads files here and not on another thread: what is consumed was written just before, so
    /// it comes from the page cache.
    fn available<T>(&mut self, max: usize, form: fn(u64, Bytes) -> T) -> Result<Vec<T>, SpoolError> {
        let mut records = Vec::new();
        while records.len() < max {
            match self.step() {
                Ok(Step::Outcome(record)) => records.push(form(self.delivered, record)),
                Ok(Step::Other) => {}
                Ok(Step::CaughtUp) => break,
                // First what was read before the failure; it will be met again.
                Err(_) if !records.is_empty() => break,
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(records)
    }

    fn step(&mut self) -> io::Result<Step> {
        let Some(cursor) = &mut self.cursor else { return self.go_on() };
        match cursor.frames.next()? {
            Next::Frame(frame) if frame.kind == Kind::End => {
                cursor.passed += 1;
                if cursor.passed <= self.delivered {
                    return Ok(Step::Other);
                }
                self.delivered = cursor.passed;
                Ok(Step::Outcome(frame.payload))
            }
            Next::Frame(_) => Ok(Step::Other),
            Next::End => self.go_on(),
            Next::Corrupt => {
                let (segment, offset) = (cursor.number, cursor.frames.offset());
                tracing::error!(segment, offset, "spool segment is corrupt, its rest is not read");
                self.shared.log.lock().give_up(segment, offset, cursor.passed)?;
                cursor.frames.stop();
                Ok(Step::Other)
            }
        }
    }

    /// Goes on from the end of what was known of a segment.
    fn go_on(&mut self) -> io::Result<Step> {
        let (number, limit) = self.cursor.as_ref().map_or((0, 0), |at| (at.number, at.frames.limit()));
        let progress = self.shared.log.lock().progress(number, limit, self.delivered);
        match progress {
            Progress::CaughtUp => return Ok(Step::CaughtUp),
            Progress::Moved(segment) => self.enter(segment)?,
            Progress::Grown(limit) => self.cursor.iter_mut().for_each(|at| at.frames.grow(limit)),
        }
        Ok(Step::Other)
    }

    fn enter(&mut self, segment: Segment) -> io::Result<()> {
        match File::open(self.shared.dir.segment(segment.number, segment.base)) {
            Ok(file) => {
                let frames = Frames::new(file, segment.readable);
                self.cursor = Some(Cursor { number: segment.number, frames, passed: segment.base });
                Ok(())
            }
            // Filled, acknowledged by all and deleted since we were told of it: look again.
            Err(cause)
                if cause.kind() == io::ErrorKind::NotFound
                    && !self.shared.log.lock().holds(segment.number) =>
            {
                Ok(())
            }
            Err(cause) => Err(cause),
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("consumer", &self.me().name()).finish_non_exhaustive()
    }
}
