//! What access tokens are signed with.

mod rotation;

use headgate_access::public_jwk;
use headgate_kit::clock::Clock;
use headgate_kit::ids;
use headgate_kit::seal::MasterKey;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use p256::SecretKey;
use p256::elliptic_curve::rand_core::OsRng;
use p256::pkcs8::EncodePrivateKey as _;

pub(crate) use rotation::{due, published, signing};

/// A key, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SigningKey {
    pub id: String,
    /// The private key in PKCS #8, sealed.
    pub sealed: Vec<u8>,
    pub signs_from_ms: i64,
}

/// A key, ready for use.
pub(crate) struct Ready {
    pub id: String,
    pub signs_from_ms: i64,
    pub key: EncodingKey,
    pub jwk: Jwk,
}

/// That a key cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It does not open: it was sealed under another pepper, or altered.
    #[error("a signing key does not open with this pepper")]
    Sealed,
    /// It is none.
    #[error("a signing key is malformed")]
    Malformed,
}

impl SigningKey {
    /// A new one.
    pub(crate) fn make(sealing: &MasterKey, signs_from_ms: i64, clock: &Clock) -> Result<Self, KeyError> {
        let id = ids::prefixed("jwk", clock);
        let private = SecretKey::random(&mut OsRng).to_pkcs8_der().map_err(|_| KeyError::Malformed)?;
        let sealed = sealing.seal_bytes(&purpose(&id), private.as_bytes()).map_err(|_| KeyError::Sealed)?;
        Ok(Self { id, sealed, signs_from_ms })
    }

    pub(crate) fn open(&self, sealing: &MasterKey) -> Result<Ready, KeyError> {
        let private = sealing.open_bytes(&purpose(&self.id), &self.sealed).map_err(|_| KeyError::Sealed)?;
        let key = EncodingKey::from_ec_der(&private);
        let jwk = public_jwk(&self.id, &key).map_err(|_| KeyError::Malformed)?;
        Ok(Ready { id: self.id.clone(), signs_from_ms: self.signs_from_ms, key, jwk })
    }
}

fn purpose(id: &str) -> String {
    format!("signing key {id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_under_its_pepper_only_and_under_its_own_id() {
        let sealing = MasterKey::parse(&"ab".repeat(32)).unwrap();
        let mut key = SigningKey::make(&sealing, 5, &Clock::manual(0)).unwrap();
        let ready = key.open(&sealing).unwrap();
        assert_eq!((ready.id.as_str(), ready.signs_from_ms), (key.id.as_str(), 5));
        assert_eq!(ready.jwk.common.key_id.as_deref(), Some(key.id.as_str()));
        let other = MasterKey::parse(&"cd".repeat(32)).unwrap();
        assert!(matches!(key.open(&other), Err(KeyError::Sealed)));
        key.id = "another".into();
        assert!(matches!(key.open(&sealing), Err(KeyError::Sealed)));
    }
}
