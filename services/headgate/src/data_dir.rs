//! The data folder: one process's own, with the secrets made on the first start.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use headgate_kit::seal::{MasterKey, SealError};
use rand::rngs::OsRng;
use rand::{RngCore as _, TryRngCore as _};
use secrecy::{ExposeSecret as _, SecretString};

use crate::settings::Settings;

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
    /// Makes (with mode 0700) and locks the folder.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let fail = |e| DataDirError::Io(path.to_owned(), e);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
        let new = fs::read_dir(path).map_err(fail)?.next().is_none();
        let lock = private(path.join("headgate.lock"), false).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), new, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::Locked(path.to_owned())),
            Err(TryLockError::Error(e)) => Err(fail(e)),
        }
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was empty.
    pub(crate) fn is_new(&self) -> bool {
        self.new
    }

    /// The master key: the given one, else the folder's own.
    pub(crate) fn master_key(&self, settings: &Settings) -> Result<MasterKey, DataDirError> {
        Ok(match &settings.master_key {
            Some(given) => MasterKey::parse(given.expose_secret())?,
            None => MasterKey::open_or_create(&self.path.join("master.key"))?,
        })
    }

    /// The operator token: the given one, else the folder's own.
    pub(crate) fn operator_token(&self, settings: &Settings) -> Result<SecretString, DataDirError> {
        if let Some(given) = &settings.operator_token {
            let long_enough = given.expose_secret().len() >= 16;
            return if long_enough { Ok(given.clone()) } else { Err(DataDirError::OperatorToken) };
        }
        let path = self.path.join("operator.token");
        let fail = |e| DataDirError::Io(path.clone(), e);
        match fs::read_to_string(&path) {
            Ok(token) => Ok(SecretString::from(token.trim().to_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let token = random_hex();
                private(path.clone(), true).and_then(|mut f| f.write_all(token.as_bytes())).map_err(fail)?;
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

fn private(path: PathBuf, fresh: bool) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).create_new(fresh).mode(0o600).open(path)
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
        assert!(matches!(DataDir::open(&path), Err(DataDirError::Locked(_))));
        drop(first);
        assert!(!DataDir::open(&path).unwrap().is_new());
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
