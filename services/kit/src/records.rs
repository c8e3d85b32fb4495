//! Where consumers read records from: a spool of this process, in place, or a broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::nats::{Error as BrokerError, Held, Pull};
use crate::spool::{LagHandle, Reader, SpoolError};

/// A stream of records for one named consumer: at least once, acknowledged in batches. Of one spool they come in order;
/// a broker may repeat older ones in between.
pub struct RecordSource {
    from: From,
}

enum From {
    Spool {
        reader: Reader,
        /// Records that were there at the start and were not acknowledged yet.
        backlog: u64,
        caught_up: CaughtUp,
    },
    Broker(Box<Pull>),
}

/// Why records cannot be read or acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The spool failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The broker failed.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Records to be handled together.
#[derive(Debug)]
pub struct RecordBatch {
    /// The records, in the order they were written.
    pub records: Vec<Bytes>,
    end: End,
}

/// What is acknowledged with a batch.
#[derive(Debug)]
enum End {
    Position(u64),
    Messages(Vec<Arc<Held>>),
}

impl RecordSource {
    /// Reads a spool of this process in place.
    #[must_use]
    pub fn spool(reader: Reader) -> Self {
        let (backlog, caught_up) = (reader.lag(), CaughtUp::default());
        if backlog == 0 {
            caught_up.reach();
        }
        Self { from: From::Spool { reader, backlog, caught_up } }
    }

    pub(crate) fn broker(pull: Pull) -> Self {
        Self { from: From::Broker(Box::new(pull)) }
    }

    /// The next records, `max` at most and at least one; waits until there are any. Cancel-safe.
    ///
    /// # Errors
    /// When they cannot be read; calling again is the way on.
    pub async fn next(&mut self, max: usize) -> Result<RecordBatch, RecordError> {
        match &mut self.from {
            From::Spool { reader, .. } => {
                let (records, position) = reader.next(max).await?;
                Ok(RecordBatch { records, end: End::Position(position) })
            }
            From::Broker(pull) => {
                let (records, messages) = pull.next(max).await?;
                Ok(RecordBatch { records, end: End::Messages(messages) })
            }
        }
    }

    /// Forgets a batch that was handled; batches are acknowledged in the order they came. Without it the batch comes
    /// again: from a spool after a restart, from a broker a while after it was dropped.
    ///
    /// # Errors
    /// When the acknowledgement cannot be stored or sent; the batch may then come again.
    pub async fn ack(&mut self, batch: &RecordBatch) -> Result<(), RecordError> {
        match (&mut self.from, &batch.end) {
            (From::Spool { reader, backlog, caught_up }, End::Position(position)) => {
                *backlog = backlog.saturating_sub(batch.records.len() as u64);
                let acked = reader.ack(*position);
                if *backlog == 0 || reader.lag() == 0 {
                    caught_up.reach();
                }
                Ok(acked?)
            }
            (_, End::Messages(messages)) => {
                for message in messages {
                    message.ack().await?;
                }
                Ok(())
            }
            // Batches come from the source that they are acknowledged at.
            (From::Broker(_), End::Position(_)) => Ok(()),
        }
    }

    /// Reached when all was acknowledged that was there when this source was made.
    #[must_use]
    pub fn caught_up(&self) -> CaughtUp {
        match &self.from {
            From::Spool { caught_up, .. } => caught_up.clone(),
            From::Broker(pull) => pull.caught_up(),
        }
    }

    /// Records that lie in this process and are better handled before it ends. None of a broker's: it gives them to
    /// whoever asks next.
    #[must_use]
    pub fn left_here(&self) -> u64 {
        match &self.from {
            From::Spool { reader, .. } => reader.lag(),
            From::Broker(_) => 0,
        }
    }

    /// Tells the lag while the source is at work elsewhere.
    #[must_use]
    pub fn lag(&self) -> Lag {
        match &self.from {
            From::Spool { reader, .. } => Lag(Behind::Spool(reader.lag_handle())),
            From::Broker(pull) => {
                let (pending, spools) = pull.pending();
                Lag(Behind::Broker { pending, spools })
            }
        }
    }
}

/// How far a consumer is behind. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Lag(Behind);

#[derive(Clone, Debug)]
enum Behind {
    Spool(LagHandle),
    Broker { pending: Arc<AtomicU64>, spools: Vec<LagHandle> },
}

impl Lag {
    /// Records written and not yet acknowledged. Of a broker: records that this process has not forwarded, and messages
    /// that the broker held a second ago, each with at least one record.
    #[must_use]
    pub fn records(&self) -> u64 {
        match &self.0 {
            Behind::Spool(handle) => handle.records(),
            Behind::Broker { pending, spools } => {
                let here: u64 = spools.iter().map(LagHandle::records).sum();
                here + pending.load(Ordering::Relaxed)
            }
        }
    }
}

/// Whether a reader has come to where its source stood at the start. Clones tell the same. Once reached, it stays so.
#[derive(Clone, Debug, Default)]
pub struct CaughtUp {
    reached: CancellationToken,
    held_up: Arc<AtomicBool>,
}

impl CaughtUp {
    pub(crate) fn reach(&self) {
        self.reached.cancel();
    }

    pub(crate) fn hold_up(&self, held_up: bool) {
        self.held_up.store(held_up, Ordering::Relaxed);
    }

    /// Whether it has.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.reached.is_cancelled()
    }

    /// Whether it has not, and nobody can tell when: the broker that holds the records is away.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        !self.is_reached() && self.held_up.load(Ordering::Relaxed)
    }

    /// Waits until it has.
    pub async fn reached(&self) {
        self.reached.cancelled().await;
    }
}
