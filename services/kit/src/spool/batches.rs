//! A consumer's records in batches that keep their borders, so that a batch that is sent twice is the same twice.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use bytes::Bytes;

use super::SpoolError;
use super::cuts::Cuts;
use super::lag::LagHandle;
use super::reader::Reader;

/// How large a batch may become.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Records, at least 1.
    pub records: usize,
    /// Bytes of all records together. One record that is larger makes a batch of its own.
    pub bytes: usize,
}

/// Records that belong together for good.
#[derive(Clone, Debug)]
pub struct Batch {
    /// In the order they were written; at least one.
    pub records: Vec<Bytes>,
    /// The position of the first one.
    pub first: u64,
    /// The position of the last one, which is what is acknowledged.
    pub last: u64,
}

/// Reads batches. Where one ends is written down before it is handed out, and holds after a restart: until it is
/// acknowledged, the same records come in the same batch.
///
/// Only a power loss that takes records along may change that; whoever needs to know looks at the content.
pub struct Batches {
    reader: Reader,
    bounds: Bounds,
    cuts: Cuts,
    /// Batches that an earlier process cut and that were not handed out by this one, by their ends.
    again: VecDeque<u64>,
    /// Records read and not handed out.
    queue: VecDeque<(u64, Bytes)>,
}

impl Batches {
    pub(super) fn new(reader: Reader, bounds: Bounds) -> Result<Self, SpoolError> {
        let cuts = Cuts::open(&reader.file("cuts"), reader.acked())?;
        let again = cuts.ends().collect();
        Ok(Self { reader, bounds, cuts, again, queue: VecDeque::new() })
    }

    /// The next batch: what was written since the last one, as far as the bounds allow. Waits until there is a record.
    /// Cancel-safe: a call that is dropped has handed out nothing. At most 16 batches may be unacknowledged.
    ///
    /// # Errors
    /// [`SpoolError::Io`] when records cannot be read or the border cannot be kept; the next call tries again.
    pub async fn next(&mut self) -> Result<Batch, SpoolError> {
        if self.queue.is_empty() {
            self.queue.extend(self.reader.next_placed(self.bounds.records).await?);
        }
        while self.queue.len() < self.bounds.records {
            let more = self.reader.placed_now(self.bounds.records - self.queue.len())?;
            if more.is_empty() {
                break;
            }
            self.queue.extend(more);
        }
        let count = match self.known_border() {
            Some(count) => count,
            None => self.new_border()?,
        };
        let records: Vec<_> = self.queue.drain(..count).collect();
        let (first, last) = (records.first().map_or(0, |r| r.0), records.last().map_or(0, |r| r.0));
        Ok(Batch { records: records.into_iter().map(|(_, record)| record).collect(), first, last })
    }

    /// How many records the batch has that was cut here by an earlier process.
    fn known_border(&mut self) -> Option<usize> {
        let end = self.again.pop_front()?;
        let count = self.queue.iter().take_while(|(position, _)| *position <= end).count();
        if count > 0 && self.queue.get(count - 1).is_some_and(|(position, _)| *position == end) {
            return Some(count);
        }
        // The records it was cut from are not there any more, and so none of the later ones.
        self.again.clear();
        self.cuts.clear();
        None
    }

    fn new_border(&mut self) -> Result<usize, SpoolError> {
        let mut left = self.bounds.bytes;
        let fits =
            |(_, record): &&(u64, Bytes)| left.checked_sub(record.len()).map(|rest| left = rest).is_some();
        let count = self.queue.iter().take(self.bounds.records).take_while(fits).count().max(1);
        if let Some((end, _)) = self.queue.get(count - 1) {
            self.cuts.push(*end)?;
        }
        Ok(count.min(self.queue.len()))
    }

    /// Stores that everything up to a batch's `last` was handled and need not come again.
    ///
    /// # Errors
    /// As [`Reader::ack`].
    pub fn ack(&mut self, last: u64) -> Result<(), SpoolError> {
        self.reader.ack(last)?;
        self.cuts.forget(last);
        Ok(())
    }

    /// Writes a record that its consumer can never take to a file of its own beside the spool, for an operator to look
    /// at. `place` names it; the same place overwrites its file.
    ///
    /// # Errors
    /// [`SpoolError::Io`] when the file cannot be written.
    pub fn set_aside(&self, place: &str, record: &[u8]) -> Result<(), SpoolError> {
        let path = self.reader.file(&format!("{place}.record"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(record)?;
        Ok(file.sync_all()?)
    }

    /// Records written and not yet acknowledged.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.reader.lag()
    }

    /// Tells the lag while this is at work elsewhere.
    #[must_use]
    pub fn lag_handle(&self) -> LagHandle {
        self.reader.lag_handle()
    }
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches").field("reader", &self.reader).finish_non_exhaustive()
    }
}
