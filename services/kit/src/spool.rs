//! A crash-safe store of records between the one who writes them and the ones who consume them.
//!
//! A piece of work is an *entry*: [`Spool::begin`] writes down the intent before the work starts, [`Spool::note`]
//! its progress, [`Spool::end`] its outcome, or [`Spool::cancel`] that it came to nothing. Only outcomes are delivered,
//! to every consumer named in [`Options`], at least once and in the order they were written. What was begun and not
//! ended when the process died is handed to the owner by the next [`Spool::open`], so nothing that was begun is ever
//! forgotten.
//!
//! Promises: a record is in the page cache when the call that wrote it returns, so it survives `kill -9`; while
//! [`Spool::run`] runs, it is on the disk at most 100 ms (and one sync) later, so it survives power loss. The size on
//! disk is bounded by refusing to begin, never by losing an outcome. One directory belongs to one process.
//!
//! On disk: segment files of checksummed frames, a file per consumer with the position it has acknowledged, a lock.

mod append;
mod batches;
mod consumer;
mod cuts;
mod dir;
mod frame;
mod frames;
mod lag;
mod log;
mod reader;
mod recover;
mod segment;
mod shared;
mod sync;
mod tail;
mod unsynced;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

pub use batches::{Batch, Batches, Bounds};
pub use lag::LagHandle;
pub use reader::Reader;

use frame::Kind;
use shared::Shared;

/// The largest record that can be written, in bytes.
pub const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;

/// Where a spool lies and how large it may become.
#[derive(Clone, Debug)]
pub struct Options {
    /// The spool's own directory; created (mode 0700) when it does not exist.
    pub dir: PathBuf,
    /// A new segment file is started when one would grow over this many bytes. Space comes back by whole segments;
    /// a quarter of `cap_bytes` is used when this is more.
    pub segment_bytes: u64,
    /// No entry begins that would take the segments over this many bytes. Outcomes are written even then.
    pub cap_bytes: u64,
    /// Who consumes the outcomes, by names of `a-z`, `0-9`, `-` and `_`. A record is kept until each of them has
    /// acknowledged it; without any, until its segment is full. A new name starts with the oldest record still there.
    /// When it comes in place of names that were there the last time, it starts after what all of those had acknowledged:
    /// it misses nothing of theirs, and repeats little.
    pub consumers: Vec<String>,
}

/// Why the spool did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The spool is at its cap; nothing was written. It goes away when consumers catch up.
    #[error("the spool is full")]
    Full,
    /// Another spool, in this process or another, has the directory open.
    #[error("the spool {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The entry had begun before and has not ended; nothing was written.
    #[error("the spool entry {0} is open already")]
    AlreadyOpen(Uuid),
    /// The record is larger than [`MAX_RECORD_BYTES`]; nothing was written.
    #[error("a record of {0} bytes is too large for the spool")]
    TooLarge(usize),
    /// A consumer's name is empty, given twice, or holds characters that are not allowed.
    #[error("{0:?} cannot name a consumer of the spool")]
    BadConsumer(String),
    /// No consumer of this name is in the options.
    #[error("the spool has no consumer {0:?}")]
    UnknownConsumer(String),
    /// A position was acknowledged that the reader has not delivered; nothing was stored.
    #[error("the spool position {0} was not delivered yet")]
    NotDelivered(u64),
    /// The disk or the file system failed.
    #[error("spool: {0}")]
    Io(#[from] std::io::Error),
}

/// An entry that was begun and not ended when the spool was last in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenEntry {
    /// The key it was begun with.
    pub key: Uuid,
    /// The record it was begun with.
    pub begun: Bytes,
    /// The last record noted for it; none when nothing was noted.
    pub note: Option<Bytes>,
}

/// The writer's handle. Clones share one spool; the directory is free again when all of them and all readers are gone.
#[derive(Clone)]
pub struct Spool(Arc<Shared>);

