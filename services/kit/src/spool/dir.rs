//! The spool's directory: who may see it, who holds it, and what its files are called.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::SpoolError;

/// Names of segments: number, and how many outcomes were ever written before it. Both are in the name because a name
/// appears whole or not at all, where a header could be torn.
const SEGMENT: &str = "seg1";

/// A directory that this process holds until it is dropped.
#[derive(Debug)]
pub(super) struct Dir {
    path: PathBuf,
    _lock: File,
}

impl Dir {
    /// Makes the directory when it is not there, and takes it.
    pub(super) fn open(path: PathBuf) -> Result<Self, SpoolError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        let lock = writable(&path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(SpoolError::Locked(path)),
            Err(TryLockError::Error(cause)) => Err(cause.into()),
        }
    }

    pub(super) fn segment(&self, number: u64, base: u64) -> PathBuf {
        self.path.join(format!("{number:016x}-{base:016x}.{SEGMENT}"))
    }

    /// Number and base of every segment, by number.
    pub(super) fn segments(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            found.extend(entry?.file_name().to_str().and_then(parse));
        }
        found.sort_unstable();
        Ok(found)
    }

    pub(super) fn consumer(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.position"))
    }

    /// Makes sure that new files are still found after a power loss.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Opens a file for reading and writing, making it for the owner alone when it is not there.
pub(super) fn writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn parse(name: &str) -> Option<(u64, u64)> {
    let (number, base) = name.strip_suffix(SEGMENT)?.strip_suffix('.')?.split_once('-')?;
    Some((u64::from_str_radix(number, 16).ok()?, u64::from_str_radix(base, 16).ok()?))
}
