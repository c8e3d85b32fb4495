//! Operators, who present a token.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::error::{ErrorReason, Failure};

/// The bearer token of `authorization`, if there is one.
#[must_use]
pub fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Guards the RPCs that operators use.
#[derive(Clone, Debug)]
pub struct OperatorGuard(Arc<SecretString>);

impl OperatorGuard {
    /// Lets in whoever presents `token`.
    #[must_use]
    pub fn new(token: SecretString) -> Self {
        Self(Arc::new(token))
    }

    /// Refuses everyone but holders of the operator token, services of the deployment too.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, with MISSING_CREDENTIAL or INVALID_CREDENTIAL.
    pub fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let Some(token) = bearer(request.metadata()) else {
            return Err(Failure::new(ErrorReason::MissingCredential, "an operator token is required").into());
        };
        if bool::from(token.as_bytes().ct_eq(self.0.expose_secret().as_bytes())) {
            return Ok(());
        }
        Err(Failure::new(ErrorReason::InvalidCredential, "the operator token is not valid").into())
    }
}