impl Spool {
    /// Opens the spool and returns the entries left open, in the order they began. They count as open, and keep their
    /// place on disk, until they are ended.
    ///
    /// A torn or corrupt tail is cut off and logged. A corrupt frame in an older segment is logged as an error, and
    /// what follows it in that segment is not read. Reads all segments, so it blocks in proportion to the backlog.
    ///
    /// # Errors
    /// [`SpoolError::Locked`] when the directory is in use, [`SpoolError::BadConsumer`] for an impossible name,
    /// [`SpoolError::Io`] when the files cannot be read, made or mended.
    pub fn open(options: Options) -> Result<(Self, Vec<OpenEntry>), SpoolError> {
        let (shared, open) = Shared::open(options)?;
        Ok((Self(Arc::new(shared)), open))
    }

    /// Begins an entry. When it returns, the record survives the death of the process.
    ///
    /// # Errors
    /// [`SpoolError::Full`] at the cap, [`SpoolError::AlreadyOpen`], [`SpoolError::TooLarge`], or [`SpoolError::Io`].
    /// The entry is not open then.
    pub fn begin(&self, key: Uuid, record: &[u8]) -> Result<(), SpoolError> {
        self.0.append(Kind::Begin, key, record)
    }

    /// Notes the progress of an open entry; only the last note counts. Does nothing for an entry that is not open,
    /// because progress may be overtaken by the outcome.
    ///
    /// # Errors
    /// [`SpoolError::Full`] at the cap, [`SpoolError::TooLarge`], or [`SpoolError::Io`]. The note before it still
    /// holds then, so the work itself may go on.
    pub fn note(&self, key: Uuid, record: &[u8]) -> Result<(), SpoolError> {
        self.0.append(Kind::Note, key, record)
    }

    /// Ends an entry with the record that consumers shall get. Accepted over the cap, and also for an entry that is
    /// not open: the record is delivered all the same.
    ///
    /// # Errors
    /// [`SpoolError::TooLarge`] or [`SpoolError::Io`]. The entry stays as it was then.
    pub fn end(&self, key: Uuid, record: &[u8]) -> Result<(), SpoolError> {
        self.0.append(Kind::End, key, record)
    }

    /// Ends an entry that came to nothing: consumers get nothing of it. Accepted over the cap; does nothing for an entry
    /// that is not open.
    ///
    /// # Errors
    /// [`SpoolError::Io`]. The entry stays open then.
    pub fn cancel(&self, key: Uuid) -> Result<(), SpoolError> {
        self.0.append(Kind::Cancel, key, &[])
    }

    /// A reader that starts after the last record this consumer acknowledged. Meant to be one at a time per consumer:
    /// two deliver the same records.
    ///
    /// # Errors
    /// [`SpoolError::UnknownConsumer`] when the options do not name it.
    pub fn reader(&self, consumer: &str) -> Result<Reader, SpoolError> {
        Reader::new(Arc::clone(&self.0), consumer)
    }

    /// Brings what was written to the disk every 100 ms until `stop` is cancelled, and once more then. Without it
    /// records survive the death of the process, but not of the machine.
    pub async fn run(self, stop: tokio_util::sync::CancellationToken) {
        sync::run(&self.0, &stop).await;
    }

    /// The same reader, in batches that are cut once and for all.
    ///
    /// # Errors
    /// [`SpoolError::UnknownConsumer`] when the options do not name it, [`SpoolError::Io`] when the file of its cuts
    /// cannot be made or read.
    pub fn batches(&self, consumer: &str, bounds: Bounds) -> Result<Batches, SpoolError> {
        Batches::new(self.reader(consumer)?, bounds)
    }

    /// Who this spool is among all there are, for those who must tell its records from another's. `fresh` is taken when
    /// it is asked for the first time, and kept for as long as the directory lives.
    ///
    /// # Errors
    /// [`SpoolError::Io`] when it cannot be read or kept.
    pub fn identity(&self, fresh: Uuid) -> Result<Uuid, SpoolError> {
        Ok(self.0.dir.identity(fresh)?)
    }

    /// Bytes that the segments take on disk.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.0.log.lock().size_bytes()
    }

    /// Entries that have begun and not ended.
    #[must_use]
    pub fn open_entries(&self) -> usize {
        self.0.log.lock().open_entries()
    }
}

// Not derived: the writer's buffer holds records, and records do not belong in a log.
impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").finish_non_exhaustive()
    }
}
