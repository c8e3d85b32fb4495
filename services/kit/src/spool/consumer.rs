//! How far a consumer has come, kept in a small file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
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
    /// Opens the consumers that the options name. New ones take the place of those that are not named any more: they
    /// begin where the slowest of those had come to.
    pub(super) fn all(dir: &Dir, options: &Options) -> Result<Vec<Self>, SpoolError> {
        check_names(&options.consumers)?;
        let known = dir.consumers()?;
        let is_known = |path: &PathBuf| known.contains(path);
        let named: Vec<_> = options.consumers.iter().map(|name| (name, dir.consumer(name))).collect();
        let gone: Vec<_> =
            known.iter().filter(|path| named.iter().all(|(_, of_named)| of_named != *path)).collect();
        let mut left_off = None;
        for path in &gone {
            let acked = read(&File::open(path)?)?.unwrap_or(0);
            left_off = Some(left_off.map_or(acked, |least: u64| least.min(acked)));
        }
        let mut all = Vec::new();
        for (name, path) in named {
            let consumer = Self::open(name, &path)?;
            if let Some(left_off) = left_off.filter(|_| !is_known(&path)) {
                consumer.ack(left_off)?;
                consumer.file.lock().sync_all()?;
            }
            all.push(consumer);
        }
        if !gone.is_empty() {
            // Before the others go: without either, all would come again.
            dir.sync()?;
        }
        gone.into_iter().try_for_each(std::fs::remove_file)?;
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

fn check_names(names: &[String]) -> Result<(), SpoolError> {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() || !name.bytes().all(allowed) || names[..at].contains(name) {
            return Err(SpoolError::BadConsumer(name.clone()));
        }
    }
    Ok(())
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
