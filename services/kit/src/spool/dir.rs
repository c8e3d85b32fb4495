//! The spool's directory: who may see it, who holds it, and what its files are called.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::SpoolError;

/// Names of segments: number, and how many outcomes were ever written before it. Both are in the name because a name
/// appears whole or not at all, where a header could be torn.
const SEGMENT: &str = "seg1";

/// What names of consumers' positions end with.
const POSITION: &str = "position";

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

    /// Where a consumer's position lies.
    pub(super) fn consumer(&self, name: &str) -> PathBuf {
        self.of_consumer(name, POSITION)
    }

    /// A file of a consumer's own. No consumer is named like a segment or the lock.
    pub(super) fn of_consumer(&self, name: &str, extension: &str) -> PathBuf {
        self.path.join(format!("{name}.{extension}"))
    }

    /// The positions of the consumers of the last time.
    pub(super) fn consumers(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == POSITION) {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// Who the spool is. Made of `fresh` when it has no name yet, and the same for as long as the directory lives.
    pub(super) fn identity(&self, fresh: Uuid) -> io::Result<Uuid> {
        let path = self.path.join("identity");
        if let Ok(known) = fs::read_to_string(&path)
            && let Ok(known) = Uuid::try_parse(&known)
        {
            return Ok(known);
        }
        let file = writable(&path)?;
        file.set_len(0)?;
        file.write_all_at(fresh.to_string().as_bytes(), 0)?;
        file.sync_all()?;
        self.sync()?;
        Ok(fresh)
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
