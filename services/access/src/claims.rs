//! What an access token says.

use std::collections::BTreeMap;

use headgate_proto::common::v1::Role;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Who signs access tokens, and whom they are for.
pub(crate) const NAME: &str = "headgate";
/// The only algorithm.
pub(crate) const ALGORITHM: Algorithm = Algorithm::ES256;
/// How long a token may be. Longer ones are neither signed nor read: a token must fit among a request's headers.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// What an access token says of its bearer, as of when it was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    #[serde(rename = "sub")]
    pub user_id: String,
    /// The login session that the token belongs to.
    #[serde(rename = "sid")]
    pub session_id: String,
    /// Rises with every change of what the user may do; tokens of an earlier one can be voided.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// When it was issued, in seconds since 1970-01-01 UTC.
    #[serde(rename = "iat")]
    pub issued_s: i64,
    /// From when on it is good for nothing, in seconds since 1970-01-01 UTC.
    #[serde(rename = "exp")]
    pub expires_s: i64,
    /// Whether the user may do everything, in every tenant.
    pub super_admin: bool,
    /// The user's role in each of their tenants, by tenant id.
    #[serde(with = "crate::role::by_tenant")]
    pub tenants: BTreeMap<String, Role>,
}

/// Why no token can be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// It would be longer than [`MAX_TOKEN_BYTES`]: the user belongs to too many tenants.
    #[error("an access token would be {0} bytes long, which is more than {MAX_TOKEN_BYTES}")]
    TooLong(usize),
    /// The key is of no use.
    #[error("access token: {0}")]
    Key(#[from] jsonwebtoken::errors::Error),
}

#[derive(Serialize)]
struct Signed<'a> {
    iss: &'static str,
    aud: &'static str,
    #[serde(flatten)]
    claims: &'a Claims,
}

impl Claims {
    /// The token that says so. `key_id` tells those who verify it which of the published keys it is signed with.
    ///
    /// # Errors
    /// When the token would be too long, or the key is not one for ES256.
    pub fn sign(&self, key_id: &str, key: &EncodingKey) -> Result<SecretString, SignError> {
        let header = Header { kid: Some(key_id.to_owned()), ..Header::new(ALGORITHM) };
        let signed = Signed { iss: NAME, aud: NAME, claims: self };
        let token = jsonwebtoken::encode(&header, &signed, key)?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(SignError::TooLong(token.len()));
        }
        Ok(token.into())
    }
}
