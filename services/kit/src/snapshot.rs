//! What a peer said last, kept on disk, so that a start does not have to wait for the peer.
//!
//! The files are sealed: they may hold what verifies secrets. The key lies beside them with mode 0600, so that a copy
//! of one file tells nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;

use crate::clock::Clock;
use crate::seal::{MasterKey, SealError};
use crate::secret_file::write_private;

/// The snapshots of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshots {
    folder: PathBuf,
    key: MasterKey,
    clock: Clock,
}

/// Why a snapshot cannot be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be read or written.
    #[error("snapshot: {0}")]
    Io(#[from] io::Error),
    /// It cannot be sealed or opened.
    #[error("snapshot: {0}")]
    Seal(#[from] SealError),
    /// It holds something else.
    #[error("snapshot: {0}")]
    Malformed(#[from] prost::DecodeError),
}

/// What was kept, and when its source was last heard, in milliseconds since 1970-01-01 UTC.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept<M> {
    /// What the source said.
    pub message: M,
    /// When.
    pub heard_unix_ms: i64,
}

impl Snapshots {
    /// Keeps snapshots in `folder`, which is made if need be.
    ///
    /// # Errors
    /// When the folder or its key cannot be made.
    pub fn open(folder: &Path, clock: Clock) -> Result<Self, SnapshotError> {
        std::fs::create_dir_all(folder)?;
        let key = MasterKey::open_or_create(&folder.join("snapshot.key"))?;
        Ok(Self { folder: folder.to_owned(), key, clock })
    }

    /// Keeps `message` under `name`, instead of what was kept before.
    ///
    /// # Errors
    /// When it cannot be written; what was kept before is there still.
    pub fn keep(&self, name: &str, message: &impl Message, heard_unix_ms: i64) -> Result<(), SnapshotError> {
        let mut plain = heard_unix_ms.to_le_bytes().to_vec();
        message.encode_raw(&mut plain);
        Ok(write_private(&self.file(name), self.key.seal_bytes(name, &plain)?)?)
    }

    /// What was kept under `name` and is not older than `max_age`.
    ///
    /// # Errors
    /// When there is something that cannot be read.
    pub fn kept<M: Message + Default>(
        &self,
        name: &str,
        max_age: Duration,
    ) -> Result<Option<Kept<M>>, SnapshotError> {
        let sealed = match std::fs::read(self.file(name)) {
            Ok(sealed) => sealed,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(cause.into()),
        };
        let plain = self.key.open_bytes(name, &sealed)?;
        let (heard, message) = plain.split_first_chunk().ok_or(SealError::Wrong)?;
        let heard_unix_ms = i64::from_le_bytes(*heard);
        let age = self.clock.unix_millis().saturating_sub(heard_unix_ms);
        if u128::from(age.unsigned_abs()) > max_age.as_millis() {
            return Ok(None);
        }
        Ok(Some(Kept { message: M::decode(message)?, heard_unix_ms }))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.sealed"))
    }
}

#[cfg(test)]
mod tests {
    use headgate_proto::auth::v1::KeyRecord;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn what_is_kept_is_sealed_and_grows_old() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(1_700_000_000_000_000);
        let snapshots = Snapshots::open(dir.path(), clock.clone()).unwrap();
        assert_eq!(snapshots.kept::<KeyRecord>("keys", HOUR).unwrap(), None);
        let message = KeyRecord { prefix: "a-prefix-to-look-for".into(), ..KeyRecord::default() };
        let heard_unix_ms = clock.unix_millis();
        snapshots.keep("keys", &message, heard_unix_ms).unwrap();
        let file = std::fs::read(dir.path().join("keys.sealed")).unwrap();
        assert!(!String::from_utf8_lossy(&file).contains("a-prefix"));
        clock.advance(HOUR);
        let again = Snapshots::open(dir.path(), clock.clone()).unwrap();
        assert_eq!(again.kept("keys", HOUR).unwrap(), Some(Kept { message, heard_unix_ms }));
        clock.advance(Duration::from_millis(1));
        assert_eq!(again.kept::<KeyRecord>("keys", HOUR).unwrap(), None);
    }

    #[test]
    fn what_was_altered_or_renamed_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::open(dir.path(), Clock::manual(0)).unwrap();
        snapshots.keep("keys", &KeyRecord::default(), 0).unwrap();
        std::fs::rename(dir.path().join("keys.sealed"), dir.path().join("catalog.sealed")).unwrap();
        assert!(matches!(snapshots.kept::<KeyRecord>("catalog", HOUR), Err(SnapshotError::Seal(_))));
        std::fs::write(dir.path().join("keys.sealed"), "short").unwrap();
        assert!(matches!(snapshots.kept::<KeyRecord>("keys", HOUR), Err(SnapshotError::Seal(_))));
    }
}
