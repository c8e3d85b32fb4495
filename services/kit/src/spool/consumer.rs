//! How far a consumer has come, kept in a small file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::dir::{Dir, writable};
use super::{Options, SpoolError};

const SLOT: usize = 12;

/// A consumer and the last outcome it has acknowledged.
#[derive(Debug)]
pub(super) struct Consumer {
    name: String,
    acked: AtomicU64,
    file: Mutex<File>,
}

impl Consumer {
    /// Opens the consumers that the options name.
    pub(super) fn all(dir: &Dir, options: &Options) -> Result<Vec<Self>, SpoolError> {
        let mut all: Vec<Self> = Vec::new();
        for name in &options.consumers {
            let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
            if name.is_empty() || !name.bytes().all(allowed) || all.iter().any(|known| known.name == *name) {
                return Err(SpoolError::BadConsumer(name.clone()));
            }
            all.push(Self::open(name, &dir.consumer(name))?);
        }
        Ok(all)
    }

    fn open(name: &str, path: &Path) -> io::Result<Self> {
        let file = writable(path)?;
        let acked = match file.metadata()?.len() {
            0 => 0,
            _ => read(&file)?.unwrap_or_else(|| lost(name)),
        };
        Ok(Self { name: name.to_owned(), acked: AtomicU64::new(acked), file: Mutex::new(file) })
    }

    /// The highest position that anybody has acknowledged, those included whom the options do not name this time: they
    /// may be back the next.
    pub(super) fn highest(dir: &Dir) -> io::Result<u64> {
        let mut highest = 0;
        for path in dir.consumers()? {
            highest = highest.max(read(&File::open(path)?)?.unwrap_or(0));
        }
        Ok(highest)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The last outcome acknowledged.
    pub(super) fn acked(&self) -> u64 {
        self.acked.load(Ordering::Acquire)
    }

    /// Stores that everything up to `position` was handled; does nothing when more was.
    ///
    /// The slot is overwritten in place: one small write is whole after `kill -9`. It is not synced, because an old
    /// position only means that records come again, and a torn one is told by its checksum and means the same.
    pub(super) fn ack(&self, position: u64) -> io::Result<()> {
        let file = self.file.lock();
        if position > self.acked() {
            file.write_all_at(&pack(position), 0)?;
            self.acked.store(position, Ordering::Release);
        }
        Ok(())
    }
}

/// What a position's file holds; none when that is torn.
fn read(file: &File) -> io::Result<Option<u64>> {
    let mut slot = [0; SLOT];
    if file.metadata()?.len() < SLOT as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut slot, 0)?;
    Ok(unpack(slot))
}

fn lost(name: &str) -> u64 {
    tracing::warn!(consumer = name, "spool position unreadable: records that were handled may come again");
    0
}

fn pack(position: u64) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(&position.to_le_bytes());
    slot[8..].copy_from_slice(&crc32fast::hash(&position.to_le_bytes()).to_le_bytes());
    slot
}

fn unpack(slot: [u8; SLOT]) -> Option<u64> {
    let position = u64::from_le_bytes(*slot.first_chunk::<8>()?);
    (pack(position) == slot).then_some(position)
}
