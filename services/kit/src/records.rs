//! Where consumers read records from: a spool in this process, or (elsewhere) a broker.

use bytes::Bytes;

use crate::spool::{LagHandle, Reader, SpoolError};

/// A stream of records for one named consumer: at least once, in order, acknowledged in batches.
pub struct RecordSource {
    reader: Reader,
}

/// Records to be handled together.
#[derive(Debug)]
pub struct RecordBatch {
    /// The records, in the order they were written.
    pub records: Vec<Bytes>,
    position: u64,
}

impl RecordSource {
    /// Reads a spool of this process in place.
    #[must_use]
    pub fn spool(reader: Reader) -> Self {
        Self { reader }
    }

    /// The next records, `max` at most and at least one; waits until there are any.
    ///
    /// # Errors
    /// When the spool cannot be read; calling again is the way on.
    pub async fn next(&mut self, max: usize) -> Result<RecordBatch, SpoolError> {
        let (records, position) = self.reader.next(max).await?;
        Ok(RecordBatch { records, position })
    }

    /// Forgets a batch that was handled. Without it the batch comes again after a restart.
    ///
    /// # Errors
    /// When the position cannot be stored; the batch may then come again.
    pub fn ack(&mut self, batch: &RecordBatch) -> Result<(), SpoolError> {
        self.reader.ack(batch.position)
    }

    /// Records written but not yet acknowledged.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.reader.lag()
    }

    /// Tells the lag while the source is at work elsewhere.
    #[must_use]
    pub fn lag_handle(&self) -> LagHandle {
        self.reader.lag_handle()
    }
}
