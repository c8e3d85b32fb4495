//! A service of the deployment.

use std::sync::Arc;

use http::HeaderValue;
use tonic::{Request, Status};

use crate::error::{ErrorReason, Failure};

/// Proof that a request comes from a service of this deployment. The connection puts it among the request's
/// extensions; nothing a client sends can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer(Who);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// The process that serves the request.
    Same,
    /// Another process, which runs these services.
    Other(Arc<[String]>),
}

/// What a caller over the wire shows of itself.
pub(crate) struct Presented<'a> {
    /// The service token.
    pub(crate) token: Option<&'a HeaderValue>,
    /// The services that its certificate names. `None` without a certificate of the deployment's authority.
    pub(crate) certificate: Option<&'a Arc<[String]>>,
}

impl Peer {
    /// The process itself.
    pub(crate) const fn same() -> Self {
        Self(Who::Same)
    }

    pub(crate) fn remote(services: Arc<[String]>) -> Self {
        Self(Who::Other(services))
    }

    /// Whether one of these services may be the caller. A process that calls itself may be any of them.
    #[must_use]
    pub fn is_one_of(&self, services: &[&str]) -> bool {
        match &self.0 {
            Who::Same => true,
            Who::Other(runs) => runs.iter().any(|service| services.contains(&service.as_str())),
        }
    }
}

/// Whether a request comes from another process.
pub fn is_from_elsewhere<T>(request: &Request<T>) -> bool {
    request.extensions().get::<Peer>() != Some(&Peer::same())
}

/// Refuses everyone but the named services of this deployment.
///
/// # Errors
/// `UNAUTHENTICATED` for a request that did not come from a service of the deployment, `PERMISSION_DENIED` for one of
/// another service.
pub fn require_peer<T>(request: &Request<T>, services: &[&str]) -> Result<(), Status> {
    let Some(peer) = request.extensions().get::<Peer>() else {
        let message = "this call answers services of the deployment only";
        return Err(Failure::new(ErrorReason::MissingCredential, message).into());
    };
    if peer.is_one_of(services) {
        return Ok(());
    }
    let message = format!("this call answers {} only", services.join(" and "));
    Err(Failure::new(ErrorReason::PermissionDenied, message).into())
}

/// Whether a request comes from a service of the deployment.
pub fn is_peer<T>(request: &Request<T>) -> bool {
    request.extensions().get::<Peer>().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_answers_those_it_names() {
        let runs = |services: &[&str]| Peer::remote(services.iter().map(|s| (*s).to_owned()).collect());
        let code = |peer: Option<Peer>| {
            let mut request = Request::new(());
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            require_peer(&request, &["router", "edge"]).map_err(|status| status.code())
        };
        assert_eq!(code(None), Err(tonic::Code::Unauthenticated));
        assert_eq!(code(Some(runs(&["usage"]))), Err(tonic::Code::PermissionDenied));
        assert_eq!(code(Some(runs(&[]))), Err(tonic::Code::PermissionDenied));
        assert_eq!(code(Some(runs(&["usage", "edge"]))), Ok(()));
        assert_eq!(code(Some(Peer::same())), Ok(()));
        let mut request = Request::new(());
        assert!(is_from_elsewhere(&request));
        request.extensions_mut().insert(Peer::same());
        assert!(!is_from_elsewhere(&request));
    }
}
