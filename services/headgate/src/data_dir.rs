//! The data folder: one process's own, with the secrets made on the first start.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use headgate_kit::seal::{MasterKey, SealError};
use headgate_kit::secret_file::write_private;
use rand::rngs::OsRng;
use rand::{RngCore as _, TryRngCore as _};
use secrecy::{ExposeSecret as _, SecretString};

use crate::settings::{MIN_OPERATOR_TOKEN, Settings};

/// How often, and how many times, a folder's lock is asked for that another process holds.
const LOCK_EVERY: Duration = Duration::from_millis(50);
const LOCK_TRIES: u32 = 20;

/// The folder, locked for as long as this lives.
pub(crate) struct DataDir {
    path: PathBuf,
    new: bool,
    _lock: File,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    #[error("data folder {0}: {1}")]
    Io(PathBuf, io::Error),
    #[error("data folder {0} is in use by another headgate process")]
    Locked(PathBuf),
    #[error(transparent)]
    MasterKey(#[from] SealError),
    #[error("operator_token must be at least 16 characters")]
    OperatorToken,
}

impl DataDir {
    /// Makes (with mode 0700) and locks the folder. It is new until a first start has made its databases, so one that
    /// failed before that, for a port in use, is no start at all.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let fail = |e| DataDirError::Io(path.to_owned(), e);
        make(path).map_err(fail)?;
        let new = !path.join("auth.db").try_exists().map_err(fail)?;
        let lock = private(path.join("headgate.lock")).map_err(fail)?;
        match try_lock(&lock) {
            Ok(()) => Ok(Self { path: path.to_owned(), new, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::Locked(path.to_owned())),
            Err(TryLockError::Error(e)) => Err(fail(e)),
        }
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing was ever served from it.
    pub(crate) fn is_new(&self) -> bool {
        self.new
    }

    /// Notes that demo data was made.
    pub(crate) fn mark_demo(&self) -> Result<(), DataDirError> {
        let path = self.path.join("demo");
        private(path.clone()).map(drop).map_err(|e| DataDirError::Io(path, e))
    }

    /// Whether demo data was made, now or by an earlier start.
    pub(crate) fn has_demo(&self) -> bool {
        self.path.join("demo").exists()
    }

    /// The master key: the given one, else the folder's own; and those before it.
    pub(crate) fn master_key(&self, settings: &Settings) -> Result<MasterKey, DataDirError> {
        let key = match &settings.master_key {
            Some(given) => MasterKey::parse(given.expose_secret())?,
            None => MasterKey::open_or_create(&self.path.join("master.key"))?,
        };
        let previous = settings.previous_master_keys.iter().map(|key| MasterKey::parse(key.expose_secret()));
        Ok(key.with_previous(previous.collect::<Result<_, _>>()?))
    }

    /// The operator token: the given one, else the folder's own.
    pub(crate) fn operator_token(&self, settings: &Settings) -> Result<SecretString, DataDirError> {
        if let Some(given) = &settings.operator_token {
            return long_enough(given.clone());
        }
        let path = self.path.join("operator.token");
        let fail = |e| DataDirError::Io(path.clone(), e);
        match fs::read_to_string(&path) {
            Ok(token) => long_enough(SecretString::from(token.trim().to_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let token = random_hex();
                write_private(&path, &token).map_err(fail)?;
                Ok(SecretString::from(token))
            }
            Err(e) => Err(fail(e)),
        }
    }

    /// Says where the process listens, for tools that start it on free ports.
    pub(crate) fn write_listeners(&self, json: &str) -> Result<(), DataDirError> {
        let path = self.path.join("listeners.json");
        let (part, whole) = (self.path.join("listeners.json.part"), path.clone());
        fs::write(&part, json).and_then(|()| fs::rename(&part, &whole)).map_err(|e| DataDirError::Io(path, e))
    }
}

/// Makes the folder, if need be, with mode 0700.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn long_enough(token: SecretString) -> Result<SecretString, DataDirError> {
    let long_enough = token.expose_secret().len() >= MIN_OPERATOR_TOKEN;
    if long_enough { Ok(token) } else { Err(DataDirError::OperatorToken) }
}

/// A process that has just ended may hold its lock for a moment yet: the kernel lets go of files behind it.
fn try_lock(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_EVERY),
            known => return known,
        }
    }
    lock.try_lock()
}

fn private(path: PathBuf) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn random_hex() -> String {
    let mut bytes = [0_u8; 32];
    OsRng.unwrap_err().fill_bytes(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_belongs_to_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let first = DataDir::open(&path).unwrap();
        assert!(first.is_new());
        let mode = fs::metadata(&path).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o700);
        assert!(matches!(DataDir::open(&path), Err(DataDirError::Locked(_))));
        drop(first);
        // A start that got no further than this was none.
        assert!(DataDir::open(&path).unwrap().is_new());
        fs::write(path.join("auth.db"), "").unwrap();
        assert!(!DataDir::open(&path).unwrap().is_new());
    }

    #[test]
    fn an_operator_token_that_anybody_could_guess_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (data, settings) = (DataDir::open(dir.path()).unwrap(), Settings::default());
        for short in ["", "\n", "0123456789abcde\n"] {
            fs::write(dir.path().join("operator.token"), short).unwrap();
            assert!(matches!(data.operator_token(&settings), Err(DataDirError::OperatorToken)), "{short:?}");
        }
    }

    #[test]
    fn the_operator_token_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let (data, settings) = (DataDir::open(dir.path()).unwrap(), Settings::default());
        let token = data.operator_token(&settings).unwrap();
        assert_eq!(data.operator_token(&settings).unwrap().expose_secret(), token.expose_secret());
        let mode = fs::metadata(dir.path().join("operator.token")).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    }
}
