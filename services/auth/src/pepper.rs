//! The pepper: the secret under which key secrets are hashed, kept beside the database and not in it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use bytes::Bytes;
use headgate_kit::seal::MasterKey;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::key::SecretHmac;

/// Why the pepper cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PepperError {
    /// The file cannot be read or made.
    #[error("pepper file: {0}")]
    File(#[from] io::Error),
    /// It is something else.
    #[error("the pepper must be 64 hexadecimal digits")]
    Malformed,
    /// There are keys that only the missing pepper can verify; a new one would void them all.
    #[error("the pepper is missing although there are API keys: restore auth.pepper or set auth.pepper")]
    Missing,
    /// The database belongs to another pepper, under which its keys were hashed.
    #[error("the database belongs to another pepper: every replica needs the same auth.pepper")]
    Another,
}

/// Hashes key secrets. Never printed.
pub(crate) struct Pepper {
    bytes: [u8; 32],
    keyed: Hmac<Sha256>,
}

impl Pepper {
    pub(crate) fn new(bytes: [u8; 32]) -> Result<Self, PepperError> {
        let keyed = Hmac::new_from_slice(&bytes).map_err(|_| PepperError::Malformed)?;
        Ok(Self { bytes, keyed })
    }

    /// Reads the pepper from a file. Where there is none and `may_create`, makes both, with mode 0600.
    pub(crate) fn open(path: &Path, may_create: bool) -> Result<Self, PepperError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound && may_create => create(path)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(PepperError::Missing),
            Err(e) => return Err(e.into()),
        };
        Self::parse(&text)
    }

    /// Reads 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Result<Self, PepperError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| PepperError::Malformed)?;
        Self::new(bytes)
    }

    /// The same for the same pepper, and tells nothing of it.
    pub(crate) fn check(&self) -> String {
        self.hash("headgate: which pepper is this?").to_hex()
    }

    /// What is stored and compared in place of a key's secret part.
    pub(crate) fn hash(&self, secret: &str) -> SecretHmac {
        SecretHmac::new(self.keyed.clone().chain_update(secret).finalize().into_bytes().into())
    }

    /// What is stored and compared in place of a token that was made here. `kind` keeps one kind from passing as another.
    pub(crate) fn hash_token(&self, kind: &str, token: &str) -> SecretHmac {
        let keyed = self.keyed.clone().chain_update("headgate token: ").chain_update(kind).chain_update("\0");
        SecretHmac::new(keyed.chain_update(token).finalize().into_bytes().into())
    }

    /// What private keys are sealed under, which nobody can tell without the pepper.
    pub(crate) fn sealing_key(&self) -> MasterKey {
        MasterKey::from_bytes(
            self.keyed
                .clone()
                .chain_update("headgate: seal of signing keys\0")
                .finalize()
                .into_bytes()
                .into(),
        )
    }

    /// The pepper itself, for peers that verify by themselves.
    pub(crate) fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }
}

/// Writes a new pepper aside and moves it into place, so that a crash leaves a whole one or none.
fn create(path: &Path) -> io::Result<String> {
    let text = hex::encode(rand::random::<[u8; 32]>());
    let aside = path.with_extension("pepper.new");
    if let Err(e) = fs::remove_file(&aside)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    // The name must be as durable as the keys that will depend on it.
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_hash_is_hmac_sha_256() {
        // RFC 4231's scheme with a key of 32 bytes; the value is openssl's.
        let pepper = Pepper::new([0x0b; 32]).unwrap();
        let wanted = "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7";
        assert_eq!(pepper.hash("Hi There").to_hex(), wanted);
    }

    #[test]
    fn a_pepper_is_made_once_with_mode_0600_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.pepper");
        assert!(matches!(Pepper::open(&path, false), Err(PepperError::Missing)));
        let made = Pepper::open(&path, true).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(Pepper::open(&path, false).unwrap().bytes, made.bytes);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing stays aside");
    }

    #[test]
    fn a_damaged_pepper_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.pepper");
        fs::write(&path, "").unwrap();
        assert!(matches!(Pepper::open(&path, true), Err(PepperError::Malformed)));
    }
}
