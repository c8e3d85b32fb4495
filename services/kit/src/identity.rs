//! Who calls: a peer service (set by the connection, never by metadata) or an operator (a token).

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::error::{ErrorReason, Failure};

/// Proof that a request comes from a service of this deployment. The connection puts it among the request's
/// extensions; nothing a client sends can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub(crate) ());

/// Refuses everyone but peer services.
///
/// # Errors
/// `UNAUTHENTICATED` for a request that did not come over a peer connection.
pub fn require_peer<T>(request: &Request<T>) -> Result<(), Status> {
    if is_peer(request) {
        return Ok(());
    }
    let message = "this call answers services of the deployment only";
    Err(Failure::new(ErrorReason::MissingCredential, message).into())
}

/// Whether a request comes from a peer service.
pub fn is_peer<T>(request: &Request<T>) -> bool {
    request.extensions().get::<Peer>().is_some()
}

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

    /// Refuses everyone but peers and holders of the operator token.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, with MISSING_CREDENTIAL or INVALID_CREDENTIAL.
    pub fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        if is_peer(request) {
            return Ok(());
        }
        let Some(token) = bearer(request.metadata()) else {
            return Err(Failure::new(ErrorReason::MissingCredential, "an operator token is required").into());
        };
        if bool::from(token.as_bytes().ct_eq(self.0.expose_secret().as_bytes())) {
            return Ok(());
        }
        Err(Failure::new(ErrorReason::InvalidCredential, "the operator token is not valid").into())
    }
}
