//! What the spool's handle and its readers share.

use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use uuid::Uuid;

use super::consumer::Consumer;
use super::dir::Dir;
use super::frame::Kind;
use super::log::{Limits, Log};
use super::recover::Recovered;
use super::{OpenEntry, Options, SpoolError};

/// Fewer segments than this under the cap, and one long entry could hold too much of it.
const MIN_SEGMENTS: u64 = 4;

pub(super) struct Shared {
    pub(super) dir: Arc<Dir>,
    /// Held for one write into the page cache, about a microsecond. A lock is right here: the kernel takes one per
    /// file for the same write anyway, records need one order, and a queue with a thread behind it would cost a
    /// wake-up per record and lose what is queued on `kill -9`. It is never held across an await, a sync, a read or
    /// a deletion.
    pub(super) log: Mutex<Log>,
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
        let shared =
            Self { dir, log: Mutex::new(log), consumers, ended: Notify::new(), cleaning: Mutex::new(()) };
        shared.clean();
        Ok((shared, recovered.into_open()))
    }

    pub(super) fn append(&self, kind: Kind, key: Uuid, record: &[u8]) -> Result<(), SpoolError> {
        let rotated = self.log.lock().append(kind, key, record)?;
        if kind == Kind::End {
            self.ended.notify_waiters();
        }
        if rotated && let Some(cleaning) = self.cleaning.try_lock() {
            // A writer does not wait for a deletion under way; whoever does it, or the next one, finds this segment.
            self.clean_holding(&cleaning);
        }
        Ok(())
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
