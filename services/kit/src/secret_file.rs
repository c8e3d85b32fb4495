//! 32 secret bytes as operators have them: 64 hexadecimal digits, in a configuration or in a file of their own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rand::TryRngCore as _;
use rand::rngs::OsRng;

/// The secret itself.
pub type Bytes32 = [u8; 32];

/// Why a file gives no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// It holds something else.
    #[error("not 64 hexadecimal digits")]
    Malformed,
}

/// Reads 64 hexadecimal digits. `None` for anything else.
#[must_use]
pub fn parse(text: &str) -> Option<Bytes32> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim(), &mut bytes).ok()?;
    Some(bytes)
}

/// Reads a file. `None` where there is none.
///
/// # Errors
/// When it cannot be read, or holds something else.
pub fn read(path: &Path) -> Result<Option<Bytes32>, SecretFileError> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text).map(Some).ok_or(SecretFileError::Malformed),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Makes a secret and its file, with mode 0600.
///
/// # Errors
/// When the file cannot be written.
pub fn create(path: &Path) -> io::Result<Bytes32> {
    let mut bytes = [0; 32];
    OsRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    write_private(path, hex::encode(bytes))?;
    Ok(bytes)
}

/// Writes a file of mode 0600 that is there whole or not at all, and stays: a crash must not leave half a secret, nor take
/// away one that something was already sealed with.
///
/// # Errors
/// When it cannot be written or put in its place.
pub fn write_private(path: &Path, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(contents.as_ref())?;
    file.sync_all()?;
    fs::rename(part, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_made_once_with_mode_0600_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        assert_eq!(read(&path).unwrap(), None);
        let made = create(&path).unwrap();
        assert_eq!(read(&path).unwrap(), Some(made));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing stays aside");
        assert_ne!(create(&dir.path().join("b.key")).unwrap(), made);
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        for text in ["", "5a", &"5a".repeat(33), &"zz".repeat(32), &"é".repeat(32)] {
            fs::write(&path, text).unwrap();
            assert!(matches!(read(&path), Err(SecretFileError::Malformed)), "{text}");
        }
        fs::write(&path, format!("{}\n", "5A".repeat(32))).unwrap();
        assert_eq!(read(&path).unwrap(), Some([0x5a; 32]));
    }
}
