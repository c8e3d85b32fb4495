//! The pepper: the secret under which key secrets are hashed, kept beside the database and not in it.

use std::io;
use std::path::Path;

use bytes::Bytes;
use headgate_kit::seal::MasterKey;
use headgate_kit::secret_file::{self, SecretFileError};
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

impl From<SecretFileError> for PepperError {
    fn from(fault: SecretFileError) -> Self {
        match fault {
            SecretFileError::File(e) => Self::File(e),
            SecretFileError::Malformed => Self::Malformed,
        }
    }
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

    /// Reads the pepper from a file. Where there is none and `may_create`, makes both.
    pub(crate) fn open(path: &Path, may_create: bool) -> Result<Self, PepperError> {
        match secret_file::read(path)? {
            Some(bytes) => Self::new(bytes),
            None if may_create => Self::new(secret_file::create(path)?),
            None => Err(PepperError::Missing),
        }
    }

    /// Reads 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Result<Self, PepperError> {
        Self::new(secret_file::parse(text).ok_or(PepperError::Malformed)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_hmac_sha_256() {
        // RFC 4231's scheme with a key of 32 bytes; the value is openssl's.
        let pepper = Pepper::new([0x0b; 32]).unwrap();
        let wanted = "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7";
        assert_eq!(pepper.hash("Hi There").to_hex(), wanted);
    }

    #[test]
    fn a_pepper_is_made_where_it_may_be_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.pepper");
        assert!(matches!(Pepper::open(&path, false), Err(PepperError::Missing)));
        let made = Pepper::open(&path, true).unwrap();
        assert_eq!(Pepper::open(&path, false).unwrap().bytes, made.bytes);
        std::fs::write(&path, "").unwrap();
        assert!(matches!(Pepper::open(&path, true), Err(PepperError::Malformed)));
    }
}
