//! What is published of a key that signs tokens.

use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};

use crate::claims::ALGORITHM;

/// The public half of a private key in PKCS #8, under the id that tokens signed with it name.
///
/// # Errors
/// When the key is not one for ES256.
pub fn public_jwk(key_id: &str, key: &EncodingKey) -> Result<Jwk, jsonwebtoken::errors::Error> {
    let mut jwk = Jwk::from_encoding_key(key, ALGORITHM)?;
    jwk.common.key_id = Some(key_id.to_owned());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}
