//! What the spool's handle and its readers share.

use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;

use super::consumer::Consumer;
use super::dir::Dir;
use super::log::{Limits, Log};
use super::recover::Recovered;
use super::{OpenEntry, Options, SpoolError};

/// Fewer segments than this under the cap, and one long entry could hold too much of it.
const MIN_SEGMENTS: u64 = 4;

pub(super) struct Shared {
    pub(super) dir: Arc<Dir>,
    /// Held twice for every record, a fraction of a microsecond: to give it a place, and to make known that it is
    /// written. A lock is right here: records need one order, and a queue with a thread behind it would cost a
    /// wake-up per record and lose what is queued on `kill -9`. It is never held across an await, a sync, a read, a
    /// deletion or, but to start a segment and to mend one after a failure, a write.
    pub(super) log: Mutex<Log>,
    /// Told of every writer that is back, for those who must wait: after a failure, or because too much is under way.
    pub(super) settled: Condvar,
    pub(super) consumers: Vec<Consumer>,
    /// Told of every outcome; costs the writer no system call when nobody waits.
    pub(super) ended: Notify,
    /// Held while segments are deleted, so that they go oldest first.
    cleaning: Mutex<()>,
}

impl Shared {
    pub(super) fn open(options: Options) -> Result<(Self, Vec<OpenEntry>), SpoolError> {
        let dir = Arc::new(Dir::open(options.dir.clone())?);
        let consumers = Consumer::all(&dir, &options)?;
        let mut recovered = Recovered::read(&dir)?;
        // A power loss can keep a position and lose the outcomes before it. New ones must not take their numbers, or
        // they would count as acknowledged.
        let acked = consumers.iter().map(Consumer::acked).max().unwrap_or(0);
        let base = recovered.last().max(acked);
        let segment = options.segment_bytes.min(options.cap_bytes / MIN_SEGMENTS).max(1);
        let limits = Limits { segment, cap: options.cap_bytes };
        let segments = std::mem::take(&mut recovered.segments);
        let log = Log::new(Arc::clone(&dir), limits, segments, base, recovered.began_in())?;
        let (log, settled) = (Mutex::new(log), Condvar::new());
        let shared = Self { dir, log, settled, consumers, ended: Notify::new(), cleaning: Mutex::new(()) };
        shared.clean();
        Ok((shared, recovered.into_open()))
    }

    pub(super) fn ack(&self, consumer: &Consumer, position: u64) -> io::Result<()> {
        consumer.ack(position)?;
        self.clean();
        Ok(())
    }

    /// Deletes the segments that nobody needs.
    fn clean(&self) {
        let cleaning = self.cleaning.lock();
        self.clean_holding(&cleaning);
    }

    /// The same for a writer, which does not wait for a deletion under way: whoever does that, or the next one, finds
    /// the segment it has sealed.
    pub(super) fn clean_unless_busy(&self) {
        if let Some(cleaning) = self.cleaning.try_lock() {
            self.clean_holding(&cleaning);
        }
    }

    fn clean_holding(&self, _cleaning: &MutexGuard<'_, ()>) {
        let acked = self.consumers.iter().map(Consumer::acked).min().unwrap_or(u64::MAX);
        loop {
            let Some((number, path)) = self.log.lock().spent(acked) else { return };
            match std::fs::remove_file(&path) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    tracing::error!(%cause, segment = %path.display(), "spool segment not deleted, tried again later");
                    return;
                }
                _ => self.log.lock().forget(number),
            }
        }
    }
}
