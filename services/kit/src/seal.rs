//! Secrets at rest: sealed with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) under a master key from a file.

use std::io;
use std::path::Path;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use headgate_proto::adapter::v1::SealedSecret;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use crate::secret_file::{self, Bytes32, SecretFileError};

const NONCE_BYTES: usize = 24;
const ID_PURPOSE: &[u8] = b"headgate master key id";
const ID_BYTES: usize = 4;

/// Seals and opens secrets. Cheap to clone; never printed.
#[derive(Clone)]
pub struct MasterKey {
    id: String,
    cipher: XChaCha20Poly1305,
    /// Those before it. They open what they sealed, and seal nothing.
    previous: Arc<[MasterKey]>,
}

/// Why a secret cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key file cannot be read or made.
    #[error("master key file: {0}")]
    File(#[from] io::Error),
    /// The key is not 32 bytes in hexadecimal.
    #[error("the master key must be 64 hexadecimal digits")]
    Malformed,
    /// The secret was sealed with another key or for another purpose, or was altered.
    #[error("the sealed secret does not open with this master key")]
    Wrong,
}

impl From<SecretFileError> for SealError {
    fn from(fault: SecretFileError) -> Self {
        match fault {
            SecretFileError::File(e) => Self::File(e),
            SecretFileError::Malformed => Self::Malformed,
        }
    }
}

impl MasterKey {
    /// Reads a key from 64 hexadecimal digits.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        secret_file::parse(text).map(Self::from_bytes).ok_or(SealError::Malformed)
    }

    /// A key that was derived from another secret.
    #[must_use]
    pub fn from_bytes(key: Bytes32) -> Self {
        // The id tells keys apart without telling anything of the key.
        let digest = Sha256::new_with_prefix(ID_PURPOSE).chain_update(key).finalize();
        let id = digest.iter().take(ID_BYTES).map(|b| format!("{b:02x}")).collect();
        Self { id, cipher: XChaCha20Poly1305::new(&key.into()), previous: Arc::default() }
    }

    /// Reads the key from a file, or makes both with mode 0600.
    ///
    /// # Errors
    /// When the file cannot be read, made, or understood.
    pub fn open_or_create(path: &Path) -> Result<Self, SealError> {
        let found = secret_file::read(path)?;
        Ok(Self::from_bytes(found.map_or_else(|| secret_file::create(path), Ok)?))
    }

    /// The same key, which also opens what these sealed.
    #[must_use]
    pub fn with_previous(self, previous: Vec<Self>) -> Self {
        Self { previous: previous.into(), ..self }
    }

    /// What tells this key from others, and tells nothing else of it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id of this key, and of those others before it.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let previous = self.previous.iter().map(Self::id).filter(|id| *id != self.id());
        std::iter::once(self.id()).chain(previous)
    }

    /// Whether it was this key, and none before it, that sealed a secret.
    #[must_use]
    pub fn sealed(&self, secret: &SealedSecret) -> bool {
        secret.key_id == self.id
    }

    /// Seals a secret for one purpose (e.g. a provider's id): it opens for no other.
    ///
    /// # Errors
    /// When the cipher refuses, which it does only for secrets of gigabytes.
    pub fn seal(&self, purpose: &str, secret: &str) -> Result<SealedSecret, SealError> {
        let ciphertext = self.seal_bytes(purpose, secret.as_bytes())?.into();
        Ok(SealedSecret { key_id: self.id.clone(), ciphertext })
    }

    /// Opens a secret. `None` for one that is empty.
    ///
    /// # Errors
    /// When it was sealed with another key or for another purpose, or was altered.
    pub fn open(&self, purpose: &str, sealed: &SealedSecret) -> Result<Option<SecretString>, SealError> {
        if sealed.ciphertext.is_empty() {
            return Ok(None);
        }
        let previous = self.previous.iter().find(|previous| previous.sealed(sealed));
        let key = previous.filter(|_| !self.sealed(sealed)).unwrap_or(self);
        let plain = key.open_bytes(purpose, &sealed.ciphertext)?;
        let text = String::from_utf8(plain).map_err(|_| SealError::Wrong)?;
        Ok(Some(SecretString::from(text)))
    }

    /// Seals bytes for one purpose: they open for no other.
    ///
    /// # Errors
    /// When the cipher refuses, which it does only for gigabytes.
    pub fn seal_bytes(&self, purpose: &str, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let payload = Payload { msg: bytes, aad: purpose.as_bytes() };
        let sealed = self.cipher.encrypt(&nonce, payload).map_err(|_| SealError::Wrong)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`MasterKey::seal_bytes`] sealed.
    ///
    /// # Errors
    /// When it was sealed with another key or for another purpose, or was altered.
    pub fn open_bytes(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, msg) = sealed.split_at_checked(NONCE_BYTES).ok_or(SealError::Wrong)?;
        let payload = Payload { msg, aad: purpose.as_bytes() };
        self.cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| SealError::Wrong)
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_secret_opens_for_its_purpose_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let sealed = MasterKey::open_or_create(&path).unwrap().seal("provider_a", "hunter2").unwrap();
        let key = MasterKey::open_or_create(&path).unwrap();
        let opened = key.open("provider_a", &sealed).unwrap().unwrap();
        assert_eq!(opened.expose_secret(), "hunter2");
        assert!(key.open("provider_b", &sealed).is_err());
        assert!(!sealed.ciphertext.windows(7).any(|w| w == b"hunter2"));
    }

    #[test]
    fn a_previous_key_opens_what_it_sealed_and_seals_nothing() {
        let key = |digits: &str| MasterKey::parse(&digits.repeat(32)).unwrap();
        let (old, new) = (key("5a"), key("c3").with_previous(vec![key("11"), key("5a")]));
        let sealed = old.seal("p", "hunter2").unwrap();
        assert_eq!(new.open("p", &sealed).unwrap().unwrap().expose_secret(), "hunter2");
        assert!(!new.sealed(&sealed) && new.open("q", &sealed).is_err());
        let anew = new.seal("p", "hunter2").unwrap();
        assert!(new.sealed(&anew) && old.open("p", &anew).is_err() && key("c3").open("p", &anew).is_ok());
        assert!(key("c3").open("p", &sealed).is_err());
    }
}
